"""The recorder of clips: `python -m handguard.desk.recorder FEED …`, a program of its own.

It looks at the feed like any viewer, keeps the last seconds in a ring, and after a
trip writes the films. What it did it says on standard output, one notice a line, and
whoever started it puts that into the book. It may be slow, stopped or killed:
frames are then missing in a clip, which counts them, and nothing else happens.

    main thread   feed → JPEG → ring → take       at the low priority it was started with
    cutting room  take → room on disk → films     at the lowest, one after another

Started again in the middle of a run it goes on: trips that have an index on disk are
done, and a newer one is cut from what pictures there are. A cutting room that breaks ends the
program, so that it is started again and people see why.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Full, Queue

import cv2

from handguard.desk.feed import FeedReader, Snapshot, View
from handguard.desk.snapshot import decision_in
from handguard.desk.window import zones_from
from handguard.errors import HandguardError, RecordingError
from handguard.evidence.clips import Drawing, read_index, save
from handguard.evidence.notices import ClipLost, ClipRemoved, Notice, TripMark, to_line
from handguard.evidence.retention import Shelf, StoredClip, clear_leftovers, make_room
from handguard.evidence.ring import Cutter, Spans, Take, still_of
from handguard.types import Zone

POLL_S = 0.008  # half a frame at 60/s
CUTTING_NICE = 15  # films are made behind everything else; the process itself is behind the monitor
LAST_S = 8.0  # the time to draw after the run has ended; the monitor waits a little longer than this
WAITING_TAKES = 2  # in memory, while the disk is slow
OVERLAY_SHARE = 0.5  # a drawn film is smaller than half of the raw one
NO_FEED = 2  # the exit code without a feed
BROKEN = 70  # the exit code of a recorder whose cutting room broke (EX_SOFTWARE)
STOPPED = 128 + signal.SIGTERM  # the exit code of a recorder that was told to go while the run went on
_OLD_NS = 120_000_000_000  # a trip this long ago has no pictures in the ring any more


class CuttingRoom:
    """Writes takes to disk in a thread of its own and says what became of each.

    Synchronization: `take` and `close` by one thread.
    """

    def __init__(self, shelf: Shelf, zones: tuple[Zone, ...]) -> None:
        self._shelf, self._zones = shelf, zones
        self._takes: Queue[tuple[Take, int] | None] = Queue(WAITING_TAKES)
        self._ends_s = float("inf")
        self.is_broken = False  # by an error that nobody foresaw; nothing is written any more
        self._speaking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="cutting-room", daemon=True)
        self._thread.start()

    def take(self, take: Take, origin_ns: int) -> None:
        """Hand over a take; returns at once."""
        try:
            self._takes.put_nowait((take, origin_ns))
        except Full:
            self.say(ClipLost(take.name, f"{WAITING_TAKES} clips wait for the disk already"))

    def close(self) -> None:
        """Write what waits, but draw no longer than `LAST_S`, then end."""
        self._ends_s = time.monotonic() + LAST_S
        while not self.is_broken:
            with suppress(Full):
                self._takes.put(None, timeout=POLL_S)
                break
        self._thread.join()

    def say(self, notice: Notice) -> None:
        """One line on standard output; when nobody listens any more, the files must speak for themselves."""
        with self._speaking, suppress(BrokenPipeError, OSError):
            os.write(sys.stdout.fileno(), to_line(notice))

    def _run(self) -> None:
        behind = max(CUTTING_NICE, os.getpriority(os.PRIO_PROCESS, 0))
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), behind)
        try:
            self._write_all()
        except BaseException:
            self.is_broken = True
            raise

    def _write_all(self) -> None:
        for take, origin_ns in iter(self._takes.get, None):
            try:
                self._write(take, origin_ns)
            except (OSError, ValueError, HandguardError) as error:
                self.say(ClipLost(take.name, str(error)))

    def _write(self, take: Take, origin_ns: int) -> None:
        if not take.stills:
            self.say(ClipLost(take.name, "there was no picture around it"))
            return
        raw_bytes = sum(len(still.jpeg) for still in take.stills)
        make_room(self._shelf, round(raw_bytes * (1 + OVERLAY_SHARE)), self._removed)
        save(take, self._shelf.own, Drawing(self._zones, origin_ns, self._has_time), self.say)

    def _has_time(self) -> bool:
        return time.monotonic() < self._ends_s

    def _removed(self, clip: StoredClip) -> None:
        self.say(ClipRemoved(clip.run.name, clip.name, clip.bytes, "oldest, to make room for a new one"))


class Recorder:
    """Looks at views and hands takes to the cutting room. One thread."""

    def __init__(self, spans: Spans, room: CuttingRoom, seen_trips: int) -> None:
        self._cutter, self._room = Cutter(spans, seen_trips), room
        self._origin_ns = 0

    @property
    def is_broken(self) -> bool:
        """Nothing that it hands over is written any more."""
        return self._room.is_broken

    def see(self, view: View) -> None:
        """Keep the picture, and look whether the machine tripped."""
        snapshot = view.snapshot
        self._origin_ns = snapshot["started_ns"] or 0
        if view.image is not None and snapshot["frame"] >= 0:
            self._cutter.see(still_of(view.turn, decision_in(snapshot), view.image))
        mark = mark_in(snapshot)
        if mark is not None and snapshot["times_ns"][-1] - mark.at_ns < _OLD_NS:
            self._cutter.trip(mark)

    def tick(self, now_ns: int, why: str = "") -> None:
        """Hand over the take that is complete by now; with `why`, also one that is not."""
        take = self._cutter.cut(now_ns, why)
        if take is not None:
            self._room.take(take, self._origin_ns)


def mark_in(snapshot: Snapshot) -> TripMark | None:
    """The newest trip that a snapshot tells of."""
    last = snapshot["last_trip"]
    return None if last is None else TripMark(**last)


def trips_on_disk(folder: Path) -> int:
    """The highest number of a trip that some clip in the folder shows already; 0 if there is none."""
    numbers = [0]
    for path in folder.glob("trip-*.json"):
        with suppress(RecordingError, KeyError, TypeError):
            numbers += [int(trip["number"]) for trip in read_index(path)["trips"]]
    return max(numbers)


def follow(reader: FeedReader, recorder: Recorder, stopping: threading.Event) -> None:
    """Record until the monitor ends, or until `stopping`; then cut what is open.

    A take ends at its time, also where there is always a newer view because this computer is too slow.
    """
    parent, turn = os.getppid(), 0
    while not (reader.closed or stopping.is_set() or recorder.is_broken or os.getppid() != parent):
        view = reader.newest(turn)
        if view is not None:
            turn = view.turn
            recorder.see(view)
        recorder.tick(time.monotonic_ns())
        if view is None:
            time.sleep(POLL_S)
    recorder.tick(time.monotonic_ns(), "the run ended")


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the monitor's; it closes the feed
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    cv2.setNumThreads(1)
    try:
        reader = FeedReader(options.feed)
        zones = zones_from(options.zones)
    except (HandguardError, ValueError) as error:
        sys.stderr.write(f"recorder: {error}\n")
        return NO_FEED
    shelf = Shelf(options.runs, options.clips, options.quota_bytes, options.keep_free_bytes)
    shelf.own.mkdir(parents=True, exist_ok=True)
    clear_leftovers(shelf)
    room = CuttingRoom(shelf, zones)
    follow(reader, Recorder(Spans(options.pre_s, options.post_s), room, trips_on_disk(shelf.own)), stopping)
    room.close()
    reader.close()
    if room.is_broken:
        return BROKEN
    return STOPPED if stopping.is_set() else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="handguard.desk.recorder", description=__doc__)
    parser.add_argument("feed", help="name of the monitor's shared memory")
    parser.add_argument("--clips", type=Path, required=True, help="folder for the clips of this run")
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs; the quota is theirs")
    parser.add_argument("--zones", default="[]", help="as JSON: [[name, role, [[x, y], …]], …]")
    parser.add_argument("--pre-s", type=float, default=Spans().pre_s)
    parser.add_argument("--post-s", type=float, default=Spans().post_s)
    parser.add_argument("--quota-bytes", type=int, default=10 << 30)
    parser.add_argument("--keep-free-bytes", type=int, default=1 << 30)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
