"""Signed claims, checked by c2pa's own reader: an altered file fails, an unaltered one passes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from c2pa import C2paError, Reader
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2v_core.__main__ import main
from s2v_core.errors import UserError
from s2v_core.media import credentials, provenance, video
from s2v_core.media.provenance import COMPOSITE, SYNTHETIC, Claim, Verdict

CLAIM = Claim("avatars", "sdfa")
KINDS = (".mp4", ".png", ".jpg")
FRAMES = [np.random.default_rng(n).integers(0, 255, (48, 32, 3), np.uint8) for n in range(6)]


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A signed file of each kind."""
    folder = tmp_path_factory.mktemp("signed")
    files = {kind: folder / f"file{kind}" for kind in KINDS}
    video.write(files[".mp4"], FRAMES, 6, 25, torch.zeros(3_840), claim=CLAIM)
    for kind in KINDS[1:]:
        cv2.imwrite(str(files[kind]), FRAMES[0])
        provenance.sign(files[kind], CLAIM)
    return files


@pytest.mark.parametrize("kind", KINDS)
def test_an_unaltered_file_passes_with_the_reference_reader(signed, kind) -> None:
    """Without our settings: valid, and by a signer that nobody but this host can know."""
    with Reader(signed[kind]) as reader:
        said = json.loads(reader.json())
    assert said["validation_state"] == "Valid"
    assert [each["code"] for each in said["validation_status"]] == ["signingCredential.untrusted"]
    manifest = said["manifests"][said["active_manifest"]]
    assert manifest["claim_generator_info"][0]["name"] == "Speech2Video"
    (actions,) = [a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions")]
    assert actions["data"]["actions"][0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")


@pytest.mark.parametrize("kind", KINDS)
def test_what_made_a_file_is_read_from_it(signed, kind) -> None:
    verdict = provenance.read(signed[kind])
    assert (verdict.intact, verdict.ours, verdict.synthetic) == (True, True, True)
    assert (verdict.generator, verdict.model, verdict.method) == ("Speech2Video", "avatars", "sdfa")
    assert "Unaltered; synthetic" in str(verdict)


def test_a_signed_video_plays_as_before(signed, tmp_path) -> None:
    plain = tmp_path / "plain.mp4"
    video.write(plain, FRAMES, 6, 25, torch.zeros(3_840), claim=None)
    assert video.probe(signed[".mp4"]) == video.probe(plain)
    both = zip(video.read(signed[".mp4"]), video.read(plain), strict=True)
    assert all(np.array_equal(a, b) for a, b in both)
    assert provenance.read(plain) == Verdict(None)


def mp4_boxes(data: bytes) -> dict[str, range]:
    """Return where each top-level box of an mp4 lies."""
    boxes, start = {}, 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        boxes[data[start + 4 : start + 8].decode("latin-1")] = range(start, start + size)
        start += size
    return boxes


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_an_altered_file_fails(signed, tmp_path, data) -> None:
    """One byte of what is seen or heard, anywhere, or the end cut off, or something added."""
    kind = data.draw(st.sampled_from(KINDS))
    content = bytearray(signed[kind].read_bytes())
    how = data.draw(st.sampled_from(["change", "cut", "add"]))
    if kind == ".mp4":
        boxes = mp4_boxes(bytes(content))
        places = [*boxes["moov"], *boxes["mdat"]]
    else:
        # A picture's claim stands at its beginning; the pixels are the rest.
        places = list(range(len(content) - 1_000, len(content)))
    if how == "change":
        content[data.draw(st.sampled_from(places))] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "cut":
        del content[-data.draw(st.integers(1, 900)) :]
    else:
        content += data.draw(st.binary(min_size=8, max_size=50))
    altered = tmp_path / f"altered{kind}"
    altered.write_bytes(content)
    try:
        verdict = provenance.read(altered)
    except UserError:
        return
    assert not verdict.intact, (kind, how)


def test_a_claim_moved_to_another_file_fails(signed, tmp_path) -> None:
    other = tmp_path / "other.mp4"
    video.write(other, FRAMES[::-1], 6, 25, torch.zeros(3_840), claim=None)
    donor, content = signed[".mp4"].read_bytes(), other.read_bytes()
    claim, start = mp4_boxes(donor)["uuid"], mp4_boxes(content)["ftyp"].stop
    other.write_bytes(content[:start] + donor[claim.start : claim.stop] + content[start:])
    assert provenance.read(other).intact is False


def test_a_composite_and_another_signer_are_said_to_be_so(tmp_path, monkeypatch) -> None:
    path = tmp_path / "both.png"
    cv2.imwrite(str(path), FRAMES[0])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "theirs"))
    provenance.sign(path, Claim(source=COMPOSITE))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "ours"))
    verdict = provenance.read(path)
    assert (verdict.intact, verdict.ours, verdict.synthetic) == (True, False, True)
    assert "cannot vouch" in str(verdict)
    assert not (tmp_path / "ours").exists(), "checking makes no key"


