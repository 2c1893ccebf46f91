"""One shape for every refusal under /api, also for those that no route of ours gave."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from broadcaster.web import i18n
from broadcaster.web.api.operation import PROBLEM_TYPE
from broadcaster.web.middleware import Handler

PREFIX = "/api/"
_SAID = {
    401: ("Hãy đăng nhập hoặc gửi mã truy cập.", "Sign in, or send a token."),
    403: ("Bạn không được làm việc này.", "This is not open to you."),
    404: ("Không có địa chỉ này; xem openapi.json.", "There is no such address; see openapi.json."),
    405: (
        "Địa chỉ này không nhận phương thức đó; xem openapi.json.",
        "This address does not take that method; see openapi.json.",
    ),
    413: ("Nội dung quá dài.", "The body is too long."),
}
_OTHERWISE = (
    "Hệ thống gặp lỗi; hãy thử lại sau ít phút.",
    "Something broke here; try again in a minute.",
)


@web.middleware
async def shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn any other refusal into a problem document; stands around whatever explains errors."""
    response = await handler(request)
    if (
        not request.path.startswith(PREFIX)
        or response.status < 400
        or response.content_type == PROBLEM_TYPE
        or not isinstance(response, web.Response)
    ):
        return response
    told = _read(response)
    vi, en = _SAID.get(response.status, _OTHERWISE)
    message_vi, message_en = told.get("message_vi") or vi, told.get("message_en") or en
    body = {
        "code": told.get("code") or f"http_{response.status}",
        "field": "",
        "message": message_vi if i18n.language() == "vi" else message_en,
        "message_vi": message_vi,
        "message_en": message_en,
        "problems": [],
        "reference": told.get("reference", ""),
    }
    shaped = web.Response(
        body=orjson.dumps(body), status=response.status, content_type=PROBLEM_TYPE
    )
    shaped.headers["Cache-Control"] = "no-store"
    if "Allow" in response.headers:
        shaped.headers["Allow"] = response.headers["Allow"]
    return shaped


def _read(response: web.Response) -> dict[str, Any]:
    try:
        told = orjson.loads(response.body if isinstance(response.body, bytes) else b"{}")
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
