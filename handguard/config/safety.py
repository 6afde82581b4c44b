"""Settings of `safety`: how much is refused, what is proven at every start, and what a proof test asks for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from handguard.config.blocks import Block, Name, Text, bad, hard


class SelfTestSettings(Block):
    """What is tried at each start, before the machine may be switched on at all."""

    move_contact: bool = False  # close the contact for a moment and open it: whatever hangs on it may start
    min_free_mb: int = Field(200, ge=10, le=10_000_000)  # room for records


class ProofStep(Block):
    """One reach of a proof test."""

    name: Name
    piece: Literal["bare hand", "glove", "rod"]  # rod: a stuffed glove on a rod, where no hand should go
    point: Text = "the middle of the stop zone"  # where, in words for the person
    speed: Literal["slow", "brisk"] = "slow"  # about 0.25 and 1 m/s
    zone: Name | None = None  # the stop zone that must see it; None: any


STEPS = (
    ProofStep(name="bare hand slow", piece="bare hand"),
    ProofStep(name="bare hand brisk", piece="bare hand", speed="brisk"),
    ProofStep(name="glove slow", piece="glove"),
    ProofStep(name="glove brisk", piece="glove", speed="brisk"),
    ProofStep(name="rod far edge", piece="rod", point="the far edge of the stop zone"),
)


def _tells_steps_apart(steps: tuple[ProofStep, ...]) -> tuple[ProofStep, ...]:
    names = [step.name for step in steps]
    if not names or len(set(names)) < len(names):
        raise bad("at least one step, each with a name of its own", found=", ".join(names) or "none")
    return steps


Steps = Annotated[tuple[ProofStep, ...], Field(max_length=40), AfterValidator(_tells_steps_apart)]


class ProofTestSettings(Block):
    """What `handguard proof-test` asks for, and whether a start depends on it."""

    max_age_h: float | None = Field(None, gt=0, le=9000)  # a passed test, no older, is needed; None: none is
    max_response_ms: Annotated[int, hard("safety.proof_test.max_response_ms")] = 150  # capture to OFF written
    step_limit_s: float = Field(60.0, ge=2, le=3600)  # a hand not seen by then was missed
    attempts: int = Field(3, ge=1, le=20)  # of each step
    steps: Steps = STEPS


class SafetySettings(Block):
    """How much is refused. strict: nothing simulated at the reset, no automatic restart."""

    profile: Literal["basic", "strict"] = "basic"
    self_test: SelfTestSettings = SelfTestSettings()
    proof_test: ProofTestSettings = ProofTestSettings()
