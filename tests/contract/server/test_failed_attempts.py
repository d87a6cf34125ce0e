from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from exospherehost.server import ServerThread
from exospherehost.server.security.wrong_key_limits import BURST
from tests._support.api_keys import make_key
from tests._support.databases import Database
from tests._support.eventually import eventually_sync

StartServer = Callable[..., ServerThread]


def ask(server: ServerThread, key: str | None, **headers: str) -> httpx.Response:
    given = headers if key is None else {"x-api-key": key, **headers}
    return httpx.get(f"{server.url}/v0/namespaces", headers=given, timeout=30)


def guess_until_held_off(server: ServerThread) -> httpx.Response:
    for number in range(3 * BURST):
        answer = ask(server, f"guess-{number}")
        if answer.status_code != 401:
            return answer
    raise AssertionError("never held off")


def test_who_guesses_is_told_to_wait_and_a_right_key_is_let_in(
    start_server: StartServer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    never_used = make_key(database.setting)
    held_off = guess_until_held_off(server)
    assert held_off.status_code == 429
    assert 1 <= int(held_off.headers["retry-after"]) <= 6
    assert "wrong API keys" in held_off.json()["detail"]
    assert ask(server, server.api_key).status_code == 200
    # Unknown to the server until it looks again, which a guess alone does not make it do.
    assert eventually_sync(lambda: ask(server, never_used).status_code == 200)
    assert ask(server, "still-a-guess").status_code == 429
    assert sum("event=keys_held_off address=127.0.0.1" in record.getMessage() for record in caplog.records) == 1
    assert "guess-" not in caplog.text


def test_without_a_key_nothing_is_guessed(start_server: StartServer) -> None:
    server = start_server()
    assert {ask(server, None).status_code for _ in range(2 * BURST)} == {401}


def test_right_keys_are_not_limited(start_server: StartServer) -> None:
    server = start_server()
    assert {ask(server, server.api_key).status_code for _ in range(2 * BURST)} == {200}


def test_nobody_says_where_he_comes_from_unless_the_server_was_told_to_believe_it(start_server: StartServer) -> None:
    deaf = start_server()
    answers = {ask(deaf, f"guess-{n}", **{"x-forwarded-for": f"10.0.0.{n}"}).status_code for n in range(2 * BURST)}
    assert answers == {401, 429}
    deaf.stop()
    told = start_server(trusted_proxies=("127.0.0.1",))
    answers = {ask(told, f"guess-{n}", **{"x-forwarded-for": f"10.0.0.{n}"}).status_code for n in range(2 * BURST)}
    assert answers == {401}
    guess_until_held_off(told)
