"""What an alarm is about, in words an official knows."""

from __future__ import annotations

from broadcaster.fanout.alarms import Alarm, What
from broadcaster.web import labels
from broadcaster.web.i18n import gettext as _


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
