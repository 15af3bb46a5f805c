"""When anime, episodes and appearances were found to be gone from their source."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns; no full walk has seen any anime yet."""
    op.add_column("anime", sa.Column("seen_in", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("anime", sa.Column("missed_in", sa.Integer()))
    op.add_column("anime", sa.Column("gone_at", sa.Text()))
    op.add_column("release", sa.Column("missed_in", sa.Integer()))
    op.add_column("episode_info", sa.Column("gone_at", sa.Text()))
    op.add_column("appearance", sa.Column("gone_at", sa.Text()))
