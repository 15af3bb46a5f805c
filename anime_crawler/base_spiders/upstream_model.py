"""Schemas share the base of their models of JSON answers, and the check of an answer's envelope."""

from __future__ import annotations

from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from anime_crawler.base_spiders.errors import ResponseError
from anime_crawler.base_spiders.record import explain, note, shape_of


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("there is no such moment in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with a zone, in UTC."""
Envelope = TypeVar("Envelope", bound=BaseModel)
Model = TypeVar("Model", bound=BaseModel)
Place = tuple[Any, Any]
"""A container, and the key or index of what may be taken out of it."""


class Words(BaseModel):
    """Base of models in an upstream's own field names.

    Unknown fields are counted by the source's `drift`, not here; an id may come as a number instead of a string.
    """

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)


def envelope(model: type[Envelope], document: Any, what: str) -> Envelope:
    """The document as `model`, which leaves its records to be checked alone.

    Args:
        what: "a page of anime", for the error.

    Raises:
        ResponseError: it is something else. The message says what.
    """
    if not isinstance(document, dict):
        raise ResponseError(f"{what} was expected, there was {shape_of(document)}")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ResponseError(f"not {what}: {explain(error)}") from None


def read(model: type[Model], record: Any, path: str = "") -> Model:
    """The record as `model`; what breaks a rule in it and may be missing is left out, and noted.

    A field with a default may be missing, and so may an entry of a list or of an object. A required field may not: it
    is what the record is known by.

    Args:
        model: of an upstream's words, or an item.
        path: where the record stands, for the note: ``material_data.``.

    Raises:
        ValidationError: a required field is missing or breaks a rule, or the record is no object.
    """
    try:
        return model.model_validate(record)
    except ValidationError as error:
        if not isinstance(record, dict):
            raise
        wrong = error
    rest = _copied(record)
    while True:
        errors = wrong.errors(include_url=False, include_context=False, include_input=False)
        places = [_removable(model, rest, error["loc"]) for error in errors]
        if None in places:
            raise wrong
        for one in errors:
            note(f"{path}{'.'.join('*' if isinstance(step, int) else step for step in one['loc'])}: {one['msg']}")
        found = {(id(container), key): container for container, key in filter(None, places)}
        for (_, key), container in sorted(found.items(), key=lambda one: one[0], reverse=True):
            del container[key]  # of a list the last first
        try:
            return model.model_validate(rest)
        except ValidationError as error:
            wrong = error


def _copied(value: Any) -> Any:
    """A copy from which something can be taken out."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def _removable(model: type[BaseModel], record: Any, location: tuple[int | str, ...]) -> Place | None:
    """The innermost thing on the way to an error that the record can do without."""
    kind: Any = model
    value: Any = record
    found: Place | None = None
    for step in location:
        kind = _bare(kind)
        origin = get_origin(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
            field = next((f for name, f in kind.model_fields.items() if step in _names(name, f)), None)
            if field is None:
                break
            key = next((name for name in _names(str(step), field) if name in value), None)
            if key is not None and not field.is_required():
                found = (value, key)
            kind, value = field.annotation, value.get(key)
        elif origin in (list, tuple) and isinstance(value, list) and isinstance(step, int) and step < len(value):
            found, kind, value = (value, step), get_args(kind)[0], value[step]
        elif origin is dict and isinstance(value, dict) and step in value:
            found, kind, value = (value, step), get_args(kind)[1], value[step]
        else:
            break
    return found


def _names(name: str, field: FieldInfo) -> list[str]:
    """The names that a field may have in a record."""
    choices = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
    return [str(n) for n in (*choices, field.validation_alias, field.alias, name) if isinstance(n, str)]


def _bare(kind: Any) -> Any:
    """The type without annotations and without ``None``; a real union stays one."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        kinds = [k for k in get_args(kind) if k is not NoneType]
        return _bare(kinds[0]) if len(kinds) == 1 else kind
    return kind
