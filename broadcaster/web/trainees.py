"""What a training account may change at all: everything else stays as those on duty made it.

Closed unless it is opened here. What stands here is either their own account, a tool that saves
nothing, or something whose domain function keeps trainees to what trains.
"""

from __future__ import annotations

from aiohttp import web

from broadcaster.errors import NotAllowed

_ALERT, _API = "/console/alerts/{code}", "/api/v1/alerts/{code}"
OPEN = frozenset(
    {
        # Tools: they answer and save nothing.
        "/console/audience", "/console/area/names", "/console/area/read", "/console/area/check",
        "/console/area/repair", "/console/area/simplify", "/api/v1/audience",
        "/api/v1/audience/compare", "/api/v1/areas/read", "/api/v1/areas/names",
        "/api/v1/areas/check", "/api/v1/areas/repair", "/api/v1/areas/simplify",
        "/api/v1/forecast", "/api/v1/templates/lint", f"{_API}/change",
        # Alerts of training accounts (`exercise.require_part`, and the database).
        "/console/alerts/new", "/console/scenarios/{id}/use", f"{_ALERT}/copy", f"{_ALERT}/draft",
        f"{_ALERT}/presence", f"{_ALERT}/comments", f"{_ALERT}/comments/{{number}}/resolve",
        f"{_ALERT}/versions/{{number}}/restore", f"{_ALERT}/submit", f"{_ALERT}/approve",
        f"{_ALERT}/return", f"{_ALERT}/reject", f"{_ALERT}/stop", f"{_ALERT}/cancel",
        f"{_ALERT}/correct", f"{_ALERT}/update", f"{_ALERT}/all-clear", f"{_ALERT}/withdraw",
        "/api/v1/scenarios/{id}/drafts", f"{_API}/approve", f"{_API}/return", f"{_API}/stop",
        f"{_API}/cancel", f"{_API}/correct", f"{_API}/update", f"{_API}/all-clear",
        # Incidents of exercises (`incidents.lifecycle.move`); that one is real anybody may say.
        "/console/incidents/{code}/move", "/console/incidents/{code}/real",
    }
)  # fmt: skip
"""Addresses of routes that change something and are open to training accounts."""
_OWN = ("/console/account", "/console/sign-")
"""How the addresses of their own account and session begin."""


def is_open(address: str) -> bool:
    """Tell of a route's address (`/console/alerts/{code}/stop`) whether trainees may change it."""
    return address in OPEN or address.startswith(_OWN)


def check(request: web.Request) -> None:
    """Refuse a change that is not a trainee's to make; raises NotAllowed."""
    resource = request.match_info.route.resource
    if resource is None or not is_open(resource.canonical):
        raise NotAllowed(
            "training_account",
            "Tài khoản tập huấn không làm được việc này: nó dùng cho tin thật. Dùng tài khoản chính"
            " thức.",
            "A training account may not do this: real alerts go by it. Use an account on duty.",
        )
