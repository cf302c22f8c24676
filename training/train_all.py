"""Train every network of a model set in order, then export it; finished steps are skipped.

python -m training.train_all --data data/avatars --run runs/avatars --out checkpoints/avatars
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from s2v_core.command import run_command
from s2v_core.errors import UserError
from s2v_core.models.model_set import JUDGES, NETWORKS, OPTIONAL
from s2v_core.temporary import whole
from training.engine.interruption import held, resumable

# A module, its settings file, and the networks that it exports.
STEPS = (
    ("landmarks", "landmarks", ("landmarks",)),
    ("cpc", "cpc", ("cpc",)),
    ("teachers", "teachers", ("teacher_identity", "teacher_emotion")),
    ("features", "features", ()),
    ("stage1", "stage1", ("students",)),
    ("speaker", "speaker", ("speaker",)),
    ("motion", "motion", ("motion",)),
    ("stage2", "stage2", ("composer",)),
    ("sdfa", "sdfa", ("sdfa",)),
    ("speech2face", "speech2face", ("speech2face",)),
    ("sdfa", "s2f_sdfa", ("s2f_sdfa",)),
    ("judges", "judges", ("judge_identity", "judge_emotion")),
    ("lips", "lips", ("judge_lips",)),
    ("syncnet", "syncnet", ("syncnet",)),
)


def train(data: Path, run: Path, configs: Path, base: Path) -> None:
    """Run every step whose exports are missing, each in a process of its own.

    A step without a settings file trains nothing: its networks are copied from ``base``. Raises
    UserError when there is no folder ``configs``, or when a step fails.
    """
    if not configs.is_dir():
        raise UserError(f"{configs}: no such folder of settings files; see training/configs.")
    for module, config, exports in STEPS:
        missing = [name for name in exports if not weights(run / "export" / name).exists()]
        if exports and not missing:
            continue
        if not (configs / f"{config}.yaml").exists():
            copy_networks(missing, base, run / "export")
            continue
        command = [sys.executable, "-m", f"training.{module}"]
        command += ["--config", str(configs / f"{config}.yaml")]
        command += ["--data", str(data), "--run", str(run)]
        print("·", " ".join(command[1:]), flush=True)
        if run_step(command):
            raise UserError(
                f"{config} stopped; fix the error above and run the same command again."
            )


def run_step(command: Sequence[str]) -> int:
    """Run a step and return its exit status; Ctrl-C and SIGTERM are passed on, and its end is waited for."""
    with subprocess.Popen(command) as process, held(process.send_signal) as stop:
        status = process.wait()
    if stop.requested:
        raise stop.error("stopped; the same command resumes.")
    return status


def weights(folder: Path) -> Path:
    """Return the file of a network's weights."""
    return folder / "model.safetensors"


def copy_networks(names: Sequence[str], base: Path, exports: Path) -> None:
    """Copy networks from ``base``, but for optional ones and classifiers, which fit one corpus's actors only."""
    for name in names:
        if name in (*JUDGES, *OPTIONAL) or not weights(base / name).exists():
            print(f"· {name}: without settings; skipped", flush=True)
            continue
        copy_network(base / name, exports / name)
        print(f"· {name}: without settings; taken from {base}", flush=True)


def copy_network(source: Path, target: Path) -> None:
    """Copy a network's files, each whole or not at all, over those that are there."""
    shutil.copytree(source, target, copy_function=_copy_whole, dirs_exist_ok=True)


def _copy_whole(source: str, target: str) -> None:
    with whole(Path(target)) as part:
        shutil.copy2(source, part)


def export(run: Path, out: Path) -> None:
    """Copy the networks and JUDGES from the run into ``out``; its portrait is put there by hand."""
    for name in (*NETWORKS, *JUDGES):
        needed = name in NETWORKS and name not in OPTIONAL
        if needed or weights(run / "export" / name).exists():
            copy_network(run / "export" / name, out / name)
    print(f"exported to {out}")


def main() -> int:
    """Parse the command line, train, export, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--configs", type=Path, default=Path("training/configs/avatars"))
    parser.add_argument(
        "--base",
        type=Path,
        default=Path("checkpoints/avatars"),
        help="networks of the steps that the settings leave out (default: %(default)s)",
    )
    args = parser.parse_args()

    def work() -> None:
        train(args.data, args.run, args.configs, args.base)
        export(args.run, args.out)

    return run_command("train_all", lambda: resumable(work))


if __name__ == "__main__":
    raise SystemExit(main())
