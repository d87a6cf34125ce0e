from __future__ import annotations

import pytest

from exospherehost.cli.programs.wording import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1_234, "1,234 runs")])
def test_a_noun_is_in_the_singular_for_one_alone(number: int, text: str) -> None:
    assert counted(number, "run") == text
