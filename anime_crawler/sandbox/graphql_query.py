"""A GraphQL query, checked against the schema and its limits, and what it selects of plain objects.

The library parses, validates and coerces; picking fields is our own, because its executor needs 40 ms for a page of 50
titles and a test run asks for hundreds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from graphql import GraphQLError, parse, validate
from graphql.execution.values import get_argument_values, get_variable_values
from graphql.language import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from anime_crawler.sandbox.shikimori_schema import COSTS, MAX_COMPLEXITY, MAX_DEPTH, SCHEMA

Selection = list[tuple[str, str, "Selection | None"]]
"""(name in the answer, field, what is selected below it)"""


class Query:
    """One operation over ``animes``.

    Raises:
        GraphQLError: syntax, unknown field, too deep, too complex.
    """

    def __init__(self, text: str) -> None:
        document = parse(re.sub(r"(\$\w+\s*:\s*)Int\b", r"\1PositiveInt", text))  # the server rewrites Int too
        for wrong in validate(SCHEMA, document):
            raise wrong
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
        self.selection = self._selection(self.operation.selection_set)
        depth, cost = measure(self.selection)
        if depth > MAX_DEPTH:
            raise GraphQLError(f"Query has depth of {depth}, which exceeds max depth of {MAX_DEPTH}")
        if cost > MAX_COMPLEXITY:
            raise GraphQLError(f"Query has complexity of {cost}, which exceeds max complexity of {MAX_COMPLEXITY}")

    def arguments(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        """Arguments of each ``animes`` of the query, with defaults filled in.

        Raises:
            GraphQLError: a variable or argument of the wrong type.
        """
        values = get_variable_values(SCHEMA, self.operation.variable_definitions or (), variables)
        if isinstance(values, list):
            raise values[0]
        assert SCHEMA.query_type is not None
        field = SCHEMA.query_type.fields["animes"]
        return [get_argument_values(field, node, values) for node in self._fields(self.operation.selection_set)]

    def _selection(self, nodes: SelectionSetNode | None) -> Selection | None:
        if nodes is None:
            return None
        return [
            ((node.alias or node.name).value, node.name.value, self._selection(node.selection_set))
            for node in self._fields(nodes)
        ]

    def _fields(self, nodes: SelectionSetNode) -> Iterator[FieldNode]:
        """The fields of a selection set, with fragments opened."""
        for node in nodes.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self._fields(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                yield from self._fields(self.fragments[node.name.value].selection_set)


parse_query = lru_cache(maxsize=64)(Query)
"""A crawler sends the same text for every page."""


def measure(selection: Selection | None) -> tuple[int, int]:
    """Depth and complexity. Lists do not multiply."""
    depth = cost = 0
    for _, field, below in selection or ():
        deeper, children = measure(below)
        depth, cost = max(depth, deeper + 1), cost + COSTS.get(field, 1) + children
    return depth, cost


def names_in(selection: Selection | None) -> set[str]:
    """Every field that is selected anywhere."""
    found: set[str] = set()
    for _, field, below in selection or ():
        found |= {field} | names_in(below)
    return found


def project(selection: Selection | None, value: Any) -> Any:
    """Exactly the selected fields of plain objects and lists of them."""
    if selection is None or value is None:
        return value
    if isinstance(value, list):
        return [project(selection, item) for item in value]
    return {
        shown: value.get(field) if below is None else project(below, value.get(field))
        for shown, field, below in selection
    }
