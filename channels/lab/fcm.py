"""A local FCM: its HTTP v1 API and Google's token address, over HTTPS and HTTP/2.

    python -m channels.lab.fcm --dir DIR --port P

DIR gets the keys (see certs.py) and `fcm.sqlite`, where everything received can be read while
the server runs. These settings change it while it runs:

delay_ms, jitter_ms   time before an answer
error_rate            share of requests answered 503 UNAVAILABLE
throttle_rate         share answered 429 QUOTA_EXCEEDED with Retry-After: 1
timeout_rate          share taken and never answered
unregistered_rate     share of phones without the app, always the same ones
offline_rate          share of phones that are switched off when first seen, always the same ones
token_seconds         life of an access token
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import secrets
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
import uvloop
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from google.auth import jwt
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP2Settings
from granian.server.embed import Server

from channels.lab import certs, fcm_store, store
from channels.lab.fcm_message import InvalidError, refusal

DEFAULTS: Final[dict[str, float]] = {
    "delay_ms": 0,
    "jitter_ms": 0,
    "error_rate": 0,
    "throttle_rate": 0,
    "timeout_rate": 0,
    "unregistered_rate": 0,
    "offline_rate": 0,
    "token_seconds": 3600,
}

_JSON: Final = ("content-type", "application/json; charset=UTF-8")
_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
"""google-auth claims Google's own address whatever the account's token_uri says."""
_luck: Final = random.random
_RETRY: Final = ("retry-after", "1")
_FLUSH_SECONDS: Final = 0.02
_NEVER: Final = 3600.0


class Fcm:
    """The server's state and its two addresses."""

    def __init__(self, directory: Path, port: int, canned: bool) -> None:
        self.files = certs.prepare(directory, port)
        account = orjson.loads(self.files.credentials.read_bytes())
        self._email = account["client_email"]
        self._public_key = _public_key(account["private_key"])
        self._path = f"/v1/projects/{account['project_id']}/messages:send"
        self._name = f"projects/{account['project_id']}/messages/0:"
        self._conn = fcm_store.connect(directory)
        self._watch = store.Watch(self._conn)
        self._ledger = fcm_store.Ledger(self._conn)
        self._bearers: dict[str, float] = {}
        self._settings = dict(DEFAULTS)
        self._faults: dict[str, str] = {}
        self._canned = canned

    async def __call__(self, scope: Any, proto: Any) -> None:
        """Answer one request."""
        if scope.path == self._path and scope.method == "POST":
            await self._send(scope, proto)
        elif scope.path == "/token" and scope.method == "POST":
            status, body = self._token(await proto())
            proto.response_bytes(status, [_JSON], body)
        else:
            self._refuse(proto, "NOT_FOUND")

    async def keep(self) -> None:
        """Write what came in and read what was changed, many times a second, for ever."""
        while True:
            self._ledger.flush()
            if self._watch.changed():
                with store.answering(self._conn):
                    self._settings = store.settings(self._conn, DEFAULTS)
                    rows = self._conn.execute("SELECT address, code FROM fault")
                    self._faults = {row["address"]: row["code"] for row in rows}
            await asyncio.sleep(_FLUSH_SECONDS)

    def close(self) -> None:
        """Write the last of it."""
        self._ledger.flush()
        self._conn.close()

    async def _send(self, scope: Any, proto: Any) -> None:
        body = await proto()
        if self._canned:
            proto.response_bytes(200, [_JSON], b'{"name":"projects/lab/messages/0:0"}')
            return
        if self._settings["delay_ms"] or self._settings["jitter_ms"]:
            jitter = self._settings["jitter_ms"] * _luck()
            await asyncio.sleep((self._settings["delay_ms"] + jitter) / 1000)
        if not self._authorised(scope.headers.get("authorization", "")):
            self._refuse(proto, "UNAUTHENTICATED")
            return
        try:
            address, content = self._ledger.read(body)
        except InvalidError as invalid:
            self._refuse(proto, "INVALID_ARGUMENT", invalid.field, invalid.description)
            return
        if code := self._fault(address):
            self._refuse(proto, *code)
            return
        await self._accept(proto, address, content)

    async def _accept(self, proto: Any, address: str, content: int) -> None:
        silent = _luck() < self._settings["timeout_rate"]
        away = self._settings["offline_rate"]
        offline = away > 0 and _share(address, b"offline") < away
        number = self._ledger.accept(address, content, offline, answered=not silent)
        self._ledger.count("NO_ANSWER" if silent else "OK")
        if silent:
            await asyncio.wait([asyncio.ensure_future(proto.client_disconnect())], timeout=_NEVER)
            return
        proto.response_bytes(200, [_JSON], f'{{"name":"{self._name}{number}"}}'.encode())

    def _fault(self, address: str) -> tuple[str, ...]:
        """Return the code to refuse an address with, the field at fault and why."""
        code = self._faults.get(address)
        if code == "INVALID_ARGUMENT":
            return code, f"message.{address.partition(':')[0]}", "Invalid registration"
        if code:
            return (code,)
        if "*" in self._faults:
            return (self._faults["*"],)
        share = self._settings["unregistered_rate"]
        if share and _share(address, b"unregistered") < share:
            return ("UNREGISTERED",)
        luck = _luck()
        if luck < self._settings["error_rate"]:
            return ("UNAVAILABLE",)
        if luck < self._settings["error_rate"] + self._settings["throttle_rate"]:
            return ("QUOTA_EXCEEDED",)
        return ()

    def _refuse(self, proto: Any, code: str, field: str = "", description: str = "") -> None:
        self._ledger.count(code)
        status, body = refusal(code, field, description)
        proto.response_bytes(status, [_JSON, _RETRY] if status == 429 else [_JSON], body)

    def _authorised(self, header: str) -> bool:
        return self._bearers.get(header.removeprefix("Bearer "), 0) > time.time()

    def _token(self, body: bytes) -> tuple[int, bytes]:
        form = parse_qs(body.decode("ascii", "replace"))
        assertion = form.get("assertion", [""])[0]
        try:
            claims = jwt.decode(assertion, self._public_key, audience=_AUDIENCE)  # type: ignore[no-untyped-call]
        except ValueError as error:
            return 400, orjson.dumps(
                {"error": "invalid_grant", "error_description": f"Invalid JWT: {error}"}
            )
        if claims["iss"] != self._email:
            return 400, orjson.dumps({"error": "invalid_grant", "error_description": "issuer"})
        life = int(self._settings["token_seconds"])
        bearer = f"ya29.lab-{secrets.token_urlsafe(96)}"
        self._bearers[bearer] = time.time() + life
        answer = {"access_token": bearer, "expires_in": life, "token_type": "Bearer"}
        return 200, orjson.dumps(answer)


def _share(address: str, purpose: bytes) -> float:
    digest = hashlib.blake2b(address.encode(), digest_size=4, key=purpose).digest()
    return int.from_bytes(digest) / 2**32


def _public_key(private_pem: str) -> bytes:
    key = load_pem_private_key(private_pem.encode(), password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def _serve(directory: Path, port: int, canned: bool) -> None:
    fcm = Fcm(directory, port, canned)
    server = Server(
        fcm,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.auto,
        http2_settings=HTTP2Settings(max_concurrent_streams=100),
        websockets=False,
        backpressure=10_000,
        ssl_cert=fcm.files.certificate,
        ssl_key=fcm.files.key,
        log_enabled=False,
    )
    keeper = asyncio.create_task(fcm.keep())
    try:
        await server.serve()
    finally:
        keeper.cancel()
        fcm.close()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="A local FCM.")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--canned",
        action="store_true",
        help="answer every message at once and keep nothing: for measuring what sends",
    )
    options = parser.parse_args()
    uvloop.run(_serve(options.dir, options.port, options.canned))


if __name__ == "__main__":
    main()
