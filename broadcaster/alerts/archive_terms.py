"""What somebody looks for in the archive: read from named texts, turned into SQL.

The same names stand in the console's addresses, the API's queries and the command line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from broadcaster.alerts import standing
from broadcaster.alerts.content import LANES
from broadcaster.alerts.draft import HANOI
from broadcaster.db import Conn
from broadcaster.errors import Refused
from broadcaster.people.officials import IN_FORCE
from broadcaster.states import AlertState

NAMES = (
    "q", "place", "from", "until", "class", "event", "sender", "official", "state", "kind",
)  # fmt: skip
"""Of every term, in the order in which a form asks for them."""
KINDS = ("alert", "update", "cancel", "all_clear", "correction")
EXERCISE = "exercise"
"""Asked for as a kind, because people think of it as one; an alert's status says it."""
LIVE, WORK, OVER = "live", "work", "over"
STATES = (LIVE, WORK, OVER, *(state.value for state in AlertState))
"""In force or on its way, being written, over; or one state."""
IN_WORK = ("draft", "submitted", "returned")
MOST_TEXT = 200
_MARKS = re.compile("[\u0300-\u036f]")
_PIECE = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')
_WORD = re.compile("[A-Za-z0-9]+")
_CODE = re.compile("^hn-(?=[0-9])")
_NO_BAR = str.maketrans("Đđ", "Dd")

MOMENT = "coalesce(a.started_at, a.created_at)"
"""SQL: when sending began, else when writing did. The archive is in this order."""


