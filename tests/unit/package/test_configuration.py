"""Arguments go before variables, and what is malformed is refused when an object is made."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from exospherehost import ConfigurationError, ExosphereError, Runtime, StateManager, SyncStateManager, Timeouts
from exospherehost._config import ConnectionSettings, resolve_connection
from exospherehost._redaction import Redactor
from exospherehost.server import ServerSettings, read_environment
from tests._support.nodes import Echo

KEY = "k-0123456789"
URI = "http://localhost:8000"

Make = Callable[..., Any]


def _state_manager(**arguments: Any) -> StateManager:
    return StateManager(**{"namespace": "ns", "state_manager_uri": URI, "key": KEY, **arguments})


def _runtime(**arguments: Any) -> Runtime:
    defaults = {"namespace": "ns", "name": "rt", "nodes": [Echo], "state_manager_uri": URI, "key": KEY}
    return Runtime(**{**defaults, **arguments})


@pytest.fixture(params=[_state_manager, _runtime], ids=["StateManager", "Runtime"])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def _settings(made: Any) -> ConnectionSettings:
    return made._settings if isinstance(made, StateManager) else made._plan.settings


def test_argument_goes_before_variable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXOSPHERE_STATE_MANAGER_URI", "http://from-variable")
    monkeypatch.setenv("EXOSPHERE_API_KEY", "from-variable")

    settings = _settings(make())

    assert settings.uris == (URI,)
    assert settings.key == KEY


def test_variable_is_taken_where_there_is_no_argument(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXOSPHERE_STATE_MANAGER_URI", "https://from-variable/base/")
    monkeypatch.setenv("EXOSPHERE_API_KEY", "from-variable")

    settings = _settings(make(state_manager_uri=None, key=None))

    assert settings.uris == ("https://from-variable/base",)
    assert settings.key == "from-variable"


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [("state_manager_uri", "EXOSPHERE_STATE_MANAGER_URI"), ("key", "EXOSPHERE_API_KEY")],
)
@pytest.mark.parametrize("how", ["missing", "blank argument", "blank variable"])
def test_missing_or_blank_value_names_parameter_and_variable(
    make: Make, monkeypatch: pytest.MonkeyPatch, parameter: str, variable: str, how: str
) -> None:
    if how == "blank variable":
        monkeypatch.setenv(variable, "  ")
    value = " " if how == "blank argument" else None

    with pytest.raises(ConfigurationError) as caught:
        make(**{parameter: value})

    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ExosphereError)
    assert f"{parameter}=" in str(caught.value)
    assert variable in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "localhost:8000",
        "//localhost",
        "ftp://localhost",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://ho st",
        "http://[::1",
        "http://good, nothing",
    ],
)
def test_malformed_uri_names_parameter_and_variable(make: Make, uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state_manager_uri=.*EXOSPHERE_STATE_MANAGER_URI"):
        make(state_manager_uri=uri)


@pytest.mark.parametrize("uri", ["http://host?a=b", "http://host/#part", "http://host/?"])
def test_uri_with_query_or_fragment_is_refused(make: Make, uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state_manager_uri.*query or a fragment"):
        make(state_manager_uri=uri)


def test_uri_with_password_is_refused_without_quoting_it(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="headers=") as caught:
        make(state_manager_uri="http://user:pa55word@host")

    assert "pa55word" not in str(caught.value)


def test_uri_of_commas_alone_is_refused(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="names no service"):
        make(state_manager_uri=" , ,")


def test_uri_may_name_several_services(make: Make) -> None:
    settings = _settings(make(state_manager_uri=" http://one/ ,https://two:1/base/,, http://[::1]:8000"))

    assert settings.uris == ("http://one", "https://two:1/base", "http://[::1]:8000")


@pytest.mark.parametrize("key", ["with blank inside", "line\nbreak", "clé", "tab\t."])
def test_key_that_cannot_stand_in_a_header_is_refused_without_quoting_it(make: Make, key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"key=.*EXOSPHERE_API_KEY") as caught:
        make(key=key)

    assert key not in str(caught.value)


@pytest.mark.parametrize("parameter", ["namespace", "state_manager_version"])
@pytest.mark.parametrize("value", ["", "a/b", None, 5])
def test_what_is_no_path_segment_is_refused(make: Make, parameter: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=parameter):
        make(**{parameter: value})


@pytest.mark.parametrize("version", [".", "..", "v 1", "v1?", "%2e"])
def test_version_that_would_need_encoding_is_refused(make: Make, version: str) -> None:
    with pytest.raises(ConfigurationError, match="state_manager_version"):
        make(state_manager_version=version)


@pytest.mark.parametrize("namespace", [" ", "..", "ümläut", "a?b#c%", "a b"])
def test_any_other_text_is_a_namespace(make: Make, namespace: str) -> None:
    assert _settings(make(namespace=namespace)).namespace == namespace


@pytest.mark.parametrize(
    "headers",
    [{"bad name": "v"}, {"": "v"}, {"x:y": "v"}, {"x-a": "a\nb"}, {"x-a": "über"}, {"x-a": 5}],
)
def test_header_that_cannot_be_sent_is_refused(make: Make, headers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="headers"):
        make(headers=headers)


@pytest.mark.parametrize("proxy", ["localhost:3128", "ftp://proxy", ""])
def test_malformed_proxy_is_refused(make: Make, proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        make(proxy=proxy)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"verify": "/no/such/authorities.pem"}, "verify='/no/such/authorities.pem' does not exist"),
        ({"verify": None}, "verify is a NoneType"),
        ({"cert": "/no/such/both.pem"}, "cert='/no/such/both.pem' does not exist"),
        ({"cert": (__file__, "/no/such/key.pem", "pa55word")}, "cert='/no/such/key.pem' does not exist"),
    ],
)
def test_tls_file_that_is_missing_is_refused_when_the_object_is_made(
    make: Make, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(named)) as raised:
        make(**options)

    assert "pa55word" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"name": ""}, "name='' is empty"), ({"name": None}, "name=None is"), ({"nodes": []}, "nodes is empty")],
)
def test_runtime_without_a_name_or_nodes_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        _runtime(**options)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5", None])
def test_timeout_that_is_no_positive_number_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout read"):
        Timeouts(read=seconds)


def test_one_number_stands_for_all_timeouts(make: Make) -> None:
    assert _settings(make(timeouts=2.5)).timeouts == Timeouts(connect=2.5, read=2.5, write=2.5, pool=2.5)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("batch_size", [0, -1, 1.5, True, "4"]),
        ("workers", [0, -1, 1.5, True, None]),
        ("poll_interval", [0, -1, float("nan"), "1"]),
        ("grace_period", [-1, float("nan"), "1"]),
    ],
)
def test_runtime_numbers_out_of_range_are_refused(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ConfigurationError, match=name):
            _runtime(**{name: value})


def test_published_spelling_of_the_version_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="state_manager_version"):
        runtime = _runtime(state_manage_version="v7")

    assert _settings(runtime).api_version == "v7"


def test_published_positions_of_the_arguments() -> None:
    runtime = Runtime("ns", "rt", [Echo], URI, KEY, 3, 2, "v9", 4)
    state_manager = StateManager("ns", URI, KEY, "v9")

    assert (runtime._plan.batch_size, runtime._plan.workers, runtime._plan.poll_interval) == (3, 2, 4.0)
    assert _settings(runtime) == _settings(state_manager)


def test_reprs_show_no_key(make: Make) -> None:
    made = make(headers={"authorization": "Basic c2VjcmV0"}, proxy="http://user:pa55word@proxy", cert=__file__)

    for text in (repr(made), repr(_settings(made)), str(made)):
        for secret in (KEY, "c2VjcmV0", "pa55word"):
            assert secret not in text
    assert "ns" in repr(made)


def test_settings_cannot_be_changed(make: Make) -> None:
    with pytest.raises(AttributeError):
        _settings(make()).key = "other"


def test_constructors_open_no_connection(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a constructor connects"))

    make(cert=(__file__, __file__, "password"), verify=__file__)


def test_settings_are_resolved_in_one_place() -> None:
    settings = resolve_connection(namespace="ns", state_manager_uri=URI, key=KEY, api_version="v0")

    assert _settings(_state_manager()) == settings


def test_uri_and_key_in_swapped_places_are_refused_without_the_key(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="unless it has changed places with key=") as caught:
        make(state_manager_uri=KEY, key=URI)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigurationError, match="key is a URI, and has perhaps changed places"):
        make(key=URI)


@pytest.mark.parametrize("given", [f"{KEY}:{KEY}", f"user:{KEY}@host", f"  {KEY}  ", f"http://ok,{KEY}"])
def test_a_text_that_may_be_a_key_is_not_quoted(make: Make, given: str) -> None:
    with pytest.raises(ConfigurationError, match="state_manager_uri is not a URI") as caught:
        make(state_manager_uri=given)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        _state_manager(),
        _runtime(),
        SyncStateManager("ns", URI, KEY),
        _settings(_state_manager()),
        Redactor([KEY]),
        ServerSettings(api_key=KEY),
        read_environment({"EXOSPHERE_API_KEY": KEY}),
    ],
    ids=lambda made: type(made).__name__,
)
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_holds_a_key_is_neither_pickled_nor_copied(made: object, how: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="is neither pickled nor copied"):
        how(made)


@pytest.mark.parametrize("made", [StateManager, SyncStateManager, partial(Runtime, name="r", nodes=[])])
def test_misspelt_option_is_named_with_the_nearest(made: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'timeout': did you mean timeouts=\?"):
        made(namespace="ns", state_manager_uri=URI, key=KEY, timeout=3)
