"""The clients: options, immutability, what they own, and what they do not show."""

import copy
import pickle
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from exospherehost_client import AuthenticatedClient, Client
from exospherehost_client.api.service import get_health
from exospherehost_client.client import DEFAULT_TIMEOUT
from exospherehost_client.types import Request

KEY = "key-that-must-not-show"
URL = "http://service.test"
ALIVE = {"status": "ok"}


class Recorder(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers each request with the same, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, json=ALIVE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def timeouts(request: httpx.Request) -> dict[str, float | None]:
    found: dict[str, float | None] = request.extensions["timeout"]
    return found


@pytest.mark.parametrize(
    "url",
    ["", "service.test", "//service.test", "ftp://service.test", "http://", "http://h?x=1", "http://h#x", "http://h:x"],
)
def test_a_base_url_that_is_no_absolute_http_one_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Client(url)


@pytest.mark.parametrize("key", ["", " ", "a b", "a\nb", "schlüssel", "\x00"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        AuthenticatedClient(URL, key)
    assert key.strip() == "" or key not in str(caught.value)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="timout"):
        AuthenticatedClient(URL, KEY, timout=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("show", [repr, str, "{!r}".format, lambda client: repr(vars(client))])
def test_the_key_is_shown_nowhere(show: Callable[[Any], str]) -> None:
    assert KEY not in show(AuthenticatedClient(URL, KEY))


def test_a_password_in_the_url_is_not_shown() -> None:
    assert repr(Client("https://user:word@service.test/base")) == "Client('https://service.test/base')"


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_not_pickled(duplicate: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        duplicate(AuthenticatedClient(URL, KEY))


def test_the_default_time_outs_hold(recorder: Recorder) -> None:
    with Client(URL, transport=recorder) as client:
        get_health.sync(client=client)
    assert timeouts(recorder.requests[0]) == {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 10.0}


@pytest.mark.parametrize(("given", "read"), [(2.5, 2.5), (httpx.Timeout(None), None), (httpx.Timeout(9, read=1), 1)])
def test_other_time_outs_hold(recorder: Recorder, given: Any, read: float | None) -> None:
    with Client(URL, transport=recorder, timeout=given) as client:
        get_health.sync(client=client)
    assert timeouts(recorder.requests[0])["read"] == read


def test_with_headers_and_with_timeout_leave_the_client_as_it_is(recorder: Recorder) -> None:
    client = AuthenticatedClient(URL, KEY, transport=recorder, headers={"a": "1"})
    changed = client.with_headers({"a": "2", "b": "3"}).with_timeout(1)
    for each in (client, changed, client):
        get_health.sync(client=each)
    client.close()
    changed.close()
    before, other, after = recorder.requests
    assert (other.headers["a"], other.headers["b"], timeouts(other)["read"]) == ("2", "3", 1)
    assert other.headers["x-api-key"] == KEY
    for sent in (before, after):
        assert (sent.headers["a"], "b" in sent.headers, timeouts(sent)["read"]) == ("1", False, 30.0)


def test_a_copy_has_connections_of_its_own() -> None:
    client = Client(URL)
    first = client.get_httpx_client()
    changed = client.with_headers({"a": "1"})
    assert changed.get_httpx_client() is not first
    changed.close()
    assert not first.is_closed
    client.close()
    assert first.is_closed


def test_headers_given_are_copied(recorder: Recorder) -> None:
    headers = {"a": "1"}
    client = Client(URL, headers=headers, transport=recorder)
    headers["a"] = "2"
    with client:
        get_health.sync(client=client)
    assert recorder.requests[0].headers["a"] == "1"


def test_it_opens_nothing_before_it_is_used_and_closes_what_it_opened() -> None:
    with AuthenticatedClient(URL, KEY) as client:
        own = client.get_httpx_client()
        assert client.get_httpx_client() is own
        assert own.headers["x-api-key"] == KEY
        assert own.timeout == DEFAULT_TIMEOUT
    assert own.is_closed
    again = client.get_httpx_client()
    assert not again.is_closed
    client.close()


async def test_the_async_side_closes_both() -> None:
    async with AuthenticatedClient(URL, KEY) as client:
        own, own_async = client.get_httpx_client(), client.get_async_httpx_client()
        assert own_async.headers["x-api-key"] == KEY
    assert own.is_closed
    assert own_async.is_closed


def test_a_client_of_yours_is_used_with_the_key_and_stays_open(recorder: Recorder) -> None:
    mine = httpx.Client(transport=recorder, timeout=7, base_url="http://other.test", follow_redirects=True)
    with AuthenticatedClient(URL, KEY).set_httpx_client(mine) as client:
        get_health.sync(client=client)
        get_health.sync(client=client.with_timeout(2))
    assert not mine.is_closed
    mine.close()
    assert [request.headers["x-api-key"] for request in recorder.requests] == [KEY, KEY]
    assert [str(request.url) for request in recorder.requests] == [f"{URL}/health"] * 2
    assert [timeouts(request)["read"] for request in recorder.requests] == [7, 2]


async def test_an_async_client_of_yours_is_used_with_the_key_and_stays_open(recorder: Recorder) -> None:
    async with httpx.AsyncClient(transport=recorder) as mine:
        async with AuthenticatedClient(URL, KEY).set_async_httpx_client(mine) as client:
            await get_health.asyncio(client=client)
        assert not mine.is_closed
    assert recorder.requests[0].headers["x-api-key"] == KEY


def test_a_client_without_key_sends_none(recorder: Recorder) -> None:
    with Client(URL, transport=recorder) as client:
        assert get_health.sync(client=client).status == "ok"
    assert "x-api-key" not in recorder.requests[0].headers


def tls(client: Client) -> bool | ssl.SSLContext:
    made = client._tls()
    assert isinstance(made, bool | ssl.SSLContext)
    return made


def test_tls_is_verified_unless_told_otherwise() -> None:
    own = ssl.create_default_context()
    assert tls(Client(URL)) is True
    assert tls(Client(URL, verify=False)) is False
    assert tls(Client(URL, verify=own)) is own


def test_files_of_authorities_and_certificates_are_read_when_connecting(tmp_path: Any) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("not a certificate")
    client = Client(URL, verify=str(authorities))
    with pytest.raises(ssl.SSLError):
        client.get_httpx_client()
    with pytest.raises(FileNotFoundError):
        Client(URL, cert=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")), verify=False).get_httpx_client()


def test_a_proxy_is_used() -> None:
    with Client(URL, proxy="http://proxy.test:3128", trust_env=False) as client:
        routes = client.get_httpx_client()._mounts
        assert len(routes) == 1


def test_a_header_is_sent_once_in_whatever_case_it_is_given(recorder: Recorder) -> None:
    client = AuthenticatedClient(URL, KEY, transport=recorder, headers={"X-Tenant": "1", "X-API-KEY": "other"})
    changed = client.with_headers({"x-TENANT": "2", "X-Api-Key": "another"})
    changed.send(Request("GET", "/health", headers={"X-tenant": "3"}))
    get_health.sync(client=changed)
    client.close()
    changed.close()

    sent = [[(name, value) for name, value in request.headers.multi_items()] for request in recorder.requests]
    for pairs, tenant in zip(sent, ("3", "2"), strict=True):
        assert [value for name, value in pairs if name == "x-api-key"] == [KEY]
        assert [value for name, value in pairs if name == "x-tenant"] == [tenant]


async def test_a_body_that_cannot_be_decompressed_is_a_transport_error() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    transport = httpx.MockTransport(answer)
    async with AuthenticatedClient(URL, KEY, transport=transport, async_transport=transport) as client:
        with pytest.raises(httpx.TransportError, match="cannot be decompressed"):
            get_health.sync(client=client)
        with pytest.raises(httpx.TransportError, match="cannot be decompressed"):
            await get_health.asyncio(client=client)


def test_a_folder_of_authorities_is_taken(tmp_path: Path) -> None:
    context = tls(Client(URL, verify=str(tmp_path)))

    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0, -1, 1e15])
def test_a_time_out_that_no_socket_takes_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"timeout=.* pass httpx\.Timeout\(None\) for none"):
        Client(URL, timeout=seconds)
    with pytest.raises(ValueError, match="timeout="):
        Client(URL).with_timeout(seconds)


@pytest.mark.parametrize("url", ["sk-very-secret", "user:sk-very-secret", "http://a:sk-very-secret"])
def test_a_key_in_place_of_the_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        AuthenticatedClient(url, "http://localhost:8000")
    assert "sk-very-secret" not in str(caught.value)
