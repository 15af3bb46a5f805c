"""JSON:API's resources: rendered with what of them is wanted, each included one once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from anime_crawler.sandbox.upstreams.kitsu.query import Query, RefusedError, Tree


@dataclass
class Resource:
    """One row, or something that rows refer to."""

    type: str
    id: str
    attributes: dict[str, Any]
    related: dict[str, Callable[[], list[Resource] | Resource | None]] = field(default_factory=dict)
    """Relationship -> what it leads to; called only where it is included."""


@dataclass
class Renderer:
    """Makes one answer's resources."""

    query: Query
    base_url: str
    included: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def row(self, resource: Resource, tree: Tree) -> dict[str, Any]:
        """The resource; what `tree` names of it is put into `included`.

        Raises:
            RefusedError: a field or relationship that its type does not have.
        """
        wanted = self.query.fields.get(resource.type)
        _check(resource, wanted or (), tree)
        address = f"{self.base_url}/{dashed(resource.type)}/{resource.id}"
        row = {
            "id": resource.id,
            "type": resource.type,
            "links": {"self": address},
            "attributes": {n: v for n, v in resource.attributes.items() if wanted is None or n in wanted},
        }
        names = [name for name in resource.related if wanted is None or name in wanted]
        if names:
            row["relationships"] = {name: self._relationship(resource, name, address, tree) for name in names}
        return row

    def _relationship(self, resource: Resource, name: str, address: str, tree: Tree) -> dict[str, Any]:
        links = {"self": f"{address}/relationships/{dashed(name)}", "related": f"{address}/{dashed(name)}"}
        if name not in tree:
            return {"links": links}
        found = resource.related[name]()
        for other in found if isinstance(found, list) else filter(None, [found]):
            self._include(other, tree[name])
        data = [_reference(other) for other in found] if isinstance(found, list) else found and _reference(found)
        return {"links": links, "data": data}

    def _include(self, resource: Resource, tree: Tree) -> None:
        key = (resource.type, resource.id)
        if key not in self.included:
            self.included[key] = {}  # its place; what it refers to comes after it
            self.included[key] = self.row(resource, tree)


def dashed(name: str) -> str:
    """A type or relationship as addresses have it: ``anime-productions``."""
    return re.sub(r"([A-Z])", lambda found: f"-{found[1].lower()}", name)


def _reference(resource: Resource) -> dict[str, str]:
    return {"type": resource.type, "id": resource.id}


def _check(resource: Resource, wanted: Iterable[str], tree: Tree) -> None:
    for name in wanted:
        if name not in resource.attributes and name not in resource.related:
            raise RefusedError("104", "Invalid field", f"{name} is not a valid field for {resource.type}.")
    for name in tree:
        if name not in resource.related:
            detail = f"{name} is not a valid relationship of {resource.type}"
            raise RefusedError("112", "Invalid field", detail)
