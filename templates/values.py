"""From what an official typed to what the wording shows; wrong input becomes a Problem."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from templates.event import Field, FieldType
from templates.pieces import Problem
from templates.sms_text import GSM7, GSM7_EXTENSION, strip_diacritics

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
PLACE_MAX = 40
"""Most letters in one place's name."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PHONE = re.compile(r"1\d{2,3}|1[89]00\d{4,6}|(?:\+84|0)\d{9,10}")
_WRITTEN_PERIOD = re.compile(
    r"(\d{1,2}:\d{2}) (\d{1,2}/\d{1,2}/\d{4})\s*[-–]\s*(\d{1,2}:\d{2}) (\d{1,2}/\d{1,2}/\d{4})"
)
PERIOD_MAX = timedelta(days=31)
"""Longest period a wording may speak of: its days are shown without the year."""
_CHEAP = GSM7 - GSM7_EXTENSION - set("\n\r")
GAP_OPENS, GAP_CLOSES = "‹", "›"
"""Around the name of a field that is still to be filled in; check() lets none of them out."""


@dataclass(frozen=True, slots=True)
class ShownTime:
    """A moment on Hanoi's clock."""

    at: datetime
    lang: str

    @property
    def clock(self) -> str:
        """Hours and minutes."""
        return f"{self._local:%H:%M}"

    @property
    def day(self) -> date:
        """The day in Hanoi."""
        return self._local.date()

    @property
    def _local(self) -> datetime:
        return self.at.astimezone(HANOI)

    def __str__(self) -> str:
        if self.lang == "en":
            return f"{self.clock}, {self._local.day} {_MONTHS[self._local.month - 1]}"
        return f"{self.clock} {self._local:%d/%m}"


@dataclass(frozen=True, slots=True)
class ShownPeriod:
    """From one moment to a later one, on Hanoi's clock; the day is named once where it is one."""

    start: ShownTime
    end: ShownTime

    def __str__(self) -> str:
        to = " to " if self.start.lang == "en" else " đến "
        if self.start.day == self.end.day:
            return f"{self.start.clock}{to}{self.end}"
        return f"{self.start}{to}{self.end}"


@dataclass(frozen=True, slots=True)
class ShownChoice:
    """A chosen option: compared by code, shown by label."""

    code: str
    label: str

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class ShownPlaces:
    """Names of places; a name is never cut, what does not fit is counted."""

    names: tuple[str, ...]
    lang: str

    def within(self, limit: int) -> str:
        """List as many names as fit `limit` letters, then how many more there are."""
        for count in range(len(self.names), 0, -1):
            text = self._first(count)
            if len(text) <= limit:
                return text
        return f"{len(self.names)} {'places' if self.lang == 'en' else 'nơi'}"

    def _first(self, count: int) -> str:
        names, rest = ", ".join(self.names[:count]), len(self.names) - count
        if not rest:
            return names
        return f"{names} and {rest} more" if self.lang == "en" else f"{names} và {rest} nơi khác"

    def __str__(self) -> str:
        return ", ".join(self.names)


@dataclass(frozen=True, slots=True)
class Gap:
    """Stands in a draft for a field without a legal value."""

    label: str

    def within(self, limit: int) -> str:
        """Show the gap, whatever the limit."""
        return str(self)

    @property
    def clock(self) -> str:
        """Show the gap in place of hours and minutes."""
        return str(self)

    @property
    def start(self) -> Gap:
        """Show the gap in place of a period's beginning."""
        return self

    @property
    def end(self) -> Gap:
        """Show the gap in place of a period's end."""
        return self

    @property
    def code(self) -> str:
        """Equal no option's code."""
        return ""

    def __str__(self) -> str:
        return f"{GAP_OPENS}{self.label}{GAP_CLOSES}"


Shown = str | ShownTime | ShownPeriod | ShownChoice | ShownPlaces


def read(field: Field, lang: str, raw: Any) -> Shown | Problem | None:
    """Type one value for one language; None where an optional field is empty."""
    if field.type in ("text", "places") and isinstance(raw, Mapping):
        raw = raw.get(lang)
    if raw is None or raw == "" or raw == [] or raw == ():
        return _missing(field) if field.required else None
    return _READERS[field.type](field, lang, raw)


