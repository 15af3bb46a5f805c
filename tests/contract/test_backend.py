"""The backend's recorded answers, as the importer reads them."""

from __future__ import annotations

import json

from anime_crawler.backend.outcomes import Outcome, classify
from anime_crawler.backend.schemas import AnimePayload, EpisodePayload, PlayerLink, VideoPayload, episodes_body

ANIME = AnimePayload(
    source_id="5114",
    title="Hagane",
    alternative_titles=["Сталь"],
    description="A story.",
    year=2009,
    status="completed",
    poster="https://pictures.example/5114.jpeg",
    genres=["Action"],
).body()
EPISODES = episodes_body(
    "5114", [EpisodePayload(source_episode_id="5114:1", number=1, title=None, is_available=True).body()]
)
LINK = PlayerLink(url="https://kodikplayer.com/seria/1/0123abcd/720p", priority=0)
VIDEO = VideoPayload(source_episode_id="5114:1", player=LINK).body()


class Importer:
    """Posts bodies to the recorded backend."""

    def __init__(self, session, addresses):
        self.session, self.url, self.token = session, addresses["backend"], addresses["internal_token"]

    def post(self, kind, body, token=None):
        """What the answer means."""
        headers = {"X-Internal-Token": token or self.token, "Content-Type": "application/json"}
        url = f"{self.url}/api/v1/internal/import/{kind}"
        answer = self.session.post(url, data=body, headers=headers, timeout=30)
        return classify(answer.status_code, answer.text)


def test_one_title_is_taken_in_the_order_of_the_contract(recorded, addresses):
    """Anime, then its episodes, then their players."""
    importer = Importer(recorded("backend_import"), addresses)
    assert importer.post("anime", ANIME) is Outcome.DELIVERED
    assert importer.post("episodes", EPISODES) is Outcome.DELIVERED
    assert importer.post("video", VIDEO) is Outcome.DELIVERED


def test_refusals_are_told_apart(recorded, addresses):
    """A wrong token, a child before its parent, an empty record, a status word that the backend does not know."""
    importer = Importer(recorded("backend_refusals"), addresses)
    assert importer.post("anime", ANIME, token="not-the-token") is Outcome.TOKEN_REFUSED
    assert importer.post("episodes", EPISODES.replace(b"5114", b"41")) is Outcome.PARENT_MISSING
    assert importer.post("video", VIDEO.replace(b"5114", b"41")) is Outcome.PARENT_MISSING
    assert importer.post("anime", b"{}") is Outcome.REFUSED_PAYLOAD
    wrong = {**json.loads(ANIME), "status": "released"}
    assert importer.post("anime", json.dumps(wrong).encode()) is Outcome.REFUSED_PAYLOAD
