"""The shape of the house: imports point one way, rooms stay small, data holds no code.

Everything is read from the source, so a module that cannot be imported here is
judged all the same. The tables say what is allowed; whatever they do not name is not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "handguard"

# From the ground up. A room may import rooms of the floors below it, never one beside it.
FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "types errors atomic digest scheduling systemd",
        "ports",
        "safety",
        "capture relay detection evidence config",
        "pipeline",
        "assembly",
        "desk replay training calibrate scorekeeper liveness self_test proof_test checkup",
        "monitor onlookers wiring",
        "watch",
        "approvals",
        "approvals_cli",
        "bench",
        "bench_cli",
        "events_cli",
        "learning_cli",
        "dataset_cli",
        "export_cli",
        "relay_cli",
        "replay_cli",
        "service_cli",
        "cli",
        "__main__",
    )
)

# Rooms that see less than the floors would let them.
SEES_ONLY = {
    "pipeline": {"safety", "ports", "types", "errors"},
    "desk": {"evidence", "config", "ports", "types", "errors", "capture", "pipeline"},
}

# Of some rooms only the threshold may be seen: the stop path hands the desk snapshots and nothing else.
THRESHOLD = {
    ("monitor", "desk"): {"feed", "snapshot"},
    ("onlookers", "desk"): {"recording"},
    ("watch", "desk"): {"feed", "snapshot"},
}

THIRD_PARTY = {
    "types": {"numpy"},
    "errors": set(),
    "atomic": set(),
    "digest": set(),
    "scheduling": set(),
    "systemd": set(),
    "ports": set(),
    "safety": {"numpy", "shapely"},
    "pipeline": {"numpy"},
    "capture": {"numpy", "cv2", "av", "shapely"},  # shapely: the truth of the simulated scene
    "relay": {"serial", "gpiod"},
    "detection": {"numpy", "cv2", "torch", "openvino", "onnxruntime", "nncf", "safetensors"},
    "evidence": {"numpy", "cv2", "av", "cryptography", "openpyxl"},
    "config": {"pydantic", "pydantic_core", "yaml"},
    "calibrate": {"numpy", "cv2"},
    "training": {"numpy", "cv2", "torch", "safetensors", "pycocotools", "matplotlib", "yaml"},
    "replay": {"numpy", "cv2", "av", "rich", "distributed"},
    "desk": {"numpy", "cv2", "rich"},
    "assembly": {"numpy"},
    "scorekeeper": {"numpy"},
    "liveness": set(),
    "self_test": set(),
    "proof_test": set(),
    "checkup": set(),
    "approvals": set(),
    "approvals_cli": {"typer"},
    "monitor": {"numpy"},
    "onlookers": set(),
    "wiring": set(),
    "watch": {"numpy", "rich"},
    "bench": {"numpy", "rich", "matplotlib"},
    "bench_cli": {"typer", "rich"},
    "events_cli": {"typer"},
    "learning_cli": {"typer", "rich"},
    "dataset_cli": {"typer"},
    "export_cli": {"typer"},
    "relay_cli": {"typer"},
    "replay_cli": {"typer", "rich"},
    "service_cli": {"typer"},
    "cli": {"typer", "rich"},
    "__main__": set(),
}

# What rooms without clocks, threads, files or chance may take from the standard library.
PURE = {"types", "errors", "ports", "safety", "pipeline"}
PURE_STDLIB = {
    "__future__", "collections", "dataclasses", "enum", "functools", "itertools", "math", "types", "typing",
}  # fmt: skip

KEEPER = "handguard.relay.keeper"
NEVER_IN_THE_KEEPER = {"numpy", "torch", "cv2", "openvino", "pydantic", "shapely"}
START = "handguard.cli, handguard.watch, handguard.detection.backends.openvino_engine"
NEVER_AT_A_START = {"torch", "handguard.capture.scene"}

MAY_PRINT = {"cli"}
# Files, relative to the package, and why.
MAY_READ_ENVIRONMENT = {
    "systemd.py",  # a service manager names its socket there
    "capture/camera_device.py",  # sets the one time limit that OpenCV takes from nowhere else
    "detection/backends/cache.py",  # asks where a user's caches lie
}

LONGEST_FILE, LONGEST_FUNCTION, LONGEST_ENTRY = 300, 50, 30

MODULES = sorted(PACKAGE.rglob("*.py"))
every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


@dataclass(frozen=True)
class Import:
    """One imported module, the line it stands in, and whether it happens when the program runs."""

    name: str
    line: int
    at_run_time: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import, wherever it stands. `from a import b` counts as `a.b` where that is a module."""
    tree = tree_of(path)
    for_types = {id(node) for block in ast.walk(tree) if _is_type_checking(block) for node in ast.walk(block)}
    return tuple(
        Import(name, node.lineno, id(node) not in for_types)
        for node in ast.walk(tree)
        for name in _names(node)
    )


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: use absolute imports"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if file_of(whole) else str(node.module)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def file_of(module: str) -> Path | None:
    """The source of one of our modules; None if there is no such module."""
    stem = ROOT / module.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    floors = [i for i, floor in enumerate(FLOORS) if room in floor]
    assert floors, f"{room} is no room of the house; find it a place in FLOORS"
    return floors[0]