def _problem(field: Field, code: str, vi: str, en: str) -> Problem:
    return Problem(code, field.name, f"{field.label.vi}: {vi}", f"{field.label.en}: {en}")


def _missing(field: Field) -> Problem:
    return _problem(
        field, "field.missing", "còn trống. Điền vào ô này.", "empty. Fill in this field."
    )


def _wrong_type(field: Field, vi: str, en: str) -> Problem:
    return _problem(
        field, "field.type", f"không đọc được. Ghi {vi}.", f"cannot be read. Give {en}."
    )


def _text(field: Field, _lang: str, raw: Any) -> str | Problem:
    if not isinstance(raw, str):
        return _wrong_type(field, "bằng chữ", "text")
    # The wording ends its sentences itself.
    text = " ".join(unicodedata.normalize("NFC", raw).split()).rstrip(" .")
    if not text:
        return _missing(field)
    return _costless(field, text) or _short(field, text, field.max_length) or text


def _costless(field: Field, text: str) -> Problem | None:
    """Refuse what cannot be written in one GSM-7 unit once the marks are gone."""
    if set(strip_diacritics(text)) <= _CHEAP:
        return None
    letter = next(letter for letter in text if not set(strip_diacritics(letter)) <= _CHEAP)
    if not letter.isprintable():
        letter = f"U+{ord(letter):04X}"
    return _problem(
        field,
        "field.character",
        f"SMS không gửi được “{letter}” hoặc tính giá gấp đôi. Bỏ ký tự này.",
        f"SMS cannot carry “{letter}” or charges double. Remove it.",
    )


def _short(field: Field, text: str, limit: int) -> Problem | None:
    length = max(len(text), len(strip_diacritics(text)))
    if length <= limit:
        return None
    return _problem(
        field,
        "field.too_long",
        f"{length} chữ, nhiều nhất {limit}. Bớt {length - limit} chữ.",
        f"{length} letters, at most {limit}. Remove {length - limit}.",
    )


def _time(field: Field, lang: str, raw: Any) -> ShownTime | Problem:
    if isinstance(raw, str):
        try:
            raw = datetime.fromisoformat(raw)
        except ValueError:
            raw = None
    if not isinstance(raw, datetime):
        return _wrong_type(
            field, "giờ và ngày, như 07:00 10/09", "a time and a day, as 07:00 10/09"
        )
    if raw.utcoffset() is None:
        return _problem(
            field,
            "field.naive_time",
            "thiếu múi giờ. Ghi giờ kèm +07:00.",
            "no time zone. Give the time with +07:00.",
        )
    try:
        raw.astimezone(HANOI)
    except OverflowError:
        return _wrong_type(
            field, "giờ và ngày, như 07:00 10/09", "a time and a day, as 07:00 10/09"
        )
    return ShownTime(raw, lang)


def _period(field: Field, lang: str, raw: Any) -> ShownPeriod | Problem:
    """Read `{from, to}`, ISO 8601's `start/end`, or `08:00 10/09/2026 - 17:00 10/09/2026`."""
    start_raw, end_raw = period_ends(raw)
    start, end = _time(field, lang, start_raw), _time(field, lang, end_raw)
    if isinstance(start, Problem) or isinstance(end, Problem):
        wrong = start if isinstance(start, Problem) else end
        if isinstance(wrong, Problem) and wrong.code == "field.naive_time":
            return wrong
        if isinstance(raw, Mapping):
            return _wrong_end(field, raw, isinstance(start, Problem))
        return _wrong_type(
            field,
            "lúc bắt đầu và lúc kết thúc: 08:00 10/09/2026 - 17:00 10/09/2026",
            "its beginning and its end: 08:00 10/09/2026 - 17:00 10/09/2026",
        )
    if end.at <= start.at:
        return _problem(
            field,
            "field.period",
            f"kết thúc {end} không sau lúc bắt đầu {start}. Chọn lúc kết thúc muộn hơn.",
            f"it ends at {end}, not after it begins at {start}. Choose a later end.",
        )
    if end.at - start.at > PERIOD_MAX:
        return _problem(
            field,
            "field.period",
            f"dài quá {PERIOD_MAX.days} ngày. Chọn lúc kết thúc sớm hơn.",
            f"longer than {PERIOD_MAX.days} days. Choose an earlier end.",
        )
    return ShownPeriod(start, end)


