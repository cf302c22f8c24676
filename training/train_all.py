"""Train every network of a model set in order, then export it; what is done already is passed over.

python -m training.train_all --data data/avatars --run runs/avatars --out checkpoints/avatars
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from s2v_core.engine import NETWORKS

# module, settings file, the network it exports (features exports none)
STEPS = (
    ("landmarks", "landmarks", "landmarks"),
    ("cpc", "cpc", "cpc"),
    ("teachers", "teachers", "teacher_emotion"),
    ("features", "features", None),
    ("stage1", "stage1", "students"),
    ("stage2", "stage2", "composer"),
    ("sdfa", "sdfa", "sdfa"),
    ("speech2face", "speech2face", "speech2face"),
    ("sdfa", "s2f_sdfa", "s2f_sdfa"),
    ("judges", "judges", "judge_emotion"),
    ("lips", "lips", "judge_lips"),
    ("syncnet", "syncnet", "syncnet"),
)
# what training.evaluate needs beside NETWORKS
JUDGES = ("judge_identity", "judge_emotion", "judge_lips", "syncnet")


def train(data: Path, run: Path, configs: Path) -> None:
    """Run every step whose export is missing, each in a process of its own."""
    for module, config, export in STEPS:
        if export and (run / "export" / export / "model.safetensors").exists():
            continue
        command = [
            sys.executable,
            "-m",
            f"training.{module}",
            "--config",
            str(configs / f"{config}.yaml"),
        ]
        command += ["--data", str(data), "--run", str(run)]
        print("·", " ".join(command[1:]), flush=True)
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{config} stopped; mend what it says and run the same command again.")


def export(run: Path, out: Path) -> None:
    """Copy the networks and their judges from the run into ``out``; its portrait is put there by hand."""
    for name in (*NETWORKS, *JUDGES):
        shutil.copytree(run / "export" / name, out / name, dirs_exist_ok=True)
    print(f"exported to {out}")


def main() -> None:
    """Train and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--configs", type=Path, default=Path("training/configs/avatars"))
    args = parser.parse_args()
    train(args.data, args.run, args.configs)
    export(args.run, args.out)


if __name__ == "__main__":
    main()
