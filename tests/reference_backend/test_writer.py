"""`Writer` commits POSTs together that come together, and one that fails does not undo the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError

from anime_crawler.reference_backend.writer import DatabaseError, Writer

metadata = MetaData()
row = Table("row", metadata, Column("id", Integer, primary_key=True))


@pytest.fixture
def rollbacks() -> list[int]:
    """One entry for each transaction that was told of an undone one before it."""
    return []


@pytest.fixture
def writer(database_url: str, rollbacks: list[int]) -> Iterator[Writer]:
    writer = Writer(database_url, metadata, lambda connection: rollbacks.append(1))
    yield writer
    writer.close()


def put(number: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(insert(row).values(id=number))
        return number

    return work


def stored(writer: Writer) -> list[int]:
    return writer.run_now(lambda connection: list(connection.scalars(select(row.c.id).order_by(row.c.id))))


def test_one_bad_work_of_a_commit_undoes_no_other(writer: Writer, rollbacks: list[int]) -> None:
    """Those who wait at the same time are written together; who violates a constraint alone hears of it."""

    async def write() -> list[Any]:
        return await asyncio.gather(*(writer.run(put(number)) for number in (1, 2, 1, 3)), return_exceptions=True)

    outcomes = asyncio.run(write())
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [1, 2, 3]
    assert isinstance(outcomes[2], IntegrityError)
    assert stored(writer) == [1, 2, 3]
    assert rollbacks


def test_who_is_cancelled_has_written_and_harms_nobody(writer: Writer) -> None:
    """A client that is gone does not undo the commit, and those beside it get their answer."""

    async def write() -> int:
        gone = asyncio.ensure_future(writer.run(put(1)))
        stays = asyncio.ensure_future(writer.run(put(2)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(write()) == 2
    assert stored(writer) == [1, 2]


def test_code_outside_a_loop_hears_of_its_failure(writer: Writer) -> None:
    """As an exception, with nothing stored."""
    assert writer.run_now(put(1)) == 1
    with pytest.raises(IntegrityError):
        writer.run_now(put(1))
    assert stored(writer) == [1]


def test_a_database_that_cannot_be_opened_is_named_without_what_may_be_a_password() -> None:
    """Whether the address cannot be read or nobody is there."""
    with pytest.raises(DatabaseError, match="cannot open the given text"):
        Writer("hunter2", metadata, lambda connection: None)
    with pytest.raises(DatabaseError) as caught:
        Writer("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", metadata, lambda connection: None)
    assert "hunter2" not in str(caught.value)
