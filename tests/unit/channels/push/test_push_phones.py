"""The lab's phones, over the lab FCM's own file."""

import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from channels.lab import fcm_store
from channels.lab.phones import STORED_LIMIT, Fate, history, phones, screen, switch, switches

PHONE = "fid:phone-00000000000001"
START = datetime.now(UTC) - timedelta(days=1)


class Fcm:
    """Writes what the server would have, at times the test chooses."""

    def __init__(self, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        self.conn = conn
        self.ledger = fcm_store.Ledger(conn)
        self.monkeypatch = monkeypatch

    def receive(
        self,
        after: float,
        sequence: int = 1,
        *,
        tag: str = "A",
        ttl: int = 600,
        offline: bool = False,
    ) -> None:
        at = (START + timedelta(seconds=after)).timestamp()
        self.monkeypatch.setattr(time, "time", lambda: at)
        message = {
            "fid": PHONE.removeprefix("fid:"),
            "notification": {"title": f"t{sequence}", "body": "b"},
            "android": {"ttl": f"{ttl}s", "notification": {"tag": tag}},
            "data": {"sequence": str(sequence), "alert": tag},
        }
        _, content = self.ledger.read(json.dumps({"message": message}).encode())
        self.ledger.accept(PHONE, content, offline=offline, answered=True)
        self.ledger.count("OK")
        self.ledger.flush()

    def switch(self, after: float, online: bool) -> None:
        switch(self.conn, PHONE, online, START + timedelta(seconds=after))

    def screen(self, after: float) -> list[str]:
        now = START + timedelta(seconds=after)
        return [shown.title for shown in screen(self.conn, PHONE, now)]

    def fates(self, after: float) -> list[Fate]:
        now = START + timedelta(seconds=after)
        return [entry.fate for entry in history(self.conn, PHONE, now)]


@pytest.fixture
def fcm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fcm:
    return Fcm(fcm_store.connect(tmp_path), monkeypatch)


def test_a_phone_that_is_on_shows_a_message_at_once(fcm: Fcm) -> None:
    fcm.receive(10)
    assert fcm.screen(9) == []
    assert fcm.screen(10) == ["t1"]


def test_the_newest_sequence_takes_the_place_of_its_tag(fcm: Fcm) -> None:
    fcm.receive(1, 1)
    fcm.receive(2, 2)
    assert fcm.screen(3) == ["t2"]
    assert fcm.fates(3) == [Fate.REPLACED, Fate.SHOWN]


def test_an_older_sequence_that_comes_late_changes_nothing(fcm: Fcm) -> None:
    fcm.receive(1, 2)
    fcm.receive(2, 1)
    assert fcm.screen(3) == ["t2"]
    assert fcm.fates(3) == [Fate.SHOWN, Fate.IGNORED]


def test_a_message_sent_twice_is_shown_once(fcm: Fcm) -> None:
    fcm.receive(1)
    fcm.receive(2)
    assert fcm.screen(3) == ["t1"]


def test_other_alerts_are_shown_beside_it_newest_on_top(fcm: Fcm) -> None:
    fcm.receive(1, 1, tag="A")
    fcm.receive(2, 5, tag="B")
    assert fcm.screen(3) == ["t5", "t1"]


def test_messages_without_a_tag_pile_up(fcm: Fcm) -> None:
    fcm.receive(1, tag="")
    fcm.receive(2, tag="")
    assert fcm.screen(3) == ["t1", "t1"]


def test_a_phone_that_is_away_gets_what_is_still_valid_when_it_returns(fcm: Fcm) -> None:
    fcm.switch(0, online=False)
    fcm.receive(10, 1, tag="A", ttl=60)
    fcm.receive(20, 2, tag="B", ttl=600)
    assert fcm.screen(30) == []
    assert fcm.fates(30) == [Fate.WAITING, Fate.WAITING]
    fcm.switch(100, online=True)
    assert fcm.screen(99) == []
    assert fcm.screen(100) == ["t2"]
    assert fcm.fates(100) == [Fate.EXPIRED, Fate.SHOWN]


def test_a_phone_switched_on_after_the_end_shows_nothing(fcm: Fcm) -> None:
    fcm.switch(0, online=False)
    fcm.receive(10, ttl=60)
    fcm.switch(70, online=True)
    assert fcm.screen(80) == []
    assert fcm.fates(80) == [Fate.EXPIRED]


def test_what_was_shown_in_time_stays(fcm: Fcm) -> None:
    fcm.receive(10, ttl=60)
    assert fcm.screen(500) == ["t1"]


def test_a_ttl_of_zero_is_now_or_never(fcm: Fcm) -> None:
    fcm.receive(1, ttl=0)
    fcm.switch(2, online=False)
    fcm.receive(3, 2, tag="B", ttl=0)
    fcm.switch(4, online=True)
    assert fcm.screen(5) == ["t1"]


def test_the_newest_of_those_kept_is_shown(fcm: Fcm) -> None:
    fcm.switch(0, online=False)
    fcm.receive(1, 2)
    fcm.receive(2, 1)
    fcm.switch(3, online=True)
    assert fcm.screen(4) == ["t2"]


def test_away_twice(fcm: Fcm) -> None:
    fcm.switch(0, online=False)
    fcm.receive(1, 1, tag="A")
    fcm.switch(2, online=True)
    fcm.switch(3, online=False)
    fcm.receive(4, 2, tag="B")
    assert fcm.screen(5) == ["t1"]
    fcm.switch(6, online=True)
    assert fcm.screen(7) == ["t2", "t1"]
    assert [change.online for change in switches(fcm.conn, PHONE)] == [False, True, False, True]


def test_more_than_fcm_stores_are_all_dropped(fcm: Fcm) -> None:
    fcm.switch(0, online=False)
    for number in range(STORED_LIMIT + 1):
        fcm.receive(1 + number / 1000, number + 1, tag=f"T{number}")
    fcm.switch(5, online=True)
    assert fcm.screen(6) == [f"t{STORED_LIMIT + 1}"]
    assert fcm.fates(6).count(Fate.DROPPED) == STORED_LIMIT


def test_a_phone_already_seen_is_not_taken_offline_by_a_share(fcm: Fcm) -> None:
    fcm.receive(1, 1)
    fcm.receive(2, 2, offline=True)
    assert fcm.screen(3) == ["t2"]
    assert phones(fcm.conn)[0].online


def test_a_phone_first_seen_offline_waits(fcm: Fcm) -> None:
    fcm.receive(1, 1, offline=True)
    fcm.receive(2, 2, offline=True)
    assert fcm.screen(3) == []
    fcm.switch(4, online=True)
    assert fcm.screen(5) == ["t2"]


def test_switching_to_the_state_it_has_is_no_change(fcm: Fcm) -> None:
    fcm.switch(0, online=True)
    fcm.receive(1)
    fcm.switch(2, online=True)
    assert switches(fcm.conn, PHONE) == []
    assert fcm.screen(3) == ["t1"]


def test_states_outlive_the_connection(fcm: Fcm, tmp_path: Path) -> None:
    fcm.switch(0, online=False)
    fcm.conn.close()
    (phone,) = phones(fcm_store.connect(tmp_path))
    assert (phone.address, phone.online, phone.messages) == (PHONE, False, 0)


def test_phones_are_found_by_a_part_of_their_address(fcm: Fcm) -> None:
    fcm.receive(1)
    switch(fcm.conn, "fid:other-000000000%", True, START)
    assert [phone.address for phone in phones(fcm.conn, 10, "phone-")] == [PHONE]
    assert [phone.address for phone in phones(fcm.conn, 10, "%")] == ["fid:other-000000000%"]
    assert len(phones(fcm.conn, 1)) == 1
    (found,) = phones(fcm.conn, 10, "phone-")
    assert found.messages == 1
    assert found.last_message == START + timedelta(seconds=1)
