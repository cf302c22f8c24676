"""The rooms, the one-way arrows between and inside them, names, lengths, and tests that mirror the tree."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "s2v_core": {"demo", "training", "gradio", "app"},
    "training": {"demo", "gradio", "app"},
    "demo": {"training"},
}
# The rooms of s2v_core from the ground up: a room imports from itself and from the floors below.
FLOORS = (
    ("rates", "vocabulary", "settings", "errors", "paths", "temporary"),
    ("command", "media"),
    ("face",),
    ("networks",),
    ("streaming", "models"),
    ("methods",),
    ("stream",),
    ("engine",),
    ("analysis", "cli_files", "desktop", "syncnet", "__init__"),
    ("bench", "__main__"),
)
# A network and the command that trains it share a name; so do these other pairs.
PAIRS = {
    # A library and the command that runs it.
    "bench",
    "features",
    "judges",
    # What is measured in a face, and the command that trains the network for it.
    "landmarks",
    "motion",
    # A tab, and the analysis that it shows.
    "explain",
}
# Tests of the program as a whole, of settings files and of commands together.
WHOLE = {
    "tests/demo/test_api.py",
    "tests/demo/test_app.py",
    "tests/demo/test_browser.py",
    "tests/s2v_core/media/test_hostile.py",
    "tests/training/engine/test_configs.py",
    "tests/training/engine/test_resume.py",
    "tests/training/test_make_train.py",
    "tests/training/test_resting.py",
}
MODULES = [path for room in FORBIDDEN for path in sorted((ROOT / room).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(source: str) -> Iterator[str]:
    """The top-level package of every import, also of those inside functions or type checks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports name their package in full"
            yield node.module.split(".")[0]


def test_the_scan_sees_every_form_of_import():
    source = "import demo.page\ndef f():\n    from gradio import Blocks\n    import torch as t"
    assert list(imported(source)) == ["demo", "gradio", "torch"]


def test_every_room_is_scanned():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FORBIDDEN)
    assert len(MODULES) > 25


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_point_one_way(path):
    room = path.relative_to(ROOT).parts[0]
    assert not set(imported(path.read_text())) & FORBIDDEN[room]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_modules_import_does_nothing(path):
    """At the top level: a docstring, imports, definitions, names and the main guard; no action."""
    allowed = (
        ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
    )
    docstring, *body = ast.parse(path.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, allowed | ast.If) for node in body)


def test_importing_the_core_loads_neither_torch_nor_gradio():
    code = "import sys, s2v_core; print(sorted({'torch', 'gradio', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_app_that_spaces_start_is_short():
    assert len((ROOT / "app.py").read_text().splitlines()) < 35


def rooms_used(source: str) -> Iterator[str]:
    """The rooms of s2v_core that a module imports from, also inside functions or type checks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for _, *room in (name.split(".") for name in names if name.split(".")[0] == "s2v_core"):
            yield room[0] if room and room[0] in FLOOR else "__init__"


FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
CORE = [path for path in MODULES if path.is_relative_to(ROOT / "s2v_core")]


def test_the_scan_of_rooms_sees_every_form_of_import():
    source = "import s2v_core\nfrom s2v_core import desktop, load\nfrom s2v_core.media import audio"
    assert list(rooms_used(source)) == ["__init__", "desktop", "__init__", "media"]
    assert list(rooms_used("import torch\nimport s2v_core.face.align")) == ["face"]


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_arrows_inside_the_core_point_down(path):
    room = path.relative_to(ROOT / "s2v_core").parts[0].removesuffix(".py")
    for used in rooms_used(path.read_text()):
        assert used == room or FLOOR[used] < FLOOR[room], f"{room} uses {used}"


def test_no_name_is_used_twice():
    places = defaultdict(set)
    for path in MODULES:
        if not path.stem.startswith("__"):
            places[path.stem].add(path.relative_to(ROOT).parent)
    # The address under which other projects read a published SyncNet.
    places["syncnet"].discard(Path("s2v_core"))
    for name, folders in places.items():
        network_and_trainer = folders == {Path("s2v_core/networks"), Path("training")}
        assert len(folders) == 1 or (name in PAIRS and len(folders) == 2) or network_and_trainer, (
            name,
            folders,
        )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_longer_than_40_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{node.name} in {name_of(path)}"


TESTS = [p for p in sorted((ROOT / "tests").rglob("test_*.py")) if p.parent != ROOT / "tests"]


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_file_mirrors_a_module(path):
    mirrored = ROOT / path.relative_to(ROOT / "tests").with_name(path.name.removeprefix("test_"))
    assert mirrored.is_file() or name_of(path) in WHOLE
