"""The commands as a person calls them: what they print, and the code they end with."""

from __future__ import annotations

import json

import pytest
import yaml

from handguard.cli import main
from handguard.errors import DeviceReplaced
from handguard.types import Detections, Frame
from tests.replay.conftest import SITE, Scripted


class LostAt(Scripted):
    """Sees nothing; its device is lost at one frame, and a standby sees nothing from then on."""

    def __init__(self, frame: int) -> None:
        super().__init__({})
        self._lost = frame

    def detect(self, frame: Frame) -> Detections:
        if frame.seq == self._lost:
            raise DeviceReplaced("the card is gone")
        return super().detect(frame)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main([str(each) for each in arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out + said.err


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path / "site.yaml"


def test_a_live_run_proves_itself_without_being_told_anything_else(live_run, capsys, tmp_path) -> None:
    code, said = run(capsys, "replay", live_run, "--out", tmp_path / "out", "--report")
    assert code == 0
    assert "INTACT" in said
    assert "REPRODUCED" in said
    assert json.loads((tmp_path / "out" / "reproduction.json").read_text())["verdict"] == "reproduced"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "live run" in page
    assert "<li>the relay is simulated: no machine is stopped</li>" in page


def test_other_settings_for_a_live_run_are_no_proof_and_say_so(live_run, capsys, site) -> None:
    code, said = run(capsys, "replay", live_run, "--config", site)
    assert code == 3
    assert "expected the settings of the run" in " ".join(said.split())


def test_what_if_of_a_live_run_needs_no_video_but_no_other_network_either(live_run, capsys, tmp_path) -> None:
    own = json.loads((live_run / "evidence" / "segment-000001.jsonl").read_text().splitlines()[0])["record"]["settings"]
    own["interlock"]["free_frames"] = 6
    (tmp_path / "slower.yaml").write_text(yaml.safe_dump(own))
    code, said = run(capsys, "replay", live_run, "--out", tmp_path / "out", "--against", tmp_path / "slower.yaml")
    assert code == 0, said
    assert "B loses no trip" in said
    own["detector"]["region"] = "full" if own["detector"]["region"] == "zones" else "zones"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(own))
    code, said = run(capsys, "replay", live_run, "--out", tmp_path / "out", "--against", tmp_path / "other.yaml")
    assert code == 2
    assert "a book holds hands, not pictures" in " ".join(said.split())


def test_a_stricter_threshold_shows_the_trips_it_would_have_lost(live_run, capsys, tmp_path) -> None:
    own = json.loads((live_run / "evidence" / "segment-000001.jsonl").read_text().splitlines()[0])["record"]["settings"]
    own["detector"]["min_score"] = 0.9
    (tmp_path / "strict.yaml").write_text(yaml.safe_dump(own))
    arguments = ("--out", tmp_path / "out", "--against", tmp_path / "strict.yaml", "--report")
    code, said = run(capsys, "replay", live_run, *arguments)
    assert code == 1
    assert "lost" in said
    page = (tmp_path / "out" / "index.html").read_text()
    assert "B protects less than A" in page
    assert '<td class="bad-text">lost</td>' in page


@pytest.mark.parametrize("options", [["--annotate"], ["--box-drift", "12"], ["--score-drift", "0.02"]])
def test_what_only_pictures_could_answer_is_refused_for_a_live_run(make_run, settings, scripted, capsys, tmp_path,
                                                                    options) -> None:  # fmt: skip
    run_folder = make_run(settings, scripted({}), 20)
    code, said = run(capsys, "replay", run_folder, "--out", tmp_path / "out", *options)
    assert code == 2
    assert f"{options[0]}: expected a video or a folder of pictures" in " ".join(said.split())
    assert "found a live run" in " ".join(said.split())
    assert not (tmp_path / "out").exists()


def test_a_drift_that_limits_nothing_is_a_wrong_input(make_video, capsys, site, tmp_path) -> None:
    arguments = ("--config", site, "--out", tmp_path / "out", "--box-drift", "inf")
    code, said = run(capsys, "replay", make_video(frames=5), *arguments)
    assert code == 2
    assert "box_px: expected a finite number" in " ".join(said.split())
    assert not (tmp_path / "out").exists()


def test_a_run_in_which_a_standby_took_over_is_reproduced(make_run, settings, capsys) -> None:
    code, said = run(capsys, "replay", make_run(settings, LostAt(30)))
    assert code == 0, said
    assert "REPRODUCED: 60 ticks" in said


@pytest.mark.parametrize("missing", ["--config", "--out"])
def test_a_video_needs_settings_and_a_place(make_video, capsys, site, tmp_path, missing) -> None:
    given = {"--config": site, "--out": tmp_path / "out"}
    options = [part for name, value in given.items() if name != missing for part in (name, value)]
    code, said = run(capsys, "replay", make_video(), *options)
    assert code == 2
    assert f"{missing}: expected" in said


def test_a_video_against_the_same_settings_loses_nothing(make_video, capsys, site, tmp_path) -> None:
    arguments = ("--config", site, "--against", site, "--out", tmp_path / "out", "--report")
    code, said = run(capsys, "replay", make_video(), *arguments)
    assert code == 0, said
    assert "B loses no trip" in said
    assert (tmp_path / "out" / "against" / "decisions.jsonl").exists()
    assert (tmp_path / "out" / "index.html").exists()


def test_another_way_to_compute_the_network_must_decide_the_same(make_video, capsys, site, tmp_path) -> None:
    (tmp_path / "torch.yaml").write_text(SITE.replace("{min_score: 0.9}", "{min_score: 0.9, backend: torch-cpu}"))
    arguments = ("--config", site, "--against", tmp_path / "torch.yaml", "--out", tmp_path / "out")
    code, said = run(capsys, "replay", make_video(frames=8), *arguments)
    assert code == 0, said
    assert "every decision is equal" in " ".join(said.split())


def test_an_audit_ends_with_its_verdict_its_pages_and_a_code(make_video, capsys, site, tmp_path) -> None:
    (tmp_path / "films").mkdir()
    make_video("films/a.mkv")
    code, said = run(capsys, "audit", tmp_path / "films", "--config", site, "--out", tmp_path / "out")
    assert code == 1
    assert "AUDIT FAILED" in said
    assert "vacuous" in said
    assert "a.mkv" in (tmp_path / "out" / "index.html").read_text()
    assert len(list((tmp_path / "out" / "recordings").glob("a-*.html"))) == 1
    (tmp_path / "films" / "audit.yaml").write_text("recordings: {a.mkv: {expects: frames == 60, truth: nobody}}")
    code, said = run(capsys, "audit", tmp_path / "films", "--config", site, "--out", tmp_path / "out")
    assert code == 0, said
    assert "audit passed" in said
