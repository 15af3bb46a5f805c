"""Players and episodes by the source's own season and number: the number within the title is its releases' affair.

Also how many episodes a release covers, by which teams are ranked; and NUL out of JSON, which PostgreSQL cannot read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WITH_DATA = ("anime", "release", "episode_info", "character", "appearance", "airing", "snapshot")

# A release that once had another base may have kept an episode under two numbers: what is there, or was last, counts.
PLAYERS = """
INSERT INTO player
SELECT release_id, season, source_number, title, url, first_seen, last_seen, gone_at
FROM (
    SELECT *, COALESCE(season_number, -1) AS season, ROW_NUMBER() OVER (
        PARTITION BY release_id, COALESCE(season_number, -1), source_number
        ORDER BY CASE WHEN gone_at IS NULL THEN 0 ELSE 1 END, last_seen DESC, number
    ) AS place
    FROM old_player
) AS ranked
WHERE place = 1
"""
EPISODES = """
INSERT INTO episode
SELECT r.title_id, p.season_number, p.source_number, (
    SELECT first.title FROM player AS first JOIN release AS its ON its.id = first.release_id
    WHERE its.title_id = r.title_id AND first.season_number = p.season_number
      AND first.source_number = p.source_number AND first.title IS NOT NULL
    ORDER BY its.id LIMIT 1
), MIN(p.first_seen)
FROM player AS p JOIN release AS r ON r.id = p.release_id
WHERE r.title_id IS NOT NULL
GROUP BY r.title_id, p.season_number, p.source_number
"""
COVERED = """
UPDATE release SET
    episodes = (SELECT COUNT(*) FROM player WHERE release_id = release.id AND gone_at IS NULL),
    covered = (SELECT COUNT(*) FROM player WHERE release_id = release.id AND gone_at IS NULL)
"""
# Where releases listed different seasons, one number may stand for two episodes at the backend: look at them again.
SEVERAL_SEASONS = """
UPDATE title SET version = version + 1 WHERE title_id IN (
    SELECT title_id FROM episode GROUP BY title_id HAVING COUNT(DISTINCT season_number) > 1
)
"""


def upgrade() -> None:
    """Make both tables anew from what is there."""
    op.add_column("release", sa.Column("episodes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("release", sa.Column("covered", sa.Integer(), nullable=False, server_default="0"))
    op.rename_table("player", "old_player")
    if op.get_context().dialect.name == "postgresql":  # its index keeps the name that the new table's wants
        op.execute("ALTER TABLE old_player RENAME CONSTRAINT player_pkey TO old_player_pkey")
    op.create_table(
        "player",
        sa.Column("release_id", sa.Integer(), sa.ForeignKey("release.id"), nullable=False),
        sa.Column("season_number", sa.Integer(), nullable=False),
        sa.Column("source_number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.Text(), nullable=False),
        sa.Column("gone_at", sa.Text()),
        sa.PrimaryKeyConstraint("release_id", "season_number", "source_number"),
        sqlite_with_rowid=False,
    )
    op.execute(PLAYERS)
    op.drop_table("old_player")
    op.drop_table("episode")
    op.create_table(
        "episode",
        sa.Column("title_id", sa.Text(), nullable=False),
        sa.Column("season_number", sa.Integer(), nullable=False),
        sa.Column("source_number", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("first_seen", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("title_id", "season_number", "source_number"),
        sqlite_with_rowid=False,
    )
    op.execute(EPISODES)
    op.execute(COVERED)
    op.execute(SEVERAL_SEASONS)
    for name in WITH_DATA:
        table = sa.table(name, sa.column("data", sa.Text()))
        cleaned = sa.func.replace(table.c.data, r"\u0000", r"\ufffd")
        op.execute(table.update().where(cleaned != table.c.data).values(data=cleaned))
