"""CAP 1.2: what we write, and what we believe of others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.alerts import cap
from broadcaster.alerts.cap import Area, Info, Message, Pair, Reference

SENT = datetime(2026, 9, 9, 20, 17, 30, tzinfo=UTC)
SQUARE = "21,105 21,106 22,106 22,105 21,105"
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "cap"


def message(**changes: object) -> Message:
    info = Info(
        language="vi-VN", categories=("Met",), event="Lũ", urgency="Expected", severity="Severe",
        certainty="Likely", expires=SENT + timedelta(hours=12), effective=SENT,
        areas=(Area("P. Hồng Hà", (SQUARE,), ("21,105.8 2",), (Pair("GSO", "00004"),)),),
        responses=("Evacuate",), event_codes=(Pair("OET:v1.2", "OET-204"),),
        sender_name="Hà Nội", headline="Rời khu ngoài đê", description="Nước <lên> & đê",
        instruction="Đi ngay", web="https://example.org/alerts/HN-1", contact="1022",
        parameters=(Pair("class", "emergency"),),
    )  # fmt: skip
    made = Message("urn:hanoi-alerts:HN-1", "alerts@example.org", SENT, "Alert", (info,))
    return replace(made, **changes)  # type: ignore[arg-type]


def spoilt(old: str, new: str) -> list[str]:
    """The problems of our own message with one thing changed in it."""
    text = cap.write(message()).decode()
    assert old in text
    return [problem.code for problem in cap.check_bytes(text.replace(old, new, 1).encode())]


def test_what_we_write_has_no_problem() -> None:
    assert cap.check_bytes(cap.write(message())) == []


def test_a_moment_is_written_on_hanois_clock_to_the_second() -> None:
    root = ElementTree.fromstring(cap.write(message()))
    assert root.findtext(f"{CAP}sent") == "2026-09-10T03:17:30+07:00"
    assert root.findtext(f"{CAP}info/{CAP}expires") == "2026-09-10T15:17:30+07:00"


def test_an_update_names_every_earlier_message() -> None:
    earlier = tuple(Reference("alerts@example.org", f"urn:{n}", SENT) for n in (1, 2))
    data = cap.write(message(msg_type="Update", references=earlier))
    assert cap.check_bytes(data) == []
    references = ElementTree.fromstring(data).findtext(f"{CAP}references") or ""
    assert references.split() == [
        "alerts@example.org,urn:1,2026-09-10T03:17:30+07:00",
        "alerts@example.org,urn:2,2026-09-10T03:17:30+07:00",
    ]


@given(st.text())
def test_any_text_an_official_pastes_stays_readable(text: str) -> None:
    info = replace(message().infos[0], description=text, headline=text)
    assert cap.check_bytes(cap.write(message(infos=(info,)))) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<scope>Public</scope>", "", "missing_element"),
        ("<status>Actual</status>", "<status>Real</status>", "bad_value"),
        ("<status>Actual</status>", "<status>Actual</status><status>Test</status>", "too_many"),
        ("<scope>Public</scope>", "<scope>Public</scope><mood>grim</mood>", "unknown_element"),
        ("+07:00</sent>", "Z</sent>", "bad_value"),
        ("2026-09-10T03:17:30+07:00</sent>", "2026-02-30T03:17:30+07:00</sent>", "bad_value"),
        ("<sent>", "<scope>Public</scope><sent>", "out_of_order"),
        ("urn:hanoi-alerts:HN-1", "HN 1", "bad_identifier"),
        ("<msgType>Alert", "<msgType>Update", "references_missing"),
        ("<msgType>Alert", "<msgType>Cancel", "references_missing"),
        ("T15:17:30", "T03:17:30", "expires_before_sent"),
        (">Public<", ">Private<", "addresses_missing"),
        (">Public<", ">Restricted<", "restriction_missing"),
        ("22,105 21,105</", "22,105</", "polygon_open"),
        (SQUARE, "21,105 22,106 22,105 21,106 21,105", "polygon_crosses"),
        (SQUARE, "21,105 22,106 21,105", "bad_polygon"),
        (SQUARE, "", "bad_polygon"),
        (SQUARE, SQUARE.replace("22,106", "222,106"), "bad_polygon"),
        (SQUARE, SQUARE.replace("22,106", "22;106"), "bad_polygon"),
        ("21,105.8 2<", "21,105.8<", "bad_circle"),
        ("21,105.8 2<", "21,105.8 -2<", "bad_circle"),
        ("21,105.8 2<", "105.8,21 2<", "bad_circle"),
        ("cap:1.2", "cap:1.1", "not_cap_1_2"),
        ("<alert", "<!DOCTYPE alert><alert", "doctype"),
        ("</alert>", "", "not_xml"),
    ],
)
def test_what_is_wrong_is_found(old: str, new: str, code: str) -> None:
    assert code in spoilt(old, new)


def test_a_hole_drawn_as_a_second_polygon_is_found() -> None:
    inner = "21.2,105.2 21.2,105.4 21.4,105.4 21.4,105.2 21.2,105.2"
    assert spoilt(f"{SQUARE}</polygon>", f"{SQUARE}</polygon><polygon>{inner}</polygon>") == [
        "hole"
    ]


def test_two_polygons_side_by_side_are_no_hole() -> None:
    beside = "21,106 21,107 22,107 22,106 21,106"
    assert spoilt(f"{SQUARE}</polygon>", f"{SQUARE}</polygon><polygon>{beside}</polygon>") == []


def test_a_circle_of_radius_0_is_a_point_and_allowed() -> None:
    assert spoilt("21,105.8 2<", "21,105.8 0<") == []


def test_a_reference_to_itself_or_of_another_form_is_found() -> None:
    kind = {"msg_type": "Update"}
    itself = Reference("alerts@example.org", "urn:hanoi-alerts:HN-1", SENT)
    codes = [p.code for p in cap.check_bytes(cap.write(message(references=(itself,), **kind)))]
    assert codes == ["refers_to_itself"]
    assert spoilt("<scope>Public</scope>", "<scope>Public</scope><references>a,b</references>") == [
        "bad_reference"
    ]


def test_a_problem_says_where() -> None:
    text = cap.write(message()).decode().replace("Expected", "Soon")
    (problem,) = cap.check_bytes(text.encode())
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "Soon" in one)
    assert problem.where == f"alert/info/urgency:{line}"


def test_a_file_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    verdict = cap.check_file(tmp_path / "none.xml")
    assert verdict.verdict == "reject"
    assert verdict.as_json()["problems"][0]["code"] == "unreadable"


def test_a_flood_of_entities_is_never_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'
    assert [problem.code for problem in cap.check_bytes(bomb.encode())] == ["doctype"]
    deep = b"<a>" * 10_000 + b"</a>" * 10_000
    assert [problem.code for problem in cap.check_bytes(deep)] == ["too_deep"]


def _samples() -> list[tuple[Path, str]]:
    folder = Path(os.environ.get("CAP_SAMPLES_DIR", SAMPLES))
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        return []
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    accepted = {"accept", "accept-if-not-strict"}
    return [
        (folder / row["file"], "accept" if row["expected"] in accepted else "reject")
        for row in rows
    ]


@pytest.mark.parametrize(
    ("path", "expected"), _samples(), ids=lambda value: getattr(value, "stem", value)
)
def test_real_messages_are_judged_as_expected(path: Path, expected: str) -> None:
    """Of signed ones only the form of the signature is looked at."""
    verdict = cap.check_file(path)
    assert verdict.verdict == expected, verdict.problems


def test_the_official_schema_takes_what_we_write(tmp_path: Path) -> None:
    schema = SAMPLES / "xsd" / "CAP-v1.2.xsd"
    if shutil.which("xmllint") is None or not schema.exists():
        pytest.skip("xmllint or the schema is not here")
    file = tmp_path / "ours.xml"
    file.write_bytes(cap.write(message()))
    done = subprocess.run(
        ["xmllint", "--noout", "--nonet", "--schema", schema, file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
