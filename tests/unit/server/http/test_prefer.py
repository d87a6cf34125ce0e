from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exospherehost.server.http.prefer import wanted_wait
from exospherehost_client.limits import WAIT_SECONDS_MAX


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["wait=5"], 5),
        (["Wait = 5 ; x=y"], 5),
        (['wait="7"'], 7),
        (["wait=0"], 0),
        (["wait=007"], 7),
        (["wait=31"], WAIT_SECONDS_MAX),
        (["wait=" + "9" * 10_000], WAIT_SECONDS_MAX),
        (["respond-async, wait=3"], 3),
        (['x="a,wait=9"; y, wait=3'], 3),
        (["respond-async", "wait=3"], 3),
        (["wait=3, wait=9"], 3),
        ([",, wait=4 ,"], 4),
        (["a b c, wait=2"], 2),
        (['x="never closed, wait=2'], 2),
        ([], None),
        ([""], None),
        (["wait"], None),
        (["wait=x, wait=5"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=\u0665"], None),
        (["waits=5"], None),
    ],
)
def test_the_wait_is_found_among_preferences(headers: list[str], seconds: int | None) -> None:
    assert wanted_wait(headers) == seconds


@given(st.lists(st.text(st.sampled_from('wait=5,;"\\ x'), max_size=40)))
def test_whatever_is_sent_is_read(headers: list[str]) -> None:
    seconds = wanted_wait(headers)
    assert seconds is None or 0 <= seconds <= WAIT_SECONDS_MAX
