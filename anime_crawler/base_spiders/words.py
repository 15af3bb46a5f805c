"""What schemas share: the base of models of what JSON APIs send, and the check of an answer's envelope."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from anime_crawler.base_spiders.errors import ResponseError
from anime_crawler.base_spiders.record import explain, shape_of

Envelope = TypeVar("Envelope", bound=BaseModel)


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
