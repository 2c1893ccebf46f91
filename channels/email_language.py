"""How mail programs mark what is quoted and where a signature begins, Vietnamese and English.

mail-parser-reply knows fourteen languages but not Vietnamese, and some of its English patterns
are too eager for reports ("Thanks, the water is at my door" is no signature). This pack holds
both languages in one, so it is used without the library's own.

Every repetition is bounded: the patterns run over text that anybody may send.
"""

from __future__ import annotations

import re

from mailparser_reply.constants import MAIL_LANGUAGES  # type: ignore[import-untyped]

PACK = "vi"

_QUOTE = r"(?:> ?){0,8}"
_LINES = r"[^\n]{0,200}(?:\n[^\n]{1,200}){0,3}?"

_WROTE = [
    # Gmail, Apple Mail, Yahoo, Thunderbird: "Vào Th 7, 21 thg 11, 2026 … đã viết:"
    rf"^({_QUOTE}(?:Vào|Ngày|Lúc|Trong)\s(?=[^\n]{{0,80}}\d){_LINES}\bviết ?:) ?$",
    rf"^({_QUOTE}On\s(?=[^\n]{{0,80}}\d){_LINES}\bwrote ?:) ?$",
    # Gmail on a phone in short form: "21 thg 11, 2026 10:15, Tên <a@b> đã viết:"
    rf"^({_QUOTE}\d{{1,2}}[^\n]{{3,200}}<[^\n>]{{3,100}}>\s(?:đã )?viết ?:) ?$",
]
_SEPARATOR = (
    r"^([-_ ]{3,20}(?:Tin nhắn gốc|Thư gốc|Tin nhắn ban đầu|Thư đã chuyển tiếp|"
    r"Tin nhắn được chuyển tiếp|Original Message|Original message|Forwarded message)[-_ ]{3,20}) ?$"
)
_BEGIN = r"^((?:Bắt đầu (?:thư|tin nhắn) được chuyển tiếp|Begin forwarded message) ?:) ?$"
_FROM = (
    rf"(^{_QUOTE}[* ]{{0,2}}(?:Từ|Người gửi|From) ?:[^\n]{{1,300}}\n+(?:[^\n]{{1,300}}\n+){{0,2}}?"
    rf"{_QUOTE}[* ]{{0,2}}(?:Đã gửi|Gửi lúc|Đã gửi lúc|Ngày|Ngày gửi|Thời gian|Sent|Date) ?:"
    r"[^\n]{0,300})"
)

_DEVICE = (
    r"(?:iPhone|iPad|điện thoại|máy|thiết bị|Samsung|Galaxy|OPPO|Xiaomi|Redmi|vivo|realme|Nokia|"
    r"Yahoo|Outlook|Thư|Mail|Gmail|ứng dụng|Android|Windows|my )"
)
_SIGNATURES = [
    r"(?:Xin )?Trân trọng(?: cảm ơn| kính chào)?[.,!]? ?$",
    r"(?:Xin |Em |Tôi |Cháu )?(?:chân thành |trân trọng )?cảm ơn(?: ạ| nhiều| rất nhiều)?[.,!]? ?$",
    r"(?:Xin )?cám ơn(?: ạ| nhiều)?[.,!]? ?$",
    r"Thân(?: mến| ái)?[.,!]? ?$",
    r"(?:Xin )?Kính (?:thư|chào|báo)[.,!]? ?$",
    r"(?:Best|Kind|Warm)(?: regards)?[.,!]? ?$",
    r"(?:Regards|Sincerely|Cheers|Thanks|Thank you|Many thanks|All the best)[.,!]? ?$",
    rf"(?:Đã gửi|Được gửi|Gửi) từ {_DEVICE}[^\n]{{0,100}}$",
    rf"Sent (?:from|via) {_DEVICE}[^\n]{{0,100}}$",
    r"(?:Get|Tải|Tải xuống|Lấy|Nhận) Outlook (?:for|cho|dành cho) [^\n]{0,100}$",
    r"(?:Yahoo Mail|Thư Yahoo): [^\n]{0,100}$",
]

MAIL_LANGUAGES[PACK] = {
    "wrote_header": [*_WROTE, _SEPARATOR, _BEGIN],
    "from_header": _FROM,
    "disclaimers": [
        "Lưu ý bảo mật:",
        "Tuyên bố miễn trừ trách nhiệm:",
        "Disclaimer:",
        "Confidentiality Notice:",
    ],
    "signatures": _SIGNATURES,
    # The library wants a device name of Latin letters behind it, so ours stand with the rest.
    "sent_from": "Sent from my",
}

HEADER = re.compile("|".join([*_WROTE, _SEPARATOR, _BEGIN, _FROM]), re.MULTILINE | re.IGNORECASE)
"""The same marks, to look for a quotation above the answer."""
