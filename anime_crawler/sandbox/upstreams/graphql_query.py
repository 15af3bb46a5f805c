"""A GraphQL query, checked against a schema, and what it selects of plain objects.

The library parses, validates and coerces; picking fields is our own, because its executor needs 40 ms for a page of 50
titles and a test run asks for hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, get_named_type, parse, validate
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.language import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)


class Selected(NamedTuple):
    """A field that a query selects."""

    shown: str
    """Its name in the answer."""
    name: str
    arguments: dict[str, Any]
    """With defaults filled in; a variable that is not given is no argument."""
    below: Selection | None
    """``None``: a plain value."""
    line: int
    column: int


Selection = list[Selected]


class Query:
    """One operation.

    Raises:
        GraphQLError: syntax, or what the schema does not have.
    """

    def __init__(self, text: str, schema: GraphQLSchema) -> None:
        document = parse(text)
        for wrong in validate(schema, document):
            raise wrong
        assert schema.query_type is not None
        self.schema, self.root = schema, schema.query_type
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))

    def selection(self, variables: dict[str, Any]) -> Selection:
        """The whole tree of fields.

        Raises:
            GraphQLError: a variable or argument of the wrong type.
        """
        values = get_variable_values(self.schema, self.operation.variable_definitions or (), variables)
        if isinstance(values, list):
            raise values[0]
        return self._selection(self.operation.selection_set, self.root, values)

    def _selection(self, nodes: SelectionSetNode, parent: GraphQLObjectType, values: VariableValues) -> Selection:
        return [self._selected(node, parent.fields[node.name.value], values) for node in self._fields(nodes)]

    def _selected(self, node: FieldNode, field: GraphQLField, values: VariableValues) -> Selected:
        below, kind = None, get_named_type(field.type)
        if node.selection_set is not None:
            assert isinstance(kind, GraphQLObjectType)
            below = self._selection(node.selection_set, kind, values)
        arguments = get_argument_values(field, node, values) if field.args else {}
        assert node.loc is not None
        place = node.loc.start_token
        return Selected((node.alias or node.name).value, node.name.value, arguments, below, place.line, place.column)

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


def names_in(selection: Selection | None) -> set[str]:
    """Every field that is selected anywhere."""
    found: set[str] = set()
    for field in selection or ():
        found |= {field.name} | names_in(field.below)
    return found


def project(selection: Selection | None, value: Any) -> Any:
    """Exactly the selected fields of plain objects and lists of them; a function among them is given the arguments."""
    if selection is None or value is None:
        return value
    if isinstance(value, list):
        return [project(selection, item) for item in value]
    return {field.shown: _value_of(field, value.get(field.name)) for field in selection}


def _value_of(field: Selected, value: Any) -> Any:
    found = value(**field.arguments) if callable(value) else value
    return found if field.below is None else project(field.below, found)
