"""Keys for the lab: a CA, a server certificate for this machine and a service account.

They are made once per directory. The CA's own key is never stored, so nobody can issue more.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROJECT: Final = "lab-city-alerts"

_LIFE: Final = timedelta(days=365)
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Files:
    """Where the lab's keys are."""

    ca: Path
    certificate: Path
    key: Path
    credentials: Path
    """A service account as Google would give it, its token address in the lab."""


def prepare(directory: Path, port: int) -> Files:
    """Make what is missing, or what is about to run out, for a lab FCM on this port."""
    directory.mkdir(parents=True, exist_ok=True)
    files = Files(
        ca=directory / "ca.pem",
        certificate=directory / "server.pem",
        key=directory / "server.key",
        credentials=directory / "service-account.json",
    )
    if not _lasts(files.certificate) or not files.ca.exists() or not files.key.exists():
        _issue(files)
    _service_account(files.credentials, f"https://127.0.0.1:{port}/token")
    return files


def _lasts(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return ends > datetime.now(UTC) + timedelta(days=7)


def _issue(files: Files) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, name = _name("Lab certificate authority"), _name("Lab carrier")
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    hosts = [
        x509.DNSName("localhost"),
        x509.IPAddress(IPv4Address("127.0.0.1")),
        x509.IPAddress(IPv6Address("::1")),
    ]
    server = (
        _builder(name, ca_name, key)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(files.ca, ca.public_bytes(Encoding.PEM), 0o644)
    _write(files.key, _private(key), 0o600)
    _write(files.certificate, server.public_bytes(Encoding.PEM), 0o644)


def _service_account(path: Path, token_uri: str) -> None:
    account = json.loads(path.read_text()) if path.exists() else _new_account()
    if account.get("token_uri") != token_uri:
        account["token_uri"] = token_uri
        _write(path, json.dumps(account, indent=2).encode(), 0o600)


def _new_account() -> dict[str, str]:
    email = f"broadcaster@{PROJECT}.iam.gserviceaccount.com"
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": _private(rsa.generate_private_key(65537, 2048)).decode(),
        "client_email": email,
        "client_id": str(secrets.randbelow(10**21)),
    }


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


def _private(key: _Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    # Two starts at once must each see a whole file, and a private key is never readable by others.
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    part.replace(path)
