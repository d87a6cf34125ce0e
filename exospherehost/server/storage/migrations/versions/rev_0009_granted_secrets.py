"""Which secrets the nodes of each graph version may be given."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_GRANTED = "granted_secrets"
_nodes = sa.table("nodes", sa.column("name"), sa.column("namespace"), sa.column("secrets"))
_versions = sa.table("graph_versions", sa.column("id"), sa.column("document"))


def upgrade() -> None:
    """Write into each version without them the secrets that its nodes declare now: a missing key now means none."""
    connection = op.get_bind()
    declaring = connection.execute(sa.select(_nodes).where(_nodes.c.secrets != "[]")).all()
    declared = {(name, namespace): json.loads(secrets) for name, namespace, secrets in declaring}
    # One at a time: a document may be large, and there may be many.
    for version_id in connection.execute(sa.select(_versions.c.id)).scalars().all():
        this = _versions.c.id == version_id
        document = json.loads(connection.execute(sa.select(_versions.c.document).where(this)).scalar_one())
        if _GRANTED in document:
            continue
        keys = {(node["node_name"], node["namespace"]) for node in document.get("nodes", ())}
        document[_GRANTED] = [[*key, declared[key]] for key in sorted(keys & declared.keys())]
        stored = json.dumps(document, separators=(",", ":"))
        connection.execute(_versions.update().where(this).values(document=stored))


def downgrade() -> None:
    """Leave the documents as they are: older servers ignore what they do not know."""
