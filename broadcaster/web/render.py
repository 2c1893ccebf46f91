"""Turning a template and what it shows into a response."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from broadcaster.web import formats, i18n, labels
from broadcaster.web.assets_store import Assets
from broadcaster.web.keys import ASSETS, CLOCK, SETTINGS, VISITOR

PAGES = Path(__file__).parent / "pages"


def set_up(app: web.Application) -> None:
    """Give the application its template environment."""
    env = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        bytecode_cache=_compiled(),
    )
    env.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    env.globals["_"] = _translated
    env.filters |= {name: _spoken(function) for name, function in formats.FILTERS.items()}
    env.filters |= {
        "initials": _initials,
        "label": _spoken(labels.label),
        "icon_of": labels.icon_of,
        "level": labels.level,
    }
    env.globals["icon"] = _icon(app[ASSETS])
    env.globals["title_of"] = labels.title_of
    env.globals["asset"] = app[ASSETS].url
    env.globals["languages"] = i18n.LANGUAGES
    env.globals["has_page"] = frozenset(
        resource.canonical for resource in app.router.resources()
    ).__contains__


def _compiled() -> jinja2.BytecodeCache | None:
    """Keep compiled pages beside their sources, as Python does, where that may be written.

    Compiling them all takes two seconds, and every process would do it for its first readers.
    """
    directory = PAGES / "__pycache__"
    if sys.dont_write_bytecode or not os.access(PAGES, os.W_OK):
        return None
    directory.mkdir(exist_ok=True)
    return jinja2.FileSystemBytecodeCache(str(directory))


def _spoken(function: Callable[..., str]) -> Callable[..., str]:
    """Return a filter whose words follow the reader's language.

    Asking for the context keeps the compiler from working it out once, in the language of the
    first reader, where its input is a constant.
    """

    @jinja2.pass_context
    def spoken(_: jinja2.runtime.Context, *arguments: Any) -> str:
        return function(*arguments)

    return spoken


def _translated(message: str, **values: Any) -> Markup:
    """Translate a page's own words; values are escaped, as anything a page shows.

    The extension's own takes four times as long, and a page has three hundred words.
    """
    said = _marked_up(i18n.language(), message)
    return said % values if values or "%" in said else said


@lru_cache(8_192)
def _marked_up(lang: str, message: str) -> Markup:
    return Markup(i18n.catalogue(lang).gettext(message))  # noqa: S704 - our own catalogues


def _initials(name: str) -> str:
    words = name.split()
    return "".join(word[0] for word in (words[0], words[-1]))[: len(words)].upper() if words else ""


def _icon(assets: Assets) -> Any:
    sprite = assets.url("vendor/icons.svg")

    # There are some dozens, and a list draws the same few in each of its rows.
    @cache
    def icon(name: str, size: str = "") -> Markup:
        """Draw an icon; the word beside it, or a label, says what it means."""
        return Markup('<svg class="i{}" aria-hidden="true"><use href="{}#i-{}"/></svg>').format(
            f" i-{size}" if size else "", sprite, name
        )

    return icon


def _common(request: web.Request) -> dict[str, Any]:
    visitor = request.get(VISITOR)
    return {
        "lang": i18n.language(),
        "path": request.path_qs,
        "now": request.app[CLOCK](),
        "actor": visitor.actor if visitor else None,
        "csrf": visitor.csrf if visitor else "",
        "tiles_url": request.app[SETTINGS].tiles_url or "",
        "tiles_attribution": request.app[SETTINGS].tiles_attribution,
    }


def page(request: web.Request, template: str, status: int = 200, **context: Any) -> web.Response:
    """Render a whole page or a fragment of one. What officials see is kept by no cache."""
    response = aiohttp_jinja2.render_template(
        template, request, {**_common(request), **context}, status=status
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def text(request: web.Request, template: str, **context: Any) -> str:
    """Render a fragment into a string, for answers that carry several."""
    return aiohttp_jinja2.render_string(template, request, {**_common(request), **context})
