"""FCM's answers that the lab does not give by itself, and the completeness of the table."""

import json
from datetime import UTC, datetime

import pytest
from firebase_admin import exceptions

from channels.base import Action, Result
from channels.push_errors import QUOTA_SECONDS, VERDICTS, judge

NOW = datetime(2026, 9, 5, 11, 0, tzinfo=UTC)


def error(status: str, code: str = "", message: str = "", fields: tuple[str, ...] = ()) -> bytes:
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    violations = [{"field": field, "description": "?"} for field in fields]
    details.append(
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}
    )
    return json.dumps(
        {"error": {"status": status, "message": message, "details": details}}
    ).encode()


def test_every_code_firebase_admin_knows_is_in_the_table() -> None:
    platform = {value for name, value in vars(exceptions).items() if name == value}
    assert len(platform) > 10
    assert platform <= VERDICTS.keys()


def test_only_unregistered_retires() -> None:
    assert [code for code, (_, action) in VERDICTS.items() if action is Action.RETIRE] == [
        "UNREGISTERED"
    ]


def test_a_404_without_fcm_s_own_code_never_retires() -> None:
    for body in (error("NOT_FOUND"), b"<html>404</html>", b""):
        verdict = judge(404, body, None, NOW)
        assert (verdict.result, verdict.action) == (Result.TEMPORARY, Action.PAUSE)


@pytest.mark.parametrize(
    ("body", "action"),
    [
        (error("INVALID_ARGUMENT", "INVALID_ARGUMENT", fields=("message.token",)), Action.NONE),
        (error("INVALID_ARGUMENT", "INVALID_ARGUMENT", fields=("message.fid",)), Action.NONE),
        (
            error(
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                "The registration token is not a valid FCM registration token",
            ),
            Action.NONE,
        ),
        (error("INVALID_ARGUMENT", fields=("message.data[0].value",)), Action.PAUSE),
        (error("INVALID_ARGUMENT", fields=("message.token", "message.android")), Action.PAUSE),
        (error("INVALID_ARGUMENT"), Action.PAUSE),
        (b"not json", Action.PAUSE),
    ],
)
def test_nonsense_somebody_registered_does_not_pause_the_provider(
    body: bytes, action: Action
) -> None:
    verdict = judge(400, body, None, NOW)
    assert (verdict.result, verdict.reason) == (Result.PERMANENT, "INVALID_ARGUMENT")
    assert verdict.action is action


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 05 Sep 2026 11:01:30 GMT", 90.0),
        ("Sat, 05 Sep 2026 10:00:00 GMT", 0.0),
        ("soon", QUOTA_SECONDS),
        (None, QUOTA_SECONDS),
    ],
)
def test_how_long_a_429_asks_us_to_wait(header: str | None, seconds: float) -> None:
    assert judge(429, b"", header, NOW).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "body", "result", "action"),
    [
        (502, b"<html>", Result.TEMPORARY, Action.NONE),
        (599, b"", Result.TEMPORARY, Action.NONE),
        (504, b"", Result.UNKNOWN, Action.NONE),
        (302, b"", Result.TEMPORARY, Action.PAUSE),
        (413, b"", Result.TEMPORARY, Action.PAUSE),
        (400, error("BRAND_NEW", "BRAND_NEW"), Result.TEMPORARY, Action.PAUSE),
        (200, b"{}", Result.UNKNOWN, Action.NONE),
        (200, b"<html>", Result.UNKNOWN, Action.NONE),
        (200, b'["name"]', Result.UNKNOWN, Action.NONE),
        (500, b'{"error": "x"}', Result.TEMPORARY, Action.NONE),
        (
            500,
            b'{"error": {"details": [1, {"fieldViolations": [2]}]}}',
            Result.TEMPORARY,
            Action.NONE,
        ),
    ],
)
def test_answers_fcm_does_not_document_are_never_final(
    status: int, body: bytes, result: Result, action: Action
) -> None:
    verdict = judge(status, body, None, NOW)
    assert (verdict.result, verdict.action) == (result, action)
