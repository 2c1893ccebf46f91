"""Mail end to end: rows claimed, decrypted, rendered for each recipient, sent, outcomes durable.

Our process has one core; PostgreSQL and the mail server share the other. The peers speak to the
same server in the same run: aiosmtplib's send_message, and its sendmail with bytes rendered before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import aiosmtplib

from bench import command
from bench.outbox import Carrier, Cores, Took, carrier, outbox
from bench.report import Figure, Peer, Report
from channels.base import Batch, Recipient, Unlimited
from channels.email import EmailChannel, EmailContent

_DOMAIN = "canhbao.example"
_SENDER = f"Cảnh báo <canhbao@{_DOMAIN}>"
_DOMAINS = 20
_OVER = "SELECT pending = 0 FROM progress WHERE alert_id = $1"
_TEXT = "Bão số 3 đổ bộ lúc 19 giờ, gió giật cấp 14. Ở yên trong nhà kiên cố.\n" * 12


def _address(number: int) -> str:
    return f"nguoi{number}@cu{number % _DOMAINS}.example"


def _channel(server: Carrier) -> EmailChannel:
    url = f"smtp://127.0.0.1:{server.port}"
    return EmailChannel(url, _SENDER, _DOMAIN, f"https://{_DOMAIN}")


async def _end_to_end(cores: Cores, server: Carrier, count: int, runs: int) -> list[Took]:
    channel = _channel(server)
    await channel.open()
    took = []
    try:
        async with outbox(cores) as box:
            provider_id = await box.provider("email", "smtp")
            for number in range(runs + 1):
                size = count if number else min(2_000, count)
                alert_id = await box.alert("email", size, _address)
                took.append(await box.send(channel, provider_id, alert_id, _OVER))
    finally:
        await channel.close()
    return took[1:]


async def _alone(server: Carrier, count: int) -> tuple[float, float]:
    """Send without a database: mails a second, and the server's seconds on its core a mail."""
    channel = _channel(server)
    await channel.open()
    batch = Batch(
        {"vi": EmailContent("Bão số 3", _TEXT, f"<p>{_TEXT}</p>")},
        [Recipient(n, _address(n), "vi", f"tok-{n}") for n in range(count)],
        datetime.now(UTC) + timedelta(hours=1),
        urgent=True,
    )
    busy, start, taken = server.cpu, time.perf_counter(), 0
    async for group in channel.send(batch, lambda: True, Unlimited()):
        taken += len(group)
    seconds = time.perf_counter() - start
    await channel.close()
    if taken != count:
        raise RuntimeError(f"{taken} mails of {count} have an outcome")
    return count / seconds, (server.cpu - busy) / count


async def _peers(server: Carrier, count: int) -> tuple[float, float]:
    """Mails a second by aiosmtplib over one connection: send_message, then sendmail of bytes."""
    messages = []
    for number in range(count):
        message = EmailMessage()
        message["From"], message["To"] = _SENDER, _address(number)
        message["Subject"] = "Bão số 3"
        message.set_content(_TEXT)
        message.add_alternative(f"<p>{_TEXT}</p>", subtype="html")
        messages.append(message)
    ready = [message.as_bytes() for message in messages]
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False)
    async with client:

        async def by_message(number: int) -> None:
            await client.send_message(messages[number])

        async def by_bytes(number: int) -> None:
            await client.sendmail(_SENDER, _address(number), ready[number])

        return await _rate(by_message, count), await _rate(by_bytes, count)


async def _rate(send: Callable[[int], Awaitable[None]], count: int) -> float:
    start = time.perf_counter()
    for number in range(count):
        await send(number)
    return count / (time.perf_counter() - start)


async def _measure(count: int, runs: int) -> Report:
    cores = Cores.share()
    with carrier("smtp", cores) as server:
        by_message, by_bytes = await _peers(server, max(200, count // 40))
        alone, busy = await _alone(server, count)
        took = await _end_to_end(cores, server, count, runs)
    rates = [count / one.seconds for one in took]
    rate = statistics.median(rates)
    cpu = [one.cpu / count * 1e6 for one in took]
    return Report(
        bench="email",
        figures=[
            Figure("email.end_to_end_per_s", "mails a second, rows to durable outcomes, one core",
                   round(rate), "1/s", 3_000, at_most=False),
            Figure("email.ratio_send_message", "times aiosmtplib send_message, same server",
                   round(rate / by_message, 1), "x", 5, at_most=False),
            Figure("email.cpu_us", "our processor time a mail", round(statistics.median(cpu)),
                   "µs"),
            Figure("email.sending_alone_per_s", "without a database", round(alone), "1/s"),
        ],
        peers=[
            Peer("aiosmtplib send_message", round(by_message), "1/s", round(rate / by_message, 1)),
            Peer("aiosmtplib sendmail, bytes rendered before", round(by_bytes), "1/s",
                 round(rate / by_bytes, 1)),
        ],
        n=count,
        sink=f"bench/sinks/smtp.py on the other core: {busy * 1e6:.0f} µs a mail, so at most"
             f" {1 / busy if busy else 0:.0f} a second by itself",
        samples={"end_to_end_per_s": rates, "cpu_us": cpu},
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    command.main("email", __doc__, "mails", _measure)


if __name__ == "__main__":
    main()
