"""Whose receipts the delivered_* tables hold: those of one backend, known by its address.

Another address is another backend. The tables hold the receipts of the one that was delivered to last; those of any
other one wait in ``receipt_elsewhere`` until it is delivered to again. So nothing on the way of a POST has to ask whose
a receipt is.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from sqlalchemy import Connection, delete, insert, select, text, update

from anime_crawler.catalogue.tables import (
    backend,
    dead_letter,
    delivered_anime,
    delivered_episode,
    delivered_player,
    receipt_elsewhere,
    title,
)

PORTS = {"http": 80, "https": 443}

RECEIPTS = (
    ("anime", delivered_anime, "title_id, checksum, delivered_at, trace_id", "0, ''", "number, url"),
    ("episode", delivered_episode, "title_id, number, checksum, delivered_at, trace_id", "''", "url"),
    ("player", delivered_player, "title_id, number, url, priority, state, sent_at, trace_id", "", ""),
)
"""Kind, table, its columns, and what stands in the key of the common table in place of those that it has not."""


def address_of(base_url: str) -> str:
    """Which backend BACKEND_BASE_URL names: scheme, host, port and path, without credentials."""
    url = urlsplit(base_url)
    host = (url.hostname or "").rstrip(".")
    host = f"[{ip_address(host)}]" if ":" in host else host
    return f"{url.scheme}://{host}:{url.port or PORTS.get(url.scheme, 0)}{url.path.rstrip('/')}"


def use_backend(conn: Connection, address: str) -> str | None:
    """Let the tables hold the receipts of the backend at `address`. Receipts of a time before addresses were kept are
    taken for those of the first backend that is delivered to.

    Returns:
        The address of the backend that they belonged to, when it was another one: every title is compared anew.
    """
    before = conn.scalar(select(backend.c.address).where(backend.c.is_current))
    if before == address:
        return None
    conn.execute(delete(backend).where(backend.c.address == address))
    if before is not None:
        conn.execute(update(backend).values(is_current=False))
        _put_away(conn, before)
        _fetch_back(conn, address)
        _look_at_all_again(conn)
    conn.execute(insert(backend).values(address=address, is_current=True))
    return before


def refill(conn: Connection) -> None:
    """Forget what the backend is known to hold, but for players in doubt, so that everything is sent again."""
    for table in (delivered_anime, delivered_episode):
        conn.execute(delete(table))
    conn.execute(delete(delivered_player).where(delivered_player.c.state == "done"))
    _look_at_all_again(conn)


def try_refused_again(conn: Connection) -> None:
    """Forget which records the backend refused."""
    conn.execute(delete(dead_letter).where(dead_letter.c.stage == "deliver"))


def _look_at_all_again(conn: Connection) -> None:
    try_refused_again(conn)
    conn.execute(update(title).values(delivered_version=0))


def _put_away(conn: Connection, address: str) -> None:
    for kind, table, columns, values, names in RECEIPTS:
        more_names, more_values = (f", {names}", f", {values}") if names else ("", "")
        into = f"INSERT INTO receipt_elsewhere (backend, kind, {columns}{more_names})"
        rows = f"SELECT CAST(:address AS text), '{kind}', {columns}{more_values} FROM {table.name}"  # noqa: S608  our words
        conn.execute(text(f"{into} {rows}"), {"address": address})
        conn.execute(delete(table))


def _fetch_back(conn: Connection, address: str) -> None:
    for kind, table, columns, _, _ in RECEIPTS:
        rows = f"SELECT {columns} FROM receipt_elsewhere WHERE backend = :address AND kind = :kind"  # noqa: S608
        conn.execute(text(f"INSERT INTO {table.name} ({columns}) {rows}"), {"address": address, "kind": kind})
    conn.execute(delete(receipt_elsewhere).where(receipt_elsewhere.c.backend == address))
