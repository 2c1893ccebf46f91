"""Files that officials send: read piece by piece, and never more of them than is allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BodyPartReader

from broadcaster.errors import Refused
from broadcaster.web.limits import TooLarge

MOST_FILE = 20 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """What was uploaded or pasted."""

    name: str
    data: bytes


async def uploaded(request: web.Request, field: str = "file") -> File:
    """Read the file of a form, or the whole body, piece by piece; raises TooLarge.

    A body that is the file itself has its name in the query.
    """
    if not request.content_type.startswith("multipart/"):
        name = request.query.get("name", "")
        return File(name, await _bounded(request.content.iter_chunked(_CHUNK)))
    try:
        reader = await request.multipart()
        async for part in reader:
            if isinstance(part, BodyPartReader) and part.name == field:
                return File(part.filename or "", await _bounded(_pieces(part)))
    except (HttpProcessingError, ValueError) as error:
        raise Refused(
            "form_broken",
            "Biểu mẫu gửi lên bị hỏng. Tải lại trang rồi gửi lại tệp.",
            "The form that was sent is broken. Reload the page and send the file again.",
        ) from error
    raise Refused(
        "file_missing",
        f"Thiếu tệp trong trường “{field}”. Chọn tệp rồi gửi lại.",
        f"There is no file in the field “{field}”. Choose one and send again.",
    )


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_CHUNK):
        yield piece


async def _bounded(pieces: AsyncIterator[bytes]) -> bytes:
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > MOST_FILE:
            raise TooLarge(MOST_FILE)
    return bytes(data)
