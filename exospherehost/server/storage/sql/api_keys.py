"""API keys and sealed secrets in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from exospherehost.server.domain.records import ApiKeyRecord, SealedSecrets
from exospherehost.server.security.secret_box import keys_of
from exospherehost.server.storage.sql.base import SqlPart, binds, dump, load
from exospherehost.server.storage.sql.tables import api_keys, graph_versions, graphs

_FIELDS = ("id", "name", "digest", "namespaces", "created_at", "expires_at", "revoked_at")
_ALL = select(*(api_keys.c[name] for name in _FIELDS)).order_by(api_keys.c.created_at, api_keys.c.id)
_USABLE = _ALL.where(api_keys.c.revoked_at.is_(None))
_ADD = insert(api_keys).values(binds(*_FIELDS))
_REVOKE = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("of_id"), api_keys.c.revoked_at.is_(None))
    .values(binds("revoked_at"))
)
_SEALED = (
    select(graph_versions.c.id, graphs.c.namespace, graphs.c.name, graph_versions.c.secrets)
    .join_from(graph_versions, graphs, graph_versions.c.graph_key == graphs.c.key)
    .where(graph_versions.c.sealed_with.is_not(None))
    .order_by(graph_versions.c.id)
)
_SEALED_WITH = _SEALED.where(graph_versions.c.sealed_with == bindparam("by_keys"))
# From each to the next one in the index, however many versions share it.
_FIRST_KEYS = select(func.min(graph_versions.c.sealed_with).label("sealed_with")).cte("of_versions", recursive=True)
_NEXT_KEYS = (
    select(func.min(graph_versions.c.sealed_with))
    .where(graph_versions.c.sealed_with > _FIRST_KEYS.c.sealed_with)
    .scalar_subquery()
)
_ALL_KEYS = _FIRST_KEYS.union_all(select(_NEXT_KEYS).where(_FIRST_KEYS.c.sealed_with.is_not(None)))
_SEALING_KEYS = select(_ALL_KEYS.c.sealed_with).where(_ALL_KEYS.c.sealed_with.is_not(None))
_RESEAL = (
    update(graph_versions).where(graph_versions.c.id == bindparam("of_id")).values(binds("secrets", "sealed_with"))
)


class SqlApiKeys(SqlPart):
    """Who may call, and what is sealed."""

    def usable_api_keys(self) -> list[ApiKeyRecord]:
        """Return the keys that have not been revoked, expired ones included."""
        return [_key(row) for row in self._rows(_USABLE)]

    def list_api_keys(self) -> list[ApiKeyRecord]:
        """Return all keys that were ever made, the oldest first."""
        return [_key(row) for row in self._rows(_ALL)]

    def add_api_key(self, key: ApiKeyRecord) -> None:
        """Keep a key."""
        self._run(
            _ADD,
            id=key.id,
            name=key.name,
            digest=key.digest,
            namespaces=None if key.namespaces is None else dump(sorted(key.namespaces)),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )

    def revoke_api_key(self, key_id: str, now_ms: int) -> bool:
        """Revoke a key, and tell whether there was one that had not been revoked."""
        return bool(self._run(_REVOKE, of_id=key_id, revoked_at=now_ms))

    def list_sealing_keys(self) -> list[str]:
        """Return by which keys the secrets of any graph version are sealed, each set of keys once."""
        return [keys for (keys,) in self._rows(_SEALING_KEYS)]

    def list_sealed_secrets(self, sealed_with: str | None = None) -> list[SealedSecrets]:
        """Return the secrets of the graph versions that have any, as they are sealed: of all, or by a set of keys."""
        rows = self._rows(_SEALED) if sealed_with is None else self._rows(_SEALED_WITH, by_keys=sealed_with)
        return [
            SealedSecrets(version_id, namespace, name, load(secrets)) for version_id, namespace, name, secrets in rows
        ]

    def reseal_secrets(self, version_id: str, secrets: Mapping[str, str]) -> None:
        """Replace the sealed secrets of a graph version."""
        self._run(_RESEAL, of_id=version_id, secrets=dump(dict(secrets)), sealed_with=keys_of(secrets))


def _key(row: Any) -> ApiKeyRecord:
    key_id, name, key_digest, namespaces, created_at, expires_at, revoked_at = row
    bound = None if namespaces is None else frozenset(load(namespaces))
    return ApiKeyRecord(key_id, name, key_digest, bound, created_at, expires_at, revoked_at)
