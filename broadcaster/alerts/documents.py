"""Documents that officials write and that are kept in versions: their form, and their faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails

from broadcaster.errors import Refused


class Document(BaseModel):
    """What a document is made of: never changed, and nothing in it that is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as they are stored."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a document, and where: `steps.1.after_minutes`, `values.leave_by`."""

    field: str
    message_vi: str
    message_en: str


def place_of(error: ErrorDetails) -> str:
    """Return where a value stands that cannot be read."""
    return ".".join(str(step) for step in error["loc"])


def unreadable(error: ErrorDetails) -> Fault:
    """Say of a value that it cannot be read."""
    return Fault(
        place_of(error),
        "Giá trị này không dùng được. Sửa lại.",
        f"This value cannot be used: {error['msg']}. Correct it.",
    )


def refusal(code: str, found: Sequence[Fault], *, named: bool = False) -> Refused:
    """Make one refusal of faults: the first one's words, all of them in the details.

    The words are `named` by their field where they may be read without the form beside them.
    """
    first = found[0]
    before = f"{first.field}: " if named else ""
    return Refused(
        code,
        f"{before}{first.message_vi}",
        f"{before}{first.message_en}",
        where=first.field,
        problems=[
            {"field": one.field, "message_vi": one.message_vi, "message_en": one.message_en}
            for one in found
        ],
    )
