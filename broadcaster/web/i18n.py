"""Words in Vietnamese and English: gettext catalogues, read from their .po files at start.

The language of a request lives in a context variable, so templates, formats and views all speak
the same one without handing it around.
"""

from __future__ import annotations

import gettext as gettext_module
import io
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent / "locale"
LANGUAGES: Mapping[str, str] = {"vi": "Tiếng Việt", "en": "English"}
DEFAULT = "vi"

_current: ContextVar[str] = ContextVar("lang", default=DEFAULT)


@cache
def catalogue(lang: str) -> gettext_module.NullTranslations:
    """Compile a language's catalogues in memory: nothing compiled is kept on disk or in git.

    One file for each part of the site; what the console says is also said elsewhere. They are made
    one, so that no word is looked for in a dozen places.
    """
    whole = Catalog(lang)
    for path in sorted((LOCALE / lang / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=lang):
                if message.id and message.id not in whole:
                    whole[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return gettext_module.GNUTranslations(compiled)


def use(lang: str) -> None:
    """Speak this language for the rest of the request."""
    _current.set(lang if lang in LANGUAGES else DEFAULT)


def language() -> str:
    """Return the language of this request."""
    return _current.get()


def gettext(message: str) -> str:
    """Translate into the language of this request."""
    return catalogue(language()).gettext(message)


def ngettext(singular: str, plural: str, n: int) -> str:
    """Translate a counted phrase into the language of this request."""
    return catalogue(language()).ngettext(singular, plural, n)


def choose(cookie: str | None, preferred: str | None, accept: str) -> str:
    """Pick a language: what was chosen, what the account says, what the browser asks for."""
    for lang in (cookie, preferred):
        if lang in LANGUAGES:
            return str(lang)
    for part in accept.split(","):
        lang = part.split(";")[0].strip().lower()[:2]
        if lang in LANGUAGES:
            return lang
    return DEFAULT
