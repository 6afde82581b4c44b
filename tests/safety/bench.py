"""A bench for the interlock: ticks of 33 ms, an obedient contactor, one frame a tick unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from handguard.safety.interlock import Limits, Memory, Observation, Restart, output_of, step
from handguard.types import Output, State

MS = 1_000_000
TICK_NS = 33 * MS
LIMITS = Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=50 * MS, free_frames=3)
AUTOMATIC = Limits(
    max_frame_age_ns=100 * MS, edm_timeout_ns=50 * MS, free_frames=3, restart=Restart.AUTOMATIC
)


class Bench:
    """Drives the interlock tick by tick and remembers where it has been."""

    def __init__(self, limits: Limits = LIMITS, memory: Memory | None = None) -> None:
        self.limits = limits
        self.memory = Memory() if memory is None else memory
        self.now_ns = 0
        self.states: list[State] = []

    @property
    def state(self) -> State:
        return self.memory.state

    @property
    def cause(self) -> str:
        return self.memory.cause

    def tick(
        self,
        n: int = 1,
        *,
        after_ms: float = 33,
        age_ms: float = 10,
        intruded: bool = False,
        reset: bool | None = False,
        turned_ms_ago: float | None = None,
        frame: bool = True,
        contactor: str = "obeys",
        impairments: Iterable[str] = (),
        faults: Iterable[str] = (),
    ) -> Bench:
        """`n` equal ticks; `contactor` is open, closed, silent, or obeys. `reset` of None cannot be read;
        `turned_ms_ago` is the stamp of its newest edge."""
        for _ in range(n):
            self.now_ns += round(after_ms * MS)
            obeys = output_of(self.state) is Output.OFF
            is_open = {"obeys": obeys, "open": True, "closed": False, "silent": None}[contactor]
            self.see(
                Observation(
                    now_ns=self.now_ns,
                    sensed_ns=self.now_ns,
                    captured_ns=self.now_ns - round(age_ms * MS) if frame else None,
                    intruded=intruded,
                    reset_down=reset,
                    contactor_open=is_open,
                    reset_since_ns=None if turned_ms_ago is None else self.now_ns - round(turned_ms_ago * MS),
                    impairments=frozenset(impairments),
                    faults=frozenset(faults),
                )
            )
        return self

    def see(self, observation: Observation) -> Bench:
        self.memory = step(self.memory, observation, self.limits)
        self.states.append(self.state)
        return self

    def waiting(self) -> Bench:
        """Free for long enough, held by the restart interlock."""
        self.tick(3)
        assert self.state is State.AWAIT_RESET
        return self

    def reset(self) -> Bench:
        """A person's press of 132 ms and its release."""
        return self.tick(4, reset=True).tick()

    def running(self) -> Bench:
        self.waiting().reset()
        assert self.state is State.RUN
        return self
