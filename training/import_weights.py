"""Turn published weights into networks of this project: CPC_audio, VGGFace, SDFA, Whisper and others.

    python -m training.import_weights vgg_face --run runs/crema_d
    python -m training.import_weights ferplus --run runs/crema_d --file senet50_ferplus_dag.pth
    python -m training.import_weights cpc_audio --run runs/crema_d --sha256 d0f474de...
    python -m training.import_weights sdfa --run runs/crema_d --file crema.dat
    python -m training.import_weights resemblyzer --run runs/crema_d
    python -m training.import_weights whisper --run runs/crema_d
    python -m training.import_weights silero_vad --run runs/crema_d --file silero_vad/data/silero_vad.jit

Each is fetched (or read from --file) and written into RUN/export, where the later steps take it in place of
a network trained here. Their licences are their authors' (VGGFace: research only). Of them only Resemblyzer's
(Apache License 2.0), the first blocks of Whisper's encoder (MIT) and Silero VAD's (MIT) are shipped, in the model
sets' speaker/, phonetic/ and voice_activity/. Silero VAD's file comes in the PyPI package silero-vad.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError

import numpy as np
import torch
from numpy._core import multiarray
from torch import Tensor, nn

from s2v_core.command import run_command
from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.phonetic_encoder import PhoneticConfig, PhoneticEncoder
from s2v_core.networks.sdfa import SDFA, SDFAConfig
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.networks.voice_activity import VoiceActivity, VoiceActivityConfig
from s2v_core.rates import SAMPLE_RATE
from training.networks.senet import SENET_BLOCKS, SENet, SENetConfig
from training.networks.vgg import VGG, VGG_BLOCKS, VGGConfig

# What a pickled array is made of; crema.dat keeps its mean face as one.
NUMPY: list[Any] = [
    np.ndarray,
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    multiarray._reconstruct,
]
# From a published layer's name to the one here, both without .weight and the like.
Names = dict[str, str]
RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
N = TypeVar("N", bound=nn.Module)
OPENAI = "https://openaipublic.azureedge.net/main/whisper/models"
# The file's sha256, by which it is published.
TINY_EN = "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03"
ALBANIE = "https://www.robots.ox.ac.uk/~albanie/models/pytorch-mcn"


def read_pickle(path: Path) -> Any:
    """Return what torch saved in ``path``, if that is nothing but tensors, numbers and names."""
    with torch.serialization.safe_globals(NUMPY):
        return torch.load(path, map_location="cpu", weights_only=True)


def read_script(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file of TorchScript."""
    return torch.jit.load(path, map_location="cpu").state_dict()


@dataclass(frozen=True)
class Source:
    """Where published weights are, and how they are converted."""

    # Of the file, or of the page that links to it.
    url: str
    export: str
    # From the loaded file to a network and its config.
    convert: Callable[[Any], tuple[nn.Module, Any]]
    # Of the file's sha256, where its authors give one.
    hash_prefix: str | None = None
    # Its site lets no program fetch it.
    by_hand: bool = False
    read: Callable[[Path], Any] = read_pickle


def vgg_names() -> Names:
    """Return how vgg_face_dag's layers are called here, where a ReLU follows each convolution."""
    convolutions = {
        f"conv{block + 1}_{layer + 1}": f"blocks.{block}.{2 * layer}"
        for block, layers in enumerate(VGG_BLOCKS)
        for layer in range(layers)
    }
    return convolutions | {name: name for name in ("fc6", "fc7", "fc8")}


def senet_names() -> Names:
    """Return how senet50_ferplus_dag's layers are called here."""
    names = {"conv1_7x7_s2": "stem.0", "conv1_7x7_s2_bn": "stem.1", "classifier": "classifier"}
    places = [(stage + 2, i + 1) for stage, n in enumerate(SENET_BLOCKS) for i in range(n)]
    for k, (stage, i) in enumerate(places):
        theirs, ours = f"conv{stage}_{i}", f"blocks.{k}"
        for kind, layer in (
            ("1x1_reduce", "reduce"),
            ("3x3", "middle"),
            ("1x1_increase", "increase"),
            ("1x1_proj", "project"),
        ):
            names[f"{theirs}_{kind}"] = f"{ours}.{layer}.0"
            names[f"{theirs}_{kind}_bn"] = f"{ours}.{layer}.1"
        names |= {f"{theirs}_1x1_{part}": f"{ours}.{part}" for part in ("down", "up")}
    return names


def cpc_names(levels: int) -> Names:
    """Return how CPC_audio's layers are called here; the recurrent tensors under their full names."""
    names = {f"gEncoder.conv{i}": f"encoder.{3 * i}" for i in range(5)}
    names |= {f"gEncoder.batchNorm{i}": f"encoder.{3 * i + 1}" for i in range(5)}
    parts = [f"{part}_l{n}" for n in range(levels) for part in RECURRENT]
    return names | {f"gAR.baseNet.{part}": f"autoregressor.{part}" for part in parts}


