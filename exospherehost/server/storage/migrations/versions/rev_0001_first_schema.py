"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "graphs",
        sa.Column("key", KEY, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("latest_version_id", sa.String(length=24), nullable=True),
        sa.Column("valid_version_id", sa.String(length=24), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_graphs"),
        sa.UniqueConstraint("namespace", "name", name="uq_graphs_namespace_name"),
    )
    op.create_table(
        "join_firings",
        sa.Column("state_id", sa.String(length=24), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("state_id", "identifier", name="pk_join_firings"),
    )
    op.create_table(
        "joins",
        sa.Column("state_id", sa.String(length=24), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("state_id", name="pk_joins"),
    )
    op.create_table(
        "nodes",
        sa.Column("key", KEY, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("runtime_name", sa.Text(), nullable=False),
        sa.Column("runtime_namespace", sa.Text(), nullable=False),
        sa.Column("inputs_schema", sa.Text(), nullable=False),
        sa.Column("outputs_schema", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_nodes"),
        sa.UniqueConstraint("namespace", "name", name="uq_nodes_namespace_name"),
    )
    op.create_table(
        "crons",
        sa.Column("key", KEY, nullable=False),
        sa.Column("graph_key", sa.BigInteger(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["graph_key"], ["graphs.key"], name="fk_crons_graph_key"),
        sa.PrimaryKeyConstraint("key", name="pk_crons"),
        sa.UniqueConstraint("graph_key", "expression", name="uq_crons_graph_key_expression"),
    )
    op.create_index("ix_crons_next_at", "crons", ["next_at"], unique=False)
    op.create_table(
        "graph_versions",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("graph_key", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("valid", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["graph_key"], ["graphs.key"], name="fk_graph_versions_graph_key"),
        sa.PrimaryKeyConstraint("id", name="pk_graph_versions"),
    )
    op.create_index("ix_graph_versions_graph_key", "graph_versions", ["graph_key"], unique=False)
    op.create_table(
        "runs",
        sa.Column("key", KEY, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("graph_name", sa.Text(), nullable=False),
        sa.Column("version_id", sa.String(length=24), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("errored", sa.Integer(), nullable=False),
        sa.Column("retried", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["graph_versions.id"], name="fk_runs_version_id"),
        sa.PrimaryKeyConstraint("key", name="pk_runs"),
        sa.UniqueConstraint("id", name="uq_runs_id"),
    )
    op.create_index("ix_runs_namespace_key", "runs", ["namespace", "key"], unique=False)
    op.create_index("ix_runs_version_id", "runs", ["version_id"], unique=False)
    op.create_table(
        "states",
        sa.Column("key", KEY, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("run_key", sa.BigInteger(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("node_name", sa.Text(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("parents", sa.Text(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("fanout_id", sa.Text(), nullable=True),
        sa.Column("enqueue_after", sa.BigInteger(), nullable=False),
        sa.Column("prune_data", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_states_run_key"),
        sa.PrimaryKeyConstraint("key", name="pk_states"),
        sa.UniqueConstraint("id", name="uq_states_id"),
    )
    op.create_index(
        "ix_states_claimable",
        "states",
        ["namespace", "node_name", "enqueue_after"],
        unique=False,
        sqlite_where=sa.text("status = 'CREATED'"),
        postgresql_where=sa.text("status = 'CREATED'"),
    )
    op.create_index("ix_states_run_key", "states", ["run_key"], unique=False)
    op.create_index(
        "uq_states_fanout",
        "states",
        ["run_key", "identifier", "fanout_id", "retry_count"],
        unique=True,
        sqlite_where=sa.text("fanout_id IS NOT NULL"),
        postgresql_where=sa.text("fanout_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("states")
    op.drop_table("runs")
    op.drop_table("graph_versions")
    op.drop_table("crons")
    op.drop_table("nodes")
    op.drop_table("joins")
    op.drop_table("join_firings")
    op.drop_table("graphs")
