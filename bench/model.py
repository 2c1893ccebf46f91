"""From measured figures to 10 and 100 million people: arithmetic, written into docs/capacity.md.

    python -m bench.model FILE…

Each file holds what `run.py bench NAME --json` printed, one line a bench. A figure that no file
has keeps the tables from being written: a model with guesses in it is no model.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broadcaster.processes.accounts import PUSH_RULES
from broadcaster.terminal import say
from channels.email import EmailChannel
from channels.sms import SmsChannel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "capacity.md"
SIZES = (1_500_000, 10_000_000, 100_000_000)
PER_PERSON = {"push": 0.85, "sms": 0.73, "email": 0.25}
"""Messages of an alert to everybody, as the synthetic city has endpoints."""
PLACES = 1.45
CARRIER = {
    "push": min(rule.most / rule.seconds for rule in PUSH_RULES),
    "sms": SmsChannel.limits.per_second,
    "email": EmailChannel.limits.per_second,
}
"""Messages a second that one account takes."""
WANTED = 600.0
"""Seconds in which everybody should be told."""
BUSY = 0.7
"""How full a core may be planned."""
NEEDED = {
    "push": "push.cpu_us",
    "sms": "sms.cpu_us",
    "email": "email.cpu_us",
    "database": "fanout.database_us_per_message",
    "wal": "fanout.wal_bytes_per_message",
    "rows": "storage.row_bytes_per_delivery",
    "packed": "storage.bytes_per_delivery",
    "place": "audience.bytes_per_place",
    "written": "audience.deliveries_1_5m_s",
}
WRITTEN = 1_500_000
"""Deliveries that `audience.deliveries_1_5m_s` is for."""
_BEGIN, _END = "<!-- figures: bench.model -->", "<!-- end -->"
_GB, _MB = 1e9, 1e6


@dataclass(frozen=True, slots=True)
class Need:
    """What an alert to everybody takes of a city of one size."""

    people: int
    messages: dict[str, float]
    seconds: dict[str, float]
    """With one account a channel."""
    accounts: dict[str, int]
    """To be done in WANTED seconds."""
    worker_cores: float
    database_cores: float
    wal_mb_s: float
    rows_gb: float
    packed_gb: float
    index_gb: float
    written_s: float

    @classmethod
    def of(cls, people: int, costs: Mapping[str, float]) -> Need:
        """Work it out; `costs` by the keys of NEEDED."""
        messages = {channel: people * share for channel, share in PER_PERSON.items()}
        total = sum(messages.values())
        accounts = {c: math.ceil(m / (WANTED * CARRIER[c])) for c, m in messages.items()}
        # Nobody is faster than the carriers' accounts let them be.
        lasts = max(m / (CARRIER[c] * accounts[c]) for c, m in messages.items())
        work = sum(m * costs[c] for c, m in messages.items()) / 1e6
        return cls(
            people=people,
            messages=messages,
            seconds={c: m / CARRIER[c] for c, m in messages.items()},
            accounts=accounts,
            worker_cores=work / lasts / BUSY,
            database_cores=total * costs["database"] / 1e6 / lasts / BUSY,
            wal_mb_s=total * costs["wal"] / lasts / _MB,
            rows_gb=total * costs["rows"] / _GB,
            packed_gb=total * costs["packed"] / _GB,
            index_gb=people * PLACES * costs["place"] / _GB,
            written_s=total * costs["written"] / WRITTEN,
        )


def _rows(needs: Sequence[Need]) -> list[list[str]]:
    def each(name: str, unit: str, digits: int = 0) -> list[str]:
        return [f"{getattr(need, name):,.{digits}f} {unit}" for need in needs]

    def by_channel(name: str, form: str) -> list[str]:
        return [
            ", ".join(f"{channel} {form.format(value)}" for channel, value in found.items())
            for found in (getattr(need, name) for need in needs)
        ]

    return [
        ["messages, millions", *(_millions(need) for need in needs)],
        ["seconds with one account a channel", *by_channel("seconds", "{:,.0f}")],
        [f"accounts to be done in {WANTED / 60:.0f} minutes", *by_channel("accounts", "{}")],
        ["cores for senders then", *each("worker_cores", "", 1)],
        ["cores for PostgreSQL then", *each("database_cores", "", 1)],
        ["write-ahead log then", *each("wal_mb_s", "MB/s")],
        ["deliveries written, by one clockwork", *each("written_s", "s")],
        ["disk for one alert, as rows", *each("rows_gb", "GB", 1)],
        ["the same packed", *each("packed_gb", "GB", 2)],
        ["people index, one a machine", *each("index_gb", "GB", 2)],
    ]


def _millions(need: Need) -> str:
    return ", ".join(f"{channel} {count / 1e6:.2f}" for channel, count in need.messages.items())


def tables(figures: Mapping[str, tuple[float, str]]) -> str:
    """Return what is known and what follows, as Markdown; KeyError for a figure that is missing."""
    costs = {name: figures[wanted][0] for name, wanted in NEEDED.items()}
    lines = ["| measured | value |", "| --- | --- |"]
    lines += [f"| `{n}` | {figures[n][0]:,g} {figures[n][1]} |" for n in NEEDED.values()]
    needs = [Need.of(people, costs) for people in SIZES]
    heads = ["", *(f"{need.people / 1e6:g} million people" for need in needs)]
    lines += ["", _line(heads), _line(["---"] * len(heads))]
    return "\n".join([*lines, *map(_line, _rows(needs))])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read(paths: Sequence[Path]) -> dict[str, tuple[float, str]]:
    """Read figures by id: value and unit."""
    found = {}
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("{"):
                rows = json.loads(line)["figures"]
                found.update({row["id"]: (row["value"], row["unit"]) for row in rows})
    return found


def main() -> int:
    """Read the files and write the page."""
    parser = argparse.ArgumentParser(prog="bench.model", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    figures = read(parser.parse_args().files)
    missing = [name for name in NEEDED.values() if name not in figures]
    if missing:
        say(f"no file has {', '.join(missing)}: run the benches with --json first")
        return 1
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text(f"{before}{_BEGIN}\n\n{tables(figures)}\n\n{_END}{after}", "utf-8")
    print(tables(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
