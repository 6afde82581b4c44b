"""What the heartbeat board does, told a second time: `HeartbeatLogic` is the firmware's twin in Python.

Both are held to the same vectors (firmware/vectors.csv), and the driver is tested
against both. The logic has no clock: `tick` is called with the time in milliseconds
and the levels of its inputs, `receive` with bytes. `HeartbeatBoard` hangs it on
simulated contacts.
"""

from __future__ import annotations

from handguard.relay.simulated_modbus import checksum
from handguard.relay.simulated_model import MS, BoardFaults, Contacts, Pending

STOPPED, RUNNING, LATCHED = range(3)
NO_CAUSE, SILENCE, NONCE, SEQUENCE, FEEDBACK, UNKNOWN = range(6)
SILENCE_MS, FEEDBACK_MS = 95, 300
SHORTEST_PRESS_MS, LONGEST_PRESS_MS = 100, 3000
BUTTON, STUCK = 4, 8


class HeartbeatLogic:
    """One board. `feedback` has a bit for each contactor that is wired back: 0 to 3."""

    def __init__(self, nonce: int, feedback: int) -> None:
        self.state, self.cause = STOPPED, NO_CAUSE
        self.nonce, self.feedback = nonce, feedback
        self.inputs = feedback
        self._last_seq = 0
        self._ran_ms = self._changed_ms = 0
        self._pressed_ms: int | None = None
        self._press_counts = False
        self._has_been_up = False
        self._got = b""
        self.words: list[int] = []  # heard, obeyed or not; whoever reads them empties the list

    @property
    def output(self) -> bool:
        """Is the machine permitted to run?"""
        return self.state == RUNNING

    def tick(self, now_ms: int, inputs: int) -> None:
        """Look at the time and at the inputs: bits 0 and 1 feedback, bit 2 button."""
        self.inputs = inputs & (self.feedback | BUTTON)
        self._watch(now_ms)
        self._button(now_ms)

    def receive(self, data: bytes, now_ms: int) -> bytes:
        """Take bytes in; returns the answers to the whole frames among them."""
        self._got += data
        said = b""
        while True:
            start = self._got.find(0xA5)
            self._got = self._got[start:] if start >= 0 else b""
            if len(self._got) < 8:
                return said
            frame = self._got[:8]
            if checksum(frame[:6]) != frame[6:]:
                self._got = self._got[1:]
                continue
            self._got = self._got[8:]
            self._watch(now_ms)
            self._heed(frame, now_ms)
            said += self._answer(frame[2], now_ms)

    def _heed(self, frame: bytes, now_ms: int) -> None:
        _, version, seq, word, low, high = frame[:6]
        self.words.append(word)
        if version != 1 or word not in (0x96, 0x69, 0x3C):
            self._refuse(UNKNOWN, now_ms)
        elif word == 0x96 and self.state == RUNNING:
            self._become(STOPPED, NO_CAUSE, now_ms)
        elif word == 0x69:
            self._run(seq, low | high << 8, now_ms)

    def _run(self, seq: int, nonce: int, now_ms: int) -> None:
        if self.state == LATCHED:
            return
        if nonce != self.nonce:
            self._refuse(NONCE, now_ms)
        elif self.state == RUNNING and not 1 <= (seq - self._last_seq) % 256 <= 127:
            self._refuse(SEQUENCE, now_ms)
        elif self.state == STOPPED and not self._feedback_follows():
            self._refuse(FEEDBACK, now_ms)
        else:
            self.nonce = (self.nonce * 25173 + 13849) % 65536
            self._last_seq, self._ran_ms = seq, now_ms
            if self.state == STOPPED:
                self._become(RUNNING, NO_CAUSE, now_ms)

    def _refuse(self, cause: int, now_ms: int) -> None:
        """Running, a wrong word latches; stopped, it only changes nothing."""
        if self.state == RUNNING:
            self._become(LATCHED, cause, now_ms)
        elif self.state == STOPPED:
            self.cause = cause

    def _become(self, state: int, cause: int, now_ms: int) -> None:
        was = self.output
        self.state, self.cause = state, cause
        if self.output != was:
            self._changed_ms = now_ms

    def _watch(self, now_ms: int) -> None:
        if self.output and now_ms - self._ran_ms >= SILENCE_MS:
            self._become(LATCHED, SILENCE, now_ms)
        is_late = now_ms - self._changed_ms >= FEEDBACK_MS
        if is_late and not self._feedback_follows() and self.state != LATCHED:
            self._become(LATCHED, FEEDBACK, now_ms)

    def _feedback_follows(self) -> bool:
        return self.inputs & self.feedback == (0 if self.output else self.feedback)

    def _button(self, now_ms: int) -> None:
        if not self.inputs & BUTTON:
            held_ms = now_ms - self._pressed_ms if self._pressed_ms is not None else -1
            if self._press_counts and SHORTEST_PRESS_MS <= held_ms <= LONGEST_PRESS_MS:
                self._reset(now_ms)
            self._pressed_ms, self._press_counts, self._has_been_up = None, False, True
        elif self._pressed_ms is None:
            self._pressed_ms, self._press_counts = now_ms, self._has_been_up
        elif now_ms - self._pressed_ms > LONGEST_PRESS_MS:
            self._press_counts = False
        if self._pressed_ms is not None and not self._press_counts:
            self.inputs |= STUCK

    def _reset(self, now_ms: int) -> None:
        if self.state == LATCHED and self._feedback_follows():
            self._become(STOPPED, NO_CAUSE, now_ms)

    def _answer(self, seq: int, now_ms: int) -> bytes:
        nonce, up_ms = self.nonce.to_bytes(2, "little"), (now_ms % 65536).to_bytes(2, "little")
        body = bytes((0x5A, 1, seq, self.state, self.cause, self.inputs)) + nonce + up_ms
        return body + checksum(body)


