from __future__ import annotations

from pathlib import Path

import pytest

from exospherehost.server.domain.errors import KeysUnreadable, Undecryptable
from exospherehost.server.security.secret_box import (
    SecretBox,
    keys_of,
    load_or_create_keys,
    make_key,
    write_keys,
)


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


def test_by_which_keys_something_is_sealed_is_told_without_opening_it() -> None:
    one, other = SecretBox(b"k" * 32), SecretBox(b"o" * 32)
    values = {"a": one.seal("v"), "b": other.seal("v"), "c": one.seal("w")}
    both = keys_of(values)
    assert both is not None
    assert both == ",".join(sorted({one.current, other.current}))
    assert (one.has_all(both), SecretBox(b"o" * 32, b"k" * 32).has_all(both)) == (False, True)
    alone = keys_of({"a": values["a"]})
    assert alone is not None
    assert one.has_all(alone)
    assert keys_of({}) is None
    # As it was sealed before keys had ids: only opening it tells.
    before = keys_of({"a": values["a"].partition(".")[2]})
    assert before == ""
    assert not one.has_all(before)


def test_a_repr_shows_no_key() -> None:
    assert "kkk" not in repr(SecretBox(b"k" * 32))


def test_keys_that_are_put_into_its_file_are_taken_up_and_nothing_is_sealed_while_it_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    box = SecretBox(*load_or_create_keys(file), file=file)
    first, new = box.seal("first"), make_key()
    write_keys(file, [new])
    second = box.seal("second")
    assert SecretBox(new).open(second) == "second"
    assert [box.open(first), box.open(second)] == ["first", "second"]
    file.write_text("no key", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(KeysUnreadable):
            box.seal("third")
    file.unlink()
    with pytest.raises(KeysUnreadable):
        box.seal("fourth")
    # What was sealed before still opens; a key that may be in the file is not said to be unknown.
    assert [box.open(first), box.open(second)] == ["first", "second"]
    with pytest.raises(KeysUnreadable):
        box.open(SecretBox(b"o" * 32).seal("v"))
    assert caplog.text.count("event=secrets_keys_unreadable") == 1
    assert "no key" not in caplog.text
    write_keys(file, [new])
    assert SecretBox(new).open(box.seal("fifth")) == "fifth"
