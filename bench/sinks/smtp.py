"""A mail server for volume: pipelining, one line for every mail.

    python -m bench.sinks.smtp --dir DIR --port P --control P

Mails with one subject and body are one content; who each is for stands in its own line, with the
token of its Message-ID.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from functools import partial
from typing import Any, Final, cast

from bench.sinks import process
from bench.sinks.faults import Sink
from bench.sinks.record import Answer, Record

_HELLO: Final = b"250-sink.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
_END: Final = b"\r\n.\r\n"
_ID: Final = b"\r\nMessage-ID: <"
_SUBJECT: Final = b"\r\nSubject:"
_PATH: Final = re.compile(rb"<([^<>]*)>")
_REFUSED: Final = {
    Answer.FAILED: b"451 4.3.0 Try again later\r\n",
    Answer.THROTTLED: b"450 4.7.1 Too many messages, slow down\r\n",
}


class Smtp:
    """Takes every mail there is."""

    def __init__(self, port: int) -> None:
        self.record = Record()
        self.sink = Sink(self.record, partial(_Dialogue, self), port)

    def take(self, rcpt: bytes, mail: bytes) -> None:
        """Keep one mail as `address token`."""
        head, _, body = mail.partition(b"\r\n\r\n")
        begin = head.find(_ID) + len(_ID)
        token = head[begin : head.find(b"@", begin)] if begin >= len(_ID) else b"-"
        subject = head.find(_SUBJECT)
        key = head[subject : head.find(b"\r\n", subject + 2)] + body
        content = self.record.find(key)
        if content is None:
            content = self.record.content(key, _described(mail))
        self.record.add(rcpt + b" " + token, content, Answer.TAKEN)

    def refuse(self, rcpt: bytes, answer: Answer) -> None:
        """Keep that a mail was refused before its body came."""
        content = self.record.find(b"")
        if content is None:
            content = self.record.content(b"", {"subject": "", "lang": "", "text": ""})
        self.record.add(rcpt + b" -", content, answer)


def _described(mail: bytes) -> dict[str, Any]:
    message = message_from_bytes(mail, policy=default)
    text = message.get_body(("plain",))
    return {
        "subject": str(message["Subject"] or ""),
        "lang": str(message["Content-Language"] or ""),
        "text": text.get_content() if text else "",
    }


class _Dialogue(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Smtp) -> None:
        self._server = server
        self._buffer = bytearray()
        self._rcpts: list[bytes] = []
        self._in_body = False
        self._out: list[bytes] = []
        self._transport: asyncio.Transport
        self._commands: dict[bytes, Callable[[bytes], None]] = {
            b"MAIL": self._mail, b"RCPT": self._rcpt, b"DATA": self._data,
        }  # fmt: skip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.sink.transports.add(self._transport)
        self._transport.write(b"220 sink.example\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._server.sink.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take whole lines and whole mails; what is answered meanwhile leaves as one write."""
        self._buffer += data
        while self._body() if self._in_body else self._line():
            pass
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)

    def _line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end]).rstrip()
        del self._buffer[: end + 1]
        verb = line[:4].upper()
        act = self._commands.get(verb)
        if act is not None:
            act(line)
        elif verb == b"EHLO":
            self._out.append(_HELLO)
        elif verb == b"QUIT":
            self._out.append(b"221 2.0.0 Bye\r\n")
        else:
            self._rcpts = []
            self._out.append(b"250 2.0.0 OK\r\n")
        return True

    def _mail(self, _: bytes) -> None:
        self._rcpts = []
        self._out.append(b"250 2.1.0 OK\r\n")

    def _rcpt(self, line: bytes) -> None:
        path = _PATH.search(line)
        rcpt = path[1].lower() if path else b"?"
        answer = self._server.sink.faults.verdict()
        if answer is Answer.TAKEN:
            self._rcpts.append(rcpt)
            self._out.append(b"250 2.1.5 OK\r\n")
        else:
            self._server.refuse(rcpt, answer)
            self._out.append(_REFUSED[answer])

    def _data(self, _: bytes) -> None:
        self._in_body = bool(self._rcpts)
        self._out.append(
            b"354 Go on\r\n" if self._rcpts else b"503 5.5.1 There is no recipient\r\n"
        )

    def _body(self) -> bool:
        end = self._buffer.find(_END)
        if end < 0:
            return False
        mail = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        for rcpt in self._rcpts:
            self._server.take(rcpt, mail)
        self._in_body, self._rcpts = False, []
        if self._server.sink.at_once:
            self._out.append(b"250 2.0.0 OK\r\n")
        else:
            self._server.sink.later(partial(self._write, b"250 2.0.0 OK\r\n"))
        return True


def main() -> None:
    """Serve until told to stop."""
    given = process.parser("A mail server for volume.").parse_args()
    process.run(lambda: Smtp(given.port).sink, given)


if __name__ == "__main__":
    main()
