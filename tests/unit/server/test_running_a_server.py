from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from exospherehost.server import ServerSettings, ServerThread, StartupError


def test_a_server_in_a_thread_answers_from_its_start_to_its_end(tmp_path: Path) -> None:
    before = threading.active_count()
    with ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", port=0)) as server:
        assert httpx.get(f"{server.url}/health").is_success
        assert server.api_key == "k"
        url = server.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
    assert threading.active_count() == before


def test_it_stops_while_a_client_keeps_its_connection_open(tmp_path: Path) -> None:
    server = ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", port=0)).start()
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").is_success
        server.stop()
    server.stop()


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"port {port}.*another"):
            ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", port=port)).start()


def test_a_host_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"nowhere\.invalid"):
        ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", host="nowhere.invalid")).start()


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot open the database"):
        ServerThread(ServerSettings(api_key="k", database=tmp_path, port=0)).start()


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", host="::1", port=0)) as server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(f"{server.url}/health").is_success


def test_an_address_is_known_only_once_it_has_started(tmp_path: Path) -> None:
    server = ServerThread(ServerSettings(api_key="k", database=tmp_path / "a.db", port=0))
    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.url
