from __future__ import annotations

import pytest

from exospherehost.server.secrets import SecretBox, Undecryptable


@pytest.mark.parametrize("text", ["v", "", "é€\x00", "x" * 100_000])
def test_what_is_sealed_opens_again_and_never_looks_alike(text: str) -> None:
    box = SecretBox(b"k" * 32)
    sealed = box.seal(text)
    assert box.open(sealed) == text
    assert box.seal(text) != sealed
    assert len(text) < 5 or text[:5] not in sealed


@pytest.mark.parametrize("damaged", ["", "AAAA", "no base64!", "é"])
def test_what_was_not_sealed_with_this_key_does_not_open(damaged: str) -> None:
    box = SecretBox(b"k" * 32)
    for sealed in (damaged, SecretBox(b"o" * 32).seal("v"), box.seal("v")[:-8]):
        with pytest.raises(Undecryptable):
            box.open(sealed)


def test_a_repr_shows_no_key() -> None:
    assert "kkk" not in repr(SecretBox(b"k" * 32))
