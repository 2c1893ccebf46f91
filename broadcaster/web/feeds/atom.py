"""The Atom feed of published alerts, each entry with its CAP file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from broadcaster.alerts import cap
from broadcaster.alerts.content import wording_for
from broadcaster.web.published import Published

NAMESPACE = "http://www.w3.org/2005/Atom"
CAP_TYPE = "application/cap+xml"
TITLES = {"vi": "Cảnh báo Hà Nội", "en": "Hanoi Alerts"}


def feed(public_url: str, alerts: Sequence[Published], lang: str, now: datetime) -> bytes:
    """Write the feed in one language, newest alert first."""
    address = f"{public_url}/feeds/cap.atom" + ("" if lang == "vi" else f"?lang={lang}")
    newest = max((alert.published_at for alert in alerts), default=now)
    root = Element("feed", {"xmlns": NAMESPACE, "xml:lang": lang})
    _text(root, "id", address)
    _text(root, "title", TITLES[lang])
    _text(root, "updated", cap.moment(newest))
    SubElement(root, "link", {"rel": "self", "type": "application/atom+xml", "href": address})
    pages = f"{public_url}/alerts"
    SubElement(root, "link", {"rel": "alternate", "type": "text/html", "href": pages})
    _text(SubElement(root, "author"), "name", TITLES[lang])
    for alert in alerts:
        _entry(SubElement(root, "entry"), public_url, alert, lang)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _entry(parent: Element, public_url: str, alert: Published, lang: str) -> None:
    page = f"{public_url}/alerts/{alert.code}"
    words = wording_for(alert.content, lang).page
    unit = "unit_name" if lang == "vi" else "unit_name_en"
    _text(parent, "id", alert.cap_identifier)
    _text(parent, "title", words.headline)
    _text(parent, "published", cap.moment(alert.sent))
    _text(parent, "updated", cap.moment(alert.published_at))
    _text(SubElement(parent, "author"), "name", str(alert.document[unit]))
    status = ("Exercise",) if alert.exercise else ()
    for label in (alert.content.alert_class, alert.content.event, alert.kind, *status):
        SubElement(parent, "category", {"term": label})
    SubElement(parent, "link", {"rel": "alternate", "type": "text/html", "href": page})
    SubElement(parent, "link", {"rel": "enclosure", "type": CAP_TYPE, "href": f"{page}.cap.xml"})
    _text(parent, "summary", " ".join([words.description, *words.instructions]))


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = cap.readable(text)
