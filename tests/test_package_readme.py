"""The package's README names the modules and classes that exist: its glossary, its decisions, its table of folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.guard import ROOT

PACKAGE = ROOT / "anime_crawler"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
LEAD = re.compile(r"\*\*(.+?)\.?\*\*")


def section(heading: str) -> str:
    """The text below a heading, up to the next heading of any level."""
    return re.split(r"^#+ ", README.split(f"# {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the table in the text, without its head."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def quoted(cell: str) -> Iterator[str]:
    """The words of a cell that are set as code."""
    return iter(re.findall(r"`([^`]+)`", cell))


def place(name: str) -> Path:
    """The file or folder that the README means by a path: below the package, or below ``tests/``."""
    return (ROOT if name.startswith("tests/") else PACKAGE) / name


@cache
def names_in(module: Path) -> frozenset[str]:
    """The names of classes and functions that the module defines, and of what it assigns at its top."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset(defined | assigned)


TERMS = rows(section("Glossary"))
DECISIONS = rows(section("Decisions"))
NAMES = [match[1] for row in DECISIONS if (match := LEAD.match(row[0]))]


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row[0].strip("*`"))
def test_a_term_of_the_glossary_names_code_that_exists(row):
    """Each module of the column "in the code" exists, and each other name there is defined in one of these modules."""
    words = list(quoted(row[2]))
    modules = [word for word in words if "/" in word or word.endswith(".py")]
    assert modules, "names no module"
    for module in modules:
        assert place(module).is_file(), f"{module} does not exist"
    defined = frozenset().union(*(names_in(place(module)) for module in modules))
    for name in set(words) - set(modules):
        assert name in defined, f"{name} is defined in none of {modules}"


@pytest.mark.parametrize("row", DECISIONS, ids=lambda row: row[0][:60])
def test_a_decision_has_a_name_a_date_a_reason_and_modules_that_exist(row):
    """A row is (decision, date, why, where in the code); the last cell names modules only, and each of them exists."""
    assert len(row) == 4
    assert LEAD.match(row[0]), "the decision has no name"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row[1])
    assert row[2], "the decision has no reason"
    modules = list(quoted(row[3]))
    assert modules, "the decision names no module"
    for module in modules:
        assert place(module).is_file(), f"{module} does not exist"


def test_a_paragraph_on_a_decision_belongs_to_a_row_with_a_star():
    """Each paragraph below the table begins with the name of a decision that has a star, and each star has one."""
    leads = re.findall(r"^\*\*(.+?)\.\*\*", section("More on single decisions"), re.MULTILINE)
    starred = [LEAD.match(row[0])[1] for row in DECISIONS if r".**\*" in row[0]]
    assert leads == starred


def test_a_superseded_decision_names_the_one_in_force():
    """The last column of the superseded decisions names a decision of the table."""
    for _, date, successor in rows(section("Superseded decisions")):
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", date)
        assert successor in NAMES


def test_the_table_of_folders_is_the_package():
    """The table of folders lists each folder of the package once, and no other; sub-folders that it names exist."""
    table = section("The path of one datum").split("| folder")[1]
    listed = [name for line in table.splitlines() for name in quoted(line.split(" | ")[0])]
    assert sorted(listed) == sorted(f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py"))
    for name in re.findall(r"`([a-z_]+/[a-z_]+/)`", table):
        assert place(name).is_dir(), f"{name} does not exist"
