"""In which language a public page speaks."""

from __future__ import annotations

from aiohttp import web

from broadcaster.web import i18n


def speak(request: web.Request) -> None:
    """Take the language of the address before that of the browser: links are passed on."""
    asked = request.query.get("lang", "")
    if asked in i18n.LANGUAGES:
        i18n.use(asked)
