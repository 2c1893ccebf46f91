"""Quiet hours of what is on its way: what is not handed off when they begin waits for their end.

Only class information is ever held (`channel_policy.quiet_until`). What calls an alert off goes to
those who were disturbed by it already, and at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broadcaster.alerts.content import AlertClass
from broadcaster.alerts.lifecycle import Snapshot
from broadcaster.fanout import channel_policy
from broadcaster.fanout.channel_policy import HANOI, Policy
from broadcaster.fanout.reached import EXACT


@dataclass(frozen=True, slots=True)
class Quiet:
    """The quiet hours one alert was approved under."""

    alert_class: AlertClass
    policy: Policy

    def until(self, moment: datetime) -> datetime | None:
        """Return when the quiet ends that a moment lies in, None when it lies in none."""
        end = channel_policy.quiet_until(self.alert_class, self.policy, moment)
        return end if end > moment else None

    def begins(self, moment: datetime) -> datetime | None:
        """Return when the next quiet begins after a moment outside of one."""
        hours = self.policy.quiet_hours
        if hours is None:
            return None
        here = moment.astimezone(HANOI)
        start = datetime.combine(here.date(), hours.start, HANOI)
        return start if start > here else start + timedelta(days=1)


def of_snapshot(approved: Snapshot) -> Quiet | None:
    """Return the quiet hours that hold an alert back, None when nothing ever does."""
    policy = channel_policy.of_snapshot(approved.document)
    held = approved.content.alert_class == "information" and policy.quiet_hours is not None
    if not held or approved.document.get("kind") in EXACT:
        return None
    return Quiet(approved.content.alert_class, policy)
