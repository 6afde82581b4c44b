"""Tables for other programs: CSV, XLSX or JSON, by the ending of the file's name.

One column has one meaning and one unit in all three. A text that a spreadsheet would
take for a formula stays a text: in CSV it gets an apostrophe, in XLSX the cell is
marked as text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from handguard.atomic import write_atomically
from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.questions import FoundEvent

Row = dict[str, str | int | float | bool | None]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
EVENT_COLUMNS = (
    "id", "wall_time_utc", "kind", "what", "zone", "cause", "score", "frame_seq", "at_ns", "response_ms",
    "verdict", "held",
)  # fmt: skip


def event_row(event: FoundEvent) -> Row:
    """One event under the names of `EVENT_COLUMNS`."""
    return {"id": event.name} | {name: getattr(event, name) for name in EVENT_COLUMNS[1:]}


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str], title: str) -> None:
    """Write the rows under their columns, whole or not at all; of no rows, the columns alone.

    Raises `ConfigError` for another ending, `RecordingError` for a file that cannot be written.
    """
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ConfigError(mismatch(str(path), f"a name ending in {', '.join(_FORMS)}", path.suffix or "no ending"))
    data = form([{name: row.get(name) for name in columns} for row in rows], columns, title)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise RecordingError(mismatch(str(path), "a place to write the table", error)) from error


def _csv(rows: Iterable[Row], columns: Sequence[str], _title: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")  # RFC 4180
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8-sig")  # spreadsheets take CSV for Latin-1 without the mark


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _json(rows: Iterable[Row], _columns: Sequence[str], _title: str) -> bytes:
    return json.dumps(list(rows), indent=1, allow_nan=False).encode() + b"\n"


def _xlsx(rows: Iterable[Row], columns: Sequence[str], title: str) -> bytes:
    from openpyxl import Workbook  # slow to import, and only needed here
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet = book.active
    sheet.title = title[:31]
    for at, name in enumerate(columns, start=1):
        sheet.cell(1, at, name).font = Font(bold=True)
        sheet.column_dimensions[get_column_letter(at)].width = max(12, len(name) + 2)
    for line, row in enumerate(rows, start=2):
        for at, value in enumerate(row.values(), start=1):
            cell = sheet.cell(line, at)
            cell.value = _printable(value)
            if isinstance(value, str):
                cell.data_type = "s"  # never a formula
    sheet.freeze_panes = "A2"
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def _printable(value: Any) -> Any:
    """Without what a sheet cannot hold: control characters, and texts beyond 32767."""
    if not isinstance(value, str):
        return value
    return "".join(sign if sign.isprintable() else " " for sign in value)[:32767]


_FORMS: dict[str, Callable[[Sequence[Row], Sequence[str], str], bytes]] = {
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".json": _json,
}
