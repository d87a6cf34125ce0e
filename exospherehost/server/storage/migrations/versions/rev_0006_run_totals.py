"""How many runs each namespace has, kept as runs come and go."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and count the runs that there are; those that are being deleted are of no namespace."""
    op.create_table(
        "run_totals",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "slot", name="pk_run_totals"),
    )
    op.execute(
        "INSERT INTO run_totals (namespace, slot, total) "
        "SELECT namespace, 0, count(*) FROM runs WHERE namespace <> '' GROUP BY namespace"
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("run_totals")
