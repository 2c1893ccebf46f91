"""“No longer covers your place” is not an all-clear: words that claim safety there are found.

Whoever leaves an area by an update is told so without anybody having looked whether the danger is
over. That is a decision of its own, written and approved as an all-clear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from broadcaster.alerts.content import Content, Wording
from broadcaster.alerts.problem import Problem

_CLAUSE = re.compile(r"[.,;:!?…\n]")
_DENIED = re.compile(
    r"\b(khong phai|khong co nghia|khong dam bao|chua|dung nghi|not|never|no)\b|n[’']t\b"
)
# Vietnamese is compared without its marks, as SMS carries it. “Safe” is a claim unless it names
# where to go or how to stay; “not dangerous any more” always is one.
_CLAIMS = re.compile(
    r"het nguy hiem|khong con nguy hiem|nguy hiem da qua|da qua nguy hiem|bao yen|yen tam"
    r"|(?<!giu )(?<!noi )(?<!cho )(?<!diem )(?<!den )(?<!toi )(?<!ve )(?<!de )(?<!dam )(?<!bao )"
    r"(?<!khong )(?<!cach )(?<!som )\ban toan\b"
    r"|(tro lai|sinh hoat|di lai|hoat dong) binh thuong|(duoc|co the) (tro )?ve nha|khong phai lo"
    r"|\ball[- ]?clear\b|\b(is|are|be|re|s|now|again) (now |again |quite )?safe\b"
    r"|\bsafe (now|again|to return|to go)\b|\bout of danger\b"
    r"|\b(danger|threat|emergency|risk) (is|has|was) (now )?(over|past|gone|passed|ended)\b"
    r"|\bno (longer|more)( in| any)? danger|\b(return|go) home\b|\bback to normal\b"
    r"|\bnothing to (worry|fear)\b|\bno need to worry\b"
)


def check(content: Content) -> Iterator[Problem]:
    """Block an update that tells those it leaves out that they are safe."""
    for lang, wording in content.left_wording.items():
        for piece, text in _texts(wording):
            claim = claimed(text)
            if lang in content.languages and claim is not None:
                yield Problem(
                    "left_says_safe", True, f"left_wording.{lang}.{piece}",
                    f"Lời cho người ra khỏi vùng không được báo là hết nguy hiểm: “{claim}”. Sửa"
                    " câu này, hoặc soạn tin hết nguy hiểm để người khác duyệt.",
                    "The words for those left out must not say that the danger is over:"
                    f" “{claim}”. Change it, or write an all-clear for somebody else to approve.",
                )  # fmt: skip


def claimed(text: str) -> str | None:
    """Return the clause of a text that claims safety, in either language; None without one."""
    for clause in _CLAUSE.split(unicodedata.normalize("NFC", text)):
        plain = _plain(clause)
        found = _CLAIMS.search(plain)
        if found and not _DENIED.search(plain[: found.start()]):
            return clause.strip()
    return None


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    marked = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(marked.split())


def _texts(wording: Wording) -> Iterator[tuple[str, str]]:
    yield "push.title", wording.push.title
    yield "push.body", wording.push.body
    yield "sms.text", wording.sms.text
    yield "email.subject", wording.email.subject
    yield "email.text", wording.email.text
    yield "page.headline", wording.page.headline
    yield "page.description", wording.page.description
    yield "page.instructions", "\n".join(wording.page.instructions)
