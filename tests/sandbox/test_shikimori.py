"""The simulated Shikimori: silent limits, hidden filters, and errors with status 200."""

from __future__ import annotations

import pytest
import requests

from anime_crawler.sandbox.world.world import World
from tests.sandbox.conftest import AGENT

WORLD = World(seed=2, titles=60)  # the one that the running sandbox has: same seed, same number

PAGE = """query CatalogPage($page: PositiveInt!, $limit: PositiveInt!) {
  animes(page: $page, limit: $limit, order: id, censored: false) {
    id malId name russian licenseNameRu english japanese synonyms
    kind rating origin score status episodes episodesAired duration
    airedOn { year month day date } releasedOn { year month day date }
    season url franchise isCensored nextEpisodeAt createdAt updatedAt
    poster { id originalUrl mainUrl main2xUrl }
    genres { id name russian kind } studios { id name }
    externalLinks { id kind url }
    related { id relationKind anime { id malId name } manga { id malId name } }
    fansubbers fandubbers licensors description descriptionSource
  }
}"""


def known() -> list[str]:
    return [str(t.id) for t in WORLD.titles.values() if t.at_shikimori]


def test_the_dossiers_query_gives_exactly_its_fields(graphql):
    """In the order of the query, with nested selections."""
    animes = graphql(PAGE, page=1, limit=50).json()["data"]["animes"]
    assert [a["id"] for a in animes] == known()[:50]
    assert list(animes[0]) == [
        *("id", "malId", "name", "russian", "licenseNameRu", "english", "japanese", "synonyms", "kind", "rating"),
        *("origin", "score", "status", "episodes", "episodesAired", "duration", "airedOn", "releasedOn", "season"),
        *("url", "franchise", "isCensored", "nextEpisodeAt", "createdAt", "updatedAt", "poster", "genres", "studios"),
        *("externalLinks", "related", "fansubbers", "fandubbers", "licensors", "description", "descriptionSource"),
    ]
    assert set(next(a["poster"] for a in animes if a["poster"])) == {"id", "originalUrl", "mainUrl", "main2xUrl"}


def test_limit_is_2_unless_said_and_never_more_than_50(graphql):
    """Both without a word."""
    ids = ",".join(known())
    assert len(graphql(f'{{ animes(ids: "{ids}") {{ id }} }}').json()["data"]["animes"]) == 2
    assert len(graphql(f'{{ animes(ids: "{ids}", limit: 60) {{ id }} }}').json()["data"]["animes"]) == 50


def test_unknown_and_prefixed_ids_are_left_out(graphql):
    """No error, no gap; the order is the argument's, not that of the ids."""
    a, b = known()[:2]
    query = "query($ids: String) { animes(ids: $ids, limit: 50, order: id) { id } }"
    answer = graphql(query, ids=f"{b},999999,z{a},{a}").json()
    assert answer == {"data": {"animes": [{"id": a}, {"id": b}]}}


def test_aliases_fragments_and_int_variables_are_understood(graphql):
    """`$limit: Int` is rewritten, as the real server does for now."""
    query = """query($limit: Int!) { first: animes(limit: $limit, order: id) { ...names } }
    fragment names on Anime { romaji: name ... on Anime { id } }"""
    assert set(graphql(query, limit=1).json()["data"]["first"][0]) == {"romaji", "id"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ animes { id ", "Syntax Error"),
        ("{ animes { nothing } }", "Cannot query field 'nothing'"),
        ("{ animes(page: 0) { id } }", "not a positive integer"),
        (
            "{ animes { related { anime { related { anime { related { id } } } } } } }",
            "Query has depth of 7, which exceeds max depth of 5",
        ),
        (
            "{ animes { id " + " ".join(f"a{n}: externalLinks {{ id }}" for n in range(18)) + " } }",
            "Query has complexity of 200, which exceeds max complexity of 190",
        ),
    ],
)
def test_errors_of_the_query_are_200(graphql, query, message):
    """With `errors` and no data."""
    answer = graphql(query)
    assert answer.status_code == 200
    assert message in answer.json()["errors"][0]["message"]
    assert "data" not in answer.json()


def test_a_page_past_the_end_is_empty(graphql):
    """Not an error."""
    assert graphql(PAGE, page=9, limit=50).json() == {"data": {"animes": []}}


def test_censored_titles_and_music_are_hidden_unless_asked_for(graphql):
    """`censored: false`, or ids, shows them."""
    shown = graphql("{ animes(limit: 50, order: id) { id kind isCensored } }").json()["data"]["animes"]
    assert not any(a["kind"] == "music" or a["isCensored"] for a in shown)
    hidden = [t for t in WORLD.titles.values() if t.at_shikimori and (t.censored or t.kind == "music")]
    ids = ",".join(str(t.id) for t in hidden)
    assert len(graphql(f'{{ animes(limit: 50, ids: "{ids}") {{ id }} }}').json()["data"]["animes"]) == len(hidden) > 0


def test_one_poisoned_title_fails_the_whole_page(graphql, fresh):
    """Only while the field is selected; then the other titles of the page are lost with it."""
    poisoned = next(iter(fresh.post("/_sandbox/poison", {"count": 1})))
    answer = graphql(PAGE, page=1, limit=50)
    assert answer.status_code == 500
    assert "exception" in answer.json()["errors"][0]
    assert "data" not in answer.json()
    assert graphql("{ animes(limit: 50, order: id) { id } }").status_code == 200
    others = ",".join(i for i in known() if i != poisoned)
    assert graphql(f'{{ animes(limit: 50, ids: "{others}") {{ externalLinks {{ kind }} }} }}').status_code == 200


@pytest.mark.parametrize("agent", ["", "Mozilla/5.0 (X11; Linux x86_64)"])
def test_a_client_that_hides_or_mimics_a_browser_is_shut_out(graphql, agent):
    """403 and DDoS-Guard's page."""
    answer = graphql("{ animes { id } }", agent={"User-Agent": agent})
    assert answer.status_code == 403
    assert "DDOS-GUARD" in answer.text


def test_graphql_has_no_get_route(fresh):
    """A POST that a redirect has turned into a GET ends here."""
    answer = requests.get(f"{fresh.shikimori_url}/api/graphql", headers=AGENT, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (404, 404)


def test_rest_gives_one_title_with_its_old_habits(fresh):
    """Prefixed ids work, the score is text, pictures are missing, dates are filled in."""
    half = next(t for t in WORLD.titles.values() if t.at_shikimori and t.aired_on[0] and not t.aired_on[1])
    full = requests.get(f"{fresh.shikimori_url}/api/animes/z{half.id}-x", headers=AGENT, timeout=10).json()
    assert full["id"] == half.id
    assert isinstance(full["score"], str)
    assert "missing_original" in full["image"]["original"]
    assert full["aired_on"].endswith("-01-01")


def test_calendar_and_updates_tell_what_runs(fresh):
    """Calendar durations are seconds; updates give one more than asked for."""

    def get(path: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = requests.get(fresh.shikimori_url + path, headers=AGENT, timeout=10).json()
        return found

    calendar = get("/api/calendar")
    assert calendar
    assert all(entry["duration"] in (None, 24 * 60) for entry in calendar)
    assert len(get("/api/topics/updates?limit=1")) == 2
