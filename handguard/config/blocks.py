"""What every block of settings is made of: strictness, our own words for a refusal, hard bounds, text."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from handguard.safety import limits


class Block(BaseModel):
    """A block of keys: strict, closed, frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, validate_default=True)


def bad(expected: str, key: str | None = None, found: str | None = None) -> PydanticCustomError:
    """A refusal in our own words; `key` names a key below the block that refuses."""
    told = {"expected": expected, "key": key, "found": found}
    return PydanticCustomError("handguard", "expected {expected}", {k: v for k, v in told.items() if v})


def hard(name: str) -> AfterValidator:
    """Hold a number to the bound of that name in `safety.limits`."""

    def check(value: float) -> float:
        try:
            return limits.within(name, value)
        except ValueError:
            bound = limits.BOUNDS[name]
            raise bad(f"{bound.low:g} to {bound.high:g} ({bound.why})") from None

    return AfterValidator(check)


def _printable(text: str) -> str:
    if text.strip() and text.isprintable():
        return text
    raise bad("text that can be printed")


Text = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]
Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w.-][\w .-]*$")]
