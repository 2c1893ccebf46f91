"""What stands in the record of an alert: words, area, approvals, figures, timeline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import shapely

from broadcaster.alerts import lifecycle
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.db import Conn
from broadcaster.fanout import against, tally, timeline
from broadcaster.fanout.against import Against, Pair
from broadcaster.fanout.progress import ChannelProgress, progress, reach
from broadcaster.fanout.timeline import Entry, Group
from broadcaster.web import formats, i18n
from broadcaster.web.collation import spelled
from broadcaster.web.console import delivery, live_parts
from broadcaster.web.console.delivery import Delivery
from broadcaster.web.console.live_parts import Shares
from broadcaster.web.console.record_file import Label, RecordFile, Shape, lap
from broadcaster.web.geography import Atlas, Geography
from broadcaster.web.i18n import gettext as _
from broadcaster.web.labels import label, title_of
from targeting.area import Area
from targeting.errors import AreaError

_TABLE = 40.0
"""Room in mm for a heading, a table's head of two lines and some rows."""
_STATES = ("seen", "confirmed", "handed_off", "unknown", "failed", "expired", "stopped", "pending")


async def make(conn: Conn, geography: Geography, alert: Alert) -> bytes:
    """Make the record of an approved alert, in the language of this request.

    Of an alert that has settled it is the same bytes each time: what was looked at or exported
    since is no part of it. Raises SnapshotBrokenError.
    """
    approved = await lifecycle.snapshot(conn, alert.alert_id)
    atlas = await geography.atlas_for(approved.content.area, approved.document)
    counted = await tally.of_alert(conn, alert.alert_id)
    facts = await against.of_alert(conn, alert, approved, counted)
    line = await timeline.of_alert(conn, alert, facts)
    entries = [one for one in line if one.group != Group.LOOKED]
    covered = await conn.fetchval(
        "SELECT covered FROM alert_version WHERE alert_id = $1 AND version = $2",
        alert.alert_id,
        approved.version,
    )
    writer = _Writer(alert, approved, atlas, entries)
    channels = await progress(conn, alert.alert_id)
    reached = await reach(conn, alert.alert_id)
    shares = live_parts.shares(counted, atlas)
    lang = i18n.language()

    def written() -> bytes:
        # A thread of its own has no request, and no language.
        i18n.use(lang)
        return writer.write(covered or [], channels, reached, facts, shares)

    return await asyncio.to_thread(written)