# By their index first, whatever else is asked: words keep to some years or seasons, and whoever
# looks through the newest alerts for one of long ago looks through all of them.
_FOUND_BY_WORDS = (
    "a.alert_id IN (WITH found AS MATERIALIZED (SELECT alert_id FROM alert_search"
    " WHERE words @@ to_tsquery('pg_catalog.simple', $)) SELECT alert_id FROM found)"
)
_FOUND_BY_PLACE = "a.alert_id IN (SELECT alert_id FROM alert_search WHERE unit_ids && $::integer[])"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is looked for; every term given has to fit."""

    words: str = ""
    """A tsquery."""
    unit_ids: tuple[int, ...] | None = None
    """Units of the place, of which an alert covers at least one; None: anywhere."""
    since: datetime | None = None
    before: datetime | None = None
    alert_class: str = ""
    event: str = ""
    sender_ids: tuple[int, ...] | None = None
    """Units that may have issued it; None: whichever."""
    official_ids: tuple[int, ...] | None = None
    """Officials who may have written or approved it; None: whoever."""
    state: str = ""
    kind: str = ""


def query_of(text: str) -> str:
    """Turn what was typed into a tsquery: every word, "these in a row", -none of these.

    Marks may be left out, on any letter. Words are those of `alert_words` in the database.
    """
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text)).translate(_NO_BAR)
    pieces = []
    for without, quoted, word in _PIECE.findall(plain.lower()):
        # Every code begins with the same letters: they would be looked up for nothing.
        row = _WORD.findall(quoted or _CODE.sub("", word))
        if row:
            pieces.append(
                ("!" if without else "") + f"({(' <-> ' if quoted else ' & ').join(row)})"
            )
    return " & ".join(pieces)


async def read_terms(conn: Conn, given: Mapping[str, str]) -> Terms:
    """Read terms by their names; what is empty is not asked for. Raises Refused naming the term."""
    said = {name: given.get(name, "").strip() for name in NAMES}
    return Terms(
        words=_words(said["q"]),
        unit_ids=await _place(conn, said["place"]),
        since=_day(said["from"], "from", timedelta(0)),
        before=_day(said["until"], "until", timedelta(days=1)),
        alert_class=_one_of(said["class"], "class", LANES),
        event=said["event"],
        sender_ids=await _sender(conn, said["sender"]),
        official_ids=await _officials(conn, said["official"]),
        state=_one_of(said["state"], "state", STATES),
        kind=_one_of(said["kind"], "kind", (*KINDS, EXERCISE)),
    )


def conditions(terms: Terms, now: datetime, first: int) -> tuple[str, list[Any]]:
    """Return SQL about alert `a`, each part begun with AND, and its arguments from $first on."""
    found: list[str] = []
    arguments: list[Any] = []

    def add(sql: str, value: Any) -> None:
        arguments.append(value)
        found.append(sql.replace("$", f"${first + len(arguments) - 1}"))

    words, units = terms.words, terms.unit_ids
    if words:
        add(_FOUND_BY_WORDS, words)
    if units is not None:
        add(_FOUND_BY_PLACE, list(units))
    if terms.since:
        add(f"{MOMENT} >= $", terms.since)
    if terms.before:
        add(f"{MOMENT} < $", terms.before)
    if terms.alert_class:
        add("a.class = $::alert_class", terms.alert_class)
    if terms.event:
        add("a.event = $", terms.event)
    if terms.sender_ids is not None:
        add("a.unit_id = ANY($::integer[])", list(terms.sender_ids))
    if terms.official_ids is not None:
        add("(a.author_id = ANY($::integer[]) OR a.approved_by = ANY($))", list(terms.official_ids))
    if terms.kind == EXERCISE:
        found.append("a.status = 'Exercise'")
    elif terms.kind:
        add("a.kind = $", terms.kind)
    if terms.state == LIVE:
        add(standing.live("a", "$"), now)
    elif terms.state == OVER:
        add(standing.over("a", "$"), now)
    elif terms.state:
        states = IN_WORK if terms.state == WORK else (terms.state,)
        add("a.state = ANY($::alert_state[])", list(states))
    return "".join(f" AND {sql}" for sql in found), arguments


def _words(text: str) -> str:
    if not text:
        return ""
    if len(text) > MOST_TEXT:
        raise Refused(
            "text_long",
            f"Chữ cần tìm dài quá {MOST_TEXT} ký tự. Tìm bằng vài từ thôi.",
            f"The text is longer than {MOST_TEXT} characters. Search by a few words.",
            where="q",
        )
    found = query_of(text)
    if not found:
        raise Refused(
            "no_words",
            f"“{text}” không có chữ hay số nào để tìm. Nhập vài từ của tin.",
            f"“{text}” has no letter or digit to search for. Enter some words of the alert.",
            where="q",
        )
    return found


def _one_of(value: str, name: str, known: Collection[str]) -> str:
    if value and value not in known:
        raise _unknown(value, name, ", ".join(known))
    return value


def _unknown(value: str, name: str, known: str) -> Refused:
    return Refused(
        f"unknown_{name}",
        f"“{value}” không phải là giá trị của “{name}”. Chọn một trong: {known}.",
        f"“{value}” is no value of “{name}”. Choose one of: {known}.",
        where=name,
    )


def _day(value: str, name: str, more: timedelta) -> datetime | None:
    """Return the first moment of a day in the city, `more` after it."""
    if not value:
        return None
    try:
        return datetime.combine(date.fromisoformat(value), time(), HANOI) + more
    except (ValueError, OverflowError):
        raise Refused(
            f"bad_{name}",
            f"“{value}” không phải là ngày. Ghi theo dạng 2026-09-10.",
            f"“{value}” is no date. Write it as 2026-09-10.",
            where=name,
        ) from None


# What lies under the units named, what was there before these, and what they lie in: an alert for
# the whole city is one for each of its communes.
_NAMED = (
    "WITH RECURSIVE named AS ({}),"
    " under AS (SELECT unit_id FROM named UNION"
    "  SELECT u.unit_id FROM unit u JOIN under ON u.parent_id = under.unit_id),"
    " line AS (SELECT unit_id FROM under UNION"
    "  SELECT s.unit_id FROM unit_successor s JOIN line ON s.successor_id = line.unit_id)"
)
_ABOVE = (
    ", above AS (SELECT unit_id FROM named UNION"
    "  SELECT u.parent_id FROM unit u JOIN above USING (unit_id) WHERE u.parent_id IS NOT NULL)"
    " SELECT unit_id FROM line UNION SELECT unit_id FROM above"
)
_UNIT = f"SELECT unit_id FROM unit WHERE code = $1 AND {IN_FORCE}"
_GROUP = (
    "SELECT m.unit_id FROM unit_group g JOIN unit_group_member m USING (group_id) WHERE g.code = $1"
)


async def _place(conn: Conn, code: str) -> tuple[int, ...] | None:
    """Return the units an alert for this place may name."""
    return await _units(conn, code, "place", _ABOVE)


async def _sender(conn: Conn, code: str) -> tuple[int, ...] | None:
    """Return the units that issue for this one: itself, those under it, those before it."""
    return await _units(conn, code, "sender", " SELECT unit_id FROM line")


async def _units(conn: Conn, code: str, name: str, rest: str) -> tuple[int, ...] | None:
    if not code:
        return None
    for named in (_UNIT, _GROUP):
        rows = await conn.fetch(_NAMED.format(named) + rest, code)
        if rows:
            return tuple(row["unit_id"] for row in rows)
    raise Refused(
        f"unknown_{name}",
        f"Không có đơn vị hay khu vực nào mang mã “{code}”. Chọn trong danh sách.",
        f"No unit or group has the code “{code}”. Choose from the list.",
        where=name,
    )


async def _officials(conn: Conn, name: str) -> tuple[int, ...] | None:
    """Return officials by their login, or by a part of their name with or without marks."""
    if not name:
        return None
    rows = await conn.fetch(
        "SELECT official_id FROM official WHERE login = lower($1)"
        " OR strpos(lower(unmarked(name)), lower(unmarked($1))) > 0",
        name,
    )
    return tuple(row["official_id"] for row in rows)
