"""The operators make the wrongs they claim, and only where something runs."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.operators import mutants


def made_from(source: str) -> set[str]:
    """The text of every mutant of this source, without spaces at the ends."""
    module = ast.parse(source)
    return {ast.unparse(mutant.applied(module)) for mutant in mutants(module)}


@pytest.mark.parametrize(
    ("source", "wrongs"),
    [
        ("a < b", {"a <= b", "a >= b", "pass"}),
        ("a is None", {"a is not None", "pass"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = a - 1", {"x = a + 1", "x = a - 2"}),
        ("x = -a", {"x = a"}),
        ("x = True", {"x = False"}),
        ("x = 'why'", {"x = 'not why'"}),
        ("x = f'{a:g} b'", {"x = f'{a:g}not  b'"}),
        ("x = {1: a, 2: b}", {"x = {2: b}", "x = {1: a}", "x = {2: a, 2: b}", "x = {1: a, 3: b}"}),
        ("x = f(a, b=c)", {"x = f(a)"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = State.RUN", {"x = State.TRIPPED"}),
        ("x = Output.ON", {"x = Output.OFF"}),
        ("x = [a for a in b if a]", {"x = [a for a in b]"}),
        ("if a:\n    b()", {"if not a:\n    b()", "if a:\n    pass"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("def f():\n    raise E", {"def f():\n    pass"}),
        ("a |= b", {"a &= b"}),
    ],
)
def test_a_piece_of_syntax_is_replaced_by_each_wrong(source: str, wrongs: set[str]):
    assert made_from(source) == wrongs


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "from a import b",
        "x: tuple[float, None]",
        "@dataclass(frozen=True)\nclass A:\n    '''Doc.'''",
        "def f(a: int) -> None:\n    return None",
    ],
)
def test_what_does_not_run_is_left_alone(source: str):
    assert made_from(source) == set()


def test_a_mutant_says_where_it_is():
    module = ast.parse("class A:\n    def f(self):\n        return 1")
    whole, constant = mutants(module)
    assert (whole.scope, whole.line, whole.before, whole.after) == ("A.f", 3, "return 1", "return None")
    assert (constant.before, constant.after) == ("1", "2")


def test_the_module_itself_is_never_changed():
    module = ast.parse("x = 1 < 2")
    for mutant in mutants(module):
        mutant.applied(module)
    assert ast.unparse(module) == "x = 1 < 2"
