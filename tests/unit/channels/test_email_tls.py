"""How a connection is secured and signed in, against a server that really does TLS and AUTH."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from channels.base import Action, Batch, Outcome, Recipient, Result, Unlimited
from channels.email import EmailChannel, EmailContent
from channels.email_wire import Server


@lru_cache
def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return signed.public_bytes(serialization.Encoding.PEM), secret


@pytest.fixture
def server_tls(tmp_path: Path) -> ssl.SSLContext:
    (tmp_path / "cert.pem").write_bytes(certificate()[0])
    (tmp_path / "key.pem").write_bytes(certificate()[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate()[0].decode())


class Relay:
    """Takes mail and remembers how it was connected to."""

    def __init__(self) -> None:
        self.secure: list[bool] = []
        self.users: list[object] = []

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert server.transport is not None
        self.secure.append(server.transport.get_extra_info("ssl_object") is not None)
        self.users.append(session.auth_data)
        return "250 2.0.0 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        good = isinstance(data, LoginPassword) and data.password == b"p@ss:word"
        login = data.login if isinstance(data, LoginPassword) else b""
        return AuthResult(success=good, handled=False, auth_data=login)


@asynccontextmanager
async def relay(
    options: dict[str, object], implicit: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Relay, int]]:
    handler = Relay()
    loop = asyncio.get_running_loop()
    make: Callable[[], SMTP] = lambda: SMTP(  # noqa: E731
        handler,
        hostname="relay",
        loop=loop,
        authenticator=handler.authenticate,
        **options,  # type: ignore[arg-type]
    )
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=implicit)
    try:
        yield handler, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def send(
    url: str, tls_context: ssl.SSLContext | None = None, count: int = 1
) -> list[Outcome]:
    channel = EmailChannel(
        url,
        "canhbao@canhbao.example",
        "tin.canhbao.example",
        "https://canhbao.example",
        1,
        timeout=30,
        tls_context=tls_context,
    )
    people = [Recipient(n, f"p{n}@cu.example", "vi", f"t{n}") for n in range(count)]
    batch = Batch({"vi": EmailContent("Mưa", "Mưa to")}, people, datetime.now(UTC), urgent=True)
    outcomes = [o async for group in channel.send(batch, lambda: True, Unlimited()) for o in group]
    await channel.close()
    return outcomes


async def test_smtps_is_encrypted_and_kept(server_tls: ssl.SSLContext) -> None:
    async with relay({}, implicit=server_tls) as (handler, port):
        outcomes = await send(f"smtps://127.0.0.1:{port}", trusting(), count=5)
    assert {o.result for o in outcomes} == {Result.ACCEPTED}
    assert handler.secure == [True] * 5


async def test_smtps_with_a_certificate_nobody_vouches_for_sends_nothing(
    server_tls: ssl.SSLContext,
) -> None:
    async with relay({}, implicit=server_tls) as (handler, port):
        (outcome,) = await send(f"smtps://127.0.0.1:{port}")
    assert (outcome.result, handler.secure) == (Result.TEMPORARY, [])


async def test_starttls_is_used_when_offered(server_tls: ssl.SSLContext) -> None:
    async with relay({"tls_context": server_tls}) as (handler, port):
        outcomes = await send(f"smtp://127.0.0.1:{port}", count=3)
    assert {o.result for o in outcomes} == {Result.ACCEPTED}
    assert handler.secure == [True] * 3


async def test_without_an_offer_mail_goes_in_clear_text() -> None:
    async with relay({}) as (handler, port):
        (outcome,) = await send(f"smtp://127.0.0.1:{port}")
    assert (outcome.result, handler.secure) == (Result.ACCEPTED, [False])


async def test_the_url_signs_in(server_tls: ssl.SSLContext) -> None:
    options: dict[str, object] = {"tls_context": server_tls, "auth_required": True}
    async with relay(options) as (handler, port):
        (outcome,) = await send(f"smtp://ca%20nhan:p%40ss%3Aword@127.0.0.1:{port}", trusting())
    assert outcome.result is Result.ACCEPTED
    assert handler.users == [b"ca nhan"]


async def test_wrong_credentials_pause(server_tls: ssl.SSLContext) -> None:
    async with relay({"tls_context": server_tls, "auth_required": True}) as (_, port):
        first, *rest = await send(f"smtp://user:wrong@127.0.0.1:{port}", trusting(), count=9)
    assert (first.result, first.action) == (Result.TEMPORARY, Action.PAUSE)
    assert first.reason == "535 5.7.8"
    assert {o.result for o in rest} == {Result.NOT_SENT}


async def test_missing_credentials_pause() -> None:
    with pytest.warns(UserWarning, match="Requiring AUTH"):
        async with relay({"auth_required": True, "auth_require_tls": False}) as (_, port):
            (outcome,) = await send(f"smtp://127.0.0.1:{port}")
    assert (outcome.action, outcome.reason) == (Action.PAUSE, "530 5.7.0")


async def test_a_server_that_cannot_sign_in_pauses() -> None:
    async with relay({}) as (_, port):
        (outcome,) = await send(f"smtp://user:secret@127.0.0.1:{port}")
    assert (outcome.action, outcome.reason) == (Action.PAUSE, "no common security")


async def test_a_password_never_crosses_a_network_in_clear_text() -> None:
    client = Server.from_url("smtp://user:secret@relay.example").client("x.example", 5, None)
    assert client._start_tls_on_connect is True
    assert client.validate_certs is True


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Server.from_url("smtp://user:secret@relay.example"))
    with pytest.raises(ValueError, match="must be smtp") as error:
        Server.from_url("smpt://user:secret@relay.example")
    assert "secret" not in str(error.value)
