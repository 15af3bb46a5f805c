"""Reading spider arguments (``-a name=value``): each wrong one is refused with what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping

NUMBER = r"[1-9][0-9]{0,8}"
"""Form of an id where upstreams count their anime; the largest of them have six digits."""


class ArgumentError(ValueError):
    """A wrong ``-a name=value``; exit code 2, the message lists what applies."""


def chosen(arguments: Mapping[str, str], name: str, *values: str) -> str | None:
    """The value of an argument that has few; ``None``: it is not given.

    Raises:
        ArgumentError: it is none of `values`.
    """
    value = arguments.get(name)
    if value is not None and value not in values:
        raise ArgumentError(f"{name}={value[:80]}: {' or '.join(values)} is wanted")
    return value


def is_on(arguments: Mapping[str, str], name: str) -> bool:
    """Whether an argument that is on or off is on; off where it is not given.

    Raises:
        ArgumentError: it is neither 1 nor 0.
    """
    return chosen(arguments, name, "1", "0") == "1"


def at_most_one(arguments: Mapping[str, str], *names: str) -> None:
    """Refuse several of these arguments at once.

    Raises:
        ArgumentError: they are.
    """
    if len(arguments.keys() & set(names)) > 1:
        raise ArgumentError(f"one of {', '.join(names[:-1])} and {names[-1]} is wanted, or none")


def parts_of(arguments: Mapping[str, str], name: str, form: str, example: str) -> list[str]:
    """The parts of a list in their order, each once; none when it is not given.

    Args:
        form: of each part, a regular expression.
        example: a right list, for the error.

    Raises:
        ArgumentError: it names nothing, or a part has another form.
    """
    parts = [part.strip() for part in arguments.get(name, "").split(",") if part.strip()]
    if name in arguments and not (parts and all(re.fullmatch(form, part, re.ASCII) for part in parts)):
        raise ArgumentError(f"{name}={arguments[name][:80]}: a list like {example} is wanted")
    return list(dict.fromkeys(parts))


def titles_of(arguments: Mapping[str, str]) -> list[str]:
    """The titles of ``titles=One Piece;Naruto`` in their order, each once; none when there is no such argument.

    A backslash before a semicolon or a backslash makes it part of the title: ``Steins\\;Gate``.

    Raises:
        ArgumentError: it names nothing.
    """
    if "titles" not in arguments:
        return []
    parts = re.findall(r"((?:\\[\\;]|[^;])+)", arguments["titles"])
    titles = [re.sub(r"\\([\\;])", r"\1", part).strip() for part in parts]
    if not any(titles):
        raise ArgumentError(
            f"titles={arguments['titles'][:80]}: a list like One Piece;Naruto is wanted; a semicolon in a title is \\;"
        )
    return list(dict.fromkeys(filter(None, titles)))
