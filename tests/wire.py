"""What the lab's carriers got, read from their own files and never from our database."""

from __future__ import annotations

from contextlib import closing
from email import message_from_string
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from broadcaster.fanout.sending import read_delivery_token
from broadcaster.keyring import Keyring
from channels.lab import fcm_store, smsc_store, smtp


class Received(NamedTuple):
    """One message as a carrier got it."""

    address: str
    title: str
    text: str
    at: float
    expires: float
    row: dict[str, Any]


def pushes(directory: Path, code: str) -> list[Received]:
    with closing(fcm_store.connect(directory)) as conn:
        rows = conn.execute(
            "SELECT m.address, m.received_at, c.* FROM message m JOIN content c"
            " ON c.id = m.content WHERE json_extract(c.data, '$.code') = ?",
            (code,),
        ).fetchall()
    return [
        Received(
            row["address"], row["title"], row["body"], row["received_at"],
            row["received_at"] + row["ttl"],
            {**row, "data": orjson.loads(row["data"]), "raw": orjson.loads(row["raw"])},
        )
        for row in rows
    ]  # fmt: skip


def texts(directory: Path, texts: set[str]) -> list[Received]:
    """Messages of one part are counted on the wire; the wordings used here have one."""
    marks = ", ".join("?" * len(texts))
    with closing(smsc_store.open_store(directory)) as conn:
        rows = conn.execute(f"SELECT * FROM part WHERE text IN ({marks})", tuple(texts)).fetchall()
    return [
        Received(row["number"], row["source"], row["text"], row["received_at"],
                 row["expires"], dict(row))
        for row in rows
    ]  # fmt: skip


def mails(directory: Path, keyring: Keyring, alert_id: int) -> list[Received]:
    with closing(smtp.connect(directory)) as conn:
        rows = conn.execute("SELECT * FROM mail").fetchall()
    found = []
    for row in rows:
        headers = message_from_string(row["headers"])
        token = str(headers["Message-ID"]).strip("<>").partition("@")[0]
        delivery = read_delivery_token(keyring, token)
        if delivery is None or delivery[0] != alert_id:
            continue
        end = parsedate_to_datetime(headers["Expires"]).timestamp()
        found.append(
            Received(row["rcpt"], row["subject"], row["text"], row["received_at"], end,
                     {**row, "token": token, "endpoint_id": delivery[1]})
        )  # fmt: skip
    return found
