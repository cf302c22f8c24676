"""The package: its dependencies, what the wheel carries, and that it generates from any folder."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import imageio_ffmpeg
import pytest
import uv

from s2v_core.models.model_set import NETWORKS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODEL = "s2v_core/models/avatars"
# training.mesh runs in an environment of its own, since MediaPipe needs an older NumPy.
# pydantic_core is a part of pydantic, which pins its version.
EXEMPT = {"mediapipe", "pydantic_core"}
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(uv.find_uv_bin(), "build", "--wheel", "--out-dir", folder)
    (path,) = folder.glob("*.whl")
    return path


def test_a_space_installs_the_dependencies_and_the_extra_demo() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if not line.startswith("#")]
    assert listed == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["demo"]]


@pytest.mark.parametrize(
    ("room", "extra"), [("s2v_core", None), ("demo", "demo"), ("training", "train")]
)
def test_each_room_imports_only_what_its_installation_brings(room: str, extra: str | None) -> None:
    extras = PROJECT["optional-dependencies"]
    brought = {name(line) for line in [*PROJECT["dependencies"], *extras.get(extra, [])]}
    distributions = packages_distributions()
    for module in set(imports(room)) - EXEMPT:
        assert brought & {name(found) for found in distributions[module]}, module


def imports(room: str) -> Iterator[str]:
    """Yield the packages, neither Python's nor the project's own, that a room's modules import."""
    ours = {"s2v_core", "demo", "training", *sys.stdlib_module_names}
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from {module.split(".")[0] for module in modules} - ours


def name(requirement: str) -> str:
    """Return a requirement's or a distribution's name, in the one spelling that all share."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def test_the_wheel_is_small_and_carries_the_model_that_the_checkout_has(wheel: Path) -> None:
    assert wheel.stat().st_size < 75_000_000
    with zipfile.ZipFile(wheel) as files:
        packed = [name for name in files.namelist() if name.startswith(f"{MODEL}/")]
        for name in packed:
            shipped = ROOT / "checkpoints" / "avatars" / name.removeprefix(f"{MODEL}/")
            assert files.read(name) == shipped.read_bytes(), name
    networks = {name.split("/")[3] for name in packed if name.endswith("/model.safetensors")}
    assert networks == set(NETWORKS)
    assert {f"{MODEL}/portrait.png", f"{MODEL}/README.md", f"{MODEL}/speaker/LICENSE"} <= {*packed}


def test_the_wheel_carries_the_trainer_its_settings_types_and_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    assert "s2v_core/py.typed" in names
    for path in (*ROOT.glob("training/**/*.py"), *ROOT.glob("training/configs/*/*.yaml")):
        assert path.relative_to(ROOT).as_posix() in names
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in names}


def test_the_wheel_names_every_dependency(wheel: Path) -> None:
    """`pip install speech2video` installs exactly what pyproject.toml lists, extras on request."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(files.read(name).decode())
    needed = [line for line in metadata.get_all("Requires-Dist") or () if "extra ==" not in line]
    assert sorted(map(canonical, needed)) == sorted(map(canonical, PROJECT["dependencies"]))
    assert set(metadata.get_all("Provides-Extra") or ()) == {"demo", "train", "dev"}


def canonical(requirement: str) -> str:
    """Return a requirement in the one form that all its spellings share."""
    return requirement.lower().replace("_", "-").replace(" ", "")


def test_the_wheel_alone_generates_in_another_folder(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(ROOT / "demo" / "examples" / "sad_woman_german.wav", folder / "me.wav")
    run(uv.find_uv_bin(), "venv", "--python", sys.executable, environment)
    run(uv.find_uv_bin(), "pip", "install", "--python", environment / "bin" / "python", wheel)
    printed = run(
        environment / "bin" / "speech2video", "generate", "me.wav", "--out", "videos", cwd=folder
    )
    made = [json.loads(line) for line in printed.splitlines()]
    assert [video["method"] for video in made] == ["speech2video", "sdfa", "s2f_sdfa"]
    for video in made:
        frames, seconds = imageio_ffmpeg.count_frames_and_secs(folder / video["path"])
        assert frames == video["frames"] == 49
        assert seconds == pytest.approx(49 / 25, abs=0.05)
