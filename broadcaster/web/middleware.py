"""What happens around every handler: headers, refusals, who is calling, and in which language."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import web
from asyncpg import CharacterNotInRepertoireError, UntranslatableCharacterError

from broadcaster.errors import Conflict, NotAllowed, NotFound, Refused
from broadcaster.people import sessions
from broadcaster.people.officials import reach_kept
from broadcaster.web import i18n, render, security, trainees
from broadcaster.web.drawing import Busy
from broadcaster.web.keys import CLOCK, KEYRING, POOL, SETTINGS, VISITOR
from broadcaster.web.limits import TooLarge, TooMany
from broadcaster.web.security import Audience, Visitor

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SIGN_IN = "/console/sign-in"
_JSON_PATHS = ("/api/", "/open311/")
_COMPRESSIBLE = ("text/", "application/json", "application/geo+json", "application/xml")
_WORTH_COMPRESSING = 1024

log = structlog.get_logger(__name__)


class NullCharacter(Refused):
    """A text holds U+0000, which nobody types and the database cannot keep."""

    def __init__(self) -> None:
        super().__init__(
            "null_character",
            "Nội dung có ký tự rỗng (U+0000). Bỏ ký tự đó rồi gửi lại.",
            "The text holds a null character (U+0000). Take it out and send it again.",
        )


def wants_json(request: web.Request) -> bool:
    """Tell whether the caller is a program: it asked for JSON, or speaks to a program's path."""
    accept = request.headers.get("Accept", "")
    return request.path.startswith(_JSON_PATHS) or (
        "application/json" in accept and "text/html" not in accept
    )


async def finish(request: web.Request, response: web.StreamResponse) -> None:
    """Put the standing headers on every answer, redirects and errors too."""
    for name, value in security.headers(request.app[SETTINGS]).items():
        response.headers.setdefault(name, value)


@web.middleware
async def pack(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress what shrinks; a file that is kept compressed says so itself."""
    response = await handler(request)
    body = getattr(response, "body", None)
    if (
        isinstance(body, bytes)
        and len(body) >= _WORTH_COMPRESSING
        and response.content_type.startswith(_COMPRESSIBLE)
        and "Content-Encoding" not in response.headers
    ):
        response.headers.add("Vary", "Accept-Encoding")
        response.enable_compression()
    return response


@web.middleware
async def speak(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Choose the language before anything is said."""
    i18n.use(_language(request, None))
    return await handler(request)


def _language(request: web.Request, preferred: str | None) -> str:
    return i18n.choose(
        request.cookies.get(security.LANGUAGE_COOKIE),
        preferred,
        request.headers.get("Accept-Language", ""),
    )


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals and failures into a page, or into JSON for programs."""
    try:
        return await handler(request)
    except Refused as refusal:
        return refused(request, refusal)
    except (CharacterNotInRepertoireError, UntranslatableCharacterError):
        return refused(request, NullCharacter())
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _failed(request, error.status, error.headers.get("Allow"))
    except Exception:
        reference = secrets.token_hex(4)
        log.exception("request_failed", path=request.path, reference=reference)
        return _failed(request, 500, reference=reference)


def status_of(refusal: Refused) -> int:
    """Return the HTTP status a refusal is answered with."""
    if isinstance(refusal, NotFound):
        return 404
    if isinstance(refusal, NotAllowed):
        return 403
    if isinstance(refusal, TooLarge):
        return 413
    if isinstance(refusal, TooMany):
        return 429
    if isinstance(refusal, Busy):
        return 503
    return 409 if isinstance(refusal, Conflict) else 422


def wrong_fields(refusal: Refused) -> dict[str, str]:
    """Return what a refusal says, by field; of several things at one the first."""
    found: Any = refusal.details.get("problems", [])
    return {one["field"]: one[f"message_{i18n.language()}"] for one in reversed(found)}


def refused(request: web.Request, refusal: Refused) -> web.Response:
    """Answer with a refusal's own sentence, in both languages for programs."""
    status = status_of(refusal)
    if wants_json(request):
        body: dict[str, Any] = {
            "code": refusal.code,
            "message": refusal.message(i18n.language()),
            "message_vi": refusal.message_vi,
            "message_en": refusal.message_en,
            "details": refusal.details,
        }
        return web.json_response(body, status=status)
    message = refusal.message(i18n.language())
    return render.page(
        request, "error.html", status, http_status=status, message=message, reference=""
    )


def _failed(
    request: web.Request, status: int, allow: str | None = None, reference: str = ""
) -> web.Response:
    if wants_json(request):
        response = web.json_response(
            {"code": f"http_{status}", "message": "", "reference": reference}, status=status
        )
    else:
        response = render.page(
            request, "error.html", status, http_status=status, message="", reference=reference
        )
    if allow:
        response.headers["Allow"] = allow
    return response


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its handler only as the handler's permission says."""
    if any("\0" in value for value in request.match_info.values()):
        # No code, token or name of ours has one, and the database would fail on it.
        raise web.HTTPNotFound
    permission = security.permission_of(request.match_info.handler)
    if permission is None:
        if request.match_info.http_exception is not None:
            return await handler(request)
        raise web.HTTPForbidden
    changes = request.method not in security.SAFE_METHODS
    if permission.audience is Audience.PROGRAM:
        return await handler(request)
    if permission.audience is Audience.PUBLIC:
        if changes:
            security.check_same_origin(request)
        return await handler(request)
    visitor = await _visitor(request)
    if visitor is None:
        return _must_sign_in(request)
    request[VISITOR] = visitor
    i18n.use(_language(request, visitor.actor.lang))
    if changes:
        security.check_same_origin(request)
        await security.check_csrf(request, visitor)
        if visitor.actor.training:
            trainees.check(request)
    if permission.roles and not permission.roles & {role.role for role in visitor.actor.roles}:
        raise NotAllowed(
            "role",
            "Tài khoản của bạn không có vai trò cho trang này. Nhờ người quản trị cấp thêm.",
            "Your account has no role for this page. Ask an administrator to add one.",
        )
    with reach_kept():
        return await handler(request)


async def _visitor(request: web.Request) -> Visitor | None:
    app = request.app
    token = request.cookies.get(security.session_cookie_name(app[SETTINGS]))
    if not token:
        return None
    async with app[POOL].acquire() as conn:
        session = await sessions.find_session(conn, app[KEYRING], app[CLOCK](), token)
    return Visitor(session.actor, session.csrf) if session else None


def _must_sign_in(request: web.Request) -> web.StreamResponse:
    # A fragment asked for by a page must not be answered with the sign-in page inside it.
    fragment = "HX-Request" in request.headers
    if request.method in security.SAFE_METHODS and not fragment and not wants_json(request):
        raise web.HTTPSeeOther(f"{SIGN_IN}?next={quote(request.path_qs, safe='')}")
    body = {"code": "signed_out", "sign_in": SIGN_IN}
    return web.json_response(body, status=401, headers={"HX-Redirect": SIGN_IN})
