"""Who may call a route, what cookies look like and which headers every answer carries.

Every handler declares its permission with one of the decorators here. A handler without one is
refused at start: `undeclared()` lists them, `create_app` raises and a test of the architecture
fails. What an official may do to a thing (its unit, its state) is decided by the domain function,
not here.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from broadcaster.errors import NotAllowed
from broadcaster.people.officials import Actor
from broadcaster.settings import Settings

SESSION_COOKIE = "session"
ENTERING_COOKIE = "entering"
LANGUAGE_COOKIE = "lang"
LANGUAGE_DAYS = 365
CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Handler = TypeVar("Handler", bound=Callable[[web.Request], Awaitable[web.StreamResponse]])


class Audience(enum.StrEnum):
    """Whom a route is for, and so how a call proves itself."""

    PUBLIC = "public"
    """Anybody with a browser. No session is read; a change must come from our own pages."""
    OFFICIAL = "official"
    """A signed-in official. Changes carry the session's CSRF token."""
    PROGRAM = "program"
    """Another program. Cookies are never read; the handler checks its own token, if any."""


@dataclass(frozen=True)
class Permission:
    """What a handler declares: whom it is for and, for officials, which roles open it."""

    audience: Audience
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Visitor:
    """A signed-in official and the token that proves a form is ours."""

    actor: Actor
    csrf: str


_DECLARED = "__permission__"


def _declare(permission: Permission) -> Callable[[Handler], Handler]:
    def mark(handler: Handler) -> Handler:
        setattr(handler, _DECLARED, permission)
        return handler

    return mark


def public(handler: Handler) -> Handler:
    """Open a route to anybody; a change is taken from our own pages only."""
    return _declare(Permission(Audience.PUBLIC))(handler)


def program(handler: Handler) -> Handler:
    """Open a route to programs; the handler checks whatever token it needs."""
    return _declare(Permission(Audience.PROGRAM))(handler)


def official(*roles: str) -> Callable[[Handler], Handler]:
    """Open a route to officials with one of the roles; to every official when none is named."""
    return _declare(Permission(Audience.OFFICIAL, frozenset(roles)))


def permission_of(handler: object) -> Permission | None:
    """Return what a handler declares."""
    return getattr(handler, _DECLARED, None)


def undeclared(app: web.Application) -> list[str]:
    """List routes whose handler declares no permission."""
    return [
        f"{route.method} {route.resource.canonical if route.resource else '?'}"
        for route in app.router.routes()
        if permission_of(route.handler) is None
    ]


def check_same_origin(request: web.Request) -> None:
    """Refuse a change that another site's page sends; programs send neither header."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        ours = site in {"same-origin", "none"}
    else:
        ours = origin is None or urlsplit(origin).netloc == request.host
    if not ours:
        raise _foreign()


async def check_csrf(request: web.Request, visitor: Visitor) -> None:
    """Refuse a change whose form or header does not carry the session's token."""
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        field = (await request.post()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else ""
    if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise _foreign()


def _foreign() -> NotAllowed:
    return NotAllowed(
        "csrf",
        "Biểu mẫu này đã cũ hoặc không do trang này gửi. Tải lại trang rồi làm lại.",
        "This form is old or did not come from this site. Reload the page and do it again.",
    )


def is_secure(settings: Settings) -> bool:
    """Tell whether people reach us over HTTPS."""
    return settings.public_url.startswith("https://")


def session_cookie_name(settings: Settings) -> str:
    """`__Host-` pins the cookie to this host; browsers take the prefix over HTTPS only."""
    return f"__Host-{SESSION_COOKIE}" if is_secure(settings) else SESSION_COOKIE


def entering_cookie_name(settings: Settings) -> str:
    """Name the cookie of a sign-in that has more to show; it opens nothing."""
    return f"__Host-{ENTERING_COOKIE}" if is_secure(settings) else ENTERING_COOKIE


def set_entering_cookie(response: web.StreamResponse, settings: Settings, token: str) -> None:
    """Give the browser what it goes on signing in with."""
    _keep(response, settings, entering_cookie_name(settings), token)


def forget_entering_cookie(response: web.StreamResponse, settings: Settings) -> None:
    """Take it back once the sign-in is whole."""
    response.del_cookie(
        entering_cookie_name(settings), path="/", secure=is_secure(settings), httponly=True
    )


def set_session_cookie(response: web.StreamResponse, settings: Settings, token: str) -> None:
    """Give the browser its session. It ends with the browser; the server ends it earlier."""
    _keep(response, settings, session_cookie_name(settings), token)


def _keep(response: web.StreamResponse, settings: Settings, name: str, token: str) -> None:
    response.set_cookie(
        name,
        token,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_secure(settings),
    )


def forget_session_cookie(response: web.StreamResponse, settings: Settings) -> None:
    """Take the session from the browser."""
    response.del_cookie(
        session_cookie_name(settings), path="/", secure=is_secure(settings), httponly=True
    )


def set_language_cookie(response: web.StreamResponse, settings: Settings, lang: str) -> None:
    """Remember the language somebody chose."""
    response.set_cookie(
        LANGUAGE_COOKIE,
        lang,
        path="/",
        max_age=LANGUAGE_DAYS * 86_400,
        httponly=True,
        samesite="Lax",
        secure=is_secure(settings),
    )


def local_path(target: str, fallback: str) -> str:
    """Return `target` when it stays on this site: never send anybody elsewhere."""
    parts = urlsplit(target)
    stays = not parts.scheme and not parts.netloc and target.startswith("/")
    return target if stays and not target.startswith(("//", "/\\")) else fallback


def headers(settings: Settings) -> dict[str, str]:
    """Headers every answer carries unless its handler sets a stricter value itself."""
    images = "img-src 'self' data:"
    if settings.tiles_url:
        tiles = urlsplit(settings.tiles_url)
        images += f" {tiles.scheme}://{tiles.netloc.replace('{s}', '*')}"
    policy = [
        "default-src 'self'",
        images,
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    result = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), payment=(), geolocation=(self)",
    }
    if is_secure(settings):
        result["Strict-Transport-Security"] = "max-age=31536000"
    return result
