"""What senders hear back at once: that their report arrived, or that STOP was understood."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape

from broadcaster.db import Conn
from broadcaster.fanout import direct
from templates.exercise import MARK, MARK_ENGLISH, MARK_PLAIN

VALID = timedelta(hours=6)
"""Later than this an acknowledgement only puzzles."""

_RECEIVED = {
    "vi": (
        "Đã nhận phản ánh {code}",
        "Đã nhận phản ánh, mã {code}. Nếu nguy hiểm tính mạng, gọi ngay 112, 113, 114 hoặc 115.",
        "Da nhan phan anh, ma {code}. Nguy hiem tinh mang: goi ngay 112, 113, 114 hoac 115.",
    ),
    "en": (
        "Report {code} received",
        "We have your report, code {code}. Lives in danger? Call 112, 113, 114 or 115 now.",
        "Report received, code {code}. Lives in danger? Call 112, 113, 114 or 115 now.",
    ),
}
_STOPPED = {
    "vi": (
        "Đã dừng tin theo dõi",
        "Bạn sẽ không nhận tin theo dõi và khảo sát nữa. Cảnh báo vẫn được gửi.",
        "Da dung tin theo doi va khao sat. Canh bao van duoc gui.",
    ),
    "en": (
        "Follow-ups stopped",
        "You will get no more follow-ups and surveys. Alerts are still sent.",
        "Follow-ups and surveys are stopped. Alerts are still sent.",
    ),
}
"""By language: title, text, and the text in letters that fit one SMS of 160."""


async def acknowledge(
    conn: Conn,
    now: datetime,
    endpoint_id: int,
    report_id: int,
    code: str,
    *,
    exercise: bool = False,
) -> None:
    """Tell the sender the tracking code, on the channel the report came by; once.

    In an `exercise` the answer says so first, and what to do should the danger be real.
    """
    words = _RECEIVED
    if exercise:
        words = {lang: _marked(lang, said) for lang, said in _RECEIVED.items()}
    await _say(conn, now, endpoint_id, f"report:{report_id}", words, code=code)


def _marked(lang: str, said: tuple[str, str, str]) -> tuple[str, str, str]:
    mark = MARK_ENGLISH if lang == "en" else MARK
    title, text, short = said
    plain = MARK_ENGLISH if lang == "en" else MARK_PLAIN
    return f"{mark} {title}", f"{mark} {text}", f"{plain} {short}"


async def confirm_stop(conn: Conn, now: datetime, endpoint_id: int) -> None:
    """Say what STOP does and what it does not; at most once a day."""
    await _say(conn, now, endpoint_id, f"stop:{endpoint_id}:{now:%Y%m%d}", _STOPPED)


async def _say(
    conn: Conn,
    now: datetime,
    endpoint_id: int,
    dedupe_key: str,
    words: dict[str, tuple[str, str, str]],
    **facts: str,
) -> None:
    row = await conn.fetchrow(
        "SELECT channel::text, lang::text FROM endpoint"
        " WHERE endpoint_id = $1 AND address_enc <> ''",
        endpoint_id,
    )
    if row is None:
        return
    title, text, short = (part.format(**facts) for part in words[row["lang"]])
    content = {
        "sms": {"text": short},
        "push": {"title": title, "body": text},
        "email": {"subject": title, "text": text + "\n", "html": f"<p>{escape(text)}</p>"},
    }[row["channel"]]
    await direct.enqueue(
        conn, now, endpoint_id=endpoint_id, channel=row["channel"], purpose="acknowledgement",
        content=content, expires=now + VALID, dedupe_key=dedupe_key,
    )  # fmt: skip
