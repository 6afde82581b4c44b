"""Small wrongs that a program may contain: what can take the place of a piece of syntax.

A mutant is one replacement in one module. Where nothing could differ when the
program runs, nothing is replaced: docstrings, annotations, decorators, imports.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from handguard.relay.board import Command
from handguard.relay.keeper_state import Action
from handguard.relay.wire import Fault
from handguard.types import Condition, Output, State, ZoneRole

Path = tuple[tuple[str, int | None], ...]  # field names and positions from the module down to the node

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}
ENUMS: dict[str, type[Enum]] = {
    "State": State,
    "_S": State,
    "Condition": Condition,
    "_C": Condition,
    "Output": Output,
    "ZoneRole": ZoneRole,
    "Command": Command,
    "Action": Action,
    "Fault": Fault,
}
NOT_RUN = {"annotation", "returns", "decorator_list", "format_spec", "type_comment"}


@dataclass(frozen=True)
class Mutant:
    """One replacement: where it is, how it reads, and how to make it."""

    path: Path
    line: int
    scope: str  # the function or class it is in; '' on the level of the module
    before: str
    after: str
    replacement: ast.AST

    def applied(self, module: ast.Module) -> ast.Module:
        """A copy of the module with this one wrong in it."""
        changed = copy.deepcopy(module)
        node: ast.AST = changed
        for field, index in self.path[:-1]:
            child = getattr(node, field)
            node = child if index is None else child[index]
        field, index = self.path[-1]
        if index is None:
            setattr(node, field, self.replacement)
        else:
            getattr(node, field)[index] = self.replacement
        return ast.fix_missing_locations(changed)


def mutants(module: ast.Module) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its text."""
    yield from _below(module, (), "")


def _below(node: ast.AST, path: Path, scope: str) -> Iterator[Mutant]:
    for field, index, child in _children(node):
        here = (*path, (field, index))
        inner = f"{scope}.{child.name}".lstrip(".") if isinstance(child, NAMED) else scope
        for replacement in _replacements(child):
            line = getattr(child, "lineno", 0)
            yield Mutant(here, line, inner, ast.unparse(child), ast.unparse(replacement), replacement)
        yield from _below(child, here, inner)


NAMED = (ast.FunctionDef, ast.ClassDef)


def _children(node: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    """The parts of a node that run."""
    for field, value in ast.iter_fields(node):
        if field in NOT_RUN:
            continue
        parts = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, part in parts:
            if isinstance(part, ast.AST) and not isinstance(part, (ast.Import, ast.ImportFrom)) and not _is_text(part):
                yield field, index, part


def _is_text(node: ast.AST) -> bool:
    """A docstring, or another string that stands alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    for kind, replace in REPLACE.items():
        if isinstance(node, kind):
            yield from replace(node)


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    changed = copy.deepcopy(node)
    setattr(changed, field, value)
    return changed


def _without(node: ast.AST, index: int, *fields: str) -> ast.AST:
    """The node with one part fewer."""
    changed = copy.deepcopy(node)
    for field in fields:
        del getattr(changed, field)[index]
    return changed


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for i, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            yield _with(node, "ops", [*node.ops[:i], other(), *node.ops[i + 1 :]])


def _either(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for i in range(len(node.values)):
        rest = [value for j, value in enumerate(node.values) if j != i]
        yield rest[0] if len(rest) == 1 else _with(node, "values", rest)


def _arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in ARITHMETIC:
        yield _with(node, "op", ARITHMETIC[type(node.op)]())


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(f"not {value}")


def _condition(node: ast.If | ast.IfExp | ast.While) -> Iterator[ast.AST]:
    yield _with(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _filter(node: ast.comprehension) -> Iterator[ast.AST]:
    for i in range(len(node.ifs)):
        yield _without(node, i, "ifs")


def _return(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _call(node: ast.Call) -> Iterator[ast.AST]:
    for i in range(len(node.keywords)):
        yield _without(node, i, "keywords")


def _entries(node: ast.Dict) -> Iterator[ast.AST]:
    for i in range(len(node.keys)):
        yield _without(node, i, "keys", "values")


def _elements(node: ast.Set) -> Iterator[ast.AST]:
    for i in range(len(node.elts)):
        if len(node.elts) > 1:
            yield _without(node, i, "elts")


def _name(node: ast.Name) -> Iterator[ast.AST]:
    if node.id in NAMES:
        yield _with(node, "id", NAMES[node.id])


def _attribute(node: ast.Attribute) -> Iterator[ast.AST]:
    if node.attr in NAMES:
        yield _with(node, "attr", NAMES[node.attr])
    enum = ENUMS.get(node.value.id) if isinstance(node.value, ast.Name) else None
    members = list(enum.__members__) if enum else []
    if node.attr in members:
        yield _with(node, "attr", members[(members.index(node.attr) + 1) % len(members)])


def _statement(node: ast.Expr | ast.Raise) -> Iterator[ast.AST]:
    yield ast.Pass()


REPLACE: dict[type | tuple[type, ...], Callable[..., Iterator[ast.AST]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _either,
    (ast.BinOp, ast.AugAssign): _arithmetic,
    ast.UnaryOp: _unary,
    ast.Constant: _constant,
    (ast.If, ast.IfExp, ast.While): _condition,
    ast.comprehension: _filter,
    ast.Return: _return,
    ast.Call: _call,
    ast.Dict: _entries,
    ast.Set: _elements,
    ast.Name: _name,
    ast.Attribute: _attribute,
    (ast.Expr, ast.Raise): _statement,
}
