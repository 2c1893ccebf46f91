"""What an API route declares of itself, and how it reads, answers and refuses.

The declaration is what openapi.json is made of, and what the handler is given to read with, so
the two cannot part.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from broadcaster.errors import Refused
from broadcaster.people.problems import InvalidRegistration
from broadcaster.web import area_tools, i18n, middleware
from broadcaster.web.area_tools import AreaRefused
from broadcaster.web.drawing import Busy
from broadcaster.web.limits import TooLarge, TooMany
from targeting.errors import AreaProblem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)
PROBLEM_TYPE = "application/problem+json"
_DECLARED = "__operation__"
_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""U+0000 as JSON writes it; after an even number of backslashes it is no escape."""
_LARGE = 256_000
"""A body of so many bytes is read beside the event loop: it takes longer than others may wait."""

_MESSAGES: Mapping[str, tuple[str, str]] = {
    "missing": ("Thiếu trường này.", "This field is missing."),
    "extra_forbidden": (
        "Không có trường này; xem openapi.json.",
        "There is no such field; see openapi.json.",
    ),
    "json_invalid": ("Nội dung không phải JSON.", "The body is not JSON."),
    "string_too_short": ("Chưa có nội dung.", "There is nothing in it."),
    "string_too_long": ("Nội dung quá dài.", "It is too long."),
    "literal_error": ("Giá trị này không có trong danh sách.", "It is none of the values listed."),
    "timezone_aware": ("Thời điểm cần có múi giờ.", "The moment needs its zone."),
}
_OTHERWISE = ("Giá trị không đúng.", "The value does not fit.")


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of a query string."""

    name: str
    about: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, for people who write programs against it."""

    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    """Status → body; None where there is none."""
    body: type[BaseModel] | None = None
    file_bytes: int = 0
    """For a route that reads a file instead of a body: the most bytes it may have."""
    most_bytes: int = 16_384
    query: tuple[Query, ...] = ()
    auth: str = ""
    """`citizen`: a bearer token; `citizen?`: may carry one; `official`: a session."""
    refuses: tuple[int, ...] = field(default=())


def operation(declared: Operation) -> Callable[[Handler], Handler]:
    """Declare a route; its refusals become problem documents."""

    def wrap(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refused as refusal:
                return refused(refusal)

        setattr(answer, _DECLARED, declared)
        return answer

    return wrap


def operation_of(handler: object) -> Operation | None:
    """Return what a handler declares."""
    return getattr(handler, _DECLARED, None)


def answered(model: BaseModel, status: int = 200) -> web.Response:
    """Answer with a model; what is about one person or one moment is kept by no cache."""
    return web.Response(
        body=model.model_dump_json(by_alias=True).encode(),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def read(request: web.Request, model: type[Model]) -> Model:
    """Read the body as what the route declares; raises InvalidBody with every problem.

    A body that holds U+0000 is refused whole: the database keeps no such text.
    """
    declared = operation_of(request.match_info.handler)
    most = declared.most_bytes if declared else 0
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise TooLarge(most)
    if _NULL.search(body):
        raise middleware.NullCharacter
    try:
        if len(body) < _LARGE:
            return model.model_validate_json(bytes(body))
        return await asyncio.to_thread(model.model_validate_json, bytes(body))
    except ValidationError as error:
        raise InvalidBody(error) from error


class InvalidBody(Refused):
    """The body is not what the route declares."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(
            "invalid_body",
            "Nội dung gửi lên không đúng; xem từng trường.",
            "The body does not fit; see each field.",
        )
        self.problems = [_problem(one) for one in error.errors(include_url=False)]


def _problem(error: Any) -> dict[str, str]:
    vi, en = _MESSAGES.get(error["type"], _OTHERWISE)
    if (vi, en) == _OTHERWISE:
        en = f"{en} {error['msg']}."
    where = ".".join(str(part) for part in error["loc"])
    return {"field": where, "code": error["type"], "message_vi": vi, "message_en": en}


def _problem_of_area(one: AreaProblem) -> dict[str, Any]:
    field = {"field": one.where, "message_vi": one.message_vi, "message_en": one.message_en}
    return field | area_tools.problem_json(one)


def refused(refusal: Refused) -> web.Response:
    """Return a refusal as a problem document, every wrong field named."""
    problems: Sequence[Mapping[str, Any]] = ()
    headers = {"Cache-Control": "no-store"}
    status = middleware.status_of(refusal)
    if isinstance(refusal, InvalidBody):
        problems = refusal.problems
    elif isinstance(refusal, InvalidRegistration):
        problems = [
            {
                "field": one.field,
                "code": one.code,
                "message_vi": one.message_vi,
                "message_en": one.message_en,
            }
            for one in refusal.problems
        ]
    elif isinstance(refusal, AreaRefused):
        problems = [_problem_of_area(one) for one in refusal.problems]
    elif isinstance(refusal, TooMany):
        status, headers["Retry-After"] = 429, str(refusal.seconds)
    elif isinstance(refusal, Busy):
        headers["Retry-After"] = str(refusal.seconds)
    elif isinstance(refusal, SignedOut):
        status, headers["WWW-Authenticate"] = 401, "Bearer"
    body = {
        "code": refusal.code,
        "field": problems[0]["field"] if problems else "",
        "message": refusal.message(i18n.language()),
        "message_vi": refusal.message_vi,
        "message_en": refusal.message_en,
        "problems": problems,
        "reference": "",
    }
    return web.Response(
        body=orjson.dumps(body), status=status, content_type=PROBLEM_TYPE, headers=headers
    )


class SignedOut(Refused):
    """The request carries no token of somebody who is registered."""

    def __init__(self) -> None:
        super().__init__(
            "signed_out",
            "Thiếu mã truy cập, hoặc mã đã hết hạn. Xác nhận lại số máy hoặc thư của bạn.",
            "The token is missing or has expired. Verify one of your addresses again.",
        )
