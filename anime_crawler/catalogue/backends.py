"""Whose receipts the delivered_* tables hold: those of one backend, known by its address.

Another address is another backend. The tables hold the receipts of the one that was delivered to last; those of any
other one wait in ``receipt_elsewhere`` until it is delivered to again. So nothing on the way of a POST has to ask whose
a receipt is.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import Connection, and_, delete, func, insert, select, text, tuple_, update

from anime_crawler.catalogue.tables import (
    backend,
    dead_letter,
    delivered_anime,
    delivered_episode,
    delivered_player,
    receipt_elsewhere,
    title,
)
from anime_crawler.host import host_of, port_of

RECEIPTS = (
    ("anime", delivered_anime, "title_id, checksum, delivered_at, trace_id", "0, ''", "number, url"),
    ("episode", delivered_episode, "title_id, number, checksum, delivered_at, trace_id", "''", "url"),
    ("player", delivered_player, "title_id, number, url, priority, state, sent_at, trace_id", "", ""),
)
"""Kind, table, its columns, and what stands in the key of the common table in place of those that it has not."""


def address_of(base_url: str) -> str:
    """Which backend BACKEND_BASE_URL names: scheme, host, port and path, in one spelling and without credentials."""
    url = urlsplit(base_url)
    return f"{url.scheme}://{host_of(url)}:{port_of(url)}{url.path.rstrip('/')}"


def use_backend(conn: Connection, address: str) -> str | None:
    """Let the tables hold the receipts of the backend at `address`. Receipts of a time before addresses were kept are
    taken for those of the first backend that is delivered to.

    Returns:
        The address of the backend that they belonged to, when it was another one: every title is compared anew.
    """
    _respell(conn)
    before = _current(conn)
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


def _current(conn: Connection) -> str | None:
    return conn.scalar(select(backend.c.address).where(backend.c.is_current))


def _respell(conn: Connection) -> None:
    """Spell the addresses as `address_of` does now, where an older release spelled them otherwise, and put the receipts
    together whose addresses turn out to be one backend's. Of two receipts of one record the later one stays, and every
    title is compared anew."""
    spelled = {address: address_of(address) for address in conn.scalars(select(backend.c.address))}
    if all(old == new for old, new in spelled.items()):
        return
    current = _current(conn)
    if current is not None:
        _put_away(conn, current)
    conn.execute(delete(backend))
    for old, new in spelled.items():
        if old != new:
            _join(conn, old, new)
    for new in set(spelled.values()):
        conn.execute(insert(backend).values(address=new, is_current=current is not None and new == spelled[current]))
    if current is not None:
        _fetch_back(conn, spelled[current])
        conn.execute(update(title).values(delivered_version=0))


def _join(conn: Connection, old: str, new: str) -> None:
    """Make the receipts under the address `old` those of `new`."""
    for earlier, later in ((old, new), (new, old)):
        a, b = receipt_elsewhere.alias("a"), receipt_elsewhere.alias("b")
        same = and_(*(a.c[name] == b.c[name] for name in ("kind", "title_id", "number", "url")))
        a_at, b_at = (func.coalesce(t.c.delivered_at, t.c.sent_at) for t in (a, b))
        is_older = a_at <= b_at if earlier == old else a_at < b_at
        key = tuple_(*(receipt_elsewhere.c[name] for name in ("kind", "title_id", "number", "url")))
        older = select(a.c.kind, a.c.title_id, a.c.number, a.c.url).where(
            a.c.backend == earlier, b.c.backend == later, same, is_older
        )
        conn.execute(delete(receipt_elsewhere).where(receipt_elsewhere.c.backend == earlier, key.in_(older)))
    conn.execute(update(receipt_elsewhere).where(receipt_elsewhere.c.backend == old).values(backend=new))


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
