"""What a parser found wrong with a text, in words for the person who sent it."""

from __future__ import annotations

import json

from targeting.safe_xml import UnsafeXml

# code of UnsafeXml -> (Vietnamese, English)
_XML = {
    "not_xml": ("sai cú pháp XML ở dòng {line}", "the XML is broken on line {line}"),
    "doctype": ("có khai báo DOCTYPE ở dòng {line}", "a DOCTYPE is declared on line {line}"),
    "too_large": ("tệp quá lớn", "the file is too big"),
    "too_deep": ("các phần tử lồng nhau quá sâu", "elements are nested too deeply"),
}


def json_fault(text: str | bytes, error: Exception) -> dict[str, str]:
    """Return `detail` and `detail_vi` for JSON that its parser refused."""
    if not text.strip():
        return _words("tệp trống", "the file is empty")
    if isinstance(error, RecursionError):
        return _words("dữ liệu lồng nhau quá sâu", "it is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return _words("chữ không ở dạng UTF-8", "its letters are not UTF-8")
    if not isinstance(error, json.JSONDecodeError):
        return _words("có phần sai dạng", "a part of it has the wrong form")
    # What ends before its last bracket was on its way when something broke off.
    whole = error.doc.rstrip()
    if error.pos >= len(whole) or not whole.endswith(("}", "]")):
        return _words("tệp bị cắt giữa chừng, hãy gửi lại", "the file is cut off, send it again")
    return _words(
        f"sai cú pháp ở dòng {error.lineno}, cột {error.colno}",
        f"it is broken on line {error.lineno}, column {error.colno}",
    )


def no_object() -> dict[str, str]:
    """Return `detail` and `detail_vi` for JSON that is a list or a single value."""
    return _words("không phải một đối tượng {…}", "it is no object {…}")


def xml_fault(error: UnsafeXml) -> dict[str, str]:
    """Return `detail` and `detail_vi` for XML that was refused."""
    vietnamese, english = _XML[error.code]
    return _words(vietnamese.format(line=error.line), english.format(line=error.line))


def _words(vietnamese: str, english: str) -> dict[str, str]:
    return {"detail_vi": vietnamese, "detail": english}
