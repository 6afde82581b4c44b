"""Tables that other programs read back as they were meant, and that carry no formula."""

from __future__ import annotations

import csv
import io
import json

import pytest
from openpyxl import load_workbook

from handguard.errors import ConfigError, RecordingError
from handguard.evidence.export import EVENT_COLUMNS, event_row, write_table
from handguard.evidence.questions import FoundEvent

COLUMNS = ("id", "words", "number", "nothing")
ROWS = [
    {"id": "a:1", "words": "zone “Ein­zug”, 3\nlines;", "number": 21.5, "nothing": None},
    {"id": "a:2", "words": "=1+1", "number": 7, "nothing": None},
    {"id": "a:3", "words": "@SUM(A1)\x07", "number": -3, "nothing": None},
]


def written(tmp_path, name, rows=ROWS):
    write_table(tmp_path / name, rows, COLUMNS, "events")
    return tmp_path / name


def test_csv_reads_back_and_opens_as_unicode(tmp_path):
    data = written(tmp_path, "t.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows[0] == {"id": "a:1", "words": ROWS[0]["words"], "number": "21.5", "nothing": ""}
    assert rows[1]["words"] == "'=1+1" and rows[2]["words"].startswith("'@")
    assert rows[2]["number"] == "-3"


def test_json_reads_back(tmp_path):
    assert json.loads(written(tmp_path, "t.json").read_text()) == ROWS


def test_xlsx_holds_numbers_as_numbers_and_texts_as_texts(tmp_path):
    sheet = load_workbook(written(tmp_path, "t.xlsx")).active
    assert [cell.value for cell in sheet[1]] == list(COLUMNS)
    assert sheet["C2"].value == 21.5
    assert (sheet["B3"].value, sheet["B3"].data_type) == ("=1+1", "s")
    assert sheet["B4"].value == "@SUM(A1) "
    assert sheet.max_row == 4


@pytest.mark.parametrize("name", ["t.csv", "t.xlsx", "t.json", "T.CSV"])
def test_no_rows_are_a_table_all_the_same(tmp_path, name):
    assert written(tmp_path, name, []).stat().st_size > 0


@pytest.mark.parametrize("name", ["t", "t.xls", "t.pdf"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"expected a name ending in \.csv, \.xlsx, \.json"):
        written(tmp_path, name)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="expected a place to write the table"):
        written(tmp_path, "no/where.csv")


def test_every_column_of_an_event_is_filled_from_it():
    event = FoundEvent("r1", 5, "2025", "trip", "", 9, 3, "intake", "intruded", 0.5, 21.5, "nuisance", True)
    row = event_row(event)
    assert tuple(row) == EVENT_COLUMNS
    assert (row["id"], row["response_ms"], row["held"]) == ("r1:5", 21.5, True)
