from __future__ import annotations

import pytest

from exospherehost.server.security import sessions as module
from exospherehost.server.security.sessions import LINK_MS, SESSION_MS, Sessions
from exospherehost.testing.clock import ManualClock

KEY = b"digest of a key"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000)


@pytest.fixture
def sessions(clock: ManualClock) -> Sessions:
    return Sessions(clock)


def token(text: str) -> bytes:
    return text.encode("ascii")


def test_a_session_stands_for_its_key_for_twelve_hours(sessions: Sessions, clock: ManualClock) -> None:
    opened = sessions.open(KEY)
    assert opened.expires_at == clock.now_ms() + 12 * 3_600_000
    clock.advance_to(clock.now_ms() + SESSION_MS - 1)
    assert sessions.find(token(opened.token)) == (KEY, opened.expires_at)
    clock.advance_to(clock.now_ms() + 1)
    assert sessions.find(token(opened.token)) is None


def test_a_session_that_is_closed_is_gone_and_no_other(sessions: Sessions) -> None:
    first, second = sessions.open(KEY), sessions.open(KEY)
    sessions.close(token(first.token))
    sessions.close(b"no such token")
    assert sessions.find(token(first.token)) is None
    assert sessions.find(token(second.token)) is not None


def test_a_link_can_be_used_once(sessions: Sessions) -> None:
    link = token(sessions.make_link_token(KEY))
    assert sessions.redeem(link) == KEY
    assert sessions.redeem(link) is None


def test_a_link_can_be_used_for_five_minutes(sessions: Sessions, clock: ManualClock) -> None:
    link = token(sessions.make_link_token(KEY))
    clock.advance_to(clock.now_ms() + LINK_MS)
    assert sessions.redeem(link) is None


def test_a_link_is_no_session_and_a_session_no_link(sessions: Sessions) -> None:
    link, session = token(sessions.make_link_token(KEY)), token(sessions.open(KEY).token)
    assert sessions.find(link) is None
    assert sessions.redeem(session) is None


def test_their_number_is_bounded_and_the_oldest_go(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SESSIONS", 2)
    opened = [token(sessions.open(KEY).token) for _ in range(3)]
    assert [sessions.find(each) is None for each in opened] == [True, False, False]


def test_tokens_are_long_different_and_not_kept(sessions: Sessions) -> None:
    texts = {sessions.open(KEY).token for _ in range(100)} | {sessions.make_link_token(KEY) for _ in range(100)}
    assert len(texts) == 200
    assert all(len(text) == 43 for text in texts)
    kept = repr(vars(sessions))
    assert not any(text in kept for text in texts)
