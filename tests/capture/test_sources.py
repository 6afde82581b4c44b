from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from handguard.capture.pacing import Paced
from handguard.capture.picture_folder import PictureFolder
from handguard.capture.sources import open_source
from handguard.capture.video_file import VideoFile
from handguard.errors import ConfigError, DeviceMissing


def test_a_file_is_paced_live_and_plain_in_replay(make_video):
    path = str(make_video())
    assert isinstance(open_source(path, live=True), Paced)
    assert isinstance(open_source(path, live=False), VideoFile)


def test_a_folder_takes_the_rate_it_is_given(make_pictures):
    folder = make_pictures(["a.png"])
    source = open_source(f"{folder}/", live=False, fps=12.5)
    assert isinstance(source, PictureFolder)
    assert source.format.fps == 12.5


def test_a_looping_file_starts_over(make_video):
    source = open_source(str(make_video(frames=2, fps=20)), live=True, loop=True)
    seqs = [source.read().seq for _ in range(5)]
    assert seqs[0] == 0
    assert all(b > a for a, b in itertools.pairwise(seqs))


def test_a_live_file_delivers_what_replay_delivers(make_video, read_all, number_on):
    path = str(make_video(frames=10, fps=50))
    paced = open_source(path, live=True)
    live = {f.seq: number_on(f.image) for f in read_all(paced)}
    replay = {f.seq: number_on(f.image) for f in read_all(open_source(path, live=False))}
    assert isinstance(paced, Paced)
    assert len(live) + paced.skipped == len(replay) == 10  # a busy machine may skip some
    assert live.items() <= replay.items()


_ACCEPTED = r"expected a camera number such as 0, .*a folder of pictures, or simulated, found "


@pytest.mark.parametrize("spec", ["", "ftp://host/x.mp4", "rtmp://host/x", "://", "concat://a|b", "x://["])
def test_a_source_that_means_nothing_lists_what_is_accepted(spec: str):
    with pytest.raises(ConfigError, match=r"source: " + _ACCEPTED):
        open_source(spec, live=True)


@pytest.mark.parametrize("spec", ["no-such-file.mp4", "²", "-1", "0x", "simulate"])
def test_a_name_of_nothing_is_missing_and_lists_what_is_accepted(spec: str):
    with pytest.raises(DeviceMissing, match=f"source {spec}: {_ACCEPTED}nothing of that name"):
        open_source(spec, live=True)


@pytest.mark.parametrize("spec", ["0", "/dev/video0", "rtsp://u:secret@host/x", "http://host/x"])
def test_replay_refuses_what_cannot_be_read_twice(spec: str):
    with pytest.raises(ConfigError, match="expected a file or folder for replay") as caught:
        open_source(spec, live=False)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("spec", ["97", "/dev/video97", "/dev/v4l/by-id/usb-none"])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices have paths on Linux only")
def test_a_missing_camera_is_missing_in_every_spelling(spec: str):
    with pytest.raises(DeviceMissing, match="expected a camera, found no such device"):
        open_source(spec, live=True)


def test_a_strange_file_name_is_still_a_file(make_video, read_all, monkeypatch):
    path: Path = make_video("12 %d [x] ü:1.mp4", frames=3)
    assert len(read_all(open_source(str(path), live=False))) == 3
    monkeypatch.chdir(path.parent)
    path.rename("concat:a.mp4")
    assert len(read_all(open_source("concat:a.mp4", live=False))) == 3


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan"), float("inf")])
def test_a_senseless_rate_is_refused(fps: float):
    with pytest.raises(ConfigError, match="source rate: expected a positive number"):
        open_source("0", live=True, fps=fps)


def test_the_simulated_scene_is_drawn_by_its_seed_and_takes_orders():
    one, same, other = (
        open_source("simulated", live=False, seed=seed, size_px=(320, 180), fps=10.0) for seed in (3, 3, 4)
    )
    assert (one.format.width_px, one.format.height_px, one.format.fps) == (320, 180, 10.0)
    pictures = [source.read().image for source in (one, same, other)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_an_impossible_scene_is_a_wrong_setting():
    with pytest.raises(ConfigError, match="simulated scene: seed: expected 0 or more, found -1"):
        open_source("simulated", live=False, seed=-1)
