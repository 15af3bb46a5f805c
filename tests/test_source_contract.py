"""What every source must pass. Finds sources and samples by itself: a new source needs no line here."""

from __future__ import annotations

import json
import shutil

import pytest

from anime_crawler import sources
from anime_crawler.commands import source_checks
from anime_crawler.commands.source_checks import (
    CHECKS,
    SAMPLE_CHECKS,
    draft_missing,
    files_are_those_of_all,
    folder_of,
    samples_of,
)

NAMES = list(sources.cards())
FOLDERS = {name: folder_of(name) for name in NAMES}
SAMPLES = [sample for name in NAMES for sample in samples_of(name)]
every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.name}")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_a_source_is_like_all_sources(name, check):
    """Files, card, docstring, spiders, samples."""
    assert list(check(name)) == []


@pytest.mark.parametrize("check", SAMPLE_CHECKS, ids=lambda check: check.__name__)
@every_sample
def test_a_sample_is_right(sample, check):
    """Judgement, items, round trip, documentation."""
    assert list(check(sample)) == []


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Kodik's folder, to be damaged: its samples are read from here."""
    folder = tmp_path / "kodik"
    shutil.copytree(FOLDERS["kodik"], folder)
    monkeypatch.setattr(source_checks, "folder_of", lambda name: folder)
    return folder


def test_each_kind_of_damage_is_noticed(damaged):
    """A file too many, a word gone, a sample that gives something else, one with a secret, one that says nothing."""
    (damaged / "utils.py").touch()
    words, other, silent, secret = (
        damaged / "samples" / name
        for name in ("kind__all", "material__third_season", "list_page__two_translations", "material__seasons_0_1_2")
    )
    page = json.loads((words / "response.json").read_text(encoding="utf-8"))
    page["results"] = [r for r in page["results"] if r.get("material_data", {}).get("anime_kind") != "ova"]
    (words / "response.json").write_text(json.dumps(page), encoding="utf-8")
    expected = json.loads((other / "expected.json").read_text(encoding="utf-8"))
    expected["items"][0]["kind"] = "ova"
    (other / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
    (silent / "meta.json").write_text('{"says": ""}', encoding="utf-8")
    (secret / "response.json").write_text('{"next_page": "https://x/?token=fedcba98"}', encoding="utf-8")
    found = "\n".join(
        [problem for check in CHECKS for problem in check("kodik")]
        + [f"{s.name}: {problem}" for s in (other, secret) for check in SAMPLE_CHECKS for problem in check(s)]
    )
    for problem in (
        "utils.py does not belong here",
        "no sample kind__… has the word 'ova'",
        "material__third_season: kind: 'tv', not 'ova'",
        "material__seasons_0_1_2: judged wrong_shape, not ok",
        "looks like a secret",
        "list_page__two_translations is to hold a response or one for each case",
    ):
        assert problem in found


def test_each_answer_of_a_sample_with_several_is_checked(damaged):
    """A case with other items, one judged otherwise, a case too many in one file or another, a draft of them all."""
    sample = damaged / "samples" / "material__blocked"
    expected = json.loads((sample / "expected.json").read_text(encoding="utf-8"))
    assert set(expected) == {"all", "some", "unknown"}

    def problems_with(change):
        changed = json.loads(json.dumps(expected))
        change(changed)
        (sample / "expected.json").write_text(json.dumps(changed), encoding="utf-8")
        return [*files_are_those_of_all("kodik"), *(problem for check in SAMPLE_CHECKS for problem in check(sample))]

    assert problems_with(lambda cases: None) == []
    assert problems_with(lambda cases: cases["some"]["items"][0].update(kind="ova")) == ["some: kind: 'tv', not 'ova'"]
    (problem,) = problems_with(lambda cases: cases["all"].update(verdict="token_refused"))
    assert problem == "all: judged ok, not token_refused"
    (problem,) = problems_with(lambda cases: cases.pop("unknown"))
    assert problem.startswith("samples/material__blocked is to hold a response or one for each case")
    (problem,) = problems_with(lambda cases: cases.update(draft="Compare"))
    assert "is a draft" in problem
    (sample / "expected.json").unlink()
    assert draft_missing("kodik") == [sample]
    drafted = json.loads((sample / "expected.json").read_text(encoding="utf-8"))
    assert {case: drafted[case] for case in expected} == expected
    assert "draft" in drafted
    meta = json.loads((sample / "meta.json").read_text(encoding="utf-8"))
    (sample / "meta.json").write_text(json.dumps(meta | {"status": {"all": 200}}), encoding="utf-8")
    assert len(list(files_are_those_of_all("kodik"))) == 1


def test_the_command_says_what_is_fine_and_refuses_what_is_not_there(scrapy):
    """Exit code 0 for all sources; 2 names those that there are."""
    done = scrapy("checksources")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("fine") == len(NAMES)
    wrong = scrapy("checksources", "kodick")
    assert wrong.returncode == 2
    assert "kodik" in wrong.stderr
