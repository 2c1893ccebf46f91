"""What the checks say of exercises: who takes part, and that words and nature agree."""

from __future__ import annotations

from collections.abc import Iterator

from broadcaster.alerts import exercise
from broadcaster.alerts.content import Content
from broadcaster.alerts.draft import Alert
from broadcaster.alerts.problem import Problem
from targeting.index import Counts


def check_taking_part(counts: Counts) -> Iterator[Problem]:
    """Remind that an exercise nobody takes part in reaches nobody.

    Its approver may open it to everybody, so it does not block.
    """
    if counts.people == 0:
        yield Problem(
            "no_one_takes_part", False, "area",
            "Trong vùng không có ai trong danh sách nhận tin diễn tập. Thêm người ở trang Diễn tập,"
            " hoặc người duyệt mở tới mọi người trong vùng.",
            "Nobody in the area is on the list of exercise recipients. Add some on the page"
            " Exercises, or the approver opens it to everybody in the area.",
        )  # fmt: skip


def check_nature(content: Content, alert: Alert | None) -> Iterator[Problem]:
    """Refuse a real alert whose words call it an exercise: it would go to everybody."""
    words = (
        content.wording, content.update_wording, content.left_wording,
        content.prepared.cancel, content.prepared.correction,
    )  # fmt: skip
    says = any(exercise.mentions_exercise(one) for said in words for one in said.values())
    if says and not (alert is not None and alert.exercise):
        yield Problem(
            "real_but_marked", True, "wording",
            "Đây là tin thật nhưng lời ghi [DIỄN TẬP]. Bỏ chữ đó, hoặc bỏ bản này và chọn Diễn tập"
            " khi soạn tin mới.",
            "This alert is real, and its words say [EXERCISE]. Remove that, or give this one up and"
            " choose Exercise when starting a new one.",
        )  # fmt: skip
