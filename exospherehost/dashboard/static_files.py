"""Serves the built front end, from memory, under a strict Content-Security-Policy."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

DASHBOARD_PATH = "/ui"
"""Where the dashboard is served, without the slash at its end."""

_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # No text can become script: the page writes no HTML.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
CONTENT_SECURITY_POLICY = "; ".join(_DIRECTIVES)
"""What the page may load and who may frame it: itself, and nobody."""

_ASSETS = "assets/"
_INDEX = "index.html"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
}
_SAFETY = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode("ascii")),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    zipped: bytes
    content_type: bytes
    tag: bytes
    lasting: bool


class Dashboard:
    """The ASGI application of everything below ``/ui/``.

    A path that is no file's is one of the page's own, and is answered with the page.
    """

    def __init__(self) -> None:
        root = files("exospherehost.dashboard").joinpath("static")
        self._files = {path: _read(path, entry.read_bytes()) for path, entry in _walk(root)}

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["method"] not in {"GET", "HEAD"}:
            await _send_plain(send, 405, b"Method Not Allowed", [(b"allow", b"GET, HEAD")])
            return
        path = str(scope["path"]).removeprefix(DASHBOARD_PATH).lstrip("/")
        file = self._files.get(path)
        if file is None and path.startswith(_ASSETS):
            await _send_plain(send, 404, b"Not Found", [])
            return
        await _send_file(scope, send, file or self._files[_INDEX])


def _walk(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        path = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        elif path.rpartition(".")[2] in _TYPES:
            yield path, entry


def _read(path: str, body: bytes) -> _File:
    return _File(
        body=body,
        zipped=gzip.compress(body, mtime=0),
        content_type=_TYPES[path.rpartition(".")[2]].encode("ascii"),
        tag=b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode("ascii"),
        # The name of an asset holds a hash of what is in it.
        lasting=path.startswith(_ASSETS),
    )


async def _send_file(scope: _Scope, send: _Send, file: _File) -> None:
    sent: dict[bytes, bytes] = dict(scope["headers"])
    headers = [
        *_SAFETY,
        (b"cache-control", b"public, max-age=31536000, immutable" if file.lasting else b"no-cache"),
        (b"etag", file.tag),
        (b"vary", b"Accept-Encoding"),
    ]
    if file.tag in sent.get(b"if-none-match", b""):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    body = file.body
    if b"gzip" in sent.get(b"accept-encoding", b""):
        body = file.zipped
        headers.append((b"content-encoding", b"gzip"))
    headers += [(b"content-type", file.content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _send_plain(send: _Send, status: int, text: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*_SAFETY, (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
