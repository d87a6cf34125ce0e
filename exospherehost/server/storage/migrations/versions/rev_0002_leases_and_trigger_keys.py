"""Leases of claimed states, and the idempotency keys of triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; what was claimed before has no lease."""
    op.add_column("states", sa.Column("lease_expires_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_states_leased",
        "states",
        ["lease_expires_at"],
        unique=False,
        sqlite_where=sa.text("lease_expires_at IS NOT NULL"),
        postgresql_where=sa.text("lease_expires_at IS NOT NULL"),
    )
    op.create_table(
        "trigger_keys",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("graph_name", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("state_ids", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "graph_name", "idempotency_key", name="pk_trigger_keys"),
    )
    op.create_index("ix_trigger_keys_expires_at", "trigger_keys", ["expires_at"], unique=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("trigger_keys")
    op.drop_index("ix_states_leased", table_name="states")
    op.drop_column("states", "lease_expires_at")
