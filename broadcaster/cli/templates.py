"""templates: the list, the linter, and units' own copies out to files and in from them."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.alerts import shelf, template_store
from broadcaster.cli.context import Context
from broadcaster.cli.data import with_context
from broadcaster.db import transaction
from broadcaster.errors import NotFound, Refused
from broadcaster.people.officials import find_actor
from templates import catalogue, document, lint
from templates.document import Document
from templates.files import CatalogueError
from templates.finding import Finding

ALL = "all"


def add_to(commands: Any) -> None:
    """Add the command with what it can do."""
    top = commands.add_parser("templates", help="wording of alerts: list, lint, import, export")
    what = top.add_subparsers(dest="what", required=True, metavar="WHAT")

    cmd = what.add_parser("list", help="what ships with the service")
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=_list)

    cmd = what.add_parser("lint", help="find what is wrong; exit 1 when something must be mended")
    cmd.add_argument(
        "which", nargs="+", metavar="FILE|CODE|all",
        help="an exported file, an event's folder, the code of one that ships, or all of them",
    )  # fmt: skip
    cmd.add_argument(
        "--operators", default="", metavar="A,B", help="operators that want wording registered"
    )
    cmd.add_argument("--lang", choices=("vi", "en"), default="en")
    cmd.add_argument("--json", action="store_true", dest="as_json")
    cmd.set_defaults(run=_lint)

    cmd = what.add_parser("export", help="write one as a file: what ships, or a unit's copy")
    cmd.add_argument("code", metavar="CODE")
    cmd.add_argument("file", type=Path, metavar="FILE")
    cmd.add_argument("--unit", metavar="CODE", help="as it holds for this unit")
    cmd.set_defaults(run=with_context(_export))

    cmd = what.add_parser("import", help="take a file as a draft of a unit, to be reviewed")
    cmd.add_argument("file", type=Path, metavar="FILE")
    cmd.add_argument("--unit", required=True, metavar="CODE")
    cmd.add_argument("--by", required=True, metavar="LOGIN", help="the author who takes it in")
    cmd.set_defaults(run=with_context(_import))


def _list(given: argparse.Namespace) -> int:
    for code, event in sorted(catalogue.load().events.items()):
        if given.as_json:
            told = {
                "code": code, "version": event.version, "name": event.name.en,
                "class": event.default_class, "hours": event.default_expiry_hours,
                "digest": document.shipped(code).digest(),
            }  # fmt: skip
            print(json.dumps(told, ensure_ascii=False))
        else:
            print(f"{code:<16} {event.version:>3}  {event.default_class:<12} {event.name.en}")
    return 0


def _lint(given: argparse.Namespace) -> int:
    named = [name.strip() for name in given.operators.split(",") if name.strip()]
    operators = named or None
    blocked = False
    for name, written in (one for which in given.which for one in _written(which)):
        report = lint.lint(written, operators=operators)
        blocked |= report.blocked
        for finding in report.findings:
            print(_as_json(name, finding) if given.as_json else _line(name, finding, given.lang))
        if not given.as_json and not report.findings:
            print(f"{name}: nothing to mend")
    return 1 if blocked else 0


def _written(which: str) -> list[tuple[str, Document]]:
    """Read what was named; raises Refused naming what cannot be read."""
    if which == ALL:
        return [(code, document.shipped(code)) for code in sorted(catalogue.load().events)]
    path = Path(which)
    try:
        if path.is_dir():
            return [(which, document.of_folder(path))]
        if path.is_file():
            return [(which, document.from_json(json.loads(path.read_text("utf-8"))))]
        if which in catalogue.load().events:
            return [(which, document.shipped(which))]
    except (CatalogueError, ValueError) as error:
        raise _unreadable(which, error) from error
    raise Refused(
        "no_template",
        f"Không có tệp hay mẫu “{which}”. Xem `templates list`.",
        f"There is no file and no template “{which}”. See `templates list`.",
    )


def _unreadable(which: str, error: Exception) -> Refused:
    return Refused(
        "unreadable",
        f"Không đọc được {which}: {error}. Sửa chỗ này rồi thử lại.",
        f"{which} cannot be read: {error}. Correct it and try again.",
    )


def _line(name: str, finding: Finding, lang: str) -> str:
    level = "error" if finding.blocking else "advice"
    return (
        f"{name}/{finding.place}: {level} {finding.code}: {finding.message(lang)}"
        f" {finding.remedy(lang)}"
    )


def _as_json(name: str, finding: Finding) -> str:
    told = {
        "template": name, "code": finding.code, "blocking": finding.blocking,
        "lang": finding.place.lang, "piece": finding.place.piece, "line": finding.place.line,
        "column": finding.place.column, "channel": finding.channel,
        "message_vi": finding.message_vi, "message_en": finding.message_en,
        "remedy_vi": finding.remedy_vi, "remedy_en": finding.remedy_en,
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False)


async def _unit(context: Context, code: str) -> int:
    async with context.pool.acquire() as conn:
        unit_id: int | None = await conn.fetchval(
            "SELECT unit_id FROM unit WHERE code = $1 AND valid_to IS NULL", code
        )
    if unit_id is None:
        raise NotFound(
            "unit_not_found",
            f"Không có đơn vị {code}. Kiểm tra lại mã.",
            f"There is no unit {code}. Check the code.",
        )
    return unit_id


async def _export(context: Context, given: argparse.Namespace) -> int:
    if given.unit:
        unit_id = await _unit(context, given.unit)
        async with context.pool.acquire() as conn:
            chosen = await template_store.in_force(conn, unit_id, given.code)
    else:
        chosen = template_store.shipped(given.code)
    text = json.dumps(chosen.document.as_json(), ensure_ascii=False, indent=2)
    given.file.write_text(text + "\n", encoding="utf-8")
    whose = "as it ships" if chosen.used.id is None else f"copy {chosen.used.id}"
    print(f"{given.file}: {given.code}, {whose}, version {chosen.used.version}")
    return 0


async def _import(context: Context, given: argparse.Namespace) -> int:
    try:
        written = document.from_json(json.loads(given.file.read_text("utf-8")))
    except (OSError, ValueError, CatalogueError) as error:
        raise _unreadable(str(given.file), error) from error
    unit_id, now = await _unit(context, given.unit), datetime.now(UTC)
    async with transaction(context.pool) as conn:
        actor = await find_actor(conn, given.by)
        item = await template_store.bring_in(conn, actor, now, unit_id, written)
        version = await shelf.version(conn, "template", item.item_id, item.open_version or 1)
    print(f"{item.code}: version {version.version} is a draft of {item.unit_name}; it is reviewed")
    print(f"at /console/templates/own/{item.item_id} before it holds")
    return 0
