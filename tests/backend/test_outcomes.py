"""`classify` names each row of the backend's error matrix, and `explain` leaves quoted SQL out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime_crawler.backend.outcomes import FINAL, NEEDS_PARENT, STOPS, TROUBLE, Outcome, classify, explain
from anime_crawler.reference_backend.errors import database_text


def error(message: str) -> str:
    """The backend's one shape of an error."""
    return json.dumps({"error": {"code": "HTTP_ERROR", "message": message, "trace_id": "t"}})


def trouble(name: str, parameters: object = None) -> str:
    """A 500 that the database caused."""
    return error(database_text(name, "video", parameters))


MATRIX = [
    (200, '{"success": true, "message": "ok", "errors": null}', Outcome.DELIVERED),
    (200, '{"success": true, "total": 1, "imported": 1, "errors": []}', Outcome.DELIVERED),
    (200, '{"success": false, "errors": ["x"]}', Outcome.NOT_STORED),
    (200, '{"message": "ok"}', Outcome.NOT_OUR_BACKEND),
    (200, '{"success": "true"}', Outcome.NOT_OUR_BACKEND),
    (200, "{}", Outcome.NOT_OUR_BACKEND),
    (200, "null", Outcome.NOT_OUR_BACKEND),
    (200, "[]", Outcome.NOT_OUR_BACKEND),
    (200, "", Outcome.NOT_OUR_BACKEND),
    (200, "<html>Welcome</html>", Outcome.NOT_OUR_BACKEND),
    (204, "", Outcome.NOT_OUR_BACKEND),
    (301, "", Outcome.REDIRECT),
    (307, "", Outcome.REDIRECT),
    (308, "", Outcome.REDIRECT),
    (400, error("There was an error parsing the body"), Outcome.BAD_ENCODING),
    (400, "Bad Request", Outcome.REFUSED),
    (401, "", Outcome.WRONG_SERVICE),
    (403, error("Invalid internal token"), Outcome.TOKEN_REFUSED),
    (403, "<h1>403 Forbidden</h1>", Outcome.WRONG_SERVICE),
    (404, error("Anime not found: kodik-shikimori/5114"), Outcome.PARENT_MISSING),
    (404, error("Episode not found: kodik-shikimori/5114:99"), Outcome.PARENT_MISSING),
    (404, error("Not Found"), Outcome.WRONG_SERVICE),
    (404, "<html>nginx</html>", Outcome.WRONG_SERVICE),
    (405, '{"detail": "Method Not Allowed"}', Outcome.WRONG_SERVICE),
    (409, error("Conflict"), Outcome.CONFLICT),
    (412, error("Precondition Failed"), Outcome.CONFLICT),
    (413, "<h1>413</h1>", Outcome.TOO_LARGE),
    (414, "", Outcome.TOO_LARGE),
    (431, "", Outcome.TOO_LARGE),
    (422, error("Invalid request data"), Outcome.REFUSED_PAYLOAD),
    (429, "slow down", Outcome.SLOW_DOWN),
    (500, trouble("uq_anime_source"), Outcome.LOST_RACE),
    (500, trouble("ix_anime_slug"), Outcome.LOST_RACE),
    (500, trouble("uq_episode_source"), Outcome.LOST_RACE),
    (500, trouble("multiple_rows"), Outcome.MULTIPLE_ROWS),
    (500, trouble("nul"), Outcome.BAD_DATA),
    (500, trouble("int32"), Outcome.BAD_DATA),
    (500, trouble("index_row"), Outcome.BAD_DATA),
    (500, trouble("connection_closed"), Outcome.DATABASE_TROUBLE),
    (500, trouble("deadlock"), Outcome.DATABASE_TROUBLE),
    (500, trouble("refused"), Outcome.DATABASE_TROUBLE),
    (500, trouble("queue_pool"), Outcome.DATABASE_TROUBLE),
    (500, trouble("unknown"), Outcome.UNKNOWN_ERROR),
    (500, "Internal Server Error", Outcome.UNKNOWN_ERROR),
    (502, "<h1>502</h1>", Outcome.UNAVAILABLE),
    (503, "", Outcome.UNAVAILABLE),
    (504, "", Outcome.UNAVAILABLE),
    (520, "", Outcome.UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "text", "outcome"), MATRIX)
def test_each_row_of_the_matrix_has_its_outcome(status, text, outcome):
    """Status and text together say what the importer does next."""
    assert classify(status, text) is outcome


def test_a_text_in_the_parameters_does_not_change_the_outcome():
    """A description that quotes an error message is no error message."""
    text = trouble("connection_closed", {"description": "Multiple rows were found; ix_anime_slug; out of int32 range"})
    assert classify(500, text) is Outcome.DATABASE_TROUBLE


def test_a_500_is_cut_to_class_and_constraint():
    """Neither SQL nor its parameters reach a log or a dead letter."""
    said = explain(500, trouble("ix_anime_slug", {"description": "a secret text", "url": "https://x"}))
    assert said == "500 IntegrityError UniqueViolationError ix_anime_slug"


def test_each_wrong_200_is_told_apart():
    """HTML, null, an empty object and a stated failure are four distinct failures."""
    said = {explain(200, text) for text in ("<html>hi</html>", "null", "{}", '{"success": false}', "")}
    assert len(said) == 5
    assert explain(200, '{"success": false, "errors": ["e"]}').startswith("200 with success False")


@given(st.integers(200, 599), st.text(max_size=300))
def test_any_answer_has_an_outcome_and_a_short_explanation(status, text):
    """Whatever comes back, nothing is raised, and nothing but the backend's own success counts as delivered."""
    outcome = classify(status, text)
    assert len(explain(status, text)) < 400
    assert (outcome is Outcome.DELIVERED) == (status == 200 and '"success"' in text and "true" in text)


def test_every_outcome_has_one_treatment():
    """No outcome is both final and repeated."""
    groups = [STOPS, FINAL, NEEDS_PARENT, TROUBLE]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))