def sdfa_names() -> Names:
    """Return how crema.dat's layers are called here, all but the decoder's joins (``split_join``)."""
    names = {f"encoder.encoder.cl.{i}": f"speech.convolutions.{3 * i}" for i in range(5)}
    names |= {
        f"encoder.encoder.activations.{i}.0": f"speech.convolutions.{3 * i + 1}" for i in range(5)
    }
    names |= {"encoder.encoder.cl.5": "speech.feature", "encoder_id.cl.5.0": "still.code"}
    names |= {f"encoder_id.cl.{i}.{k}": f"still.blocks.{i}.{k}" for i in range(5) for k in range(2)}
    names |= {"generator.dcl.0.0": "decoder.start", "generator.dcl.0.1": "decoder.start_norm.0"}
    for i in range(4):
        theirs, ours = f"generator.dcl.{i + 1}", f"decoder.blocks.{i}"
        names |= {
            f"{theirs}.activation1.0": f"{ours}.join_norm.0",
            f"{theirs}.dcl2": f"{ours}.grow",
            f"{theirs}.activation2.0": f"{ours}.grow_norm.0",
        }
    names["generator.dcl.5"] = "decoder.blocks.4.grow"
    for theirs, ours, levels in (
        ("encoder.rnn", "speech.gru", 2),
        ("generator.rnn_noise", "noise", 1),
    ):
        parts = [f"{part}_l{n}" for n in range(levels) for part in RECURRENT]
        names |= {f"{theirs}.{part}": f"{ours}.{part}" for part in parts}
    return names


