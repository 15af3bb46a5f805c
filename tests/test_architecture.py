"""Who may import whom, what lies where: the layout of the design, held by a program."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.guard import ROOT

PACKAGE = ROOT / "anime_crawler"
SOURCES = sorted(path for path in (PACKAGE / "sources").iterdir() if (path / "__init__.py").exists())
TOP_LEVEL = {
    *("anime_crawler", "tests", "ops", "scrapy.cfg", "pyproject.toml", "requirements.txt", "Makefile", "Dockerfile"),
    *("compose.yaml", "README.md", "CHANGELOG.md", ".ci", ".env.example", ".gitignore", ".dockerignore"),
}

# From the ground up: a step knows itself and what stands before it. A module that is named with its folder is a step of
# its own, because what stands between it and the rest of its folder needs it.
STAIR = (
    *("output", "failure", "host", "redis_words", "normalize", "items", "base_spiders", "sources"),
    *("rate_limit.limits", "download.proxy", "config", "catalogue", "rate_limit", "download", "cache", "frontier"),
    *("run.report", "pipelines", "run", "backend", "reference_backend", "extensions", "sandbox"),
    *("commands", "settings"),
)
MAY_IMPORT_A_SOURCE = {"settings"}
MAY_IMPORT_THE_SANDBOX = {"commands", "sandbox"}
OUTSIDE = {  # what a source may use beside ours and the standard library
    *("scrapy", "pydantic", "pydantic_core", "orjson", "twisted", "w3lib", "parsel", "defusedxml"),
}


def modules(folder: Path = PACKAGE) -> list[Path]:
    """Every module below the folder."""
    return sorted(folder.rglob("*.py"))


def imports(module: Path) -> Iterator[str]:
    """Dotted names that the module imports, wherever in it, except those for type checkers only."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; ours are written out"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def step(dotted: str) -> str:
    """The step of the stair that a module, or a name in it, belongs to; ``rate_limit.limits`` before ``rate_limit``."""
    below = dotted.removeprefix("anime_crawler.") + "."
    return max((name for name in STAIR if below.startswith(name + ".")), key=len, default="")


def name_of(module: Path) -> str:
    """Dotted name of a module of ours."""
    return ".".join(module.relative_to(ROOT).with_suffix("").parts)


def own_imports(module: Path) -> Iterator[str]:
    """Those of our own."""
    return (name for name in imports(module) if name.split(".")[0] == "anime_crawler" and "." in name)


@pytest.mark.parametrize("module", modules(), ids=name_of)
def test_imports_point_one_way(module):
    """A module imports only from its own step and from those below."""
    here = step(name_of(module))
    assert here or module == PACKAGE / "__init__.py", f"{module} stands on no step"
    for imported in own_imports(module):
        there = step(imported)
        if imported == "anime_crawler.__version__":
            continue
        assert there, f"{imported} stands on no step"
        assert STAIR.index(there) <= STAIR.index(here), f"{here} imports {imported}"
        if there == "sandbox":
            assert here in MAY_IMPORT_THE_SANDBOX, f"{here} imports {imported}: only its commands know the sandbox"
        if imported.startswith(tuple(f"anime_crawler.sources.{source.name}" for source in SOURCES)):
            assert here in MAY_IMPORT_A_SOURCE or here == "sources", f"{here} imports {imported}"


def test_the_drawing_of_imports_is_the_stair():
    """The README shows the steps that this test holds, in their order."""
    drawing = (PACKAGE / "README.md").read_text(encoding="utf-8").split("## Who imports whom")[1].split("```")[1]
    assert tuple(drawing.replace("◀", " ").split()) == STAIR


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_source_knows_only_itself_and_what_all_sources_share(source):
    """No source imports another; beside ours only Scrapy, pydantic, a JSON parser and the standard library."""
    for module in modules(source):
        for imported in imports(module):
            first = imported.split(".")[0]
            if imported.startswith("anime_crawler.sources."):
                assert imported.split(".")[2] == source.name
            elif first != "anime_crawler":
                assert first in OUTSIDE | sys.stdlib_module_names, f"{module.name} imports {imported}"


def test_parsing_is_pure():
    """What turns answers into items does no input or output and knows no request."""
    for source in SOURCES:
        for name in ("parse.py", "schema.py"):
            found = {imported.split(".")[0] for imported in imports(source / name)}
            assert not found & {"scrapy", "twisted", "requests", "aiohttp", "socket", "sqlite3", "logging"}, source


def test_every_library_that_is_imported_is_a_pinned_requirement():
    """requirements.txt names each direct dependency with its version; what only comes along may go any day."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {re.split(r"[\[=]", line)[0].lower().replace("_", "-") for line in lines if "==" in line}
    distributions = packages_distributions()
    for module in [*modules(), *modules(ROOT / "tests")]:
        for imported in imports(module):
            first = imported.split(".")[0]
            if first not in sys.stdlib_module_names | {"anime_crawler", "tests"}:
                names = {name.lower().replace("_", "-") for name in distributions[first]}
                assert names & pinned, f"{module} imports {first}"


def test_the_top_level_is_the_one_of_the_design():
    """Nothing is kept at the top but what the design lists."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split("/")[0] for line in listed.splitlines()} <= TOP_LEVEL


def test_no_file_names_a_place_of_one_machine():
    """No path of somebody's machine, so that a clone works anywhere."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "README.md" in listed.splitlines()
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".cfg", ".yaml", ".txt", ".example", ""}:
            text = path.read_text(encoding="utf-8")
            for place in ("/ro" + "ot/", "/ho" + "me/", "/wo" + "rk/", "/t" + "mp/"):
                assert place not in text, f"{name} mentions {place}"
