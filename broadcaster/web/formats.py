"""Numbers, times and lengths of time, by language, always on Hanoi's clock.

Times read "03:17 10/09" in Vietnamese and "03:17, 10 Sep" in English; a length of time always
carries its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from broadcaster.web.i18n import gettext as _
from broadcaster.web.i18n import language, ngettext
from targeting.metric import said_km2

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
_LOCALES = {"vi": "vi_VN", "en": "en_GB"}
_SHORT = {"vi": "HH:mm dd/MM", "en": "HH:mm, d MMM"}
_DAY = {"vi": "EEE, dd/MM", "en": "EEE, d MMM"}
_LONG = {"vi": "HH:mm 'ngày' dd/MM/yyyy", "en": "HH:mm, d MMMM yyyy"}
_DATE = {"vi": "dd/MM/yyyy", "en": "d MMM yyyy"}
_LOCK_SCREEN = {"vi": "EEEE, d MMMM", "en": "EEEE, d MMMM"}


def locale() -> str:
    """Return the locale of this request."""
    return _LOCALES[language()]


def local(at: datetime) -> datetime:
    """Return a moment on Hanoi's clock."""
    return at.astimezone(HANOI)


def _pattern(at: datetime, patterns: dict[str, str]) -> str:
    minute = local(at).replace(second=0, microsecond=0)
    return _written(minute, patterns[language()], locale())


# A list is read again and again, and Babel takes a tenth of a millisecond for each time in it.
@lru_cache(4_096)
def _written(at: datetime, pattern: str, where: str) -> str:
    return str(format_datetime(at, pattern, locale=where))


def number(value: float) -> str:
    """78.940 or 78,940."""
    return _number(value, locale())


@lru_cache(4_096)
def _number(value: float, where: str) -> str:
    return str(format_decimal(value, locale=where))


def km2(value: float) -> str:
    """0,02 or 12.3, as the problems of an area write it."""
    return said_km2(value, language())


def percent(share: float, digits: int = 1) -> str:
    """66,5% or 66.5%; a digit more under 1 %, and never 100% for what is not yet all of it."""
    if 0 < share < 0.01:
        digits += 1
    shown = round(share, digits + 2)
    if share < 1:
        shown = min(shown, 1 - 10 ** -(digits + 2))
    return _percent(shown, f"0.{'#' * digits}%", locale())


@lru_cache(4_096)
def _percent(share: float, pattern: str, where: str) -> str:
    return str(format_percent(share, format=pattern, locale=where))


def clock(at: datetime) -> str:
    """03:17."""
    return local(at).strftime("%H:%M")


def clock_s(at: datetime) -> str:
    """03:17:40, where seconds matter."""
    return local(at).strftime("%H:%M:%S")


def moment(at: datetime) -> str:
    """03:17 10/09."""
    return _pattern(at, _SHORT)


def moment_long(at: datetime) -> str:
    """03:17 ngày 10/09/2026."""
    return _pattern(at, _LONG)


def day(at: datetime) -> str:
    """Th 5, 10/09."""
    return _pattern(at, _DAY)


def lock_screen_day(at: datetime) -> str:
    """Thứ Năm, 10 tháng 9: as a phone writes it."""
    return _pattern(at, _LOCK_SCREEN)


def iso(at: datetime) -> str:
    """Machine-readable, with Hanoi's offset."""
    return local(at).isoformat(timespec="seconds")


def field_value(at: datetime | None) -> str:
    """Return what a time's input holds: 06:00 10/09/2026, whatever the language."""
    return local(at).strftime("%H:%M %d/%m/%Y") if at else ""


def day_month(at: datetime) -> str:
    """10/09, as a time's input is written."""
    return local(at).strftime("%d/%m")


def date_of(day: date) -> str:
    """10/09/2026 or 10 Sep 2026."""
    return str(format_date(day, _DATE[language()], locale=locale()))


def span(length: timedelta | float) -> str:
    """4 phút, 2 giờ 28 phút, 3 ngày 4 giờ: at most two units, the second left out at zero."""
    seconds = int(length.total_seconds() if isinstance(length, timedelta) else length)
    seconds = abs(seconds)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if seconds < 60:
        return ngettext("%(num)d second", "%(num)d seconds", seconds) % {"num": seconds}
    if minutes < 60:
        return ngettext("%(num)d minute", "%(num)d minutes", minutes) % {"num": minutes}
    if days < 3:
        first = ngettext("%(num)d hour", "%(num)d hours", hours) % {"num": hours}
        rest = minutes % 60
        second = ngettext("%(num)d minute", "%(num)d minutes", rest) % {"num": rest}
    else:
        first = ngettext("%(num)d day", "%(num)d days", days) % {"num": days}
        rest = hours % 24
        second = ngettext("%(num)d hour", "%(num)d hours", rest) % {"num": rest}
    return f"{first} {second}" if rest else first


def lap(seconds: float) -> str:
    """7,2 giây, 1 phút 4 giây, 2 giờ 5 phút: how long sending took, to be compared."""
    if seconds < 10:
        return _("%(num)s s") % {"num": number(round(seconds, 1))}
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return _("%(num)s s") % {"num": rest}
    if minutes < 60:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": rest}
    return span(seconds)


def when(written: str) -> str:
    """Say a moment that a trail holds as text."""
    return moment(datetime.fromisoformat(written))


def hours_minutes(length: timedelta) -> str:
    """5:12, for columns whose heading names the unit."""
    minutes = abs(int(length.total_seconds())) // 60
    return f"{minutes // 60}:{minutes % 60:02d}"


def ago(at: datetime, now: datetime) -> str:
    """How long since."""
    return _("%(span)s ago") % {"span": span(now - at)}


FILTERS: Mapping[str, Callable[..., str]] = {
    "number": number,
    "km2": km2,
    "percent": percent,
    "clock": clock,
    "clock_s": clock_s,
    "moment": moment,
    "moment_long": moment_long,
    "day": day,
    "lock_screen_day": lock_screen_day,
    "iso": iso,
    "field_value": field_value,
    "day_month": day_month,
    "span": span,
    "lap": lap,
    "when": when,
    "hours_minutes": hours_minutes,
}
