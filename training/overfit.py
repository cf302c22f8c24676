"""Memorise one clip and show it: the first thing to try where a training does not converge.

    python -m training.overfit --clip clip.mp4 --out overfit
    python -m training.overfit --clip clip.mp4 --out overfit --run runs/avatars --set schedule.steps=500

Stage 2's own trainer, on a single clip. OUT/clip.mp4 shows it: the real video on the left, the generated one
on the right; OUT/curve.png the loss and the PSNR on the way. A composer that cannot learn one clip by heart will
not learn a corpus. CPC and the teachers are those of --run; without it the shipped CPC, and teachers that
learnt nothing: any fixed vectors will do for one clip.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from s2v_core.analysis import metrics
from s2v_core.errors import UserError
from s2v_core.media import video
from s2v_core.media.pixels import to_uint8
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.students import unit
from training.data import in_memory
from training.data.features import FrozenNetworks
from training.data.in_memory import InMemoryClips
from training.engine import config as settings
from training.engine.loop import run
from training.engine.optim import accelerated
from training.networks.senet import SENet
from training.networks.vgg import VGG
from training.stage2 import Stage2Settings, Stage2Trainer
from training.teachers import TeachersSettings

CONFIGS = Path("training/configs/avatars")
SHIPPED = Path("checkpoints/avatars")
# Similarity alone, and every frame with the pose that it has: heads turn, and speech does not tell which way.
DEFAULTS = (
    "schedule={steps: 600, batch: 16, learning_rate: 1.0e-3, decay_from: 0.5, warmup: 600, save_every: 200}",
    "frames=1",
    "span=0",
    "forced=0",
)
ENLARGED = 3


def frozen(run: Path | None) -> FrozenNetworks:
    """Return the networks of ``run``, or the shipped CPC and teachers that learnt nothing."""
    if run is not None:
        return FrozenNetworks.read(run)
    torch.manual_seed(0)
    sizes = settings.read(CONFIGS / "teachers.yaml", TeachersSettings)
    cpc = checkpoint.load_network(SHIPPED / "cpc", CPC, CPCConfig)
    return FrozenNetworks(cpc, VGG(sizes.identity).eval(), SENet(sizes.emotion).eval())


@torch.inference_mode()
def features(clips: InMemoryClips, networks: FrozenNetworks) -> list[dict[str, torch.Tensor]]:
    """Return what stage 2 needs of the clips: nu from the teacher, and 0 for mu.

    One clip has one emotion. Beside a constant mu the speech is a small part of what enters the decoder,
    and it takes some hundred steps to be heard; alone, it is heard at once.
    """
    found = []
    for index in range(len(clips)):
        seen = networks.see(clips.frames(index), every=2)
        mu = torch.zeros(1, seen["emotion"].shape[1])
        vectors = {"mu": mu, "nu": unit(seen["identity"])[None]}
        context = networks.encode(clips.speech(index))
        found.append(seen | vectors | {"context.0": context})
    return found


def memorise(
    clips: InMemoryClips, networks: FrozenNetworks, config: Stage2Settings, out: Path
) -> torch.Tensor:
    """Train stage 2 on the first of ``clips`` and return what it makes of it (N, 3, H, W)."""
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
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
    """Memorise the clip, show it, and say how near the generated frames are."""
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


def main() -> None:
    """Parse the command line; exit 2 with one line on a UserError."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--clip", type=Path, required=True, help="a video file of one talking face")
    add("--out", type=Path, default=Path("out/overfit"), help="folder for the result")
    add("--run", type=Path, help="a run whose CPC and teachers are used")
    add("--config", type=Path, default=CONFIGS / "stage2.yaml", help="settings of stage 2")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    try:
        overfit(parser.parse_args())
    except UserError as error:
        print(f"overfit: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
