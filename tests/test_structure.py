"""The rooms and the one-way arrows between them: demo and training know s2v_core, never the reverse."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "s2v_core": {"demo", "training", "gradio", "app"},
    "training": {"demo", "gradio", "app"},
    "demo": {"training"},
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
            assert node.level == 0, "imports name their package in full"
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
    assert len((ROOT / "app.py").read_text().splitlines()) < 30
