"""Mails as people, servers and programs send them, and what is read from each."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.email_reply import Attachment, MailReply, RawMail, new_text, parse

SAMPLES = Path(__file__).with_name("mail")
TOKEN = "k7Qm2Zx9"
DOMAIN = "tin.canhbao.example"


def raw(data: bytes, mail_from: str = "an@gmail.example", mailbox: str = "reply") -> RawMail:
    return RawMail(
        mail_from, (f"{mailbox}+{TOKEN}@{DOMAIN}",), data, datetime.now(UTC), "127.0.0.1"
    )


def sample(name: str, mail_from: str = "an@gmail.example", mailbox: str = "reply") -> MailReply:
    data = (SAMPLES / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")
    return parse(raw(data, mail_from, mailbox))


ANSWERS = {
    "gmail-web-vi": "Ngõ 12 An Dương Vương, phường Phú Thượng ngập khoảng 0,5m.\n"
    "Xe máy chết máy nhiều, cần người hướng dẫn.",
    "gmail-android-vi": "p. phu thuong ngap 0,5m, xe chet may",
    "gmail-web-en": "Water is up to the knee at 25 Lac Long Quan.\nTwo cars are stuck.",
    "gmail-html-only-vi": "Ngập ở hầm chui Thăng Long <50cm>\nÔ tô con không qua được.",
    "gmail-list-vi": "Xin báo:\n- Ngõ 5 ngập 40cm\n- Ngõ 7 có cây đổ\n"
    "Cảm ơn anh chị, nhờ cử người giúp cụ bà số nhà 9.",
    "outlook-desktop-vi": "Kính gửi Trung tâm,\n\n"
    "Trạm biến áp đầu phố Yên Phụ bị ngập, có nguy cơ chập điện.",
    "outlook-ios-vi": "Cây đổ chắn ngang đường Thụy Khuê, trước số nhà 112.",
    "outlook-2010-vi": "Tầng hầm chung cư B ngập 30cm, bơm không kịp.",
    "outlook-html-only-en": "Hello,\nThe school gate at 14 Quang An is blocked by a fallen tree.",
    "apple-mail-vi": "Nhà cháu ở ngách 3, nước vào nhà rồi ạ.",
    "apple-mail-en": "The bridge on lane 5 is under water.",
    "apple-nfd-new-thread-vi": "Đường Lạc Long Quân ngập đến đầu gối",
    "yahoo-vi": "Khu vực chợ Nhật Tân mất điện từ 16h30.",
    "thunderbird-bottom-vi": "Đường Âu Cơ sạt lở một đoạn kè dài 10 m.",
    "samsung-vi": "Nuoc song Hong len nhanh o bai giua, con 2 nguoi chua ra duoc",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_stripped_to_what_is_new(name: str) -> None:
    reply = sample(name)
    assert (reply.kind, reply.token, reply.text) == ("reply", TOKEN, ANSWERS[name])


def test_who_wrote_what_and_when_is_read() -> None:
    reply = sample("outlook-desktop-vi")
    assert reply.sender == "bich.tran@coquan.example"
    assert reply.subject == "Re: Cảnh báo mưa rất to"
    assert reply.message_id == "<SG2PR06MB1@apcprd06.prod.outlook.example>"


def test_photos_are_listed_even_when_shown_inline() -> None:
    assert sample("apple-mail-vi").attachments == (Attachment("IMG_0412.jpeg", "image/jpeg"),)


@pytest.mark.parametrize(
    ("name", "mail_from"),
    [
        ("exchange-auto-reply-vi", ""),
        ("exchange-auto-reply-vi", "thu.le@coquan.example"),
        ("vacation-en", "bob@firm.example"),
        ("newsletter", "tin@shop.example"),
    ],
)
def test_automatic_mails_are_no_reports(name: str, mail_from: str) -> None:
    reply = sample(name, mail_from)
    assert (reply.kind, reply.text) == ("auto", "")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("dsn-postfix", "5.1.1"),
        ("dsn-gmail-full", "5.2.2"),
        ("dsn-delayed", "4.4.1"),
        ("bounce-qmail", "5.1.1"),
    ],
)
def test_bounces_name_the_mail_and_the_reason(name: str, status: str) -> None:
    reply = sample(name, "", "bounce")
    assert (reply.kind, reply.token, reply.bounce_status) == ("bounce", TOKEN, status)


@pytest.mark.parametrize("name", ["dsn-postfix", "dsn-gmail-full"])
def test_a_bounce_to_another_mailbox_is_matched_by_the_mail_it_holds(name: str) -> None:
    data = (SAMPLES / f"{name}.eml").read_bytes()
    data = data.replace(f"To: bounce+{TOKEN}@".encode(), b"To: canhbao@", 1)
    mail = RawMail("", (f"canhbao@{DOMAIN}",), data, datetime.now(UTC), "")
    assert parse(mail).token == TOKEN


def test_an_unsubscribe_mail_is_neither_report_nor_automatic() -> None:
    reply = sample("unsubscribe-apple", mailbox="unsubscribe")
    assert (reply.kind, reply.token) == ("unsubscribe", TOKEN)


def test_a_machine_writing_to_the_return_path_is_automatic() -> None:
    assert sample("gmail-web-vi", mailbox="bounce").kind == "auto"


def answer_to(reference: str, rcpt: str) -> RawMail:
    data = f"From: a@b.example\r\nIn-Reply-To: {reference}\r\n\r\nngap\r\n".encode()
    return RawMail("a@b.example", (rcpt,), data, datetime.now(UTC), "")


def test_without_a_token_in_the_address_the_references_tell() -> None:
    assert parse(answer_to(f"<{TOKEN}@{DOMAIN}>", f"canhbao@{DOMAIN}")).token == TOKEN


def test_another_servers_message_id_is_not_taken_for_a_token() -> None:
    assert parse(answer_to(f"<{TOKEN}@mail.gmail.example>", f"canhbao@{DOMAIN}")).token is None


def test_the_domain_may_be_named_when_the_mail_came_by_another_address() -> None:
    mail = answer_to(f"<{TOKEN}@{DOMAIN}>", "canhbao@city.example")
    assert (parse(mail).token, parse(mail, domain=DOMAIN).token) == (None, TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "Vào lúc 5 giờ chiều nước lên, bà con đã viết: cứu với lên tường",
        "Từ: ngõ 12\nĐến: ngõ 20\nđều ngập",
        "On lane 5 the sign wrote: closed. Water 1 m",
        "- ngập\n- mất điện",
        "Thanks, the water is at my door",
        "Nước lên.\nThanks, we need a boat at no. 7",
        "Gửi từ nhà số 5: có người già cần giúp",
    ],
)
def test_words_that_look_like_marks_are_kept(text: str) -> None:
    assert new_text(text) == text


HOSTILE = {
    "on": "On 1 " + "a b" * 4_000,
    "on-lines": "On 1 aaaa\n" * 1_000,
    "vao": ("Vào 1 " + "ă " * 150 + "\n") * 30,
    "from": "From: a\n" * 1_200,
    "from-sent": "From: a\nx\n" * 1_000,
    "blank": "\n" * 9_000 + "x",
    "spaces": " " * 9_000 + "x",
    "stars": "* " * 4_500 + "x",
    "quotes": ("> " * 50 + "\n") * 90,
    "dashes": "-" * 9_000 + "x",
    "disclaimer": "Disclaimer: " + "a" * 9_000,
    "disclaimers": "Disclaimer:\n" * 800,
    "sent": "Sent from my " * 700,
    "html": "<div>" * 2_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_makes_the_patterns_run_for_long(name: str) -> None:
    started = time.process_time()
    new_text(HOSTILE[name])
    assert time.process_time() - started < 1.0


def test_damaged_mails_are_read_as_far_as_possible() -> None:
    rng = random.Random(7)
    for path in SAMPLES.glob("*.eml"):
        data = bytearray(path.read_bytes())
        for _ in range(30):
            data[rng.randrange(len(data))] = rng.randrange(256)
        assert parse(raw(bytes(data))).kind in ("reply", "bounce", "auto", "unsubscribe")
    for data in (b"", b"\0" * 100, b"Content-Type: multipart/mixed\r\n\r\nx", b"From:\r\n\r\n\xff"):
        assert parse(raw(bytes(data))).kind == "reply"


def test_a_mail_the_parser_fails_on_is_shown_as_it_came() -> None:
    nested = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(2_000)
    )
    started = time.process_time()
    reply = parse(raw(nested.encode()))
    assert (reply.kind, reply.token) == ("reply", TOKEN)
    assert "--b0" in reply.text
    assert time.process_time() - started < 1


@pytest.mark.parametrize("charset", [b"a\0b", b"no-such", b"windows-1258\xff", b""])
def test_an_unknown_charset_is_read_as_utf8(charset: bytes) -> None:
    head = b'Content-Type: text/plain; charset="' + charset + b'"\r\n\r\n'
    assert parse(raw(head + "Nước lên".encode())).text == "Nước lên"
