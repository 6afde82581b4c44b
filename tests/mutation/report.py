"""What came of the trials, as data and as a page to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.mutation.operators import Mutant

HEAD = """# Mutation testing of the safety core

Full coverage says that every line ran. It does not say that a test would have
noticed had the line been wrong. So each piece of the safety core is made wrong, one
at a time: a `<` becomes `<=`, a condition is turned round, an entry of a table is
dropped, a state becomes the next state, a number grows by one, a return value is
lost. The tests of the module run on each of these mutants, and one that they all
pass has *survived*: either a test is missing, or the change changes nothing.

`make mutation` does it and writes this page. The survivors below are all that is left.
How it works is told in `tests/mutation/`: a mutant lives in the memory of a forked
process alone, so the working tree is never touched. That, and tables, are why it is
our own: mutmut 3 changes functions only, and here the transition table, the bounds and
the defaults of the limits lie outside of them; Cosmic Ray rewrites the source files in
place and starts an interpreter for each mutant.

Decorators, annotations, imports and docstrings are left alone. A mutant that hangs
counts as noticed. Property tests draw the same few examples in every trial.
"""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed."""

    file: str
    line: int
    scope: str
    source: str  # the line as it stands
    before: str
    after: str

    @property
    def key(self) -> str:
        """What an explanation is filed under; it stays the same when lines move."""
        return f"{self.file} · {self.scope} · {self.before} → {self.after}"


@dataclass
class Result:
    """The trials of one module."""

    file: str
    sha256: str  # of the module that was tried
    mutants: int
    survivors: list[Survivor] = field(default_factory=list)
    again: list[str] = field(default_factory=list)  # functions tried since the last trial of the whole
    tried: int = 0  # mutants of those

    @property
    def noticed(self) -> int:
        return self.mutants - len(self.survivors)

    def add(self, mutant: Mutant, source: str) -> None:
        self.survivors.append(
            Survivor(self.file, mutant.line, mutant.scope, source, mutant.before, mutant.after)
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        survivors = [Survivor(**survivor) for survivor in data["survivors"]]
        later = data.get("again", []), data.get("tried", 0)
        return cls(data["file"], data["sha256"], data["mutants"], survivors, *later)

    def after(self, earlier: Result | None) -> Result:
        """The last trial of the whole, with the verdicts of this one on what was tried again."""
        if not self.again or earlier is None:
            return self
        kept = [survivor for survivor in earlier.survivors if survivor.scope not in self.again]
        again = sorted({*earlier.again, *self.again})
        tried = earlier.tried + self.mutants
        return replace(earlier, survivors=[*kept, *self.survivors], again=again, tried=tried)

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "mutants": self.mutants,
            "noticed": self.noticed,
            "again": self.again,
            "tried": self.tried,
            "survivors": [asdict(survivor) for survivor in self.survivors],
        }


def merged(path: Path, files: Iterable[str], news: list[Result]) -> list[Result]:
    """What is known of these files: the news, and for the others what was written before."""
    known = {data["file"]: Result.from_json(data) for data in json.loads(path.read_text())} if path.exists() else {}
    known |= {result.file: result.after(known.get(result.file)) for result in news}
    return [known[file] for file in files if file in known]


def read_explanations(path: Path) -> dict[str, str]:
    """Why each known survivor is none of a defect, by key."""
    explained: dict[str, str] = json.loads(path.read_text())
    return explained


def text(results: list[Result], explained: dict[str, str], changed: set[str]) -> str:
    """The page. `changed` are the modules that are no longer as they were when all of them was tried."""
    mutants, noticed = (sum(counts) for counts in zip(*((r.mutants, r.noticed) for r in results), strict=True))
    lines = [HEAD, "| module | mutants | noticed | survived |", "|---|---|---|---|"]
    lines += [f"| `{r.file}` | {r.mutants} | {r.noticed} | {len(r.survivors)} |" for r in results]
    lines += [f"| **all** | **{mutants}** | **{noticed}** | **{mutants - noticed}** |", ""]
    for result in results:
        if result.file in changed:
            names = ", ".join(f"`{name}`" for name in result.again)
            again = f"only {names} were tried again ({result.tried} mutants)" if names else "nothing was tried again"
            lines += [f"`{result.file}` has changed since the trial in this table; of it {again}.", ""]
    lines += ["## The survivors", ""]
    for result in results:
        lines += [f"### `{result.file}`", ""] if result.survivors else []
        for survivor in result.survivors:
            why = explained.get(survivor.key, "**Not explained yet.**")
            where = survivor.scope or "the module"
            lines += [f"- `{where}`: `{survivor.before}` → `{survivor.after}`  ", f"  {why}", ""]
    return "\n".join(lines).rstrip() + "\n"
