from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest

from exospherehost.server import ServerThread, StartupError
from tests._support.service import good

MARK = "x-exosphere-extension"
OFFERED = frozenset(
    {
        "trigger-states",
        "wait",
        "lease",
        "context",
        "batch-report",
        "claim-token",
        "idempotency",
        "cancel",
        "delete-graph",
        "events",
        "warnings",
    }
)


def checked_in() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files("exospherehost_client").joinpath("openapi.json").read_text("utf-8"))
    return document


def served(server: ServerThread) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return good(answer)


def marks(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(MARK), str):
            yield value[MARK]
        for item in value.values():
            yield from marks(item)
    elif isinstance(value, list):
        for item in value:
            yield from marks(item)


def differences(whole: Any, part: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield where ``part`` is not ``whole``; a place that it lacks, once."""
    if isinstance(whole, dict) and isinstance(part, dict):
        assert part.keys() <= whole.keys(), at
        for key, item in whole.items():
            if key not in part:
                yield (*at, key)
            else:
                yield from differences(item, part[key], (*at, key))
    elif isinstance(whole, list) and isinstance(part, list) and len(whole) != len(part):
        rest = list(part)
        for number, item in enumerate(whole):
            if rest and item == rest[0]:
                rest.pop(0)
            else:
                yield (*at, str(number))
        assert rest == [], at
    elif whole != part:
        yield at


def test_what_is_served_is_what_is_checked_in_without_the_extensions_not_offered(server: ServerThread) -> None:
    document = served(server)
    assert set(marks(checked_in())) == OFFERED
    assert set(marks(document)) == OFFERED
    text = json.dumps(document)
    for place in differences(checked_in(), document):
        unused = place[0] == "components" and json.dumps("#/" + "/".join(place)) not in text
        assert unused or is_foreign(checked_in(), place), place


def is_foreign(document: dict[str, Any], place: tuple[str, ...]) -> bool:
    """Tell whether what stands at a place belongs to another extension."""
    value: Any = document
    for part in place:
        value = value[int(part)] if isinstance(value, list) else value[part]
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("$ref"), str):
        return is_foreign(document, tuple(value["$ref"].removeprefix("#/").split("/")))
    operations = [item for item in value.values() if isinstance(item, dict) and "operationId" in item]
    if operations:
        return all(is_marked_foreign(operation) for operation in operations)
    return is_marked_foreign(value)


def is_marked_foreign(value: dict[str, Any]) -> bool:
    return MARK in value and value[MARK] not in OFFERED


def test_no_reference_of_the_served_document_leads_nowhere(server: ServerThread) -> None:
    document = served(server)

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                target: Any = document
                for part in value["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)

    check(document)


def test_the_document_needs_no_key_and_lists_every_operation(server: ServerThread) -> None:
    operations = {
        operation["operationId"]
        for item in served(server)["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "operationId" in operation
    }
    assert len(operations) == 23
    assert operations > {
        "get_health",
        "renew_leases",
        "report_states",
        "cancel_run",
        "delete_graph",
        "stream_run_events",
    }


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_an_extension_can_be_left_out(start_server: Callable[..., ServerThread], name: str) -> None:
    assert set(marks(served(start_server(without=frozenset({name}))))) == OFFERED - {name}


@pytest.mark.parametrize("settings", [{"without": OFFERED}, {"strict": True}])
def test_a_server_without_any_serves_the_hosted_contract(
    start_server: Callable[..., ServerThread], settings: dict[str, Any]
) -> None:
    document = served(start_server(**settings))
    assert set(marks(document)) == set()
    assert "states" not in document["components"]["schemas"]["TriggerGraphRequest"]["properties"]
    assert "TriggerEntry" not in document["components"]["schemas"]
    assert not any(path.endswith(("/renew", "/report", "/cancel", "/events")) for path in document["paths"])
    assert "Prefer" not in document["components"]["parameters"]


def test_an_unknown_extension_cannot_be_left_out(start_server: Callable[..., ServerThread]) -> None:
    with pytest.raises(StartupError, match="tigger-states"):
        start_server(without=frozenset({"tigger-states"}))
