from __future__ import annotations

import uuid

import pytest

from exospherehost.server.domain.ids import IdFactory, new_uuid, parse_state_id


def test_ids_of_one_factory_ascend_and_have_24_lower_case_hex_digits() -> None:
    factory = IdFactory()
    ids = [factory.new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert all(parse_state_id(made) == made for made in ids)
    assert IdFactory().new_id()[8:18] != ids[0][8:18]


def test_uuids_are_of_version_4_and_differ() -> None:
    made = {new_uuid() for _ in range(1_000)}
    assert len(made) == 1_000
    assert {str(uuid.UUID(text, version=4)) for text in made} == made


@pytest.mark.parametrize("text", ["", "0" * 23, "0" * 25, "g" * 24, " " + "0" * 23, "0" * 24 + "\n", "\u0660" * 24])
def test_what_is_no_state_id_is_told(text: str) -> None:
    assert parse_state_id(text) is None
    assert parse_state_id("ABCDEF0123456789abcdef01") == "abcdef0123456789abcdef01"
