"""FCM for volume: HTTPS/2, the token address, a line for every request.

    python -m bench.sinks.fcm --dir DIR --port P --control P

DIR gets the keys (channels/lab/certs.py makes them).
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from bench.sinks import process
from bench.sinks.faults import Sink
from bench.sinks.http2 import Http2, Respond
from bench.sinks.record import Answer, Record
from channels.lab import certs
from channels.lab.fcm_message import refusal

_ADDRESSED: Final = re.compile(
    rb'\{"message":\{"((?:fid|token)":"[A-Za-z0-9_:.-]+)(".*)', re.DOTALL
)
_NAME: Final = b'{"name":"projects/' + certs.PROJECT.encode() + b'/messages/0:%d"}'
_CLOCK: Final = 300.0
"""Seconds by which the clock of who asks for a token may be wrong: Google refuses more."""


class Fcm:
    """Takes every request there is."""

    def __init__(self, files: certs.Files, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self._record = Record()
        self.sink = Sink(self._record, self._connection, port, context)

    def _connection(self) -> Http2:
        return Http2(self._on_request, self.sink.transports)

    def _on_request(self, body: bytes, respond: Respond) -> None:
        found = _ADDRESSED.fullmatch(body)
        if found is None:
            respond(*_token(body))
            return
        address, key = found.groups()
        content = self._record.find(key)
        if content is None:
            content = self._record.content(key, _described(body))
        faults = self.sink.faults
        answer = faults.verdict()
        number = self._record.add(address.replace(b'":"', b":", 1), content, answer)
        if answer is Answer.TAKEN:
            reply = partial(respond, 200, _NAME % number, 0)
        elif answer is Answer.THROTTLED:
            reply = partial(respond, *refusal("QUOTA_EXCEEDED"), round(faults.retry_after))
        else:
            reply = partial(respond, *refusal("UNAVAILABLE"), 0)
        if self.sink.at_once:
            reply()
        else:
            self.sink.later(reply)


def _described(body: bytes) -> dict[str, Any]:
    message = json.loads(body)["message"]
    android, data = message.get("android", {}), message.get("data", {})
    return {
        "code": data.get("code", ""),
        "lang": data.get("lang", ""),
        "sequence": data.get("sequence", ""),
        "tag": android.get("notification", {}).get("tag", ""),
        "ttl": android.get("ttl", ""),
        "title": message.get("notification", {}).get("title", ""),
        "text": message.get("notification", {}).get("body", ""),
    }


def _token(body: bytes) -> tuple[int, bytes, int]:
    """Give a token to who asks at about the right time; signatures are the lab's business."""
    assertion = parse_qs(body.decode("ascii", "replace")).get("assertion", [""])[0]
    try:
        claims = json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))
        off = abs(claims["iat"] - time.time())
    except (IndexError, KeyError, ValueError):
        return 400, b'{"error":"invalid_grant","error_description":"no assertion"}', 0
    if off > _CLOCK:
        return 400, b'{"error":"invalid_grant","error_description":"Invalid JWT: iat"}', 0
    return 200, b'{"access_token":"ya29.sink","expires_in":3600,"token_type":"Bearer"}', 0


def main() -> None:
    """Serve until told to stop."""
    given = process.parser("An FCM for volume.").parse_args()
    process.run(lambda: Fcm(certs.prepare(Path(given.dir), given.port), given.port).sink, given)


if __name__ == "__main__":
    main()
