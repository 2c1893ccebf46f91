"""firebase-admin's own senders against a canned server: messages a second, in a process alone.

    python -m bench.push_peers URL CREDENTIALS COUNT

The environment names the server's CA (REQUESTS_CA_BUNDLE, SSL_CERT_FILE). Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import firebase_admin  # type: ignore[import-untyped]
import requests
from firebase_admin import credentials, messaging

_AT_ONCE = 500
"""The most either sender takes."""


def _messages(first: int) -> list[messaging.Message]:
    return [
        messaging.Message(
            fid=f"f{number:021d}",
            notification=messaging.Notification(title="Bão số 3", body="Ở trong nhà từ 18 giờ."),
            data={"code": "HN-1", "kind": "alert", "class": "warning", "lang": "vi"},
            android=messaging.AndroidConfig(priority="high", ttl=3600),
        )
        for number in range(first, first + _AT_ONCE)
    ]


def _checked(answer: messaging.BatchResponse) -> None:
    if answer.failure_count:
        raise RuntimeError(f"{answer.failure_count} refused: {answer.responses[0].exception}")


def _each(count: int) -> float:
    _checked(messaging.send_each(_messages(0)))
    start = time.perf_counter()
    for first in range(0, count, _AT_ONCE):
        _checked(messaging.send_each(_messages(first)))
    return count / (time.perf_counter() - start)


async def _each_async(count: int) -> float:
    _checked(await messaging.send_each_async(_messages(0)))
    start = time.perf_counter()
    for first in range(0, count, _AT_ONCE):
        _checked(await messaging.send_each_async(_messages(first)))
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure both and print."""
    url, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    service = messaging._MessagingService
    service.FCM_URL = url + "/v1/projects/{0}/messages:send"
    app = firebase_admin.initialize_app(credentials.Certificate(path))
    # The connections it keeps for Google's address, for this one too.
    adapter = requests.adapters.HTTPAdapter(pool_connections=100, pool_maxsize=100)
    messaging._get_messaging_service(app)._client.session.mount(url, adapter)
    each = _each(count)
    print(json.dumps({"send_each": each, "send_each_async": asyncio.run(_each_async(count))}))


if __name__ == "__main__":
    main()