class HeartbeatBoard(Contacts):
    """The logic with one relay behind it, whose contactor is wired back."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults, channels=1)
        self._is_down = faults.taped
        self._boot()

    def _boot(self) -> None:
        self._logic, self._booted_ns = HeartbeatLogic(nonce=0x1234, feedback=1), 0

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        self._look(now_ns)
        before = self._moved(now_ns)
        said = self._logic.receive(data, self._now_ms(now_ns))
        seal = bytes((said[-1] ^ 1,)) if said and self.faults.wrong_sum else said[-1:]
        answer = self.answer(said[:-1] + seal, now_ns) if said else []
        return before + self.noise(data, now_ns) + self._commands(now_ns) + self._follow(now_ns) + answer

    def wake(self, now_ns: int) -> list[Pending]:
        """Asks for no further waking while it runs: each word heard has asked already, and wakings would breed."""
        self._look(now_ns)
        return self._moved(now_ns)

    def press(self, is_down: bool, now_ns: int) -> list[Pending]:
        self._is_down = is_down
        self._look(now_ns)
        return self._follow(now_ns)

    def lose_power(self) -> list[int]:
        self._boot()
        return super().lose_power()

    def _now_ms(self, now_ns: int) -> int:
        self._booted_ns = self._booted_ns or now_ns
        return (now_ns - self._booted_ns) // MS

    def _look(self, now_ns: int) -> None:
        self._logic.tick(self._now_ms(now_ns), (not self.closed[1]) | (BUTTON if self._is_down else 0))

    def _follow(self, now_ns: int) -> list[Pending]:
        """The relay, and the times at which something may be due."""
        due = [Pending(now_ns + ms * MS, "wake") for ms in (SILENCE_MS, FEEDBACK_MS) if self._logic.output]
        return due + self._moved(now_ns)

    def _moved(self, now_ns: int) -> list[Pending]:
        if self._logic.output == self.commanded[1]:
            return []
        return [self.switch(1, self._logic.output, 0, now_ns), Pending(now_ns + FEEDBACK_MS * MS, "wake")]

    def _commands(self, now_ns: int) -> list[Pending]:
        """For the log: STOP and RUN as they were said."""
        said, self._logic.words = self._logic.words, []
        return [Pending(now_ns, "command", 1, word == 0x69) for word in said if word in (0x96, 0x69)]
