"""Trials on a stand: something fails while the machine runs, or while somebody wants to start it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.bench import Bench
from tests.faults.fault import Fault, Reaction
from tests.faults.stand import HELD_OFF_S, PLAIN, ZONE, Build, Stand

Act = Callable[[Stand], object]
TRIES = 3
RECORDED_S = 6.0  # a board that rests is asked once a second, and three times before it is silent


@dataclass(frozen=True)
class Live:
    """Inject while the machine runs. Without `mend` the stand is not used again."""

    inject: Act
    mend: Act | None = None
    build: Build = PLAIN

    def __call__(self, fault: Fault, bench: Bench) -> float:
        for _ in range(TRIES):
            with bench.stand(self.build) as stand:
                took_ms = self._tried(fault, stand)
            if took_ms is not None:
                return took_ms
        raise AssertionError(f"{fault.recorded!r} is not in the record of {TRIES} stops")

    def _tried(self, fault: Fault, stand: Stand) -> float | None:
        """Milliseconds; None where a starved machine stopped for want of frames before the fault showed, or where
        the board was away for three questions before it began."""
        if not stand.runs():
            return None
        since_ns = time.monotonic_ns()
        self.inject(stand)
        if fault.reaction is Reaction.RUNS_ON:
            return self._runs_on(fault, stand, since_ns)
        took_ms = stand.opened_ms(since_ns, fault.allowed_ms / 1000)
        assert took_ms <= fault.allowed_ms, took_ms
        if self.mend and not _found_soon(fault.recorded, stand, since_ns):
            self.mend(stand)
            stand.is_spent = stand.is_locked_out
            return None
        _is_recorded(fault.recorded, stand, since_ns)
        self._stays_off(fault, stand)
        return took_ms

    def _stays_off(self, fault: Fault, stand: Stand) -> None:
        """Whatever was done about the cause, nothing starts without a press; of a lockout, not even then."""
        if self.mend:
            self.mend(stand)
        if fault.reaction is Reaction.LOCKOUT or not self.mend:
            stand.press()
        _holds_off(stand)
        if fault.reaction is Reaction.LOCKOUT:
            assert stand.is_locked_out, stand.shown()
        if fault.reaction is Reaction.END:
            assert stand.has_ended
        is_whole = self.mend is not None and fault.reaction is Reaction.STOP
        stand.is_spent = not is_whole or stand.is_locked_out  # a board that was away for three questions is silent

    def _runs_on(self, fault: Fault, stand: Stand, since_ns: int) -> float:
        """It is told, in the record or at least to the eye; it runs; and a hand stops it as ever."""
        name = fault.recorded
        assert stand.until(lambda: name in stand.shown()["faults"] or _found(name, stand, since_ns)), stand.shown()
        stand.run()  # which it still does, unless the machine these tests run on was too slow for a moment
        reached_ns = time.monotonic_ns()
        stand.reach_in()
        took_ms = stand.opened_ms(reached_ns, fault.allowed_ms / 1000)
        assert took_ms <= fault.allowed_ms, took_ms
        assert stand.until(lambda: f"intruded: {ZONE}" in stand.shown()["cause"])
        stand.camera.mend()
        if self.mend:
            self.mend(stand)
        _holds_off(stand)
        stand.is_spent = self.mend is None
        return took_ms


@dataclass(frozen=True)
class Unstarted:
    """Do something to a machine that waits for its reset: it does not start, and a proper press still does it."""

    act: Act
    build: Build = PLAIN

    def __call__(self, fault: Fault, bench: Bench) -> None:
        with bench.stand(self.build) as stand:
            _come_to_rest(stand)
            since_ns = time.monotonic_ns()
            self.act(stand)
            _holds_off(stand)
            assert not stand.closed_since(since_ns), "it started"
            _is_recorded(fault.recorded, stand, since_ns)
            stand.button.let_go()
            stand.camera.mend()
            stand.run()
            stand.is_spent = False


def _come_to_rest(stand: Stand) -> None:
    """Off, free, and waiting for a reset."""
    if stand.is_on():
        stand.reach_in()
        stand.until(lambda: not stand.is_on())
        stand.camera.mend()
    assert stand.until(lambda: stand.shown()["state"] == "AWAIT_RESET"), stand.shown()


def _holds_off(stand: Stand) -> None:
    time.sleep(HELD_OFF_S)
    assert not stand.is_on(), stand.shown()


def _found(name: str, stand: Stand, since_ns: int) -> bool:
    return any(name in record for record in stand.records(since_ns))


def _found_soon(name: str, stand: Stand, since_ns: int) -> bool:
    return stand.until(lambda: _found(name, stand, since_ns), limit_s=RECORDED_S)


def _is_recorded(name: str, stand: Stand, since_ns: int) -> None:
    found = _found_soon(name, stand, since_ns)
    assert found, f"expected {name!r} in the record, found {stand.records(since_ns)[-3:]}"
