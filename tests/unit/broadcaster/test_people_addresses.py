import pytest

from broadcaster.people.addresses import normalise
from broadcaster.people.problems import Unusable


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("0912345678", "+84912345678"),
        ("84912345678", "+84912345678"),
        ("+84 (0) 912-345-678", "+84912345678"),
        ("0084.912.345.678", "+84912345678"),
        ("+0912345678", "+84912345678"),
        ("0120 123 4567", "+84701234567"),
        ("0129 123 4567", "+84821234567"),
        ("0169 123 4567", "+84391234567"),
        ("+84 186 123 4567", "+84561234567"),
        ("0199 123 4567", "+84591234567"),
        ("+65 8123 4567", "+6581234567"),
    ],
)
def test_a_mobile_number_has_one_form_however_it_is_typed(typed: str, stored: str) -> None:
    assert normalise("sms", typed) == stored


@pytest.mark.parametrize(
    ("channel", "typed", "code"),
    [
        ("sms", "024 3826 1234", "phone_landline"),
        ("sms", "+84 28 3822 1234", "phone_landline"),
        ("sms", "1022", "phone_short"),
        ("sms", "115", "phone_short"),
        ("sms", "19001234", "phone_short"),
        ("sms", "0191 123 4567", "phone_invalid"),
        ("sms", "091234567", "phone_invalid"),
        ("sms", "không có", "phone_invalid"),
        ("sms", "", "phone_invalid"),
        ("email", "a b@c.vn", "email_invalid"),
        ("email", "a@localhost@", "email_invalid"),
        ("push", 'fid:"},{"x":"', "push_invalid"),
        ("push", "abcdefghijklmnopqrstuv", "push_invalid"),
        ("fax", "0243", "channel_unknown"),
    ],
)
def test_what_reaches_nobody_is_refused_with_the_reason(
    channel: str, typed: str, code: str
) -> None:
    with pytest.raises(Unusable) as refused:
        normalise(channel, typed)
    assert refused.value.code == code
    problem = refused.value.at("endpoints[0]")
    assert problem.message_vi != problem.message_en


def test_mail_is_stored_in_lower_case_and_push_as_it_is() -> None:
    assert normalise("email", " Nguoi.A@Dan.Example ") == "nguoi.a@dan.example"
    assert normalise("push", "fid:AbCdEfGhIjKlMnOpQrStUv") == "fid:AbCdEfGhIjKlMnOpQrStUv"
