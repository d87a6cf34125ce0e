"""Which keys the secrets of each graph version are sealed with."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_versions = sa.table("graph_versions", sa.column("id"), sa.column("secrets"), sa.column("sealed_with"))


def upgrade() -> None:
    """Add the column, and fill it from the secrets themselves, each of which begins with the id of its key."""
    op.add_column("graph_versions", sa.Column("sealed_with", sa.Text(), nullable=True, server_default=""))
    op.create_index("ix_graph_versions_sealed_with", "graph_versions", ["sealed_with"], unique=False)
    connection = op.get_bind()
    connection.execute(_versions.update().where(_versions.c.secrets == "{}").values(sealed_with=None))
    with_secrets = sa.select(_versions.c.id, _versions.c.secrets).where(_versions.c.secrets != "{}")
    for version_id, secrets in connection.execute(with_secrets).all():
        keys = {sealed.rpartition(".")[0] for sealed in json.loads(secrets).values()}
        connection.execute(
            _versions.update().where(_versions.c.id == version_id).values(sealed_with=",".join(sorted(keys)))
        )


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_graph_versions_sealed_with", "graph_versions")
    op.drop_column("graph_versions", "sealed_with")
