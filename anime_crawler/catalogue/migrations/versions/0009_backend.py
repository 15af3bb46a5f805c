"""Which backend the receipts belong to; the receipts that are there belong to the first one that is delivered to."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "backend",
        sa.Column("address", sa.Text(), primary_key=True),
        sa.Column("is_current", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "receipt_elsewhere",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("checksum", sa.Text()),
        sa.Column("delivered_at", sa.Text()),
        sa.Column("priority", sa.Integer()),
        sa.Column("state", sa.Text()),
        sa.Column("sent_at", sa.Text()),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("backend", "kind", "title_id", "number", "url"),
        sqlite_with_rowid=False,
    )
