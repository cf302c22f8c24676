"""Signed claims (C2PA) in the files that leave the program: what made them, and whether they were altered.

A claim says what a file says of itself: anybody can remove it, or sign another with a key of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2v_core.errors import UserError

if TYPE_CHECKING:
    from c2pa import Context

# The IPTC's names of how a picture came to be.
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SYNTHETIC = SOURCES + "trainedAlgorithmicMedia"
COMPOSITE = SOURCES + "compositeWithTrainedAlgorithmicMedia"
TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Claim:
    """What is said of a file: the model set and method that made it, and its IPTC digital source type."""

    model: str = ""
    method: str = ""
    source: str = SYNTHETIC


@dataclass(frozen=True)
class Verdict:
    """What a file claims. ``intact``: not altered since, None without a claim; ``ours``: by a known key."""

    intact: bool | None
    ours: bool = False
    synthetic: bool = False
    generator: str = ""
    model: str = ""
    method: str = ""
    signer: str = ""

    def __str__(self) -> str:
        if self.intact is None:
            return "No signed claim: nothing can be said about how this file was made."
        if not self.intact:
            return "ALTERED: the file, or the claim in it, was changed after it was signed."
        made = "synthetic" if self.synthetic else "not said to be synthetic"
        by = " ".join(filter(None, [self.generator, self.model and f"({self.model})", self.method]))
        whose = (
            "by this host's own key" if self.ours else "by a key that this host cannot vouch for"
        )
        return f"Unaltered; {made}, made by {by or 'an unnamed program'}; signed {whose}: {self.signer}."


def sign(path: Path, claim: Claim, title: str = "") -> None:
    """Sign the mp4, png or jpg at ``path`` in place, whole or not at all; a log line where it cannot be."""
    part = path.with_name(f".signed-{path.name}")
    try:
        _write_signed(path, part, _manifest(title or path.stem, claim))
        part.replace(path)
    # A key that cannot be read or kept, c2pa's own errors, a library that this system lacks: the
    # video is worth more than its signature.
    except Exception as error:
        why = " ".join(str(error).split())
        logging.getLogger(__name__).warning("%s is not signed: %s", title or path.name, why)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | Path) -> Verdict:
    """Check the claim in a media file; UserError when the file cannot be read or is of an unknown kind."""
    from c2pa import C2paError, Reader

    path = Path(path)
    try:
        with path.open("rb") as file, _context() as context:
            kind = TYPES.get(path.suffix.lower())
            with Reader(kind, file, None, context) as reader:
                return _verdict(reader.get_active_manifest() or {}, reader.get_validation_state())
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}.") from error
    except C2paError.ManifestNotFound:
        return Verdict(None)
    # So c2pa reports what is not a whole file of a kind that it knows.
    except (C2paError.NotSupported, C2paError.Io, C2paError.Other) as error:
        raise UserError(f"{path} is damaged, or no picture, video or sound.") from error
    except C2paError:
        return Verdict(intact=False)


def _write_signed(path: Path, signed: Path, manifest: dict[str, Any]) -> None:
    from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Signer

    from s2v_core.media import credentials

    own = credentials.load()
    algorithm = C2paSigningAlg[own.algorithm]
    info = C2paSignerInfo(algorithm, own.certificates, own.key, None)
    with (
        _context() as context,
        Signer.from_info(info) as signer,
        Builder(manifest, context) as builder,
        path.open("rb") as source,
        signed.open("w+b") as target,
    ):
        builder.sign(signer, TYPES[path.suffix.lower()], source, target)


def _context() -> Context:
    """Return c2pa's settings: nothing is fetched from the network, and the keys known here are trusted."""
    from c2pa import Context

    from s2v_core.media import credentials

    checks = {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False}
    settings: dict[str, Any] = {"verify": checks, "builder": {"thumbnail": {"enabled": False}}}
    if own := credentials.known():
        settings["trust"] = {"trust_anchors": own.anchor}
    return Context.from_dict(settings)


def _manifest(title: str, claim: Claim) -> dict[str, Any]:
    generator = {"name": "Speech2Video"}
    with suppress(PackageNotFoundError):
        generator["version"] = version("speech2video")
    action = {
        "action": "c2pa.created",
        "digitalSourceType": claim.source,
        "softwareAgent": generator,
        "parameters": {"model": claim.model, "method": claim.method},
    }
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [action]}}
    return {"claim_generator_info": [generator], "title": title, "assertions": [actions]}


def _verdict(manifest: dict[str, Any], state: str | None) -> Verdict:
    if state not in ("Valid", "Trusted"):
        return Verdict(intact=False)
    created = next(_created(manifest), {})
    made_with, signer = created.get("parameters") or {}, manifest.get("signature_info") or {}
    generators = manifest.get("claim_generator_info") or [{}]
    return Verdict(
        intact=True,
        ours=state == "Trusted",
        synthetic=str(created.get("digitalSourceType")) in (SYNTHETIC, COMPOSITE),
        generator=str(generators[0].get("name", "")),
        model=str(made_with.get("model", "")),
        method=str(made_with.get("method", "")),
        signer=", ".join(str(signer[key]) for key in ("issuer", "common_name") if key in signer),
    )


def _created(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the actions by which the file came to be."""
    for assertion in manifest.get("assertions", []):
        if assertion.get("label", "").startswith("c2pa.actions"):
            for action in assertion["data"].get("actions", []):
                if action.get("action") == "c2pa.created":
                    yield action
