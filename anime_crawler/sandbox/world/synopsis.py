"""English descriptions, for the upstreams that have no Russian ones; the same story everywhere."""

from __future__ import annotations

from anime_crawler.sandbox.world.elsewhere import oddities
from anime_crawler.sandbox.world.works import Title

SENTENCES = [
    "Nobody in the town remembers the laws that it lives by.",
    "Everything changes when {who} finds an old map.",
    "Together with a friend, {who} sets out for the north.",
    "The winter has lasted three years, and the stores will last a month.",
    "A letter reaches the wrong door, and seven people meet on a bridge.",
    "The pupils of a closed school learn to hear silence & to see the wind.",
    "They know two things: every door has a key, and not every door should be opened.",
    "No one promised that the road would be short.",
]


def synopsis(title: Title) -> list[str]:
    """Two to four sentences, each a paragraph; none where nothing is told of the title."""
    if title.description is None:
        return []
    draw = oddities("synopsis", title)
    who = (title.english or title.romaji).split()[0]
    return [sentence.format(who=who) for sentence in draw.sample(SENTENCES, draw.randint(2, 4))]
