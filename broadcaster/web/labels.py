"""Words for the codes the domain uses: states, classes, channels, kinds of event in the trail."""

from __future__ import annotations

from collections.abc import Mapping

from broadcaster.alerts.draft import Alert
from broadcaster.web.i18n import gettext, language
from templates import catalogue
from templates.values import GAP_OPENS


def mark(message: str) -> str:
    """Mark a message for the catalogues without translating it yet."""
    return message


CLASS: Mapping[str, str] = {
    "emergency": mark("Emergency"),
    "warning": mark("Warning"),
    "information": mark("Information"),
}
LEVEL: Mapping[str, int] = {"emergency": 3, "warning": 2, "information": 1}
CHANNEL: Mapping[str, str] = {
    "push": mark("Push"),
    "sms": mark("SMS"),
    "email": mark("Mail"),
    "app": mark("App"),
    "web": mark("Web"),
    "phone": mark("Telephone"),
}
CHANNEL_ICON: Mapping[str, str] = {
    "push": "smartphone",
    "sms": "message-square",
    "email": "mail",
    "app": "smartphone",
    "web": "globe",
    "phone": "phone",
}
STATE: Mapping[str, str] = {
    "draft": mark("Draft"),
    "submitted": mark("Waiting for approval"),
    "returned": mark("Returned"),
    "rejected": mark("Rejected"),
    "approved": mark("Approved"),
    "scheduled": mark("Scheduled"),
    "sending": mark("Sending"),
    "sent": mark("Sent"),
    "stopped": mark("Stopped"),
    "expired": mark("Expired"),
}
STATE_ICON: Mapping[str, str] = {
    "draft": "pencil",
    "submitted": "hourglass",
    "returned": "corner-up-left",
    "rejected": "ban",
    "approved": "shield-check",
    "scheduled": "clock",
    "sending": "loader-circle",
    "sent": "check",
    "stopped": "octagon-x",
    "expired": "history",
}
KIND: Mapping[str, str] = {
    "alert": mark("First issue"),
    "update": mark("Update"),
    "cancel": mark("Cancel"),
    "all_clear": mark("All clear"),
    "correction": mark("Correction"),
}
ENDED_BY: Mapping[str, str] = {
    "replaced": mark("replaced by"),
    "all_clear": mark("all clear, by"),
    "cancelled": mark("called off by"),
    "corrected": mark("sent in error, by"),
}
"""How an alert stands that something newer ended; the code of that follows."""
DUTY: Mapping[str, str] = {
    "overdue": mark("Overdue"),
    "due_soon": mark("Due soon"),
    "on_time": mark("On time"),
}
DUTY_ICON: Mapping[str, str] = {
    "overdue": "circle-alert",
    "due_soon": "clock",
    "on_time": "check",
}
RESULT: Mapping[str, str] = {
    "accepted": mark("taken by the carrier"),
    "temporary": mark("refused for now"),
    "permanent": mark("refused for good"),
    "unknown": mark("no answer"),
}
WORDING: Mapping[str, str] = {
    "0": mark("the alert's own words"),
    "1": mark("the short update"),
    "2": mark("“no longer covers your place”"),
}
PROOF: Mapping[str, str] = {
    "holds": mark("holds"),
    "broken": mark("DOES NOT HOLD"),
    "missing": mark("nothing to verify it by"),
}
LANG: Mapping[str, str] = {"vi": mark("in Vietnamese"), "en": mark("in English")}
URGENCY: Mapping[str, str] = {
    "life_threatening": mark("Danger to life"),
    "urgent": mark("Urgent"),
    "normal": mark("Normal"),
}
INCIDENT: Mapping[str, str] = {
    "received": mark("Received"),
    "triaged": mark("Sorted"),
    "assigned": mark("Assigned"),
    "under_way": mark("Under way"),
    "resolved": mark("Resolved"),
    "closed": mark("Closed"),
    "reopened": mark("Reopened"),
    "duplicate": mark("Duplicate"),
    "out_of_remit": mark("Not ours"),
}
INCIDENT_MOVE: Mapping[str, str] = {
    "triaged": mark("Mark as sorted"),
    "assigned": mark("Take it on"),
    "under_way": mark("Start work"),
    "resolved": mark("Mark as resolved"),
    "closed": mark("Close the incident"),
    "reopened": mark("Open again"),
    "duplicate": mark("Mark as duplicate"),
    "out_of_remit": mark("Pass on: not ours"),
}
DELIVERY: Mapping[str, str] = {
    "pending": mark("Waiting or on the way"),
    "handed_off": mark("Handed off, no receipt"),
    "confirmed": mark("Confirmed"),
    "seen": mark("Opened"),
    "failed": mark("Failed"),
    "expired": mark("Expired"),
    "stopped": mark("Stopped"),
    "unknown": mark("Unknown"),
}
DELIVERY_MEANING: Mapping[str, str] = {
    "seen": mark("Somebody opened it in the app."),
    "confirmed": mark("The phone itself says that it has the message. Nobody may have looked yet."),
    "handed_off": mark(
        "The operator accepted it. That is not yet on the phone: many routes never report more."
    ),
    "unknown": mark("Sent, and the operator never answered: it may have arrived or not."),
    "failed": mark("It did not arrive, and is not tried again by itself."),
    "expired": mark("Not handed off before the end of the alert."),
    "stopped": mark("Not handed off: the alert was stopped, or a newer one took its place."),
    "pending": mark(
        "No operator has answered for it: it waits its turn, or is on its way at this moment."
        " Tried until the alert ends."
    ),
}
"""One line for each state, so that none is taken for another."""
LANE: Mapping[str, str] = {
    "emergency": mark("emergencies"),
    "warning": mark("warnings"),
    "routine": mark("information"),
}
ALARM: Mapping[str, str] = {
    "retirement_paused": mark(
        "Too many addresses are said to be dead: none is taken out of use until this is over."
    ),
    "provider_paused": mark("A provider refuses our account or what we send. Have it mended."),
    "provider_down": mark("A provider cannot be used."),
    "channel_down": mark("Messages wait on a channel none of whose providers can be used."),
    "batch_unproven": mark("Part of an alert does not match what was approved and is not sent."),
    "dead_letters": mark("Many messages of an alert did not arrive."),
    "workers_missing": mark("Messages are waiting and no program that sends is running."),
    "queue_old": mark("Messages have waited too long."),
    "nobody_approves": mark(
        "Everybody who may approve was asked and nobody has answered. Call them."
    ),
    "nobody_to_ask": mark(
        "An alert waits and nobody was asked, as nobody may approve it. Its page says why."
    ),
    "clock_wrong": mark(
        "The clock of the database or of a machine that sends is wrong. Have it set."
    ),
    "not_packed": mark("An alert that is over does not add up and stays out of the archive."),
}
OBSTACLE: Mapping[str, str] = {
    "off": mark("switched off by hand"),
    "paused": mark("pausing: it refuses our account or what we send, or cannot be reached"),
    "broken": mark("pausing: too many of its answers were errors"),
}
PURPOSE: Mapping[str, str] = {
    "verification": mark("code to prove an address"),
    "acknowledgement": mark("acknowledgement of a report"),
    "reminder": mark("reminder"),
    "follow_up": mark("follow-up of a report"),
    "approval": mark("asking for an approval"),
}
PLACE: Mapping[str, str] = {
    "given": mark("place given by the sender"),
    "named": mark("place named in the text"),
    "home": mark("the sender's registered home"),
    "none": mark("place unknown"),
}
MATCH: Mapping[str, str] = {
    "reply_token": mark("a reply to its mail"),
    "named": mark("sent from the alert's page"),
    "last_sent": mark("the last alert sent to this address"),
}
ACTION: Mapping[str, str] = {
    "alert.created": mark("started the draft"),
    "alert.edited": mark("edited the alert again"),
    "alert.copied": mark("copied it from an earlier alert"),
    "alert.version_restored": mark("took an earlier version up again"),
    "alert.commented": mark("remarked on it"),
    "alert.comment_resolved": mark("settled a remark"),
    "alert.submitted": mark("sent it for approval"),
    "alert.approval_asked": mark("Approvers were asked"),
    "alert.approval_nobody": mark("Nobody was asked to approve, as nobody may"),
    "alert.approval_reminded": mark("reminded the approvers"),
    "alert.approved": mark("approved"),
    "alert.returned": mark("returned it"),
    "alert.rejected": mark("rejected it"),
    "alert.scheduled": mark("Scheduled"),
    "alert.sending": mark("Audience frozen, sending began"),
    "alert.sent": mark("Sending ended"),
    "alert.stopped": mark("stopped it"),
    "alert.expired": mark("Expired"),
    "alert.superseded": mark("A newer message took its place"),
    "alert.cancel": mark("called it off"),
    "alert.correction": mark("said that it was sent in error"),
    "alert.approved_before": mark("sent it in words approved before"),
    "alert.withdrawn": mark("gave it up"),
    "alert.set_aside": mark("set it aside for an all-clear"),
    "alert.explained": mark("looked up why somebody got it, or not"),
    "alert.record_shown": mark("made the record of somebody who got it"),
    "alert.recipients_shown": mark("looked through who got it"),
    "alert.exported": mark("exported it"),
    "alert.saved": mark("wrote"),
    "alert.replayed": mark("sent again what had not arrived"),
    "sending.first": mark("First message handed off"),
    "sending.channel_ended": mark("nothing left to hand off"),
    "sending.nearly": mark("99% of the messages had left"),
    "sending.step": mark("Next step of the cascade"),
    "carrier.breaker_open": mark("taken out: too many faults"),
    "carrier.breaker_half_open": mark("tried with one batch"),
    "carrier.breaker_closed": mark("back in use"),
    "carrier.switch_off": mark("switched it off"),
    "carrier.switch_auto": mark("left it to the service"),
    "carrier.switch_on": mark("switched it on"),
    "incident.received": mark("Report received"),
    "incident.triaged": mark("sorted it"),
    "incident.assigned": mark("took it on"),
    "incident.under_way": mark("began work"),
    "incident.resolved": mark("resolved it"),
    "incident.closed": mark("closed it"),
    "incident.reopened": mark("opened it again"),
    "incident.duplicate": mark("marked it as duplicate"),
    "incident.out_of_remit": mark("passed it on"),
    "incident.made_real": mark("took it out of the exercise"),
}
ACTION_ICON: Mapping[str, str] = {
    "alert.created": "pencil",
    "alert.edited": "pencil",
    "alert.copied": "copy",
    "alert.version_restored": "rotate-ccw",
    "alert.commented": "message-square",
    "alert.comment_resolved": "check",
    "alert.submitted": "corner-up-right",
    "alert.approval_asked": "users",
    "alert.approval_nobody": "octagon-alert",
    "alert.approval_reminded": "bell-ring",
    "alert.approved": "shield-check",
    "alert.returned": "corner-up-left",
    "alert.rejected": "ban",
    "alert.scheduled": "clock",
    "alert.sending": "send",
    "alert.sent": "check",
    "alert.stopped": "octagon-x",
    "alert.expired": "history",
    "alert.superseded": "refresh-cw",
    "alert.cancel": "octagon-x",
    "alert.correction": "triangle-alert",
    "alert.approved_before": "send",
    "alert.withdrawn": "ban",
    "alert.set_aside": "ban",
    "alert.explained": "search",
    "alert.record_shown": "file-text",
    "alert.recipients_shown": "search",
    "alert.exported": "file-text",
    "alert.saved": "pencil",
    "alert.replayed": "rotate-ccw",
    "sending.first": "send",
    "sending.channel_ended": "check",
    "sending.nearly": "flag",
    "sending.step": "list",
    "carrier.breaker_open": "wifi-off",
    "carrier.breaker_half_open": "wifi",
    "carrier.breaker_closed": "wifi",
    "carrier.switch_off": "ban",
    "carrier.switch_auto": "wrench",
    "carrier.switch_on": "wifi",
}

