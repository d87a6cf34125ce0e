"""Which claim holds each state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is claimed now has no token, and is reported without one."""
    op.add_column("states", sa.Column("claim_token", sa.String(32), nullable=True))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("states", "claim_token")
