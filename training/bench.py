"""How fast each stage trains here, at the paper's size and at the shipped one.

    python -m training.bench
    python -m training.bench --sizes avatars --stages stage2 --batch 16

A row each: clips and frames a second, with all discriminators, and the share of the machine's peak, which
is the speed of a large matrix product. The clips are noise, and the time to draw them is not counted. Without
--batch, a step has 2 clips on a CPU, and the settings' on a GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from s2v_core.networks.composer import ComposerConfig
from s2v_core.networks.speech2face import Speech2Face
from s2v_core.rates import FPS, FRAME_SAMPLES, STEPS_PER_SECOND
from training.cpc import CPCSettings, CPCTrainer
from training.data import in_memory
from training.data.in_memory import InMemoryClips
from training.engine import config as settings
from training.engine.dry_run import cost
from training.engine.loop import Trainer
from training.sdfa import SDFASettings, SDFATrainer
from training.speech2face import Speech2FaceSettings
from training.stage1 import Stage1Settings, Stage1Trainer
from training.stage2 import Stage2Settings, Stage2Trainer

CONFIGS = Path("training/configs")
SIZES = ("paper", "avatars")
# Of a clip: about as long as CREMA-D's and the avatars'.
FRAMES = 60
# A trainer, and how many frames of each clip a step uses.
Made = tuple[Trainer, float]


def cpc(folder: Path, batch: list[str], accelerator: Accelerator) -> Made:
    """Return stage 0 at the size of ``folder``."""
    config = settings.read(folder / "cpc.yaml", CPCSettings, batch)
    return CPCTrainer(config, noisy(128, 96), accelerator), config.window / FRAME_SAMPLES


def stage1(folder: Path, batch: list[str], accelerator: Accelerator) -> Made:
    """Return stage 1 at the size of ``folder``."""
    config = settings.read(folder / "stage1.yaml", Stage1Settings, batch)
    composer = settings.read(folder / "stage2.yaml", Stage2Settings).model
    clips = noisy(composer.height, composer.width)
    frames = FPS * (config.shortest + config.longest) / 2
    context = config.model.omega if config.model.summary == "last" else composer.context
    inputs = features(clips, composer, context)
    return Stage1Trainer(config, inputs, clips.mean_poses(), accelerator), frames


def stage2(folder: Path, batch: list[str], accelerator: Accelerator) -> Made:
    """Return stage 2 at the size of ``folder``."""
    config = settings.read(folder / "stage2.yaml", Stage2Settings, batch)
    clips = noisy(config.model.height, config.model.width)
    inputs = features(clips, config.model, config.model.context)
    return Stage2Trainer(config, clips, inputs, accelerator), config.frames


def sdfa(folder: Path, batch: list[str], accelerator: Accelerator, name: str = "sdfa") -> Made:
    """Return SDFA at the size of ``folder``, or S2F+SDFA by its name."""
    config = settings.read(folder / f"{name}.yaml", SDFASettings, batch)
    voice = None
    if config.model.face:
        sizes = settings.read(folder / "speech2face.yaml", Speech2FaceSettings)
        voice = Speech2Face(sizes.model).eval()
    clips = noisy(config.model.height, config.model.width)
    return SDFATrainer(config, clips, voice, accelerator), config.frames


def s2f_sdfa(folder: Path, batch: list[str], accelerator: Accelerator) -> Made:
    """Return S2F+SDFA at the size of ``folder``."""
    return sdfa(folder, batch, accelerator, "s2f_sdfa")


STAGES: dict[str, Callable[[Path, list[str], Accelerator], Made]] = {
    "cpc": cpc,
    "stage1": stage1,
    "stage2": stage2,
    "sdfa": sdfa,
    "s2f_sdfa": s2f_sdfa,
}


def noisy(height: int, width: int) -> InMemoryClips:
    """Return two clips of noise."""
    rng = np.random.default_rng(0)
    return InMemoryClips.of(
        **{name: in_memory.noise(FRAMES, height, width, rng) for name in ("a", "b")}
    )


def features(clips: InMemoryClips, model: ComposerConfig, context: int) -> list[dict[str, Tensor]]:
    """Return noise in the shapes of training.features, for a composer of these sizes."""
    size = (model.height >> 5, model.width >> 5)
    maps = {
        f"map.{i}": torch.rand(c, size[0] << i, size[1] << i) for i, c in enumerate(model.teacher)
    }
    vectors = {"emotion": torch.rand(FRAMES // 2, model.mu), "identity": torch.rand(model.nu)}
    retrieved = {"mu": torch.randn(1, model.mu), "nu": torch.randn(1, model.nu)}
    contexts = {"context.0": torch.randn(STEPS_PER_SECOND // FPS * FRAMES, context)}
    whole = maps | vectors | retrieved | contexts
    return [whole | {"speech.0": clips.speech(index)} for index in range(len(clips))]


def peak(device: torch.device) -> float:
    """Return the FLOP/s of the best of some large matrix products in fp32."""
    n = 8192 if device.type == "cuda" else 1024
    a, seconds = torch.randn(n, n, device=device), []
    for _ in range(8):
        began = time.perf_counter()
        (a @ a)[0, 0].item()
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds)


def rows(stages: list[str], sizes: list[str], batch: int | None) -> Iterator[str]:
    """Yield a line of the table for every stage and size."""
    accelerator = Accelerator(step_scheduler_with_optimizer=False)
    top = peak(accelerator.device)
    yield f"peak of {accelerator.device}: {top / 1e9:.0f} GFLOP/s (fp32, {torch.get_num_threads()} threads)"
    yield f"{'stage':10}{'size':10}{'batch':>6}{'clips/s':>9}{'frames/s':>10}{'GFLOP/s':>9}{'of peak':>9}"
    batch = batch or (2 if accelerator.device.type == "cpu" else None)
    overrides = ["schedule.warmup=0"] + ([f"schedule.batch={batch}"] if batch else [])
    for stage in stages:
        for size in sizes:
            torch.manual_seed(0)
            trainer, frames = STAGES[stage](CONFIGS / size, overrides, accelerator)
            one, clips = cost(trainer, 0, repeats=1), trainer.schedule.batch
            speed, rate = clips / one.seconds, 2 * one.multiply_adds / one.seconds
            yield (
                f"{stage:10}{size:10}{clips:6}{speed:9.2f}{speed * frames:10.1f}"
                f"{rate / 1e9:9.1f}{rate / top:9.0%}"
            )
            # It would keep every network until the end.
            accelerator.free_memory()


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    add("--batch", type=int, help="clips a step")
    args = parser.parse_args()
    for row in rows(args.stages, args.sizes, args.batch):
        print(row, flush=True)


if __name__ == "__main__":
    main()