KIND_ICON: Mapping[str, str] = {
    "alert": "triangle-alert",
    "update": "refresh-cw",
    "correction": "pencil",
    "cancel": "octagon-x",
    "all_clear": "circle-check",
}

_KINDS: Mapping[str, Mapping[str, str]] = {
    "class": CLASS,
    "channel": CHANNEL,
    "state": STATE,
    "kind": KIND,
    "ended_by": ENDED_BY,
    "duty": DUTY,
    "delivery": DELIVERY,
    "delivery_meaning": DELIVERY_MEANING,
    "alarm": ALARM,
    "obstacle": OBSTACLE,
    "purpose": PURPOSE,
    "urgency": URGENCY,
    "result": RESULT,
    "wording": WORDING,
    "proof": PROOF,
    "lang": LANG,
    "incident": INCIDENT,
    "incident_move": INCIDENT_MOVE,
    "place": PLACE,
    "match": MATCH,
    "action": ACTION,
}
_ICONS: Mapping[str, Mapping[str, str]] = {
    "channel": CHANNEL_ICON,
    "state": STATE_ICON,
    "duty": DUTY_ICON,
    "action": ACTION_ICON,
    "kind": KIND_ICON,
}


def label(code: str, kind: str) -> str:
    """Return the words for a code; a code nobody named is shown as it is."""
    message = _KINDS[kind].get(code)
    return gettext(message) if message else code


def icon_of(code: str, kind: str) -> str:
    """Return the name of the icon that goes with a code."""
    return _ICONS[kind].get(code, "circle")


def level(alert_class: str) -> int:
    """Return the severity level of a class: 3, 2 or 1."""
    return LEVEL[alert_class]


def title_of(alert: Alert) -> str:
    """Return what lists call an alert; while its headline has gaps, the kind of alert it is."""
    if alert.title and GAP_OPENS not in alert.title:
        return alert.title
    event = catalogue.load().events.get(alert.event)
    name = event.name[language()] if event else alert.code
    return f"{gettext('[EXERCISE]')} {name}" if alert.exercise else name