def split_join(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return DecoderBlock's two convolutions for SDFA's one transposed convolution (frame's + still's, C, 3, 3).

    At stride 1 a transposed convolution is a convolution with the kernel turned by 180 degrees.
    """
    turned = weight.flip(2, 3).transpose(0, 1).contiguous()
    return turned[:, : len(turned)], turned[:, len(turned) :]


def renamed(weights: dict[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Return ``weights`` under this project's names; KeyError for a tensor that has none here."""
    found = {}
    for key, tensor in weights.items():
        layer, _, leaf = key.rpartition(".")
        if key in names:
            found[names[key]] = tensor
        # Old exports lack it, and inference does not need it.
        elif leaf != "num_batches_tracked":
            found[f"{names[layer]}.{leaf}"] = tensor
    return found


def fill(network: N, weights: dict[str, Tensor]) -> N:
    """Load ``weights`` into ``network``: every tensor but the counters of its batch norms."""
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    # A published 1x1 convolution may be a linear layer here.
    shaped = {
        key: tensor.reshape(shapes[key]) if key in shapes else tensor
        for key, tensor in weights.items()
    }
    missing, unexpected = network.load_state_dict(shaped, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise KeyError(f"missing {missing[:3]}, unexpected {unexpected[:3]}")
    return network.eval()


def vgg_face(weights: dict[str, Tensor]) -> tuple[VGG, VGGConfig]:
    """Return VGGFace's network (Parkhi et al. 2015) from vgg_face_dag.pth's state dict."""
    config = VGGConfig()
    return fill(VGG(config), renamed(weights, vgg_names())), config


def ferplus(weights: dict[str, Tensor]) -> tuple[SENet, SENetConfig]:
    """Return the FERPlus SENet-50 (Albanie 2018) from senet50_ferplus_dag.pth's state dict."""
    config = SENetConfig()
    return fill(SENet(config), renamed(weights, senet_names())), config


def cpc_audio(file: dict[str, Any]) -> tuple[CPC, CPCConfig]:
    """Return CPC_audio's encoder (Riviere et al. 2020); its sizes are those the file itself names."""
    options, weights = file["config"], file["weights"]
    config = CPCConfig(
        channels=(options["hiddenEncoder"],) * 5,
        context=options["hiddenGar"],
        recurrence=options["arMode"],
        levels=options["nLevelsGRU"],
    )
    return fill(CPC(config), renamed(weights, cpc_names(config.levels))), config


def sdfa(file: dict[str, Any]) -> tuple[SDFA, SDFAConfig]:
    """Return SDFA's generator (Vougioukas et al. 2019) from crema.dat, its CREMA-D model at 16 kHz."""
    if (file["audio_rate"], file["video_rate"]) != (SAMPLE_RATE, 25):
        raise KeyError(f"it is a model of {file['audio_rate']} Hz; the one of 16000 is crema.dat")
    config = SDFAConfig(
        code=file["id_enc_dim"],
        speech=file["rnn_gen_dim"],
        noise=file["aux_latent"],
    )
    weights = {
        f"{part}.{key}": tensor
        for part in ("encoder", "encoder_id", "generator")
        for key, tensor in file[part].items()
    }
    joins: dict[str, Tensor] = {}
    for i in range(4):
        join, side = split_join(weights.pop(f"generator.dcl.{i + 1}.dcl1.weight"))
        joins |= {
            f"decoder.blocks.{i}.join.weight": join,
            f"decoder.blocks.{i}.join_side.weight": side,
        }
    # The published network has none.
    last = {"decoder.blocks.4.grow.bias": torch.zeros(3)}
    return fill(SDFA(config), renamed(weights, sdfa_names()) | joins | last), config


def resemblyzer(file: dict[str, Any]) -> tuple[SpeakerEncoder, SpeakerConfig]:
    """Return Resemblyzer's voice encoder (Jemine 2019) from pretrained.pt, with no voices stored."""
    config = SpeakerConfig()
    kept = {k: v for k, v in file["model_state"].items() if not k.startswith("similarity_")}
    return fill(SpeakerEncoder(config), kept | {"voices": torch.zeros(0, config.embedding)}), config


def whisper(file: dict[str, Any]) -> tuple[PhoneticEncoder, PhoneticConfig]:
    """Return the blocks in use of Whisper tiny.en's encoder (Radford et al. 2022) from tiny.en.pt."""
    sizes = file["dims"]
    config = PhoneticConfig(
        width=sizes["n_audio_state"],
        heads=sizes["n_audio_head"],
        mels=sizes["n_mels"],
        positions=sizes["n_audio_ctx"],
    )
    network = PhoneticEncoder(config)
    weights = {key: file["model_state_dict"][f"encoder.{key}"] for key in network.state_dict()}
    return fill(network, weights), config


def silero_vad(weights: dict[str, Tensor]) -> tuple[VoiceActivity, VoiceActivityConfig]:
    """Return Silero VAD's network for 16 kHz (Silero Team 2021 to 2026) from silero_vad.jit's state dict."""
    config = VoiceActivityConfig()
    names = {
        "_model.stft.forward_basis_buffer": "stft.weight",
        "_model.decoder.decoder.2": "decision",
    }
    names |= {f"_model.encoder.{i}.reparam_conv": f"convolutions.{i}" for i in range(4)}
    names |= {f"_model.decoder.rnn.{part}": f"lstm.{part}_l0" for part in RECURRENT}
    kept = {k: v for k, v in weights.items() if k.startswith("_model.")}
    return fill(VoiceActivity(config), renamed(kept, names)), config


SOURCES = {
    "vgg_face": Source(f"{ALBANIE}/vgg_face_dag.pth", "teacher_identity", vgg_face),
    "ferplus": Source(f"{ALBANIE}/senet50_ferplus_dag.pth", "teacher_emotion", ferplus),
    "cpc_audio": Source(
        "https://dl.fbaipublicfiles.com/librilight/CPC_checkpoints/60k_epoch4-d0f474de.pt",
        "cpc",
        cpc_audio,
        hash_prefix="d0f474de",
    ),
    "sdfa": Source(
        "https://github.com/DinoMan/speech-driven-animation", "sdfa", sdfa, by_hand=True
    ),
    "resemblyzer": Source(
        "https://github.com/resemble-ai/Resemblyzer/raw/master/resemblyzer/pretrained.pt",
        "recogniser",
        resemblyzer,
    ),
    "whisper": Source(f"{OPENAI}/{TINY_EN}/tiny.en.pt", "phonetic", whisper, hash_prefix=TINY_EN),
    "silero_vad": Source(
        "https://pypi.org/project/silero-vad",
        "voice_activity",
        silero_vad,
        by_hand=True,
        read=read_script,
    ),
}


def fetch(source: Source, folder: Path) -> Path:
    """Download ``source`` into ``folder``; UserError when it cannot be downloaded."""
    if source.by_hand:
        raise UserError(
            f"{source.url} links to the file; download it by hand and name it with --file."
        )
    path = folder / source.url.rpartition("/")[2]
    try:
        torch.hub.download_url_to_file(source.url, str(path))
    except (URLError, OSError) as error:
        raise UserError(
            f"{source.url} cannot be fetched ({error}); download it elsewhere and name it with --file."
        ) from None
    return path


def verify(path: Path, expected: str | None) -> str:
    """Return the sha256 of the file ``path``; UserError when it does not begin with ``expected``."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if expected and not found.startswith(expected.lower()):
        raise UserError(
            f"{path} has the sha256 {found}, not {expected}: it is damaged or another file."
        )
    return found


def convert(name: str, path: Path, run: Path) -> Path:
    """Write the network in the published file ``path`` into ``run/export``; return its folder."""
    source = SOURCES[name]
    try:
        network, config = source.convert(source.read(path))
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not hold {name}'s published weights: {why}") from None
    checkpoint.save_network(run / "export" / source.export, network, config)
    return run / "export" / source.export


def main() -> int:
    """Fetch, convert and export; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("--run", type=Path, required=True, help="folder of all networks of a run")
    parser.add_argument("--file", type=Path, help="the published file, if it is here already")
    parser.add_argument("--sha256", help="what the file's must be, or begin with")
    args = parser.parse_args()
    return run_command(parser.prog, lambda: import_weights(args))


def import_weights(args: argparse.Namespace) -> None:
    """Fetch the file unless ``args.file`` names it, verify it, convert it and export the network."""
    with tempfile.TemporaryDirectory() as folder:
        source = SOURCES[args.name]
        path = args.file or fetch(source, Path(folder))
        print("sha256", verify(path, args.sha256 or source.hash_prefix))
        print("exported to", convert(args.name, path, args.run))


if __name__ == "__main__":
    raise SystemExit(main())
