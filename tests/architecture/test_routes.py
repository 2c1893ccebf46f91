"""Every route declares who may call it; no page asks for what the content policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web

from broadcaster.settings import Settings
from broadcaster.web import app as web_app
from broadcaster.web import security
from broadcaster.web.app import create_app
from broadcaster.web.security import Audience

PAGES = Path(web_app.__file__).parent / "pages"
SCRIPTS = Path(web_app.__file__).parent / "assets" / "js"
OWN = "/console/account/"
"""One's own password, second factor and sessions: whatever one's roles."""
DOOR = {"/console/sign-in", "/console/sign-in/step", "/console/sign-out"}
STYLES = Path(web_app.__file__).parent / "assets" / "css"


@pytest.fixture
async def application(tmp_path: Path) -> web.Application:
    never_opened = asyncpg.create_pool("postgresql://127.0.0.1:1/none")
    return create_app(Settings(secret_key="x" * 32), never_opened, lab=tmp_path)


async def test_every_route_declares_its_permission(application: web.Application) -> None:
    assert len(list(application.router.routes())) > 20
    assert security.undeclared(application) == []


async def test_a_route_without_a_permission_is_found(application: web.Application) -> None:
    async def forgotten(request: web.Request) -> web.StreamResponse:
        raise web.HTTPOk

    application.router.add_get("/forgotten", forgotten)
    assert "GET /forgotten" in security.undeclared(application)


async def test_everything_in_the_console_but_the_door_is_for_officials(
    application: web.Application,
) -> None:
    for route in application.router.routes():
        path = route.resource.canonical if route.resource else ""
        permission = security.permission_of(route.handler)
        if path.startswith("/console") and path not in DOOR:
            assert permission is not None
            assert permission.audience is Audience.OFFICIAL, path


async def test_what_an_official_may_change_names_a_role(application: web.Application) -> None:
    for route in application.router.routes():
        path = route.resource.canonical if route.resource else ""
        permission = security.permission_of(route.handler)
        changes = route.method not in {"GET", "HEAD"}
        own = path.startswith(OWN)
        if path.startswith("/console/") and changes and path not in DOOR and not own:
            assert permission is not None
            assert permission.roles, path


@pytest.mark.parametrize("page", sorted(PAGES.rglob("*.html")), ids=lambda path: path.name)
def test_pages_keep_to_the_content_security_policy(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle\s*=", text), "a style attribute"
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text), "an inline event handler"
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", text), "an inline script"
    assert not re.search(r"<style", text), "an inline style sheet"


@pytest.mark.parametrize(
    "path",
    sorted([*PAGES.rglob("*.html"), *SCRIPTS.glob("*.js"), *STYLES.glob("*.css")]),
    ids=lambda path: path.name,
)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    outside = [one for one in re.findall(r"https?://[^\s\"'<>)]+", text) if "www.w3.org" not in one]
    assert outside == []
