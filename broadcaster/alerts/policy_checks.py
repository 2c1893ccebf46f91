"""What the channel policy in force has to say of a draft: channels, quiet hours, parts, money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from broadcaster.alerts.content import Content
from broadcaster.alerts.forecast import Forecast
from broadcaster.alerts.problem import Problem
from broadcaster.fanout import channel_policy
from broadcaster.fanout.carrying import Can, Carrying
from broadcaster.fanout.channel_policy import HANOI, Policy

_NAMES = {"push": ("thông báo đẩy", "push"), "sms": ("SMS", "SMS"), "email": ("email", "email")}


def check_policy(content: Content, policy: Policy, now: datetime) -> Iterator[Problem]:
    """Name the channels the class does not use, and the end of quiet hours that hold it back."""
    if content.channels:
        yield from _unused(content, policy)
    asked = max(now, content.scheduled_for or now)
    until = channel_policy.quiet_until(content.alert_class, policy, asked)
    if until == asked:
        return
    at = until.astimezone(HANOI)
    if content.expires is not None and content.expires <= until:
        yield Problem(
            "over_before_quiet_ends", True, "expires",
            f"Tin hết hiệu lực trước khi giờ yên tĩnh kết thúc ({at:%H:%M %d/%m}) nên sẽ không"
            " đến ai. Chọn giờ hết hiệu lực muộn hơn, hoặc loại tin cảnh báo nếu là nguy hiểm.",
            f"The alert is over before the quiet hours are ({at:%H:%M, %d %b}), so nobody would"
            " get it. Choose a later end, or the class warning if it is about a danger.",
        )  # fmt: skip
    else:
        yield Problem(
            "held_by_quiet_hours", False, "scheduled_for",
            f"Giờ yên tĩnh: tin thông tin sẽ được gửi lúc {at:%H:%M ngày %d/%m}.",
            f"Quiet hours: class information goes out at {at:%H:%M on %d %b}.",
        )  # fmt: skip


def _unused(content: Content, policy: Policy) -> Iterator[Problem]:
    unused = [channel for channel in content.channels if channel not in policy.channels]
    if not unused:
        return
    vi, en = _said(unused)
    if len(unused) == len(content.channels):
        yield Problem(
            "no_channel_of_policy", True, "channels",
            f"Quy định của loại tin này không gửi qua {vi}. Chọn kênh khác.",
            f"The policy of this class does not use {en}. Choose another channel.",
        )  # fmt: skip
    else:
        yield Problem(
            "channel_not_in_policy", False, "channels",
            f"Quy định của loại tin này không gửi qua {vi}: sẽ không dùng kênh đó.",
            f"The policy of this class does not use {en}: nothing goes out there.",
        )  # fmt: skip


def check_carriers(
    content: Content, policy: Policy, able: Mapping[str, Carrying]
) -> Iterator[Problem]:
    """Name the channels on which nothing leaves now; `able` is empty while nobody knows.

    What only rests comes back by itself, so it never holds an alert back: approved, it leaves at
    the first moment. Where nothing at all can leave until somebody acts, approving is no warning.
    """
    used = [one for one in content.channels if one in policy.channels]
    stuck = [one for one in used if able and able[one].can is not Can.SEND]
    never = [one for one in stuck if able[one].can is Can.NEVER]
    if never and len(never) == len(used):
        vi, en = _said(never)
        yield Problem(
            "no_carrier", True, "channels",
            f"Tin này không thể đến ai: {vi} đã bị tắt hoặc chưa có nhà cung cấp. Chọn thêm kênh"
            " khác, hoặc gọi quản trị viên thành phố bật lại ở trang Nhà cung cấp.",
            f"This alert could reach nobody: {en} is switched off or has no provider. Choose"
            " another channel too, or call an admin of the city to switch one on (page Providers).",
        )  # fmt: skip
        return
    for channel in stuck:
        yield _stuck(channel, able[channel])


def _stuck(channel: str, able: Carrying) -> Problem:
    vi, en = _said([channel])
    if able.can is Can.WAIT:
        return Problem(
            "carrier_resting", False, "channels",
            f"Lúc này {vi} không gửi được: nhà cung cấp đang gặp lỗi. Tin sẽ chờ và đi ngay khi"
            " hoạt động lại. Nếu gấp, báo dân bằng cách khác nữa: loa, điện thoại.",
            f"Nothing leaves by {en} at present: its provider has a fault. Messages wait and leave"
            " as soon as it is back. If it is urgent, tell people in another way too.",
        )  # fmt: skip
    why_vi, why_en = (
        ("đã bị tắt", "is switched off") if able.switched_off
        else ("chưa có nhà cung cấp", "has no provider")
    )  # fmt: skip
    return Problem(
        "no_carrier_on_channel", False, "channels",
        f"Không gì đi qua {vi}: kênh này {why_vi}. Người chỉ có kênh đó sẽ không nhận được tin."
        " Gọi quản trị viên thành phố bật lại ở trang Nhà cung cấp.",
        f"Nothing leaves by {en}: it {why_en}. Whoever has no other channel will not get the alert."
        " Call an admin of the city to switch it on (page Providers).",
    )  # fmt: skip


def _said(channels: Sequence[str]) -> tuple[str, str]:
    """Name channels in both languages."""
    vi, en = (", ".join(_NAMES[one][place] for one in channels) for place in (0, 1))
    return vi, en


def with_channels(content: Content, more: Sequence[str]) -> Content:
    """Return a content that goes by these channels as well."""
    added = tuple(channel for channel in more if channel not in content.channels)
    return content.model_copy(update={"channels": content.channels + added})


def check_dropped(content: Content, heard_by: Sequence[str]) -> Iterator[Problem]:
    """Warn when a follow-up leaves out a channel by which those before it reached people."""
    dropped = [channel for channel in heard_by if channel not in content.channels]
    if not dropped or not content.channels:
        return
    vi, en = _said(dropped)
    yield Problem(
        "channel_dropped", False, "channels",
        f"Tin trước đã đến người dân qua {vi}, tin này thì không: chỉ người nhận tin trước duy"
        f" nhất qua {vi} được báo ở đó. Chọn lại {vi} nếu mọi người cần nhận qua kênh này.",
        f"The alert before reached people by {en} and this one does not use it: only those whom"
        f" nothing else reached are told there. Choose {en} again to tell everybody that way.",
    )  # fmt: skip


def check_cost(told: Forecast) -> Iterator[Problem]:
    """Hold back, or warn of, what costs more than its class may."""
    if not told.dear or told.ceiling is None:
        return
    cost, ceiling = (f"{amount:,}" for amount in (told.cost, told.ceiling))
    vi = (
        f"Tin nhắn SMS tốn nhiều nhất {cost.replace(',', '.')} đ, mức trần là"
        f" {ceiling.replace(',', '.')} đ."
    )
    en = f"The SMS cost at most {cost} đ; the ceiling is {ceiling} đ."
    yield Problem(
        "over_cost_ceiling", told.blocking, "channels",
        f"{vi} Rút ngắn SMS, bỏ dấu, thu hẹp khu vực hoặc bỏ kênh SMS.",
        f"{en} Shorten the SMS, drop its diacritics, narrow the area or leave SMS out.",
    )  # fmt: skip
