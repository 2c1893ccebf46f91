"""What the live page shows beside the counts: communes, facts against forecast, the timeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broadcaster.alerts.draft import Alert
from broadcaster.fanout import against, tally
from broadcaster.fanout.against import Against
from broadcaster.fanout.reach_series import Series
from broadcaster.fanout.tally import Tally
from broadcaster.web import render
from broadcaster.web.collation import spelled
from broadcaster.web.geography import Atlas

SHARED = ("channels", "against", "communes", "timeline")
"""Pieces of the page that are sent again when they have changed, the same for every reader."""
OWN = "replies"
"""The piece that hangs on how far a reader's roles reach."""
_LOWEST = 6
"""Communes in sight: those furthest behind. All others are one press away."""
_ROWS = 16


@dataclass(frozen=True, slots=True)
class Share:
    """Deliveries in one commune, all channels together."""

    unit_id: int
    name: str
    messages: int
    left: int
    confirmed: int
    failed: int
    pending: int

    def part(self, count: int) -> float:
        """Return a count as a share of its messages."""
        return count / self.messages if self.messages else 0.0

    @property
    def open(self) -> int:
        """Messages that nobody has taken: waiting, failed, ended or unknown."""
        return self.messages - self.left


@dataclass(frozen=True, slots=True)
class Shares:
    """Every commune, the ones furthest behind first."""

    tally: Tally
    rows: tuple[Share, ...]

    @property
    def lowest(self) -> Sequence[Share]:
        """Those in sight."""
        return self.rows[:_LOWEST]

    @property
    def others(self) -> Sequence[Share]:
        """Those that are folded away."""
        return self.rows[_LOWEST:]


def shares(counted: Tally | None, atlas: Atlas) -> Shares | None:
    """Sum a count by commune; None before the first one."""
    if counted is None:
        return None
    sums: dict[int, dict[str, int]] = {}
    for one in counted.communes:
        whole = sums.setdefault(one.unit_id, dict.fromkeys(tally.STATES, 0))
        for state, count in one.counts.items():
            whole[state] += count
    rows = [_share(unit_id, counts, atlas) for unit_id, counts in sums.items()]
    rows.sort(key=lambda one: (one.part(one.left), -one.messages, spelled(one.name)))
    return Shares(counted, tuple(rows))


def _share(unit_id: int, counts: Mapping[str, int], atlas: Atlas) -> Share:
    confirmed = counts["confirmed"] + counts["seen"]
    return Share(
        unit_id,
        short(atlas.name(unit_id)) if unit_id != tally.ELSEWHERE else "",
        sum(counts.values()),
        counts["handed_off"] + confirmed,
        confirmed,
        counts["failed"],
        counts["pending"],
    )


def short(name: str) -> str:
    """Write a commune as lists do: P. Hồng Hà, X. Bát Tràng."""
    return name.replace("Phường ", "P. ", 1).replace("Xã ", "X. ", 1)


def thinned(whole: Series) -> list[dict[str, Any]]:
    """Return the plot as a table of a few rows: the same lines for who cannot see them."""
    points = whole.points[1:]
    step = max(1, -(-len(points) // _ROWS))
    chosen = list(points[::step])
    if points and chosen[-1] is not points[-1]:
        chosen.append(points[-1])
    return [
        {"seconds": p.seconds, "messages": p.messages, "left": p.handed_off, "conf": p.confirmed}
        for p in chosen
    ]


def drawn_stamp(facts: Against | None) -> str:
    """Return what tells one drawing of the plot from the next."""
    if facts is None:
        return ""
    return ".".join(f"{one.channel}{one.points[-1].seconds:.1f}" for one in facts.series) or "told"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the page as it is read, and what tells it from the next."""

    text: str
    mark: str
    """`name:digest`, as pages send it back."""


def names(facts: Mapping[str, Any], *more: str) -> tuple[str, ...]:
    """Return the pieces that all readers share, in the page's order."""
    return ((*more, "approval") if facts["asking"] else more) + SHARED


def pieces(
    request: web.Request, facts: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Piece]:
    """Render pieces of the page, in the language of this request."""
    made = {}
    for name in names:
        text = render.text(request, f"console/live_{name}.html", **facts)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        made[name] = Piece(text, f"{name}:{digest}")
    return made


def news(made: Mapping[str, Piece], have: Iterable[str]) -> tuple[dict[str, str], str]:
    """Return the pieces that differ from those a page has, and what it has with them.

    `have` are the marks of those. What did not change is not sent: nobody loses the line they read
    or the link they stand on.
    """
    known = set(have)
    changed = {name: one.text for name, one in made.items() if one.mark not in known}
    return changed, " ".join(one.mark for one in made.values())


def plot(facts: Against | None, alert: Alert, seconds: float) -> dict[str, Any]:
    """Return the lines of the plot: columns by channel, the forecast, the marks."""
    series = list(facts.series) if facts else []
    if facts and facts.whole and len(series) > 1:
        series.append(facts.whole)
    told = facts.told if facts else None
    return {
        "now": seconds,
        "moving": alert.sent_at is None and alert.ended_at is None,
        "lines": [
            {
                "channel": one.channel,
                "at": [round(p.seconds, 2) for p in one.points],
                "messages": one.points[-1].messages,
                "handed_off": [p.handed_off for p in one.points],
                "confirmed": [p.confirmed for p in one.points],
                "marks": [one.within(share) for share in against.SHARES],
            }
            for one in series
        ],
        "told": [
            {
                "channel": one.channel,
                "messages": one.messages,
                "curve": [list(pair) for pair in one.curve],
                "marks": [one.within(share) for share in against.SHARES],
            }
            for one in (told.channels if told else ())
        ]
        + _told_together(facts),
        "shares": list(against.SHARES),
    }


def _told_together(facts: Against | None) -> list[dict[str, Any]]:
    told = facts.told if facts else None
    if told is None or len(told.channels) < 2 or not told.messages:
        return []
    moments = sorted({at for one in told.channels for at, _ in one.curve})
    curve = [[at, sum(one.by(at) for one in told.channels) / told.messages] for at in moments]
    marks = [told.within(share) for share in against.SHARES]
    return [{"channel": "", "messages": told.messages, "curve": curve, "marks": marks}]
