"""Static files: read once, named by their content, compressed once, cached for a year.

One digest covers the whole tree and stands in the path (`/assets/<digest>/css/base.css`), so
that files may point at one another with relative addresses.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).parent / "assets"
PREFIX = "/assets"
_FOREVER = "public, max-age=31536000, immutable"
_PACKABLE = frozenset(
    {"text/css", "text/javascript", "image/svg+xml", "application/json", "text/plain"}
)
_SERVED = frozenset({".css", ".js", ".svg", ".woff2", ".png", ".ico", ".json", ".webmanifest"})
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")


class AssetsMissingError(RuntimeError):
    """The front-end packages were not installed."""


@dataclass(frozen=True)
class Asset:
    """One file, plain and (where it pays) compressed."""

    content_type: str
    body: bytes
    packed: bytes | None


class Assets:
    """Every file under the assets folder, by its path inside it."""

    def __init__(self, files: dict[str, Asset]) -> None:
        self._files = files
        whole = hashlib.sha256()
        for name in sorted(files):
            whole.update(name.encode() + b"\0" + hashlib.sha256(files[name].body).digest())
        self.digest = whole.hexdigest()[:12]

    @classmethod
    def load(cls, root: Path = ROOT) -> Assets:
        """Read the tree; raises AssetsMissingError when set-up did not build the vendor part."""
        if not (root / "vendor").is_dir():
            raise AssetsMissingError("the front-end files are missing: run `make setup`")
        return cls(
            {
                path.relative_to(root).as_posix(): _read(path)
                for path in sorted(root.rglob("*"))
                if path.is_file() and path.suffix in _SERVED
            }
        )

    def url(self, name: str) -> str:
        """Return the address of a file; raises KeyError for one that does not exist."""
        if name not in self._files:
            raise KeyError(f"no asset {name}")
        return f"{PREFIX}/{self.digest}/{name}"

    def find(self, name: str) -> Asset | None:
        """Return a file by its path."""
        return self._files.get(name)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packed = _packed(body) if kind in _PACKABLE else None
    return Asset(kind, body, packed if packed and len(packed) < len(body) else None)


@cache
def _packed(body: bytes) -> bytes:
    """Pack a file; kept, because packing all takes longer than all else of building the app."""
    return gzip.compress(body, 9, mtime=0)


def respond(asset: Asset, accepts: str, fresh: bool) -> web.Response:
    """Answer with a file; `fresh` when the digest asked for is today's."""
    headers = {"Cache-Control": _FOREVER if fresh else "no-cache", "Vary": "Accept-Encoding"}
    body = asset.body
    if asset.packed is not None and "gzip" in accepts:
        headers["Content-Encoding"] = "gzip"
        body = asset.packed
    charset = "utf-8" if asset.content_type.startswith("text/") else None
    return web.Response(
        body=body, content_type=asset.content_type, charset=charset, headers=headers
    )
