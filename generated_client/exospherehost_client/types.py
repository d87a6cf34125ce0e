# generated from openapi/state-manager.yaml by scripts/generate.sh; do not edit
"""What goes out and what comes in, apart from what carries it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """Headers whose names are looked up in any case."""

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs: dict[str, str] = dict(headers)
        self._values = {name.lower(): value for name, value in pairs.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # Names only: a value may be a key.
        return f"Headers({sorted(self._values)})"


def _nothing() -> dict[str, str]:
    # `dict[str, str]` as the factory would double what making a request takes.
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without the server's address and without authentication.

    Attributes:
        method: The HTTP method, upper case.
        path: The path from the root on, percent-encoded: send it as it is.
        params: Query parameters, not yet encoded.
        headers: Headers of this operation.
        content: The encoded body; None for none.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=_nothing)
    headers: Mapping[str, str] = field(default_factory=_nothing, repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def target(self) -> str:
        """The path with the encoded query, as it stands in a request line."""
        return f"{self.path}?{urlencode(self.params)}" if self.params else self.path


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as it came, whatever carried it.

    Attributes:
        status_code: The HTTP status.
        headers: Looked up by lower-case names; `Headers` makes any mapping fit.
        content: The body, decompressed.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A successful response with its parsed body.

    Attributes:
        status_code: The HTTP status.
        headers: The response's headers.
        content: The body as it came.
        parsed: The body as the operation's model.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    parsed: T


__all__ = ["Headers", "RawResponse", "Request", "Response"]
