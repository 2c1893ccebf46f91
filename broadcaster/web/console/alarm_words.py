"""What an alarm is about, in words an official knows."""

from __future__ import annotations

from broadcaster.fanout.alarms import Alarm, What
from broadcaster.web import labels
from broadcaster.web.i18n import gettext as _


def words(alarm: Alarm) -> str:
    """Say what stands; of an alert that waits for approval, who was asked or that nobody was."""
    if alarm.what != What.NOBODY_APPROVES:
        return labels.label(alarm.what, "alarm")
    names = alarm.detail.get("names")
    if names is None:
        return labels.label(alarm.what, "alarm")
    if not names:
        return labels.label("nobody_to_ask", "alarm")
    return _("%(names)s were asked to approve and have not answered. Call them:") % {
        "names": ", ".join(names)
    }


def subject(alarm: Alarm) -> str:
    """Name the provider or the channel; empty for an alert, whose code stands beside it."""
    if alarm.provider:
        return alarm.provider
    match What(alarm.what):
        case What.CHANNEL_DOWN:
            return _channel(alarm.subject)
        case What.QUEUE_OLD:
            channel, _colon, lane = alarm.subject.partition(":")
            return f"{_channel(channel)}, {_(labels.LANE[lane])}"
        case What.DEAD_LETTERS:
            return _channel(alarm.subject.rpartition(":")[2])
        case _:
            return ""


def _channel(channel: str) -> str:
    return _(labels.CHANNEL[channel])