class _Writer:
    """Writes one record, section by section."""

    def __init__(
        self, alert: Alert, approved: Snapshot, atlas: Atlas, entries: Sequence[Entry]
    ) -> None:
        self._alert, self._approved, self._atlas = alert, approved, atlas
        self._entries = entries
        self._title = _title(alert, approved.content)
        at = alert.approved_at or alert.created_at
        last = max((one.at for one in entries), default=at)
        # The foot of every page says so too: a loose one must tell.
        code = f"{_('[EXERCISE]')} {alert.code}" if alert.exercise else alert.code
        self._file = RecordFile(
            code, self._title, approved.content_hash.hex(), last, i18n.language()
        )

    def write(
        self,
        covered: Sequence[int],
        channels: Sequence[ChannelProgress],
        reached: Any,
        facts: Against | None,
        shares: Shares | None,
    ) -> bytes:
        """Write every section."""
        self._head(reached)
        self._words(self._approved.content)
        self._area(covered)
        self._figures(channels)
        self._against(facts)
        self._timeline()
        self._communes(shares)
        return self._file.bytes()

    def _head(self, reached: Any) -> None:
        alert, file = self._alert, self._file
        said = _("Record of an EXERCISE, not of a real alert")
        file.say(said if alert.exercise else _("Record of an alert"), ink=90)
        file.title_line(self._title)
        file.say(f"{label(alert.alert_class, 'class')}  ·  {label(alert.state, 'state')}", "B", 10)
        file.ln(1)
        file.fact(_("Code"), alert.code)
        file.fact(_("Issued by"), self._atlas.name(alert.unit_id))
        file.fact(_("Written by"), alert.author_name)
        file.fact(_("Approved by"), f"{alert.approver_name or '–'}, {_at(alert.approved_at)}")
        if alert.exercise:
            file.fact(_("Goes to"), _goes_to(alert))
        file.fact(_("Version"), str(self._approved.version))
        file.fact(_("Sending began"), _at(alert.started_at))
        file.fact(_("Sending ended"), _at(alert.sent_at or alert.ended_at))
        file.fact(_("In force until"), _at(alert.expires))
        if reached:
            unreachable = _("%(number)s of them have no address that works") % {
                "number": formats.number(reached.unreachable)
            }
            file.fact(_("People chosen"), f"{formats.number(reached.people)}; {unreachable}")
        file.fact(_("Hash of the content (SHA-256)"), self._approved.content_hash.hex())

    def _words(self, content: Content) -> None:
        file = self._file
        file.heading(_("The words, as they were approved"))
        for lang in content.languages:
            words = content.wording[lang]
            name = i18n.LANGUAGES[lang]
            file.say(f"{name}: {label('push', 'channel')}", "B")
            file.say(f"{words.push.title}\n{words.push.body}")
            file.say(f"{name}: {label('sms', 'channel')}", "B")
            file.say(words.sms.text)
            file.say(f"{name}: {label('email', 'channel')}", "B")
            file.say(f"{words.email.subject}\n{words.email.text}")

    def _area(self, covered: Sequence[int]) -> None:
        file = self._file
        file.heading(_("The area"))
        names = sorted((self._atlas.name(unit_id) for unit_id in covered), key=spelled)
        if names:
            file.say(f"{', '.join(names)}.")
        outlines = self._atlas.map.outlines
        shapes = [Shape(shape, False) for shape in outlines.lowest_shapes]
        try:
            own = Area.from_json(self._approved.content.area).shape(outlines)
        except AreaError:
            return
        file.map_of([*shapes, Shape(shapely.simplify(own, 0.0002), True)], self._labels(covered))
        if self._atlas.map.approximate:
            file.say(_("Approximate outlines"), size=8, ink=90)

    def _labels(self, covered: Sequence[int]) -> list[Label]:
        """Name the communes of the area, those with most people first."""
        rows = [self._atlas.units[one] for one in covered if one in self._atlas.units]
        rows.sort(key=lambda row: (-row.population, row.code))
        return [
            Label(live_parts.short(self._atlas.name(row.unit_id)), row.lon, row.lat) for row in rows
        ]

    def _figures(self, channels: Sequence[ChannelProgress]) -> None:
        file = self._file
        file.heading(_("What became of its messages"), _TABLE)
        if not channels:
            file.say(_("Nothing is on its way yet"))
            return
        rows = [delivery.of(one) for one in channels]
        rows.append(delivery.total_of(channels))
        states = [one for one in _STATES if any(getattr(row, one) for row in rows)]
        file.table_of(
            [_("Channel"), *(label(one, "delivery") for one in states), _("Messages")],
            [_counts(row, states) for row in rows],
            [24, *[18] * (len(states) + 1)],
        )

    def _against(self, facts: Against | None) -> None:
        if facts is None:
            return
        file = self._file
        file.heading(_("Fact against forecast"), _TABLE)
        shares = [f"{round(share * 100)}%" for share in against.SHARES]
        file.table_of(
            [_("Fact / forecast"), _("Messages"), *shares],
            [
                [
                    label(one.channel, "channel") if one.channel else _("Together"),
                    _pair(one.messages),
                    *(f"{lap(part.fact)} / {lap(part.told)}" for part in one.within),
                ]
                for one in facts.rows
            ],
            [20, 26, *[30] * len(shares)],
        )
        file.fact(_("SMS parts"), _pair(facts.parts))
        file.fact(_("SMS cost"), _("%(sum)s đ") % {"sum": _pair(facts.cost)})

    def _communes(self, shares: Shares | None) -> None:
        if shares is None or not shares.rows:
            return
        file = self._file
        file.heading(_("By commune"), _TABLE)
        file.table_of(
            [_("Commune"), _("Messages"), _("Handed off"), _("Confirmed"), _("Failed")],
            [
                [
                    one.name or _("Place not known any more"),
                    formats.number(one.messages),
                    formats.percent(one.part(one.left)),
                    formats.percent(one.part(one.confirmed)),
                    formats.number(one.failed),
                ]
                for one in shares.rows
            ],
            [60, 25, 25, 25, 25],
        )
        file.say(_("Counted at %(time)s.") % {"time": _at(shares.tally.counted_at)}, size=8, ink=90)

    def _timeline(self) -> None:
        file = self._file
        file.heading(_("What was done, and by whom"))
        for one in self._entries:
            file.fact(_at(one.at), said(one))


def _title(alert: Alert, content: Content) -> str:
    """Return what the alert is called in the record's language, else as lists call it."""
    written = {str(lang): words for lang, words in content.wording.items()}
    words = written.get(i18n.language())
    return (words.page.headline or words.push.title) if words else title_of(alert)


def said(entry: Entry) -> str:
    """Say one entry in a line, as the page does."""
    detail = entry.detail
    text = label(entry.what, "action")
    if entry.by:
        text = f"{entry.by} {text}"
    if "channel" in detail:
        text = f"{label(detail['channel'], 'channel')}: {text}"
    more = []
    if detail.get("version"):
        more.append(_("version %(number)d") % {"number": detail["version"]})
    if detail.get("confirmed_by") == "totp":
        more.append(_("with a second factor: a code of their phone"))
    if detail.get("confirmed_by") == "recovery":
        more.append(_("with a second factor: a recovery code"))
    if detail.get("names"):
        more.append(", ".join(detail["names"]))
    if detail.get("until"):
        more.append(_("until %(time)s") % {"time": formats.when(detail["until"])})
    if "seconds" in detail:
        more.append(_("after %(time)s") % {"time": lap(detail["seconds"])})
    more += [str(detail[key]) for key in ("provider", "code", "reason") if detail.get(key)]
    return ", ".join([text, *more])


def _counts(row: Delivery, states: Sequence[str]) -> list[str]:
    name = label(row.channel, "channel") if row.channel else _("Together")
    counts = [formats.number(getattr(row, state)) for state in states]
    return [name, *counts, formats.number(row.total)]


def _pair(pair: Pair) -> str:
    """Write a fact and its forecast."""
    fact, told = (("–" if one is None else formats.number(one)) for one in (pair.fact, pair.told))
    return f"{fact} / {told}"


def _goes_to(alert: Alert) -> str:
    """Say whom an exercise is for."""
    if alert.training:
        return _("Nobody: what training accounts write ends here")
    if alert.widened_name is not None:
        return _("Everybody in the area, opened by %(name)s") % {"name": alert.widened_name}
    return _("Those who take part in exercises, and nobody else")


def _at(moment: datetime | None) -> str:
    """Write a moment to the second, with its day."""
    return "–" if moment is None else f"{formats.clock_s(moment)} {formats.day(moment)}"
