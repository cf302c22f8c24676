"""The key and certificates that sign what is made: the host's own, or a pair made at first use and kept."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Variables that name PEM files: a key, and its certificate with those that vouch for it after it.
KEY, CERTIFICATES = "S2V_SIGNING_KEY", "S2V_SIGNING_CERTIFICATES"
LIFETIME = timedelta(days=3650)
USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class Credentials(NamedTuple):
    """A private key and its certificates, its own first, both in PEM; and C2PA's name of the algorithm."""

    key: bytes
    certificates: bytes
    algorithm: str

    @property
    def anchor(self) -> str:
        """The last certificate, which vouches for the others."""
        last = x509.load_pem_x509_certificates(self.certificates)[-1]
        return last.public_bytes(Encoding.PEM).decode()


def load() -> Credentials:
    """Return the configured credentials, else the kept ones, made now if need be.

    Raises OSError when a file cannot be read or made, ValueError when it holds no key.
    """
    if configured := _configured():
        return configured
    path = kept_at()
    if not path.is_file():
        _keep(path, make())
    return _parse(path.read_bytes())


def known() -> Credentials | None:
    """Return the credentials that there are; None where there are none, or none that can be read."""
    with suppress(OSError, ValueError, RuntimeError):
        return _configured() or _parse(kept_at().read_bytes())
    return None


def kept_at() -> Path:
    """Return the file of the kept pair; RuntimeError where the user has no home."""
    settings = os.environ.get("XDG_CONFIG_HOME")
    return (
        (Path(settings) if settings else Path.home() / ".config") / "speech2video" / "signing.pem"
    )


def make() -> bytes:
    """Return a new key and two certificates in PEM: a root's, and the key's own, signed by the root."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name("Self-made root")
    own = _certificate(_name("Self-made certificate"), key.public_key(), root, root_name)
    vouching = _certificate(root_name, root.public_key(), root, root_name)
    # The root's key is forgotten: it can sign nothing else.
    return _pem(key) + own + vouching


def _configured() -> Credentials | None:
    files = [os.environ.get(name) for name in (KEY, CERTIFICATES)]
    if not any(files):
        return None
    if not all(files):
        raise ValueError(f"{KEY} and {CERTIFICATES} must both be set")
    key, certificates = (Path(file).read_bytes() for file in files if file)
    return _parse(key + b"\n" + certificates)


def _parse(pem: bytes) -> Credentials:
    key = load_pem_private_key(pem, None)
    certificates = x509.load_pem_x509_certificates(pem)
    in_order = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    return Credentials(_pem(key), in_order, _algorithm(key))


def _algorithm(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "ES256", 384: "ES384", 521: "ES512"}[key.key_size]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ED25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    raise ValueError("the key is neither RSA, ECDSA nor Ed25519")


def _keep(path: Path, pem: bytes) -> None:
    """Write ``pem`` for this user's eyes only; what another process kept meanwhile stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    with suppress(FileExistsError):
        os.link(part, path)
    part.unlink()


def _pem(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]


def _name(words: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Speech2Video")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, words)])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
) -> bytes:
    """Return the certificate of ``key`` in PEM, as C2PA 2 (section 14.5) wants a signer's or a root's."""
    is_root, now = subject == issuer, datetime.now(UTC)
    uses = {"key_cert_sign", "crl_sign"} if is_root else {"digital_signature"}
    draft = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    # A day ago: other computers' clocks may be behind.
    draft = draft.not_valid_before(now - timedelta(days=1)).not_valid_after(now + LIFETIME)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(is_root, None), True),
        (x509.KeyUsage(**{use: use in uses for use in USES}), True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (above, False),
    ]
    if not is_root:
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False))
    for extension, critical in extensions:
        draft = draft.add_extension(extension, critical)
    return draft.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM)
