"""Exercises: what makes an alert one, and words that say so first.

An alert is real or an exercise from its first version to its last, and so is what follows it. The
words carry the mark before they are checked, approved and hashed; nobody who writes can take it
away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from broadcaster.alerts import exercise_sessions
from broadcaster.alerts.content import Content, Prepared, Wording, Words
from broadcaster.db import Conn
from broadcaster.errors import NotAllowed, Refused
from broadcaster.people.officials import Actor
from templates import exercise, pieces

ACTUAL, EXERCISE = "Actual", "Exercise"


@dataclass(frozen=True, slots=True)
class Nature:
    """Whether an alert is real, and whether carriers get anything of it at all."""

    status: str = ACTUAL
    training: bool = False

    @property
    def exercise(self) -> bool:
        """Whether it is an exercise."""
        return self.status == EXERCISE


async def nature_of_new(
    conn: Conn, actor: Actor, now: datetime, unit_id: int, wanted: bool | None
) -> Nature:
    """Decide what a new alert is: an exercise if `wanted`, or by the unit's session for None.

    A training account begins exercises alone; raises NotAllowed when it wants a real one.
    """
    if actor.training:
        if wanted is False:
            raise NotAllowed(
                "training_account",
                "Tài khoản tập huấn chỉ soạn tin diễn tập. Dùng tài khoản chính thức để cảnh báo"
                " thật.",
                "A training account writes exercises only. Use an account on duty for a real one.",
            )
        return Nature(EXERCISE, training=True)
    if wanted is None:
        wanted = await exercise_sessions.of_unit(conn, now, unit_id) is not None
    return Nature(EXERCISE if wanted else ACTUAL)


def require_part(actor: Actor, training: bool) -> None:
    """Keep a training account away from what reaches anybody; raises NotAllowed."""
    if actor.training and not training:
        raise NotAllowed(
            "training_account",
            "Tài khoản tập huấn không được làm gì với tin này: tin gửi tới người thật. Dùng tài"
            " khoản chính thức.",
            "A training account has no part in this alert: it reaches people. Use an account on"
            " duty.",
        )


def with_mark(content: Content, status: str) -> Content:
    """Return a content as an alert of this status may say it: an exercise's is marked throughout.

    Marking twice changes nothing. Raises Refused where a text is too long with its mark.
    """
    return _marked(content) if status == EXERCISE else content


def for_new(content: Content, status: str) -> Content:
    """Return the content a draft begins with: a real one that copies an exercise loses its mark."""
    return with_mark(content, status) if status == EXERCISE else _each(content, _as_real)


def _as_real(wording: Wording, _: str) -> Wording:
    return _through(exercise.as_real, wording)


def _marked(content: Content) -> Content:
    def marked(wording: Wording, lang: str) -> Wording:
        return _through(lambda one: exercise.as_exercise(one, lang), wording)

    try:
        return _each(content, marked)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise Refused(
            "too_long_with_mark",
            f"“{where}” quá dài khi thêm chữ [DIỄN TẬP]. Viết ngắn lại.",
            f"“{where}” is too long once it is marked [EXERCISE]. Shorten it.",
            where=where,
        ) from error


def only_listed(document: dict[str, Any]) -> bool:
    """Tell of an approved document whether it goes to exercise recipients alone."""
    return document["status"] == EXERCISE and document.get("recipients") != "all"


def bare(wording: Wording) -> Wording:
    """Return an exercise's wording as its author writes it, without the marks.

    Any other comes back as it is: a mark typed into some piece of a real alert must be seen.
    """
    return _through(exercise.as_real, wording) if says_exercise(wording) else wording


def bared(content: Content) -> Content:
    """Return a content with every wording `bare`."""
    return _each(content, lambda one, _: bare(one))


def says_exercise(wording: Wording) -> bool:
    """Tell whether every title and text of a wording is marked."""
    return all(map(exercise.is_marked, _texts(wording)))


def mentions_exercise(wording: Wording) -> bool:
    """Tell whether any title or text of a wording begins with the mark."""
    return any(map(exercise.is_marked, _texts(wording)))


def _texts(wording: Wording) -> tuple[str, ...]:
    return (
        wording.push.title, wording.push.body, wording.sms.text, wording.email.subject,
        wording.email.text, wording.page.headline, wording.page.description,
    )  # fmt: skip


def _each(content: Content, change: Callable[[Wording, str], Wording]) -> Content:
    def words(said: Words) -> Words:
        return {lang: change(one, lang) for lang, one in said.items()}

    return content.model_copy(
        update={
            "wording": words(content.wording),
            "update_wording": words(content.update_wording),
            "left_wording": words(content.left_wording),
            "prepared": Prepared(
                cancel=words(content.prepared.cancel),
                correction=words(content.prepared.correction),
            ),
        }
    )


def _through(change: Callable[[pieces.Wording], pieces.Wording], wording: Wording) -> Wording:
    changed = change(pieces.Wording.from_dict(wording.model_dump()))
    return Wording.model_validate(changed.as_dict())
