"""Keys: what is closed opens in its own place only, and with the secret that closed it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.keyring import Keyring, UndecipherableError

OLD, NEW = "an earlier secret of this city ....", "the secret that holds from today on"


@given(st.binary(max_size=200), st.integers(0, 2**62))
def test_what_is_sealed_opens_again(value: bytes, row_id: int) -> None:
    ring = Keyring(NEW)
    sealed = ring.seal(value, "endpoint", "address_enc", row_id)
    assert ring.unseal(sealed, "endpoint", "address_enc", row_id) == value
    assert value not in sealed or len(value) < 4


@pytest.mark.parametrize(
    ("table", "column", "row_id"),
    [("person", "address_enc", 7), ("endpoint", "name_enc", 7), ("endpoint", "address_enc", 8)],
)
def test_a_sealed_value_opens_nowhere_else(table: str, column: str, row_id: int) -> None:
    ring = Keyring(NEW)
    sealed = ring.seal(b"+84901234567", "endpoint", "address_enc", 7)
    with pytest.raises(UndecipherableError):
        ring.unseal(sealed, table, column, row_id)


def test_a_changed_byte_is_noticed() -> None:
    ring = Keyring(NEW)
    sealed = bytearray(ring.seal(b"+84901234567", "endpoint", "address_enc", 7))
    sealed[-1] ^= 1
    with pytest.raises(UndecipherableError):
        ring.unseal(bytes(sealed), "endpoint", "address_enc", 7)


def test_an_earlier_secret_still_opens_what_it_closed_and_finds_what_it_hashed() -> None:
    before, after = Keyring(OLD), Keyring(NEW, [OLD])
    sealed = before.seal(b"x", "endpoint", "address_enc", 1)
    assert after.unseal(sealed, "endpoint", "address_enc", 1) == b"x"
    assert before.address_hash("sms", "+84901234567") in after.address_hashes("sms", "+84901234567")
    assert after.read_link("delivery", before.sign_link("delivery", "a1e2")) == "a1e2"
    with pytest.raises(UndecipherableError):
        Keyring(NEW).unseal(sealed, "endpoint", "address_enc", 1)


def test_a_link_is_ours_for_one_purpose_and_survives_lower_case() -> None:
    ring = Keyring(NEW)
    signed = ring.sign_link("delivery", "a12E34")
    assert ring.read_link("delivery", signed.lower()) == "a12e34"
    assert ring.read_link("message", signed) is None
    assert ring.read_link("delivery", signed.replace("12", "13")) is None
    assert ring.read_link("delivery", "") is None


def test_hashes_differ_by_channel_and_by_secret() -> None:
    ring = Keyring(NEW)
    assert ring.address_hash("sms", "x") != ring.address_hash("email", "x")
    assert ring.address_hash("sms", "x") != Keyring(OLD).address_hash("sms", "x")
