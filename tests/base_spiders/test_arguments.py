"""Spider arguments that sources share: what is understood, and what a refusal says."""

from __future__ import annotations

import pytest

from anime_crawler.base_spiders import NUMBER, ArgumentError, at_most_one, chosen, is_on, parts_of, titles_of


def test_a_list_is_its_parts_in_their_order_each_once():
    """Blanks around them do not count; without the argument there is none."""
    assert parts_of({"ids": " 20,1, 20,"}, "ids", NUMBER, "1,20") == ["20", "1"]
    assert parts_of({}, "ids", NUMBER, "1,20") == []
    assert titles_of({"titles": "One Piece; Re:Zero, Part 2 ;One Piece"}) == ["One Piece", "Re:Zero, Part 2"]


@pytest.mark.parametrize("ids", ["", " , ", "1,naruto", "0", "-1", "²", "１", "1\n2", "1234567890"])
def test_a_list_of_nothing_or_of_something_else_is_refused_with_a_right_one(ids):
    """Digits of other scripts are none."""
    with pytest.raises(ArgumentError, match=r"^ids=(?s:.*): a list like 1,20 is wanted$"):
        parts_of({"ids": ids}, "ids", NUMBER, "1,20")


def test_titles_that_are_given_name_something():
    """A forgotten value is no run over everything."""
    with pytest.raises(ArgumentError, match="titles= ; : a list like One Piece;Naruto is wanted"):
        titles_of({"titles": " ; "})


def test_an_argument_of_few_values_has_one_of_them():
    """None: not given; the empty text is a wrong one."""
    assert chosen({"mode": "full"}, "mode", "full", "incremental") == "full"
    assert chosen({}, "mode", "full", "incremental") is None
    for wrong in ("", "season"):
        with pytest.raises(ArgumentError, match=f"mode={wrong}: full or incremental is wanted"):
            chosen({"mode": wrong}, "mode", "full", "incremental")


def test_a_switch_is_1_or_0():
    """Off where it is not named."""
    assert [is_on(arguments, "episodes") for arguments in ({"episodes": "1"}, {"episodes": "0"}, {})] == [
        True,
        False,
        False,
    ]
    with pytest.raises(ArgumentError, match="episodes=yes: 1 or 0 is wanted"):
        is_on({"episodes": "yes"}, "episodes")


def test_of_arguments_that_exclude_each_other_one_may_be_given():
    """Others do not count."""
    at_most_one({"ids": "1", "episodes": "1"}, "mode", "ids", "titles")
    with pytest.raises(ArgumentError, match="one of mode, ids and titles is wanted, or none"):
        at_most_one({"ids": "1", "titles": "X"}, "mode", "ids", "titles")
