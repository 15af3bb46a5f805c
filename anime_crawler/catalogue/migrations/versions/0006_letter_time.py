"""When the record of a dead letter was fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add one column; of the letters that are there nobody knows."""
    op.add_column("dead_letter", sa.Column("fetched_at", sa.Text()))
