"""CAP 1.2: what an alert says, as the XML other systems read. `check_file` reads it back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from zoneinfo import ZoneInfo

from broadcaster.alerts.cap_check import Problem, Verdict, check_bytes, check_file

__all__ = [
    "Area",
    "Info",
    "Message",
    "Pair",
    "Problem",
    "Reference",
    "Verdict",
    "check_bytes",
    "check_file",
    "moment",
    "readable",
    "write",
]

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MSG_TYPES = {
    "alert": "Alert",
    "update": "Update",
    "correction": "Cancel",
    "all_clear": "Update",
    "cancel": "Cancel",
}
"""Of each kind of ours. An all-clear tells people something new, so it is no Cancel; what was sent
in error has to go wherever it was taken over, so its correction is one."""

_HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
_NO_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Pair:
    """A value with the name of the list it is from: eventCode, parameter, geocode."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier message."""

    sender: str
    identifier: str
    sent: datetime


@dataclass(frozen=True, slots=True)
class Area:
    """Where; polygons and circles in CAP's own notation, latitude first."""

    description: str
    polygons: tuple[str, ...] = ()
    circles: tuple[str, ...] = ()
    geocodes: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """What is said, in one language."""

    language: str
    categories: tuple[str, ...]
    event: str
    urgency: str
    severity: str
    certainty: str
    expires: datetime
    areas: tuple[Area, ...]
    responses: tuple[str, ...] = ()
    event_codes: tuple[Pair, ...] = ()
    effective: datetime | None = None
    sender_name: str = ""
    headline: str = ""
    description: str = ""
    instruction: str = ""
    web: str = ""
    contact: str = ""
    parameters: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One CAP message; one info block for each language."""

    identifier: str
    sender: str
    sent: datetime
    msg_type: str
    infos: tuple[Info, ...]
    status: str = "Actual"
    note: str = ""
    references: tuple[Reference, ...] = ()


def moment(at: datetime) -> str:
    """Write a moment as CAP wants it: to the second, on Hanoi's clock, with its zone."""
    return at.astimezone(_HANOI).isoformat(timespec="seconds")


def readable(text: str) -> str:
    """Drop what XML cannot hold: one pasted control character makes a whole file unreadable."""
    return _NO_XML.sub("", text)


def write(message: Message) -> bytes:
    """Write a message as XML; nothing empty is written, so its order alone is the schema's."""
    alert = Element("alert", {"xmlns": NAMESPACE})
    _add(
        alert,
        [
            ("identifier", message.identifier),
            ("sender", message.sender),
            ("sent", moment(message.sent)),
            ("status", message.status),
            ("msgType", message.msg_type),
            ("scope", "Public"),
            ("note", message.note),
            ("references", " ".join(map(_reference, message.references))),
        ],
    )
    for info in message.infos:
        _write_info(SubElement(alert, "info"), info)
    ElementTree.indent(alert)
    data: bytes = ElementTree.tostring(alert, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _reference(reference: Reference) -> str:
    return f"{reference.sender},{reference.identifier},{moment(reference.sent)}"


def _write_info(parent: Element, info: Info) -> None:
    _add(
        parent,
        [
            ("language", info.language),
            *(("category", category) for category in info.categories),
            ("event", info.event),
            *(("responseType", response) for response in info.responses),
            ("urgency", info.urgency),
            ("severity", info.severity),
            ("certainty", info.certainty),
        ],
    )
    _add_pairs(parent, "eventCode", info.event_codes)
    _add(
        parent,
        [
            ("effective", moment(info.effective) if info.effective else ""),
            ("expires", moment(info.expires)),
            ("senderName", info.sender_name),
            ("headline", info.headline),
            ("description", info.description),
            ("instruction", info.instruction),
            ("web", info.web),
            ("contact", info.contact),
        ],
    )
    _add_pairs(parent, "parameter", info.parameters)
    for area in info.areas:
        element = SubElement(parent, "area")
        _add(
            element,
            [
                ("areaDesc", area.description),
                *(("polygon", polygon) for polygon in area.polygons),
                *(("circle", circle) for circle in area.circles),
            ],
        )
        _add_pairs(element, "geocode", area.geocodes)


def _add(parent: Element, entries: Iterable[tuple[str, str]]) -> None:
    for name, text in entries:
        if text:
            SubElement(parent, name).text = readable(text)


def _add_pairs(parent: Element, name: str, pairs: Iterable[Pair]) -> None:
    for pair in pairs:
        _add(SubElement(parent, name), [("valueName", pair.name), ("value", pair.value)])
