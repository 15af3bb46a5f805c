"""Which importer is at work on which title, where several may be."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one table."""
    op.create_table(
        "claim",
        sa.Column("title_id", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Integer(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
    )
