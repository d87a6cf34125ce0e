"""The idempotency keys of triggers in SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, bindparam, delete, insert, select

from exospherehost.server.domain.records import TriggerKeyRecord
from exospherehost.server.storage.sql.base import SqlPart, binds, dump, load
from exospherehost.server.storage.sql.tables import trigger_keys as keys

_OF_KEY = (
    keys.c.namespace == bindparam("of_namespace"),
    keys.c.graph_name == bindparam("of_graph"),
    keys.c.idempotency_key == bindparam("of_key"),
)
_FIND = select(keys.c.digest, keys.c.run_id, keys.c.state_ids, keys.c.expires_at).where(*_OF_KEY)
_DROP = delete(keys).where(*_OF_KEY)
_ADD = insert(keys).values(
    binds("namespace", "graph_name", "idempotency_key", "digest", "run_id", "state_ids", "expires_at")
)
DROP_AS_READ = _DROP.where(keys.c.run_id == bindparam("was_run_id"))
_EXPIRED = (
    select(keys.c.namespace, keys.c.graph_name, keys.c.idempotency_key)
    .where(keys.c.expires_at <= bindparam("now_ms"))
    .order_by(keys.c.expires_at)
    .limit(bindparam("limit", type_=BigInteger))
)


class SqlTriggerKeys(SqlPart):
    """What triggers under an idempotency key were answered."""

    def find_trigger_key(self, namespace: str, graph_name: str, key: str) -> TriggerKeyRecord | None:
        """Return what a trigger under an idempotency key was answered, expired or not."""
        row = self._row(_FIND, of_namespace=namespace, of_graph=graph_name, of_key=key)
        if row is None:
            return None
        digest, run_id, state_ids, expires_at = row
        listed = None if state_ids is None else tuple(load(state_ids))
        return TriggerKeyRecord(namespace, graph_name, key, digest, run_id, listed, expires_at)

    def save_trigger_key(self, record: TriggerKeyRecord) -> None:
        """Keep what a trigger was answered, in place of what was kept under its key."""
        self._make_way_for(record)
        self._run(
            _ADD,
            namespace=record.namespace,
            graph_name=record.graph_name,
            idempotency_key=record.key,
            digest=record.digest,
            run_id=record.run_id,
            state_ids=None if record.state_ids is None else dump(record.state_ids),
            expires_at=record.expires_at,
        )

    def _make_way_for(self, record: TriggerKeyRecord) -> None:
        self._run(_DROP, of_namespace=record.namespace, of_graph=record.graph_name, of_key=record.key)

    def drop_trigger_keys(self, now_ms: int, *, limit: int) -> int:
        """Drop some of the idempotency keys that have expired, and return how many."""
        expired = self._rows(_EXPIRED, now_ms=now_ms, limit=limit)
        for namespace, graph_name, key in expired:
            self._run(_DROP, of_namespace=namespace, of_graph=graph_name, of_key=key)
        return len(expired)
