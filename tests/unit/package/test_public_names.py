"""The public names: those that the reference and the published SDK have, and our errors."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import exospherehost
from exospherehost import BaseNode, Runtime, StateManager, TriggerState

PUBLISHED = {
    "VERSION",
    "BaseNode",
    "CronTrigger",
    "GraphNodeModel",
    "PruneSignal",
    "ReQueueAfterSignal",
    "RetryPolicyModel",
    "RetryStrategyEnum",
    "Runtime",
    "StateManager",
    "StoreConfigModel",
    "UnitesModel",
    "UnitesStrategyEnum",
}


def test_all_is_sorted_and_equal_to_the_public_names() -> None:
    names = exospherehost.__all__
    modules = {name for name, value in vars(exospherehost).items() if inspect.ismodule(value)}
    public = {name for name in (*vars(exospherehost), *dir(exospherehost)) if not name.startswith("_")} - modules

    # Constants first, then by letter, as ruff sorts them.
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    assert len(names) == len(set(names))
    assert public == set(names)


def test_published_and_documented_names_are_there() -> None:
    assert set(exospherehost.__all__) >= {*PUBLISHED, "TriggerState"}


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(exospherehost, "Nonsense")


def test_thread_finds_every_name_while_another_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    findall = re.findall
    found: list[object] = []

    def listed_slowly(pattern: str, text: str, flags: int) -> Iterator[tuple[str, str]]:
        monkeypatch.setattr(re, "findall", findall)
        first, *others = findall(pattern, text, flags)
        yield first
        with ThreadPoolExecutor(1) as another:
            found.extend(another.map(exospherehost.__getattr__, exospherehost.__all__, timeout=30))
        yield from others

    monkeypatch.setattr(exospherehost, "_modules", {})
    monkeypatch.setattr(re, "findall", listed_slowly)

    assert exospherehost.__getattr__("TriggerState") is TriggerState
    assert found == [getattr(exospherehost, name) for name in exospherehost.__all__]


def test_star_import_gives_them() -> None:
    scope: dict[str, object] = {}
    exec("from exospherehost import *", scope)  # noqa: S102 - a star import cannot stand in a function

    assert set(exospherehost.__all__) <= set(scope)


def test_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("exospherehost") == exospherehost.VERSION == exospherehost.__version__


def test_everything_public_has_a_docstring() -> None:
    for name in exospherehost.__all__:
        thing = getattr(exospherehost, name)
        if not inspect.isclass(thing):
            continue
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{member}"


def test_parameters_of_the_published_sdk_are_first_and_in_order() -> None:
    def first(function: object, count: int) -> list[tuple[str, object]]:
        assert callable(function)
        parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
        return [(each.name, each.default) for each in parameters[:count]]

    required = inspect.Parameter.empty
    assert first(Runtime, 9) == [
        ("namespace", required),
        ("name", required),
        ("nodes", required),
        ("state_manager_uri", None),
        ("key", None),
        ("batch_size", 16),
        ("workers", 4),
        ("state_manager_version", "v0"),
        ("poll_interval", 1),
    ]
    assert first(StateManager, 4) == [
        ("namespace", required),
        ("state_manager_uri", None),
        ("key", None),
        ("state_manager_version", "v0"),
    ]
    assert first(StateManager.upsert_graph, 8) == [
        ("graph_name", required),
        ("graph_nodes", required),
        ("secrets", required),
        ("retry_policy", None),
        ("store_config", None),
        ("triggers", None),
        ("validation_timeout", 60),
        ("polling_interval", 1),
    ]
    assert first(StateManager.get_graph, 2) == [("graph_name", required)]
    assert first(StateManager.trigger, 3) == [("graph_name", required), ("state", None), ("states", None)]


def test_base_node_cannot_be_made() -> None:
    assert inspect.isabstract(BaseNode)
