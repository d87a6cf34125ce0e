"""When a run was cancelled, and the log of transitions that events are read from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them; what happened before is in no log."""
    op.add_column("runs", sa.Column("cancelled_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "run_events",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_key", sa.BigInteger(), nullable=False),
        sa.Column("written_by", sa.BigInteger(), nullable=False),
        sa.Column("transitions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_key"], ["runs.key"], name="fk_run_events_run_key"),
        sa.PrimaryKeyConstraint("key", name="pk_run_events"),
    )
    op.create_index("ix_run_events_run_key", "run_events", ["run_key", "written_by", "key"], unique=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("run_events")
    op.drop_column("runs", "cancelled_at")
