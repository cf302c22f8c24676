"""Published weights under their own names become this project's networks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core import checkpoint
from s2v_core.cpc import CPC, CPCConfig
from s2v_core.errors import UserError
from training import published
from training.published import SOURCES, convert, fetch, renamed, senet_names, verify, vgg_names
from training.teachers import VGG, SENet, SENetConfig, VGGConfig

TINY_VGG = VGGConfig((2, 3, 4, 5, 6), feature=7, classes=3, height=64, width=32)
TINY_SENET = SENetConfig(stem=4, classes=8, height=64, width=32)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def as_published(network: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """A network's weights under their published names."""
    theirs = {ours: name for name, ours in names.items()}
    split = [(key.rpartition("."), tensor) for key, tensor in network.state_dict().items()]
    return {
        f"{theirs[layer]}.{leaf}": tensor
        for (layer, _, leaf), tensor in split
        if leaf != "num_batches_tracked"
    }


@pytest.fixture
def tiny(monkeypatch) -> None:
    """The published sizes would be 680 MB: the same networks, small."""
    monkeypatch.setattr(published, "VGGConfig", lambda: TINY_VGG)
    monkeypatch.setattr(published, "SENetConfig", lambda: TINY_SENET)


def test_vgg_face_has_the_published_names_and_shapes():
    """Those of the fact sheet (4.2, 4.4), written out."""
    published_shapes = {}
    c_in = 3
    for block, (layers, c_out) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for layer in range(1, layers + 1):
            published_shapes[f"conv{block}_{layer}"] = (c_out, c_in, 3, 3)
            c_in = c_out
    published_shapes |= {"fc6": (4096, 25088), "fc7": (4096, 4096), "fc8": (2622, 4096)}
    with torch.device("meta"):
        here = VGG(VGGConfig()).state_dict()
    names = vgg_names()
    assert set(names) == set(published_shapes)
    assert {n: tuple(here[f"{names[n]}.weight"].shape) for n in names} == published_shapes
    assert len(here) == 2 * len(names)


def test_senet_50_has_every_published_layer_once():
    with torch.device("meta"):
        network = SENet(SENetConfig())
    names = senet_names()
    layers = {key.rpartition(".")[0] for key in network.state_dict()}
    assert layers <= set(names.values())
    assert names["conv2_1_1x1_proj"] == "blocks.0.project.0"
    assert names["conv3_1_1x1_reduce_bn"] == "blocks.3.reduce.1"
    assert names["conv5_3_1x1_up"] == "blocks.15.up"


@pytest.mark.parametrize(
    ("name", "network", "names", "config"),
    [
        ("vgg_face", VGG(TINY_VGG), vgg_names(), VGGConfig),
        ("ferplus", SENet(TINY_SENET), senet_names(), SENetConfig),
    ],
)
def test_a_teacher_sees_the_same_under_either_name(tiny, tmp_path, name, network, names, config):
    weights = as_published(network.eval(), names)
    if name == "ferplus":
        weights["classifier.weight"] = weights["classifier.weight"][:, :, None, None]
    torch.save(weights, tmp_path / "file.pth")
    folder = convert(name, tmp_path / "file.pth", tmp_path / "run")
    again = checkpoint.load_network(folder, type(network), config)
    frames = random(2, 3, 64, 32).tanh()
    with torch.inference_mode():
        torch.testing.assert_close(again(frames), network(frames), atol=0.05, rtol=0.02)


def cpc_file(recurrence: str, levels: int) -> dict:
    torch.manual_seed(0)
    widths, kernels = [1, 8, 8, 8, 8, 8], (10, 8, 4, 4, 4)
    weights = {}
    for i in range(5):
        weights[f"gEncoder.conv{i}.weight"] = 0.3 * torch.randn(8, widths[i], kernels[i])
        weights[f"gEncoder.conv{i}.bias"] = 0.1 * torch.randn(8)
        weights[f"gEncoder.batchNorm{i}.weight"] = torch.rand(1, 8, 1) + 0.5
        weights[f"gEncoder.batchNorm{i}.bias"] = 0.1 * torch.randn(1, 8, 1)
    recurrent = getattr(nn, recurrence)(8, 6, levels, batch_first=True)
    weights |= {f"gAR.baseNet.{key}": value for key, value in recurrent.state_dict().items()}
    options = {"hiddenEncoder": 8, "hiddenGar": 6, "arMode": recurrence, "nLevelsGRU": levels}
    return {"config": options | {"normMode": "layerNorm"}, "weights": weights}


