"""Everything handguard raises on purpose.

    HandguardError
    ├── ConfigError        a setting is wrong               exit 2, relay never switched on
    ├── ModelError         weights or card do not fit       exit 2
    ├── DatasetError       annotations or pictures are bad  exit 2
    ├── SelfTestFailed     something did not prove itself   exit 2, nothing may be switched on
    ├── DeviceError        camera, port or board failed     a fault in the tick; never kills the loop
    │   ├── DeviceMissing  not there when it was opened     exit 2 at start, a fault later
    │   ├── DeviceReplaced the one that looked is gone, and another looks from now on: blind, not a fault
    │   └── EndOfVideo     a file has no more frames        a clean end, not a fault
    └── RecordingError     evidence is damaged or unknown   exit 3

Messages say which file, which key, what was expected and what was found;
`mismatch` words the last three so that every message reads alike.
"""

from __future__ import annotations


class HandguardError(Exception):
    """Base of all errors raised on purpose. `exit_code` is what the command line returns."""

    exit_code = 2


class ConfigError(HandguardError):
    """A setting is unknown, of the wrong type, or not allowed."""


class ModelError(HandguardError):
    """Weights, card and network do not belong together, or cannot run here."""


class DatasetError(HandguardError):
    """Annotations or pictures cannot be used for training or evaluation."""


class SelfTestFailed(HandguardError):
    """At the start, something did not prove that it works. Nothing was armed.

    `table` holds a line for every part that was tried.
    """

    def __init__(self, message: str, table: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.table = table


class DeviceError(HandguardError):
    """A camera, port or board failed while in use. The loop turns it into a fault."""


class DeviceMissing(DeviceError):
    """A device, file or address could not be opened at all."""


class DeviceReplaced(DeviceError):
    """The device a detector ran on is lost and a standby takes its place; this one frame was not judged."""


class EndOfVideo(DeviceError):
    """A finite source has delivered its last frame."""


class RecordingError(HandguardError):
    """A recording is damaged, incomplete, or of an unknown schema."""

    exit_code = 3


def mismatch(where: str, expected: str, found: object) -> str:
    """Word a mismatch: `configs/a.yaml: zones[0].polygon: expected …, found …`."""
    return f"{where}: expected {expected}, found {found}"


class DiskRefusals:
    """A `with` block that turns what the disk refuses into `DeviceError` naming `where`.

    `afterwards` says what is still whole.
    """

    def __init__(
        self, where: object, expected: str = "room and leave to write", afterwards: str = ""
    ) -> None:
        self._where, self._expected, self._afterwards = str(where), expected, afterwards

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            told = mismatch(self._where, self._expected, error.strerror or error)
            raise DeviceError(told + self._afterwards) from error


def require_words(option: str, text: str) -> None:
    """Raise `ConfigError` for text that is empty, or that would change what a screen shows of it."""
    if not text.strip() or not text.isprintable():
        raise ConfigError(mismatch(option, "a few words", repr(text)))
