"""What each writing connection committed last, for the time that a connection is lost at a commit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "writer_marks",
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name="pk_writer_marks"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("writer_marks")
