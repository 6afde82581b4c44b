"""What else may run on a machine that guards: a hog, a viewer, a viewer that was stopped, a disk that froze.

    hogs        programs that only burn time, at normal priority
    viewer      a program that copies every frame from the shared memory, as a window or a recorder does
    stopped     the same program under SIGSTOP: it holds the memory and never reads
    frozen disk a file system of its own on a loop device; frozen, every write to it waits until it is thawed
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handguard.errors import DeviceError

ROOT = Path(__file__).parents[2]
_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h
DISK_BYTES = 256 << 20
BURN = "import os; ours = os.getppid()\nwhile os.getppid() == ours: sum(range(100_000))"  # until we are gone


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many programs that never rest."""
    burning = [subprocess.Popen([sys.executable, "-S", "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait()


class Viewer:
    """A program that looks at a feed; see `viewer`. One thread."""

    def __init__(self, feed: str, pause_s: float = 0.002) -> None:
        """`pause_s` between two looks."""
        command = [sys.executable, "-m", "handguard.bench.viewer", feed, str(pause_s)]
        self._program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def stop_looking(self) -> None:
        """SIGSTOP: it holds on to the memory, and does nothing more."""
        self._program.send_signal(signal.SIGSTOP)

    def look_again(self) -> None:
        """SIGCONT."""
        self._program.send_signal(signal.SIGCONT)

    def close(self) -> int:
        """End it; returns how many pictures it saw, whole. -1: it did not say."""
        self.look_again()
        try:
            said, _ = self._program.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._program.kill()
            said, _ = self._program.communicate()
        return int(said) if said.strip().isdigit() else -1


class FreezableDisk:
    """A mounted ext4 file system that can be frozen; needs root and a loop device.

    While it is frozen, every write to it waits inside the kernel. Raises `DeviceError`
    where it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        image = folder / "disk.img"
        self.path.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        _done("mkfs.ext4", "-q", "-F", str(image))
        _done("mount", "-o", "loop", str(image), str(self.path))
        self._fd = os.open(self.path, os.O_RDONLY)
        self._frozen = False

    def freeze(self) -> None:
        """From now on nothing is written."""
        fcntl.ioctl(self._fd, _FREEZE, 0)
        self._frozen = True

    def thaw(self) -> None:
        """What waited is written. Safe to call twice."""
        if self._frozen:
            fcntl.ioctl(self._fd, _THAW, 0)
            self._frozen = False

    def close(self) -> None:
        """Thaw and unmount; everything on it is lost."""
        with suppress(OSError):
            self.thaw()
        os.close(self._fd)
        _done("umount", "-l", str(self.path))


@contextmanager
def freezable_disk() -> Iterator[FreezableDisk]:
    """One for the time of the block. Raises `DeviceError`."""
    with tempfile.TemporaryDirectory(prefix="handguard-disk-") as folder:
        disk = FreezableDisk(Path(folder))
        try:
            yield disk
        finally:
            disk.close()


def _done(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise DeviceError(f"a disk to freeze: expected `{command[0]}` to work, found {said}") from error
