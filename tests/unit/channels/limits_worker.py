"""One process of several that share a limit: it sends a datagram for every permission it gets.

It says when it is ready and is told the moment that its times count from. It lives to `end`, and
sends from `begin` to `until`; with `bursts`, so many at a time and so long a pause between them.

python -m tests.unit.channels.limits_worker '{"url": …, "worker": …, …}'
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

import orjson
import uvloop

from channels.limits import SharedLimiter
from channels.limits_rules import RateLimit, Rule

_AT_ONCE = 40


async def run(job: dict[str, Any]) -> None:
    limit = RateLimit(tuple(Rule(most, seconds) for most, seconds in job["rules"]))
    limiter = SharedLimiter(job["url"], "account", job["worker"], limit)
    limiter.crew(job["workers"], job["rank"])
    tasks = [asyncio.create_task(limiter.run()), asyncio.create_task(_beat(limiter, job))]
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect(("127.0.0.1", job["port"]))
    while not limiter.shared:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    zero = float(await asyncio.to_thread(sys.stdin.readline))
    until = zero + job.get("until", job["end"])
    await asyncio.sleep(max(0.0, zero + job["begin"] - time.time()))
    pace, mark = limiter.pace(job["lane"]), bytes([job["lane"], job["rank"]])

    async def send() -> None:
        while time.time() < until:
            if not pace.ready():
                await pace.take()
            out.send(mark)

    async def send_in_bursts(count: int, pause: float) -> None:
        while time.time() < until:
            for _ in range(count):
                if not pace.ready():
                    await pace.take()
                out.send(mark)
            await asyncio.sleep(pause)

    if "bursts" in job:
        tasks.append(asyncio.create_task(send_in_bursts(*job["bursts"])))
    else:
        tasks += [asyncio.create_task(send()) for _ in range(_AT_ONCE)]
    await asyncio.sleep(zero + job["end"] - time.time())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _beat(limiter: SharedLimiter, job: dict[str, Any]) -> None:
    while True:
        await asyncio.sleep(0.5)
        limiter.crew(job["workers"], job["rank"])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(orjson.loads(sys.argv[1])))
