"""Is a flash-on a watchdog on this very board? Asked of the board itself, before it may be one.

A Modbus board of the Waveshare family opens a contact by itself some tenths of a
second after a *flash-on*. That makes a watchdog only if three things hold, none of
which is written anywhere:

    alone       a single flash-on ends when it should
    again       a second one, while the first still runs, begins the time anew
    off         a plain OFF ends a running flash-on at once

`commission` measures all three with the contact closing and opening for real: the
machine must be isolated. What it returns are the figures that `relay.options` must
hold for the driver to be made at all; what does not hold raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from handguard.errors import ConfigError, DeviceError, mismatch
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import located
from handguard.relay.modbus import CoilFlash, CoilsRead, CoilWrite, Request
from handguard.relay.modbus_board import LATE_MS, ModbusRtu, ModbusTcp, Retrigger

AGAIN_AFTER = 0.6  # of the flash: late enough to tell, early enough to still run
LOOK_S = 0.02
ANSWER_LIMIT_S = 0.25
OFF_LIMIT_MS = 150  # by then a plain OFF must have shown
_BOARDS: dict[str, type[ModbusRtu] | type[ModbusTcp]] = {"modbus-rtu": ModbusRtu, "modbus-tcp": ModbusTcp}


@dataclass(frozen=True, slots=True)
class Commissioned:
    """What was measured, in milliseconds."""

    flash_ms: int
    alone_ms: int  # a single flash-on lasted so long
    again_ms: int  # the second one came so long after the first
    held_ms: int  # and the contact was last seen closed so long after the first
    off_ms: int  # from a plain OFF to the open contact

    @property
    def options(self) -> dict[str, str | int]:
        """What `relay.options` must hold."""
        return {"flash_ms": self.flash_ms, "again_ms": self.again_ms, "held_ms": self.held_ms}


def commission(settings: BoardSettings, flash_ms: int, say: Callable[[str], None]) -> Commissioned:
    """Measure; takes a few seconds. The contact closes three times and is open afterwards.

    Raises `ConfigError` for a board that does not begin a flash-on anew, `DeviceError`
    for one that does not answer, does not close, or does not open in time.
    """
    if settings.kind not in _BOARDS:
        raise DeviceError(mismatch("relay.driver", "one of " + ", ".join(_BOARDS), settings.kind))
    if flash_ms % 100:
        raise ConfigError(mismatch("--flash-ms", "a multiple of 100", flash_ms))
    with _Bench(settings, flash_ms // 100) as bench:
        say(f"one flash-on of {flash_ms} ms")
        alone_ms = bench.alone()
        _require(0.8 * flash_ms <= alone_ms <= flash_ms + LATE_MS, f"{flash_ms} ms of contact", alone_ms)
        say(f"  lasted {alone_ms} ms; two of them, the second {AGAIN_AFTER:.0%} into the first")
        again_ms, held_ms, open_ms = bench.again()
        say(f"  the second after {again_ms} ms, closed until {held_ms} ms, open at {open_ms} ms")
        Retrigger(flash_ms, again_ms, held_ms)
        _require(open_ms - again_ms <= flash_ms + LATE_MS, "a repeated flash-on to end", open_ms)
        off_ms = bench.off()
        say(f"  a plain OFF opened it after {off_ms} ms")
        _require(off_ms <= OFF_LIMIT_MS, f"OFF to end a flash-on within {OFF_LIMIT_MS} ms", off_ms)
    return Commissioned(flash_ms, alone_ms, again_ms, held_ms, off_ms)


def _require(holds: bool, expected: str, found_ms: int) -> None:
    if not holds:
        raise DeviceError(mismatch("relay commission", expected, f"{found_ms} ms"))


class _Bench:
    """The board with a stop watch. Says OFF on its way out, whatever happens."""

    def __init__(self, settings: BoardSettings, tenths: int) -> None:
        coil, self._tenths = settings.channel - 1, tenths
        self._flash, self._off, self._read = CoilFlash(coil, tenths), CoilWrite(coil, on=False), CoilsRead(coil)
        plain = {key: settings.options[key] for key in ("unit", "baud") if key in settings.options}
        self._board = _BOARDS[settings.kind](replace(located(settings), options=plain))
        self._rest_s = self._board.capabilities.min_interval_ms / 1000

    def __enter__(self) -> _Bench:
        self._send(self._off)
        self._require_state(is_open=True)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._board.write(Command.OFF)
        finally:
            self._board.close()

    def alone(self) -> int:
        """How long one flash lasts."""
        began_s = self._send(self._flash)
        self._require_state(is_open=False)
        _, open_s = self._watched_s(began_s)
        return _ms(open_s - began_s)

    def again(self) -> tuple[int, int, int]:
        """From the first flash: when the second came, the contact was last seen closed, and first seen open."""
        began_s = self._send(self._flash)
        self._require_state(is_open=False)
        time.sleep(max(0.0, began_s + AGAIN_AFTER * self._tenths / 10 - time.monotonic()))
        again_s = self._send(self._flash)
        closed_s, open_s = self._watched_s(began_s)
        return _ms(again_s - began_s), _ms(closed_s - began_s), _ms(open_s - began_s)

    def off(self) -> int:
        """How long a plain OFF takes to open the contact of a running flash."""
        self._send(self._flash)
        self._require_state(is_open=False)
        off_s = self._send(self._off)
        _, open_s = self._watched_s(off_s)
        return _ms(open_s - off_s)

    def _send(self, request: Request) -> float:
        """Say it, let the board rest; returns when it was said."""
        said_s = time.monotonic()
        self._board.say(request)
        time.sleep(max(self._rest_s, LOOK_S))
        return said_s

    def _watched_s(self, since_s: float) -> tuple[float, float]:
        """When the last question was sent that was answered with closed (`since_s`: none), and open first heard."""
        give_up_s = time.monotonic() + 3 * self._tenths / 10 + 1
        asked_s, closed_s = time.monotonic(), since_s
        while not self._is_open():
            asked_s, closed_s = time.monotonic(), asked_s
            if asked_s > give_up_s:
                raise DeviceError(mismatch("relay commission", "a flash-on that ends", "the contact still closed"))
        return closed_s, time.monotonic()

    def _is_open(self) -> bool:
        give_up_s = time.monotonic() + ANSWER_LIMIT_S
        self._board.ask()
        while time.monotonic() < give_up_s:
            time.sleep(0.002)
            if (answer := self._board.contactor_open()) is not None:
                time.sleep(self._rest_s)
                return answer
        raise DeviceError(mismatch("relay commission", "an answer of the board", "silence"))

    def _require_state(self, *, is_open: bool) -> None:
        if self._is_open() is not is_open:
            expected, found = ("open", "closed") if is_open else ("closed", "open")
            raise DeviceError(mismatch("relay commission", f"a contact that is {expected}", found))


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
