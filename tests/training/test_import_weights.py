"""Published weights under their own names become this project's networks."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.phonetic_encoder import PhoneticConfig, PhoneticEncoder
from s2v_core.networks.sdfa import SDFA, SDFAConfig
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.networks.voice_activity import VoiceActivity, VoiceActivityConfig
from tests.training.variant import variant
from training import import_weights
from training.import_weights import SOURCES, convert, fetch, renamed, senet_names, verify, vgg_names
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig

TINY_VGG = VGGConfig(channels=(2, 3, 4, 5, 6), feature=7, classes=3, height=64, width=32)
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
    monkeypatch.setattr(import_weights, "VGGConfig", lambda: TINY_VGG)
    monkeypatch.setattr(import_weights, "SENetConfig", lambda: TINY_SENET)


def test_vgg_face_has_the_published_names_and_shapes():
    """The published layers' names and shapes, written out."""
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
def test_a_teacher_computes_the_same_under_either_name(
    tiny, tmp_path, name, network, names, config
):
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
def test_cpc_audio_encodes_as_its_authors_does(tmp_path, recurrence, levels):
    file = cpc_file(recurrence, levels)
    torch.save(file, tmp_path / "checkpoint.pt")
    folder = convert("cpc_audio", tmp_path / "checkpoint.pt", tmp_path / "run")
    cpc = checkpoint.load_network(folder, CPC, CPCConfig)
    assert variant(cpc.config, latents=False) == cpc.config
    audio = random(2, 3200)
    with torch.inference_mode():
        expected = published_forward(file, audio)
        torch.testing.assert_close(cpc.features(audio), expected, atol=5e-3, rtol=0)


def test_resemblyzer_embeds_a_voice_as_its_authors_does(tmp_path):
    """Three LSTMs, the last state, a linear layer, what is positive of it, at length 1."""
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    state = {f"lstm.{k}": v for k, v in lstm.state_dict().items()}
    state |= {f"linear.{k}": v for k, v in linear.state_dict().items()}
    state |= {"similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"step": 1, "model_state": state, "optimizer_state": {}}, tmp_path / "pretrained.pt")
    folder = convert("resemblyzer", tmp_path / "pretrained.pt", tmp_path / "run")
    speaker = checkpoint.load_network(folder, SpeakerEncoder, SpeakerConfig)
    assert speaker.config == SpeakerConfig()  # no voices are stored
    audio = random(2, 16_000)
    with torch.inference_mode():
        _, (hidden, _) = lstm(speaker.spectrum(audio))
        expected = linear(hidden[-1]).relu()
        expected = expected / expected.norm(dim=1, keepdim=True)
        torch.testing.assert_close(speaker(audio), expected, atol=5e-3, rtol=0)


def test_whisper_gives_the_first_blocks_of_its_encoder(tmp_path, monkeypatch):
    """OpenAI's file holds the decoder, all blocks and the positions too."""
    sizes = {"n_mels": 8, "n_audio_ctx": 60, "n_audio_state": 12, "n_audio_head": 3}
    whole = PhoneticEncoder(PhoneticConfig(width=12, heads=3, mels=8, layers=4, positions=60))
    state = {f"encoder.{key}": tensor for key, tensor in whole.state_dict().items()}
    state |= {"encoder.positional_embedding": whole.positions, "decoder.ln.bias": torch.ones(12)}
    torch.save({"dims": sizes, "model_state_dict": state}, tmp_path / "tiny.en.pt")
    folder = convert("whisper", tmp_path / "tiny.en.pt", tmp_path / "run")
    assert folder.name == "phonetic"
    encoder = checkpoint.load_network(folder, PhoneticEncoder, PhoneticConfig)
    assert (encoder.config.layers, len(encoder.blocks)) == (2, 2)
    for key, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[key].half().float())


