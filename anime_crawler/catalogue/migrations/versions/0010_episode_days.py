"""Days of episodes stand in a field of their own."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DAYS_ONLY = ("jikan", "anisearch")
"""Sources that know the day of an episode and no time; their days stood in ``aired_at``, as midnight UTC."""


def upgrade() -> None:
    """Move the days to ``aired_on``. Rows keep their checksums, so that the next answer writes them anew."""
    episodes = sa.table("episode_info", *map(sa.column, ("source", "anime_id", "season_number", "number", "data")))
    key = [episodes.c[name] for name in ("source", "anime_id", "season_number", "number")]
    connection = op.get_bind()
    rows = connection.execute(sa.select(*key, episodes.c.data).where(episodes.c.source.in_(DAYS_ONLY))).all()
    for *values, text in rows:
        data = json.loads(text)
        if data.get("aired_at"):
            moved = {**data, "aired_on": data["aired_at"][:10], "aired_at": None}
            same = [column == value for column, value in zip(key, values, strict=True)]
            text = json.dumps(moved, ensure_ascii=False, separators=(",", ":"))
            connection.execute(episodes.update().where(*same).values(data=text))