def test_a_camera_s_claim_is_not_called_synthetic(tmp_path) -> None:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), FRAMES[0])
    provenance.sign(
        path, Claim(source=SYNTHETIC.replace("trainedAlgorithmicMedia", "digitalCapture"))
    )
    assert "not said to be synthetic" in str(provenance.read(path))


def test_the_key_is_made_once_for_its_owner_only(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    old = os.umask(0)
    try:
        first = credentials.load()
    finally:
        os.umask(old)
    path = credentials.kept_at()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert credentials.load() == first
    own, root = x509.load_pem_x509_certificates(first.certificates)
    own.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)


KEYS: dict[str, Callable[[], object]] = {
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ED25519": ed25519.Ed25519PrivateKey.generate,
    "PS256": lambda: rsa.generate_private_key(65_537, 2048),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_host_s_own_key_is_used_where_it_is_configured(
    signed, tmp_path, monkeypatch, algorithm
) -> None:
    key, root = KEYS[algorithm](), ec.generate_private_key(ec.SECP256R1())
    name = credentials._name("A host")
    above = credentials._name("An authority")
    chain = credentials._certificate(name, key.public_key(), root, above)
    chain += credentials._certificate(above, root.public_key(), root, above)
    (tmp_path / "key.pem").write_bytes(credentials._pem(key))
    (tmp_path / "chain.pem").write_bytes(chain)
    monkeypatch.setenv(credentials.KEY, str(tmp_path / "key.pem"))
    monkeypatch.setenv(credentials.CERTIFICATES, str(tmp_path / "chain.pem"))
    assert not provenance.read(signed[".png"]).ours
    shutil.copy(signed[".png"], path := tmp_path / "a.png")
    provenance.sign(path, CLAIM)
    assert credentials.load().algorithm == algorithm
    assert provenance.read(path).ours
    assert provenance.read(path).signer == "Speech2Video, A host"


@pytest.mark.parametrize("obstacle", ["no home", "half configured", "no key", "damaged", "missing"])
def test_where_nothing_can_be_signed_videos_are_made_all_the_same(
    tmp_path, monkeypatch, caplog, obstacle
) -> None:
    (tmp_path / "file").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n")
    if obstacle == "no home":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    elif obstacle == "half configured":
        monkeypatch.setenv(credentials.KEY, str(tmp_path / "file"))
    else:
        file = {"no key": "gone", "damaged": "file", "missing": ""}[obstacle]
        monkeypatch.setenv(credentials.KEY, str(tmp_path / file))
        monkeypatch.setenv(credentials.CERTIFICATES, str(tmp_path / file))
    with caplog.at_level(logging.WARNING):
        video.write(tmp_path / "a.mp4", FRAMES, 6, 25, torch.zeros(3_840), title="a")
    assert video.probe(tmp_path / "a.mp4").n_frames == 6
    assert provenance.read(tmp_path / "a.mp4").intact is None
    (record,) = caplog.records
    assert record.getMessage().startswith("a is not signed: ")
    assert "\n" not in record.getMessage()
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "file"}


def test_the_command_prints_a_line_for_each_file(signed, tmp_path, capsys) -> None:
    assert main(["verify", *map(str, signed.values())]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["path"], line["intact"]) for line in lines] == [
        (str(path), True) for path in signed.values()
    ]
    cv2.imwrite(str(tmp_path / "plain.png"), FRAMES[0])
    assert main(["verify", str(signed[".png"]), str(tmp_path / "plain.png")]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[1])["intact"] is None


@pytest.mark.parametrize("name", ["gone.mp4", "letter.txt", "empty.mp4", "folder"])
def test_what_cannot_be_checked_ends_in_one_line(tmp_path, capsys, name) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam,")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    status = main(["verify", str(tmp_path / name)])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
    assert name in err


@settings(max_examples=100, deadline=None, derandomize=True)
@given(content=st.binary(max_size=400), head=st.sampled_from([b"", b"RIFF", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_end_in_a_verdict_or_one_error(tmp_path_factory, content, head) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.mp4"
    path.write_bytes(head + content)
    try:
        assert not provenance.read(path).intact
    except UserError as error:
        assert "\n" not in str(error)
    except C2paError:
        pytest.fail("c2pa's own error came through")
