"""openapi.json, made of what the routes declare."""

from __future__ import annotations

import re
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from broadcaster.web import security
from broadcaster.web.api.operation import PROBLEM_TYPE, Operation, answered, operation, operation_of
from broadcaster.web.keys import SETTINGS
from broadcaster.web.security import program

routes = web.RouteTableDef()
PREFIX = "/api/v1"
_Mode = Literal["validation", "serialization"]
_WHY = {
    401: "No token or session, or not a valid one",
    403: "Not open to this official, or the CSRF token is missing",
    404: "There is no such thing, or it is not public",
    409: "Somebody else was faster, or it is no longer in that state",
    413: "The body is too long",
    422: "Refused; each wrong field is named",
    429: "Too many requests from this network or official; see Retry-After",
    503: "Busy with other areas; see Retry-After",
}
_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "": [],
    "citizen": [{"citizen": []}],
    "citizen?": [{}, {"citizen": []}],
    "official": [{"session": []}],
}


class ProblemOfField(BaseModel):
    """One thing wrong with one field; of an area also where on the map, and what mends it."""

    field: str
    code: str
    message_vi: str
    message_en: str
    where: str = ""
    """The part of the area, as `polygons[2].rings[0]`; the same as `field`."""
    message: dict[str, str] = {}
    at: list[float] | None = None
    """Longitude and latitude."""
    repair: str | None = None
    blocking: bool = True


class Problem(BaseModel):
    """Why a request was not done. Nothing was changed."""

    code: str
    field: str = ""
    message: str
    message_vi: str = ""
    message_en: str = ""
    problems: list[ProblemOfField] = []
    reference: str = ""
    """What to tell the people on duty when something broke here."""


class OpenApi(BaseModel):
    """This document."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


def document(app: web.Application) -> OpenApi:
    """Describe every route that declares an operation."""
    declared = [
        (path_of(route), route.method.lower(), found)
        for route in app.router.routes()
        if (found := operation_of(route.handler)) is not None and route.method != "HEAD"
    ]
    models: dict[tuple[type[BaseModel], _Mode], None] = {(Problem, "serialization"): None}
    for _, _, found in declared:
        models |= dict.fromkeys(_models(found))
    named, schemas = models_json_schema(list(models), ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for path, method, found in declared:
        paths.setdefault(path, {})[method] = _operation(path, found, named)
    return OpenApi(
        openapi="3.1.0",
        info={
            "title": "Alert broadcasting",
            "version": "1",
            "description": "Registration, reports and receipts of citizens; published alerts; "
            "questions of officials. Times carry their zone; coordinates are WGS84 degrees.",
        },
        servers=[{"url": app[SETTINGS].public_url}],
        paths=paths,
        components={"schemas": schemas["$defs"], "securitySchemes": _schemes(app)},
    )


def path_of(route: web.AbstractRoute) -> str:
    """Return a route's path with its parameters in braces."""
    canonical = route.resource.canonical if route.resource else ""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", canonical)


def _models(found: Operation) -> list[tuple[type[BaseModel], _Mode]]:
    """List a route's models: what it reads may leave defaults out, what it answers never does."""
    read: list[tuple[type[BaseModel], _Mode]] = [(found.body, "validation")] if found.body else []
    return read + [(model, "serialization") for model in found.answers.values() if model]


def _schemes(app: web.Application) -> dict[str, Any]:
    return {
        "citizen": {"type": "http", "scheme": "bearer"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": security.session_cookie_name(app[SETTINGS]),
            "description": f"Changes carry the session's {security.CSRF_HEADER} header.",
        },
    }


def _operation(path: str, found: Operation, named: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": found.summary,
        "security": _SECURITY[found.auth],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", path)
        ]
        + [
            {"name": one.name, "in": "query", "description": one.about, "schema": dict(one.schema)}
            for one in found.query
        ],
        "responses": {},
    }
    for status, model in found.answers.items():
        described["responses"][str(status)] = _body(
            "Done", "application/json", named[model, "serialization"] if model else None
        )
    for status in found.refuses:
        described["responses"][str(status)] = _body(
            _WHY[status], PROBLEM_TYPE, named[Problem, "serialization"]
        )
    if found.body is not None:
        reference = named[found.body, "validation"]
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference}},
        }
    if found.file_bytes:
        binary = {"type": "string", "format": "binary"}
        form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
        described["requestBody"] = {
            "required": True,
            "description": f"A file of {found.file_bytes} bytes at most.",
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": binary},
            },
        }
    return described


def _body(description: str, media: str, reference: Any) -> dict[str, Any]:
    content = {"content": {media: {"schema": reference}}} if reference else {}
    return {"description": description, **content}


@routes.get(f"{PREFIX}/openapi.json")
@program
@operation(Operation("This document", {200: OpenApi}))
async def openapi(request: web.Request) -> web.StreamResponse:
    """Describe the API."""
    return answered(document(request.app))
