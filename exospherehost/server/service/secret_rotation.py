"""Rotation of the secrets key: seals all stored secrets anew.

It takes three steps, and nothing is lost after any of them: put the new key before the old ones, and running servers
take it up at once; seal all stored secrets under it, in one transaction; remove the old keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from exospherehost.server.domain.errors import StartupError, Undecryptable
from exospherehost.server.domain.records import SealedSecrets
from exospherehost.server.domain.store import Reader, Store, UnitOfWork
from exospherehost.server.security.file_lock import Held, hold
from exospherehost.server.security.secret_box import SecretBox, make_key, read_keys, write_keys


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of a rotation.

    Attributes:
        resealed: How many values were sealed anew.
        unchanged: How many values had been sealed under the current key before.
        unreadable: The graphs, as ``namespace/name``, with values that no key opens; these values stay as they are.
    """

    resealed: int
    unchanged: int
    unreadable: Sequence[str]


async def reseal(store: Store, box: SecretBox) -> Rotation:
    """Seal all stored secrets under the current key, in one transaction."""
    return await store.write(lambda unit: _reseal(unit, box))


async def rotate_file(store: Store, path: Path) -> Rotation:
    """Rotate the keys in a file, also after an earlier rotation was interrupted.

    The old keys stay in the file while a stored value needs them or cannot be read.

    Raises:
        StartupError: The file does not hold keys or cannot be written, or another rotation is under way.
        OSError: The file cannot be read.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(path.with_name(f"{path.name}.lock"), like=path))
        except Held as held:
            raise StartupError(f"another rotation of {path} is under way: {held.holder}. Wait for its end") from held
        new = make_key()
        keys = (new, *read_keys(path))
        write_keys(path, keys)
        rotation = await reseal(store, SecretBox(*keys))
        if not rotation.unreadable:
            write_keys(path, [new])
        return rotation


def list_doubtful(reader: Reader, box: SecretBox) -> Sequence[SealedSecrets]:
    """Return the secrets that unknown keys may have sealed; none if the box has all keys that sealed something."""
    doubtful = (keys for keys in reader.list_sealing_keys() if not box.has_all(keys))
    return [sealed for keys in doubtful for sealed in reader.list_sealed_secrets(keys)]


def unreadable_graphs(sealed: Sequence[SealedSecrets], box: SecretBox) -> Sequence[str]:
    """Return the graphs, as ``namespace/name``, with a secret that no key opens."""
    found: dict[str, None] = {}
    for version in sealed:
        try:
            for value in version.sealed.values():
                box.open(value)
        except Undecryptable:
            found[f"{version.namespace}/{version.graph_name}"] = None
    return tuple(found)


def _reseal(unit: UnitOfWork, box: SecretBox) -> Rotation:
    resealed = unchanged = 0
    unreadable: dict[str, None] = {}
    for version in unit.list_sealed_secrets():
        renewed: dict[str, str] = {}
        for name, value in version.sealed.items():
            if box.is_current(value):
                unchanged += 1
                continue
            try:
                renewed[name] = box.seal(box.open(value))
            except Undecryptable:
                unreadable[f"{version.namespace}/{version.graph_name}"] = None
        if renewed:
            resealed += len(renewed)
            merged: Mapping[str, str] = {**version.sealed, **renewed}
            unit.reseal_secrets(version.version_id, merged)
    return Rotation(resealed, unchanged, tuple(unreadable))