def may_see(room: str) -> set[str]:
    below = {other for floor in FLOORS[: floor_of(room)] for other in floor}
    return {room} | (below & SEES_ONLY.get(room, below))


@every_module
def test_imports_only_point_downwards(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not imports_of(path) or {i.top for i in imports_of(path)} == {"__future__"}
        return
    for imported in imports_of(path):
        if imported.top == "handguard" and "." in imported.name:
            target, *inner = imported.name.split(".")[1:]
            assert target in may_see(room), f"line {imported.line}: {room} → {target}"
            allowed = THRESHOLD.get((room, target))
            assert allowed is None or (inner[:1] and inner[0] in allowed), (
                f"line {imported.line}: {imported.name}"
            )


@every_module
def test_third_party_modules_stay_in_their_rooms(path: Path) -> None:
    room = room_of(path)
    ours = sys.stdlib_module_names | {"handguard"} | THIRD_PARTY.get(room, set())
    strangers = {f"line {i.line}: {i.name}" for i in imports_of(path) if i.top not in ours}
    assert not strangers, f"{room} may not import {strangers}"


@every_module
def test_pure_rooms_have_no_clock_no_thread_no_file_and_no_chance(path: Path) -> None:
    if room_of(path) in PURE:
        allowed = PURE_STDLIB | {"handguard"} | THIRD_PARTY[room_of(path)]
        impure = {f"line {i.line}: {i.name}" for i in imports_of(path) if i.top not in allowed}
        assert not impure, f"{room_of(path)} is pure; {impure} is not"


def test_the_keeper_carries_no_heavy_module() -> None:
    ways = {KEEPER: KEEPER}  # module -> how the keeper comes to it
    waiting = [KEEPER, "handguard.relay", "handguard"]
    while waiting:
        module = waiting.pop()
        for imported in imports_of(file_of(module) or ROOT):
            if imported.at_run_time and imported.name not in ways:
                ways[imported.name] = f"{ways.get(module, module)} → {imported.name}"
                waiting += [name for name in _with_parents(imported.name) if file_of(name)]
    heavy = [way for name, way in ways.items() if name.partition(".")[0] in NEVER_IN_THE_KEEPER]
    assert not heavy


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def test_the_keeper_really_starts_without_a_heavy_module() -> None:
    program = f"import sys, {KEEPER}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not NEVER_IN_THE_KEEPER & set(loaded.stdout.split())


def test_a_run_starts_without_torch_and_without_the_drawn_scene() -> None:
    program = f"import sys, {START}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not NEVER_AT_A_START & set(loaded.stdout.split())


@every_module
def test_nothing_prints_but_the_command_line(path: Path) -> None:
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    prints = [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert not prints or room_of(path) in MAY_PRINT, f"prints in lines {prints}"


@every_module
def test_nothing_reads_the_environment_unless_named(path: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.ImportFrom) and {a.name for a in node.names} & {"environ", "getenv"})
    ]
    named = path.relative_to(PACKAGE).as_posix() in MAY_READ_ENVIRONMENT
    assert not reads or named, f"reads the environment in lines {reads}"


@every_module
def test_files_and_functions_stay_short(path: Path) -> None:
    length = len(path.read_text().splitlines())
    assert length <= LONGEST_FILE, f"{length} lines"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} in line {node.lineno} has {length} lines"


@every_module
def test_every_module_explains_itself(path: Path) -> None:
    empty = not path.read_text().strip()
    assert empty or ast.get_docstring(tree_of(path)), "begin with what the module is for"


@pytest.mark.parametrize("folder", ["models", "calibration", "configs"])
def test_data_folders_hold_no_code(folder: str) -> None:
    assert [*(ROOT / folder).rglob("*.py")] == []


def test_the_entry_is_short() -> None:
    assert len((ROOT / "run_monitor.py").read_text().splitlines()) < LONGEST_ENTRY


@pytest.mark.parametrize("room", sorted(set().union(*FLOORS)))
def test_every_room_has_its_list_of_third_party_modules(room: str) -> None:
    assert room in THIRD_PARTY
