"""Whether the catalogue's records are real or the sandbox's."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one table, empty: the next run notes what it stores, and what is there already counts as real."""
    op.create_table("origin", sa.Column("kind", sa.Text(), primary_key=True))