def _wrong_end(field: Field, raw: Mapping[str, Any], first: bool) -> Problem:
    """Say which of two moments is missing or no time."""
    typed = str(raw.get("from" if first else "to") or "").strip()
    vi = "lúc bắt đầu" if first else "lúc kết thúc"
    en = "its beginning" if first else "its end"
    if not typed:
        return _problem(
            field,
            "field.type",
            f"còn thiếu {vi}. Ghi giờ và ngày, như 07:00 10/09.",
            f"{en} is missing. Give a time and a day, as 07:00 10/09.",
        )
    return _problem(
        field,
        "field.type",
        f"không đọc được {vi} “{typed}”. Ghi giờ và ngày, như 07:00 10/09.",
        f"{en}, “{typed}”, cannot be read. Give a time and a day, as 07:00 10/09.",
    )


def period_ends(raw: Any) -> tuple[Any, Any]:
    """Return the beginning and the end of a period as they were given, readable or not."""
    if isinstance(raw, Mapping):
        return raw.get("from"), raw.get("to")
    if isinstance(raw, str):
        written = _WRITTEN_PERIOD.fullmatch(raw.strip())
        if written:
            return _written(written[1], written[2]), _written(written[3], written[4])
        start, _, end = raw.partition("/")
        return start.strip(), end.strip()
    return None, None


def _written(clock: str, day: str) -> datetime | None:
    try:
        return datetime.strptime(f"{clock} {day}", "%H:%M %d/%m/%Y").replace(tzinfo=HANOI)
    except ValueError:
        return None


def _choice(field: Field, lang: str, raw: Any) -> ShownChoice | Problem:
    for option in field.options:
        if option.code == raw:
            return ShownChoice(option.code, option.label[lang])
    return _problem(
        field,
        "field.choice",
        "không có trong danh sách. Chọn: " + "; ".join(o.label.vi for o in field.options) + ".",
        "not on the list. Choose: " + "; ".join(o.label.en for o in field.options) + ".",
    )


def _number(field: Field, lang: str, raw: Any) -> str | Problem:
    try:
        number = Decimal(str(raw).strip().replace(",", "."))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(raw, bool) or not number.is_finite():
        return _wrong_type(field, "một số", "a number")
    low, high = Decimal(str(field.minimum)), Decimal(str(field.maximum))
    if not low <= number <= high:
        shown_low, shown_high = _figure(low, field, "vi"), _figure(high, field, "vi")
        return _problem(
            field,
            "field.range",
            f"ngoài khoảng. Ghi số từ {shown_low} đến {shown_high}.",
            f"out of range. Give {_figure(low, field, 'en')} to {_figure(high, field, 'en')}.",
        )
    return _figure(number, field, lang)


def _figure(number: Decimal, field: Field, lang: str) -> str:
    text = f"{number:,.{field.decimals}f}"
    return text if lang == "en" else text.translate(str.maketrans(",.", ".,"))


def _places(field: Field, lang: str, raw: Any) -> ShownPlaces | Problem:
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        return _wrong_type(field, "danh sách tên nơi", "a list of place names")
    clean = tuple(" ".join(unicodedata.normalize("NFC", name).split()) for name in names)
    for name in clean:
        if not name:
            return _missing(field)
        problem = _costless(field, name) or _short(field, name, PLACE_MAX)
        if problem:
            return problem
    return ShownPlaces(clean, lang)


def _phone(field: Field, _lang: str, raw: Any) -> str | Problem:
    digits = re.sub(r"[\s.\-]", "", raw) if isinstance(raw, str) else ""
    if _PHONE.fullmatch(digits):
        return digits
    return _wrong_type(
        field, "số như 114, 1022 hoặc 024 3825 3536", "a number such as 114, 1022 or 024 3825 3536"
    )


_READERS: dict[FieldType, Callable[[Field, str, Any], Shown | Problem]] = {
    "text": _text,
    "time": _time,
    "period": _period,
    "choice": _choice,
    "number": _number,
    "places": _places,
    "phone": _phone,
}
