"""The relational schema, in terms that every supported database understands.

Times are epoch milliseconds; documents are JSON text, because nothing is ever searched inside them.
Statuses are text: the rules own their meaning.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite gives automatic numbers only to a column declared INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")
_OBJECT_ID = String(24)

nodes = Table(
    "nodes",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("id", _OBJECT_ID, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("runtime_name", Text, nullable=False),
    Column("runtime_namespace", Text, nullable=False),
    Column("inputs_schema", Text, nullable=False),
    Column("outputs_schema", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("namespace", "name"),
)

graphs = Table(
    "graphs",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("id", _OBJECT_ID, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    # No foreign keys on these two: versions refer to their graph, and a cycle would need deferral.
    Column("latest_version_id", _OBJECT_ID),
    Column("valid_version_id", _OBJECT_ID),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("namespace", "name"),
)

graph_versions = Table(
    "graph_versions",
    metadata,
    # Not a number: an id is never used again, not even after a rollback, so caches may go by it.
    Column("id", _OBJECT_ID, primary_key=True),
    Column("graph_key", BigInteger, ForeignKey("graphs.key"), nullable=False, index=True),
    Column("document", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("valid", Integer, nullable=False),
    Column("errors", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # By which keys its secrets are sealed, as `secrets.keys_of` tells it; null without secrets.
    Column("sealed_with", Text, index=True, server_default=""),
)

crons = Table(
    "crons",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("graph_key", BigInteger, ForeignKey("graphs.key"), nullable=False),
    Column("expression", Text, nullable=False),
    Column("next_at", BigInteger, nullable=False, index=True),
    UniqueConstraint("graph_key", "expression"),
)

runs = Table(
    "runs",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("namespace", Text, nullable=False),
    Column("graph_name", Text, nullable=False),
    Column("version_id", _OBJECT_ID, ForeignKey("graph_versions.id"), nullable=False, index=True),
    Column("store", Text, nullable=False),
    # Kept beside each transition, so that a list of runs need not count states.
    Column("pending", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Column("errored", Integer, nullable=False),
    Column("retried", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    Index("ix_runs_namespace_key", "namespace", "key"),
)

# How many runs a namespace has, so that a list of runs need not count them: the sum over the slots, of which those who
# write at the same time have one each, so as not to wait for one another.
run_totals = Table(
    "run_totals",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("total", BigInteger, nullable=False),
)

states = Table(
    "states",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("id", _OBJECT_ID, nullable=False, unique=True),
    Column("run_key", BigInteger, ForeignKey("runs.key"), nullable=False, index=True),
    Column("namespace", Text, nullable=False),
    Column("node_name", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("status", String(24), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("outputs", Text, nullable=False),
    Column("error", Text),
    Column("parents", Text, nullable=False),
    Column("retry_count", Integer, nullable=False),
    # Null but for the line of a manual retry, whose caller names it.
    Column("fanout_id", Text),
    Column("enqueue_after", BigInteger, nullable=False),
    Column("prune_data", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # Only while a claim holds it that asked for a lease.
    Column("lease_expires_at", BigInteger),
    # Names the claim that holds it; null unless one does.
    Column("claim_token", String(32)),
)

# Only what waits is in this index: a claim costs the same however much has finished.
Index(
    "ix_states_claimable",
    states.c.namespace,
    states.c.node_name,
    states.c.enqueue_after,
    sqlite_where=text("status = 'CREATED'"),
    postgresql_where=text("status = 'CREATED'"),
)

# Every end of a lease clears it, so this holds what is leased now and nothing that has finished.
Index(
    "ix_states_leased",
    states.c.lease_expires_at,
    sqlite_where=text("lease_expires_at IS NOT NULL"),
    postgresql_where=text("lease_expires_at IS NOT NULL"),
)

# One line of manual retries under one caller-chosen id.
Index(
    "uq_states_fanout",
    states.c.run_key,
    states.c.identifier,
    states.c.fanout_id,
    states.c.retry_count,
    unique=True,
    sqlite_where=text("fanout_id IS NOT NULL"),
    postgresql_where=text("fanout_id IS NOT NULL"),
)

# How the states under a united state stand, so that a wide join need not look at each of them.
joins = Table(
    "joins",
    metadata,
    Column("state_id", _OBJECT_ID, primary_key=True),
    Column("pending", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
)

# A uniting node runs once for each united state.
join_firings = Table(
    "join_firings",
    metadata,
    Column("state_id", _OBJECT_ID, primary_key=True),
    Column("identifier", Text, primary_key=True),
)

# Keys made by `exospherehost keys`. One that is revoked stays, so that its id in a log still says whose it was.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    # A list; null for all.
    Column("namespaces", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)

# What a trigger under an idempotency key was answered, for as long as that is to be repeated.
trigger_keys = Table(
    "trigger_keys",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("graph_name", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("run_id", String(36), nullable=False),
    # The states that the answer lists; null where it lists none.
    Column("state_ids", Text),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

# The log of transitions, written in the transaction of the transitions themselves.
run_events = Table(
    "run_events",
    metadata,
    Column("key", _KEY, primary_key=True),
    Column("run_key", BigInteger, ForeignKey("runs.key"), nullable=False),
    # The transaction that wrote it: where several write at once, keys alone do not ascend in the order of commits.
    Column("written_by", BigInteger, nullable=False),
    Column("transitions", Text, nullable=False),
    Index("ix_run_events_run_key", "run_key", "written_by", "key"),
)

# What each writing connection committed last: asked when a connection is lost while a commit is under way.
# Used on PostgreSQL alone.
writer_marks = Table(
    "writer_marks",
    metadata,
    Column("writer", String(32), primary_key=True),
    Column("mark", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
