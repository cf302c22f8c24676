"""Fit one clip and show it: the first thing to try where a training does not converge.

    python -m training.overfit --clip clip.mp4 --out overfit
    python -m training.overfit --clip clip.mp4 --out overfit --run runs/avatars --set schedule.steps=500

Stage 2's own trainer, on a single clip. OUT/clip.mp4 shows the real video on the left and the generated one on
the right, OUT/curve.png the loss and the PSNR by the step. A composer that cannot fit one clip will not fit a
corpus. CPC and the teachers are those of --run; without it the shipped CPC, and untrained teachers: any
fixed vectors will do for one clip.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from s2v_core.analysis import metrics
from s2v_core.command import run_command
from s2v_core.media import video
from s2v_core.media.pixels import to_uint8
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.students import unit
from training.data import in_memory
from training.data.features import FrozenNetworks
from training.data.in_memory import InMemoryClips
from training.engine import config as settings
from training.engine.fit import seeded
from training.engine.loop import run
from training.networks.senet import SENet
from training.networks.vgg import VGG
from training.stage2 import Stage2Settings, Stage2Trainer
from training.teachers import TeachersSettings

CONFIGS = Path("training/configs/avatars")
SHIPPED = Path("checkpoints/avatars")
# Similarity alone, and every frame with its own pose, which speech does not determine.
DEFAULTS = (
    "schedule={steps: 600, batch: 16, learning_rate: 1.0e-3, decay_from: 0.5, warmup: 600, save_every: 200}",
    "frames=1",
    "span=0",
    "forced=0",
)
# How many times as wide and high the clip is shown.
ENLARGED = 3


def frozen(run: Path | None) -> FrozenNetworks:
    """Return the networks of ``run``, or the shipped CPC and untrained teachers."""
    if run is not None:
        return FrozenNetworks.read(run)
    torch.manual_seed(0)
    sizes = settings.read(CONFIGS / "teachers.yaml", TeachersSettings)
    cpc = checkpoint.load_network(SHIPPED / "cpc", CPC, CPCConfig)
    return FrozenNetworks(cpc, VGG(sizes.identity).eval(), SENet(sizes.emotion).eval())


@torch.inference_mode()
def features(clips: InMemoryClips, networks: FrozenNetworks) -> list[dict[str, torch.Tensor]]:
    """Return what stage 2 needs of the clips: nu from the teacher, and 0 for mu.

    One clip has one emotion. Beside a constant mu, speech is a small part of the decoder's input, which
    starts to use it only after some hundred steps; without mu it does at once.
    """
    found = []
    for index in range(len(clips)):
        of_frames = networks.frame_features(clips.frames(index), every=2)
        mu = torch.zeros(1, of_frames["emotion"].shape[1])
        vectors = {"mu": mu, "nu": unit(of_frames["identity"])[None]}
        context = networks.encode(clips.speech(index))
        found.append(of_frames | vectors | {"context.0": context})
    return found


def memorise(
    clips: InMemoryClips, networks: FrozenNetworks, config: Stage2Settings, out: Path
) -> torch.Tensor:
    """Train stage 2 on the first of ``clips`` and return its generated frames (N, 3, H, W)."""
    accelerator = seeded(config.schedule)
    trainer = Stage2Trainer(config, clips, features(clips, networks), accelerator)

    def whole() -> torch.Tensor:
        return torch.cat([trainer.composed(0, np.array([t])) for t in range(len(clips.frames(0)))])

    def report() -> dict[str, float]:
        return {"psnr": metrics.psnr(clips.frames(0), whole())}

    run(trainer, accelerator, out, trainer.picture, report, report_every=40)
    return whole()


def show(clips: InMemoryClips, fake: torch.Tensor, out: Path) -> None:
    """Write ``out/clip.mp4``: the real video beside the generated one."""
    pairs = torch.cat([clips.frames(0), fake], dim=3)
    frames = (
        cv2.resize(frame, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
        for frame in to_uint8(pairs)
    )
    video.write(out / "clip.mp4", frames, len(pairs), 25, clips.speech(0), title="real, generated")


def curve(out: Path) -> None:
    """Draw ``out/curve.png``, the similarity loss and the PSNR of ``out/stats.jsonl`` by the step."""
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, side, colour in (("similarity", axes, "C0"), ("psnr", axes.twinx(), "C1")):
        points = [(line["step"], line[name]) for line in lines if name in line]
        side.plot(*zip(*points, strict=True), color=colour)
        side.set_ylabel(name, color=colour)
    axes.set_xlabel("step")
    figure.savefig(out / "curve.png")


def overfit(args: argparse.Namespace) -> None:
    """Fit the clip, show it, and print how close the generated frames are."""
    config = settings.read(args.config, Stage2Settings, [*DEFAULTS, *args.overrides])
    clips = InMemoryClips.of(**{args.clip.stem: in_memory.read(args.clip, SHIPPED / "landmarks")})
    fake = memorise(clips, frozen(args.run), config, args.out)
    show(clips, fake, args.out)
    curve(args.out)
    real = clips.frames(0)
    mean = real.mean(0, keepdim=True).expand_as(real)
    print(
        f"PSNR {metrics.psnr(real, fake):.1f} dB (the clip's mean frame, repeated: "
        f"{metrics.psnr(real, mean):.1f} dB); look at {args.out / 'clip.mp4'} and {args.out / 'curve.png'}"
    )


def main() -> int:
    """Parse the command line, fit the clip, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--clip", type=Path, required=True, help="a video file of one talking face")
    add("--out", type=Path, default=Path("out/overfit"), help="folder for the result")
    add("--run", type=Path, help="a run whose CPC and teachers are used")
    add("--config", type=Path, default=CONFIGS / "stage2.yaml", help="settings of stage 2")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    args = parser.parse_args()
    return run_command("overfit", lambda: overfit(args))


if __name__ == "__main__":
    raise SystemExit(main())