def published_forward(file: dict, audio: Tensor) -> Tensor:
    """CPC_audio's own forward pass, layer by layer, by its own names."""
    weights, options = file["weights"], file["config"]
    x = audio[:, None]
    for i, (stride, padding) in enumerate(((5, 3), (4, 2), (2, 1), (2, 1), (2, 1))):
        conv = [weights[f"gEncoder.conv{i}.{leaf}"] for leaf in ("weight", "bias")]
        x = F.conv1d(x, *conv, stride=stride, padding=padding)
        x = (x - x.mean(1, keepdim=True)) * torch.rsqrt(x.var(1, keepdim=True) + 1e-5)
        x = x * weights[f"gEncoder.batchNorm{i}.weight"] + weights[f"gEncoder.batchNorm{i}.bias"]
        x = x.relu()
    recurrent = getattr(nn, options["arMode"])(8, 6, options["nLevelsGRU"], batch_first=True)
    prefix = "gAR.baseNet."
    recurrent.load_state_dict({k[len(prefix) :]: v for k, v in weights.items() if prefix in k})
    return recurrent(x.transpose(1, 2))[0]


@pytest.mark.parametrize(("recurrence", "levels"), [("LSTM", 2), ("GRU", 1)])
def test_cpc_audio_hears_what_its_authors_hears(tmp_path, recurrence, levels):
    file = cpc_file(recurrence, levels)
    torch.save(file, tmp_path / "checkpoint.pt")
    folder = convert("cpc_audio", tmp_path / "checkpoint.pt", tmp_path / "run")
    cpc = checkpoint.load_network(folder, CPC, CPCConfig)
    assert replace(cpc.config, latents=False) == cpc.config
    audio = random(2, 3200)
    with torch.inference_mode():
        expected = published_forward(file, audio)
        torch.testing.assert_close(cpc.hear(audio), expected, atol=5e-3, rtol=0)


def test_a_tensor_without_a_name_here_is_refused():
    with pytest.raises(KeyError):
        renamed({"conv9_9.weight": torch.zeros(1)}, vgg_names())


@pytest.mark.parametrize("spoil", ["missing tensor", "extra tensor", "text", "no file"])
def test_another_file_is_refused_in_a_line_and_nothing_is_written(tiny, tmp_path, spoil):
    weights = as_published(VGG(TINY_VGG), vgg_names())
    path = tmp_path / "vgg.pth"
    if spoil == "missing tensor":
        del weights["conv3_2.weight"]
    if spoil == "extra tensor":
        weights["conv9_1.weight"] = torch.zeros(1)
    if spoil == "text":
        path.write_text("no weights")
    elif spoil != "no file":
        torch.save(weights, path)
    with pytest.raises(UserError, match=r"vgg\.pth") as caught:
        convert("vgg_face", path, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_without_a_network_the_file_is_asked_for(tmp_path):
    nowhere = replace(SOURCES["ferplus"], url="http://127.0.0.1:9/senet50_ferplus_dag.pth")
    with pytest.raises(UserError, match="--file"):
        fetch(nowhere, tmp_path)


def test_a_download_is_what_was_published(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"abc")
    whole = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of FIPS 180-2
    for expected in (None, "ba7816BF", whole):
        assert verify(file, expected) == whole
    with pytest.raises(UserError, match=f"{whole}, not d0f474de"):
        verify(file, "d0f474de")


def test_a_file_is_fetched_by_its_address(tmp_path):
    there = tmp_path / "there.pth"
    there.write_bytes(b"abc")
    (tmp_path / "here").mkdir()
    source = replace(SOURCES["ferplus"], url=there.as_uri())
    assert fetch(source, tmp_path / "here").read_bytes() == b"abc"


def test_its_command_line_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    missing = str(Path(tmp_path) / "none.pth")
    command = ["published", "ferplus", "--run", str(tmp_path), "--file", missing]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        published.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("published: ")
