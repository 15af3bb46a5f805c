"""Every field of every item says what it means."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from anime_crawler import items

FOLDER = Path(items.__file__).parent


def fields() -> Iterator[tuple[str, str | None]]:
    """(class.field, its docstring) of each annotated field in the package."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
                    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                        text = following.value if isinstance(following, ast.Expr) else None
                        said = text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else None
                        yield f"{node.name}.{statement.target.id}", said


def test_every_field_has_a_docstring():
    """None is missing, and none says only a word or two; all models are counted."""
    found = dict(fields())
    assert len(found) > 100
    assert [name for name, text in found.items() if not text or len(text.split()) < 2] == []


def test_fields_that_may_be_unknown_say_what_none_means():
    """In their own docstring, or in the one of the first field of their kind."""
    found, kinds = dict(fields()), (items.Anime, items.Episode, items.Character, items.Airing, items.Snapshot)
    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, field in kind.model_fields.items()
        if field.default is None and not field.is_required()
        if "``None``" not in (found.get(f"{kind.__name__}.{name}") or found.get(f"Item.{name}") or "")
    ]
    assert silent == []