def test_whispers_file_is_checked_by_the_sha256_that_it_is_published_under():
    source = SOURCES["whisper"]
    assert len(source.hash_prefix) == 64
    assert source.url.endswith(f"/{source.hash_prefix}/tiny.en.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_silero_vad_is_read_from_its_script(tmp_path):
    """The published names around this network's weights, as TorchScript; tensors arrive as they were."""
    network = VoiceActivity(VoiceActivityConfig())
    published = nn.Module()
    published._model, published._model_8k = nn.Module(), nn.Linear(1, 1)
    published._model.stft, published._model.encoder = nn.Module(), nn.ModuleList()
    published._model.stft.register_buffer("forward_basis_buffer", network.stft.weight.data)
    for convolution in network.convolutions:
        layer = nn.Module()
        layer.reparam_conv = convolution
        published._model.encoder.append(layer)
    published._model.decoder = nn.Module()
    published._model.decoder.rnn = nn.LSTMCell(128, 128)
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(published._model.decoder.rnn, part).data = getattr(network.lstm, f"{part}_l0").data
    convolution = nn.Conv1d(128, 1, 1)
    convolution.weight.data = network.decision.weight.data.unsqueeze(2)
    convolution.bias.data = network.decision.bias.data
    published._model.decoder.decoder = nn.Sequential(nn.Dropout(), nn.ReLU(), convolution)
    torch.jit.script(Published(published)).save(str(tmp_path / "silero_vad.jit"))
    folder = convert("silero_vad", tmp_path / "silero_vad.jit", tmp_path / "run")
    loaded = checkpoint.load_network(folder, VoiceActivity, VoiceActivityConfig)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


class Published(nn.Module):
    """Modules without code of their own, which TorchScript saves with their weights."""

    def __init__(self, published: nn.Module) -> None:
        super().__init__()
        self._model, self._model_8k = published._model, published._model_8k

    def forward(self, audio: Tensor) -> Tensor:
        return audio


def normed(prefix: str, channels: int) -> dict[str, Tensor]:
    return {
        f"{prefix}.weight": torch.rand(channels) + 0.5,
        f"{prefix}.bias": 0.1 * torch.randn(channels),
        f"{prefix}.running_mean": 0.1 * torch.randn(channels),
        f"{prefix}.running_var": torch.rand(channels) + 0.5,
        f"{prefix}.num_batches_tracked": torch.tensor(7),
    }


def small(*shape: int) -> Tensor:
    """Weights that keep what passes through them near one in size."""
    fan_in = torch.Size(shape[1:]).numel()
    return torch.randn(*shape) / fan_in**0.5


@pytest.fixture(scope="module")
def crema() -> dict:
    """A file with the keys and shapes of the published CREMA-D model (docs/choices.md, "Baselines")."""
    torch.manual_seed(0)
    encoder, still, generator = {}, {}, {}
    ends = [1, 16, 32, 64, 128, 256]
    for i, kernel in enumerate((80, 4, 4, 4, 10)):
        encoder[f"encoder.cl.{i}.weight"] = small(ends[i + 1], ends[i], kernel)
        encoder[f"encoder.cl.{i}.bias"] = 0.1 * torch.randn(ends[i + 1])
        encoder |= normed(f"encoder.activations.{i}.0", ends[i + 1])
    encoder |= {"encoder.cl.5.weight": small(256, 256, 5), "encoder.cl.5.bias": torch.zeros(256)}
    gru, noise = nn.GRU(256, 256, 2, batch_first=True), nn.GRU(10, 10, batch_first=True)
    encoder |= {f"rnn.{key}": tensor for key, tensor in gru.state_dict().items()}
    ends = [3, 64, 128, 256, 512, 1024]
    for i in range(5):
        still[f"cl.{i}.0.weight"] = small(ends[i + 1], ends[i], 4, 4)
        still |= normed(f"cl.{i}.1", ends[i + 1])
    still["cl.5.0.weight"] = small(128, 1024, 4, 3)
    generator |= {f"rnn_noise.{key}": tensor for key, tensor in noise.state_dict().items()}
    generator |= {"dcl.0.0.weight": 0.05 * torch.randn(394, 1024, 4, 3)} | normed("dcl.0.1", 1024)
    for i, c in enumerate((1024, 512, 256, 128), 1):
        generator[f"dcl.{i}.dcl1.weight"] = torch.randn(2 * c, c, 3, 3) / (18 * c) ** 0.5
        generator[f"dcl.{i}.dcl2.weight"] = torch.randn(c, c // 2, 4, 4) / (4 * c) ** 0.5
        generator |= normed(f"dcl.{i}.activation1.0", c) | normed(f"dcl.{i}.activation2.0", c // 2)
    generator["dcl.5.weight"] = torch.randn(64, 3, 4, 4) / 16
    return {
        "encoder": encoder,
        "encoder_id": still,
        "generator": generator,
        "mean_face": np.zeros((68, 2)),
        "img_size": (128, 96),
        "audio_rate": 16000,
        "video_rate": 25,
        "audio_feat_len": 0.2,
        "audio_feat_samples": 3200,
        "id_enc_dim": 128,
        "rnn_gen_dim": 256,
        "aud_enc_dim": 256,
        "aux_latent": 10,
        "sequential_noise": True,
    }


def published_sdfa(file: dict, windows: Tensor, picture: Tensor, draw: Tensor) -> Tensor:
    """SDFA's frames (N, 3, 128, 96), layer by layer from its tables and by its own names."""
    w = {
        f"{part}.{k}": t
        for part in ("encoder", "encoder_id", "generator")
        for k, t in file[part].items()
    }

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, bias = (
            w[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, scale, bias).relu()

    def recur(x: Tensor, prefix: str, *sizes: int) -> Tensor:
        gru = nn.GRU(*sizes, batch_first=True)
        gru.load_state_dict({k[len(prefix) :]: t for k, t in w.items() if k.startswith(prefix)})
        return gru(x)[0]

    x = windows[:, None]
    for i, (stride, padding) in enumerate(((16, 32), (2, 1), (2, 1), (2, 1), (5, 3))):
        name = f"encoder.encoder.cl.{i}"
        x = F.conv1d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)
        x = norm(x, f"encoder.encoder.activations.{i}.0")
    x = F.conv1d(x, w["encoder.encoder.cl.5.weight"], w["encoder.encoder.cl.5.bias"]).tanh()
    speech = recur(x[None, :, :, 0], "encoder.rnn.", 256, 256, 2)[0]
    noise = recur(draw[None], "generator.rnn_noise.", 10, 10)[0].tanh()
    skips = [picture[None]]
    for i in range(5):
        convolved = F.conv2d(skips[-1], w[f"encoder_id.cl.{i}.0.weight"], stride=2, padding=1)
        skips.append(norm(convolved, f"encoder_id.cl.{i}.1"))
    code = F.conv2d(skips[-1], w["encoder_id.cl.5.0.weight"]).tanh()[:, :, 0, 0]
    x = torch.cat([speech, noise, code.expand(len(speech), -1)], 1)[:, :, None, None]
    x = norm(F.conv_transpose2d(x, w["generator.dcl.0.0.weight"]), "generator.dcl.0.1")
    for i in range(1, 5):
        x = torch.cat([x, skips[6 - i].expand(len(x), -1, -1, -1)], 1)
        name = f"generator.dcl.{i}"
        x = norm(
            F.conv_transpose2d(x, w[f"{name}.dcl1.weight"], padding=1), f"{name}.activation1.0"
        )
        x = F.conv_transpose2d(x, w[f"{name}.dcl2.weight"], stride=2, padding=1)
        x = norm(x, f"{name}.activation2.0")
    return F.conv_transpose2d(x, w["generator.dcl.5.weight"], stride=2, padding=1).tanh()


def test_the_published_sdfa_renders_what_its_authors_renders(crema, tmp_path):
    """crema.dat's own sizes: 55,286,340 floats, as its file's length shows."""
    tensors = [t for part in ("encoder", "encoder_id", "generator") for t in crema[part].values()]
    assert sum(t.numel() for t in tensors if t.is_floating_point()) == 55_286_340
    torch.save(crema, tmp_path / "crema.dat")
    folder = convert("sdfa", tmp_path / "crema.dat", tmp_path / "run")
    sdfa = checkpoint.load_network(folder, SDFA, SDFAConfig)
    windows, draw = 0.1 * random(3, 3200), random(3, 10)
    picture = F.interpolate(random(1, 3, 8, 6), (128, 96))[0].tanh()
    with torch.inference_mode():
        expected = published_sdfa(crema, windows, picture, draw)
        code, maps = sdfa.identify(picture[None])
        noise = torch.tanh(sdfa.noise(draw[None])[0])
        frames = sdfa.frames(sdfa.speech(windows[None])[0], noise, torch.zeros(1, 3, 0), code, maps)
    assert expected.std() > 0.1
    torch.testing.assert_close(frames[0], expected, atol=0.02, rtol=0)  # kept as fp16


def test_a_model_of_another_sample_rate_is_refused(crema, tmp_path):
    torch.save(crema | {"audio_rate": 40000}, tmp_path / "grid.dat")
    with pytest.raises(UserError, match="40000 Hz"):
        convert("sdfa", tmp_path / "grid.dat", tmp_path / "run")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    with (tmp_path / "crema.dat").open("wb") as file:
        pickle.dump({"encoder": os.system}, file)
    with pytest.raises(UserError, match=r"crema\.dat"):
        convert("sdfa", tmp_path / "crema.dat", tmp_path / "run")


def test_what_no_program_can_fetch_is_asked_for(tmp_path):
    with pytest.raises(UserError, match="by hand"):
        fetch(SOURCES["sdfa"], tmp_path)


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
    assert import_weights.main() == 2
    assert capsys.readouterr().err.startswith("published: ")
