"""API keys and sealed secrets in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from exospherehost.server.records import ApiKeyRecord, SealedSecrets
from exospherehost.server.sql_base import SqlPart, binds, dump, load
from exospherehost.server.tables import api_keys, graph_versions, graphs

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
    .where(graph_versions.c.secrets != "{}")
    .order_by(graph_versions.c.id)
)
_RESEAL = update(graph_versions).where(graph_versions.c.id == bindparam("of_id")).values(binds("secrets"))


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

    def list_sealed_secrets(self) -> list[SealedSecrets]:
        """Return the secrets of all graph versions that have any, as they are sealed."""
        return [
            SealedSecrets(version_id, namespace, name, load(secrets))
            for version_id, namespace, name, secrets in self._rows(_SEALED)
        ]

    def reseal_secrets(self, version_id: str, secrets: Mapping[str, str]) -> None:
        """Replace the sealed secrets of a graph version."""
        self._run(_RESEAL, of_id=version_id, secrets=dump(dict(secrets)))


def _key(row: Any) -> ApiKeyRecord:
    key_id, name, key_digest, namespaces, created_at, expires_at, revoked_at = row
    bound = None if namespaces is None else frozenset(load(namespaces))
    return ApiKeyRecord(key_id, name, key_digest, bound, created_at, expires_at, revoked_at)
