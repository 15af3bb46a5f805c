"""Opening a catalogue: addresses, migrations, damage."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Integer, MetaData, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from anime_crawler.catalogue import export
from anime_crawler.catalogue import tables as t
from anime_crawler.catalogue.engine import connect, database, open_engine
from anime_crawler.catalogue.errors import CatalogueError
from anime_crawler.catalogue.migrations import FOLDER, on_disk, revisions
from anime_crawler.catalogue.tables import metadata
from anime_crawler.catalogue.writer import Catalogue
from tests.catalogue.support import episode, opened, release

STORED = '{"external_ids": {"mal": "20", "ж": "ж"}, "status": "ongoing", "next_episode_at": null}'
"""Of an item in a catalogue of before."""


def test_the_migrations_build_what_the_tables_say(url):
    """Alembic finds no difference but the comments, which explain the tables in ``tables.py`` only."""
    with opened(url) as tables:
        found = tables.run(lambda conn: compare_metadata(MigrationContext.configure(conn), metadata))
    assert [d for d in found if isinstance(d, tuple) or {change[0] for change in d} != {"modify_comment"}] == []


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_utf8_is_refused_by_that_name(postgres, scrapy, encoding):
    """Before anything is migrated or asked: exit code 2, one sentence that says how to make another."""
    name = f"in_{encoding.lower()}"
    with psycopg.connect(port=postgres.port, host="127.0.0.1", user="postgres", autocommit=True) as connection:
        collation = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' {collation}")
    said = f"the database {name} of DATABASE_URL has the encoding {encoding}, and must have UTF8"
    with pytest.raises(CatalogueError, match=said):
        open_engine(postgres.url(name))
    for command_line in (("status",), ("crawl", "shikimori", "-a", "ids=1"), ("export", "--kind", "anime", "-o", "-")):
        done = scrapy(*command_line, DATABASE_URL=postgres.url(name))
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_an_error_of_the_database_does_not_repeat_the_data(url):
    """A statement may hold a page of it."""
    with open_engine(url).connect() as conn, pytest.raises(DBAPIError) as caught:
        conn.execute(text("SELECT :value FROM no_such_table"), {"value": "geheim" * 1000})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("sqlite://x", "sqlite://var/anime.db", "sqlite:///x.db?timeout=abc"),
        *("postgresql://u:p@h:port/x", "postgresql://h/x?port=abc"),
    ],
)
def test_an_address_that_is_none_is_no_traceback(address):
    """Whoever hands it over."""
    with pytest.raises(CatalogueError, match="DATABASE_URL: "):
        open_engine(address)


def test_the_migrations_build_the_same_sqlite_tables_word_for_word(tmp_path):
    """Also what Alembic does not compare: WITHOUT ROWID, order of columns."""
    statements = []
    for name in ("migrated", "created"):
        url = f"sqlite:///{tmp_path}/{name}.db"
        engine = open_engine(url) if name == "migrated" else create_engine(url)
        with engine.begin() as conn:
            metadata.create_all(conn)
            query = text("SELECT name, sql FROM sqlite_master WHERE name <> 'alembic_version' AND sql <> ''")
            statements.append({name: " ".join(sql.split()).replace('"', "") for name, sql in conn.execute(query)})
        engine.dispose()
    assert statements[0].keys() == statements[1].keys()
    assert {n for n, sql in statements[0].items() if "WITHOUT ROWID" in sql} == {
        n for n, sql in statements[1].items() if "WITHOUT ROWID" in sql
    }


def test_opening_again_changes_nothing_and_loads_no_migration_code(url):
    """At head a small query is all: each command pays for opening."""
    with opened(url) as tables:
        tables.store(release())
        before = tables.dump()
    code = f"import sys\nfrom anime_crawler.catalogue.engine import open_engine\nopen_engine({url!r}).dispose()\n"
    done = subprocess.run([sys.executable, "-c", f"{code}assert 'alembic' not in sys.modules"], check=False)
    assert done.returncode == 0
    with opened(url) as tables:
        assert tables.dump() == before


def test_an_older_catalogue_is_brought_up_to_date_and_keeps_what_it_has(url):
    """From the first schema on: every row stays, and what is new can be stored."""
    engine = create_engine(database(url))
    with engine.begin() as conn:
        config = Config(attributes={"connection": conn})
        config.set_main_option("script_location", str(FOLDER))
        command.upgrade(config, "0001")
        first = MetaData()
        first.reflect(conn)
        first.remove(first.tables["alembic_version"])
        for table in first.sorted_tables:
            values = {c.name: 1 if isinstance(c.type, Integer) else "ж" for c in table.c}
            conn.execute(table.insert(), values | ({"data": STORED} if "data" in values else {}))
        old = {table.name: list(map(tuple, conn.execute(select(table)))) for table in first.sorted_tables}
    engine.dispose()
    with opened(url) as tables:
        new = tables.dump()
        rebuilt = {name: old.pop(name) for name in ("player", "episode")}
        assert new["player"] == [(1, 1, 1, *rebuilt["player"][0][4:])]
        assert new["episode"] == [("ж", 1, 1, "ж", "ж")]
        columns = {name: len(rows[0]) for name, rows in old.items()}
        assert old == {name: [row[:n] for row in new[name]] for name, n in columns.items()}
        assert new["anime"][0][columns["anime"] :] == ("ongoing", None, 0, None, None)
        assert {name: rows for name, rows in new.items() if name not in {*old, *rebuilt} and rows} == {
            "external_id": [("ж", "ж", "mal", "20")]
        }
        assert tables.store(episode()) == {("episode", "new"): 1}
    with opened(url) as tables:
        assert tables.run(lambda conn: conn.scalar(text("SELECT version_num FROM alembic_version"))) == revisions()[-1]


def upgraded_from(url, revision, *statements):
    """A catalogue of an older version in which these statements were run, then opened."""
    engine = create_engine(database(url))
    with engine.begin() as conn:
        config = Config(attributes={"connection": conn})
        config.set_main_option("script_location", str(FOLDER))
        command.upgrade(config, revision)
        for statement in statements:
            conn.exec_driver_sql(statement)
    engine.dispose()
    return opened(url)


RELEASE = """
INSERT INTO release
(id, source, source_id, title_id, checksum, schema_version, fetched_at, run_id, seen_in, translation_id,
 translation_title, translation_kind, data)
VALUES ({0}, 'kodik', 'serial-{0}', '20', '', 1, '', 1, 1, '{0}', 'x', 'voice', '{{}}')
"""
PLAYER = "INSERT INTO player VALUES ({}, {}, {}, {}, {}, 'https://h.example.com/{}', '1', '{}', {})"


def test_a_catalogue_that_numbered_each_release_alone_has_one_numbering_afterwards(url):
    """A release's own base is forgotten; an episode it had under two numbers is there once; its title is read again."""
    with upgraded_from(
        url,
        "0004",
        "INSERT INTO title VALUES ('20', 1, 1, 1, 1, NULL, NULL, NULL, NULL)",
        RELEASE.format(1),
        RELEASE.format(2),
        PLAYER.format(1, 1, 2, 1, "NULL", "old", "2", "'2'"),  # season 2 was the base once
        PLAYER.format(1, 10_001, 2, 1, "'Titled'", "new", "3", "NULL"),
        PLAYER.format(1, 2, 1, 2, "NULL", "x", "3", "NULL"),
        PLAYER.format(2, 1, "NULL", 1, "NULL", "film", "3", "NULL"),
    ) as tables:
        assert tables.rows(t.player, "release_id", "season_number", "source_number", "url", "gone_at") == [
            (1, 1, 2, "https://h.example.com/x", None),
            (1, 2, 1, "https://h.example.com/new", None),
            (2, -1, 1, "https://h.example.com/film", None),
        ]
        assert tables.rows(t.episode) == [
            ("20", -1, 1, None, "1"),
            ("20", 1, 2, None, "1"),
            ("20", 2, 1, "Titled", "1"),
        ]
        assert tables.rows(t.release, "episodes", "covered") == [(2, 2), (1, 1)]
        assert tables.rows(t.title, "version", "delivered_version") == [(2, 1)]


def test_a_nul_that_an_older_version_let_in_breaks_no_export(url):
    """PostgreSQL refuses to read any field of JSON that has one."""
    with upgraded_from(
        url,
        "0004",
        "INSERT INTO anime (source, source_id, checksum, schema_version, fetched_at, run_id, data) "
        r"""VALUES ('s', '1', '', 1, '', 1, '{"source": "s", "source_id": "1", "titles": {}, "is_adult": true, """
        r""""description_raw": "a\u0000b"}')""",
    ) as tables:
        assert tables.run(lambda conn: list(export.rows(conn, "anime", with_adult=False))) == []
        assert [row["description_raw"] for row in tables.run(lambda conn: list(export.rows(conn, "anime")))] == ["a�b"]


DAYS = {
    "jikan": ("2021-04-03", None),
    "anisearch": ("2021-04-03", None),
    "other": (None, "2021-04-03T00:00:00Z"),
}
"""Source -> day and time of an episode that stood at midnight."""


def test_days_of_episodes_that_stood_as_midnight_are_days_again(url):
    """Of the sources that know no time; what another one published as a time stays a time."""
    data = '{"number": 1, "titles": {"native": "第1話"}, "aired_at": "2021-04-03T00:00:00Z"}'
    stored = [f"INSERT INTO episode_info VALUES ('{s}', '1', -1, 1, 'c', 1, '', 1, '{data}')" for s in DAYS]
    undated = '{"number": 1, "titles": {}, "aired_at": null}'
    stored.append(f"INSERT INTO episode_info VALUES ('jikan', '2', -1, 1, 'c', 1, '', 1, '{undated}')")
    with upgraded_from(url, "0004", *stored) as tables:
        found = tables.rows(t.episode_info, "source", "anime_id", "data")
    rows = {source: json.loads(text) for source, anime_id, text in found if anime_id == "1"}
    assert [text for _, anime_id, text in found if anime_id == "2"] == [undated]
    assert {source: (row.get("aired_on"), row["aired_at"]) for source, row in rows.items()} == DAYS
    assert rows["jikan"]["titles"] == {"native": "第1話"}


def test_migrations_in_an_archive_are_the_same_files_on_disk(tmp_path):
    """As scrapyd has the project, in an egg; they are gone afterwards."""
    archive = tmp_path / "project.egg"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in FOLDER.rglob("*"):
            if "__pycache__" not in file.parts:
                packed.write(file, Path("migrations", file.relative_to(FOLDER)))
    with on_disk(zipfile.Path(archive, "migrations/")) as folder:
        unpacked = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    wanted = {str(file.relative_to(FOLDER)): file.read_bytes() for file in FOLDER.rglob("*") if file.is_file()}
    assert unpacked == {name: data for name, data in wanted.items() if "__pycache__" not in name}
    assert not folder.exists()


def test_a_database_newer_than_the_program_is_refused(url):
    """With both revisions and what to do; nothing is changed."""
    with opened(url) as tables:
        tables.run(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(
        CatalogueError, match=f"revision 9999, newer than this program, which knows up to {revisions()[-1]}"
    ):
        open_engine(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/anime.db", "{cwd}/var/anime.db"),
        ("sqlite:////{cwd}/deep/er/anime.db", "{cwd}/deep/er/anime.db"),
        ("sqlite:///~/state/anime.db", "{home}/state/anime.db"),
        ("sqlite:///./a/../b c/аниме.db", "{cwd}/a/../b c/аниме.db"),
    ],
)
def test_the_path_of_a_sqlite_file_is_made_absolute_and_its_folders_made(tmp_path, monkeypatch, url, path):
    """Relative, absolute, home, missing parents, blanks and Cyrillic."""
    places = {"cwd": str(tmp_path), "home": str(tmp_path / "home")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", places["home"])
    (tmp_path / "a").mkdir()
    with opened(url.format(**places).replace("sqlite://///", "sqlite:////")) as tables:
        tables.store(release())
    assert Path(path.format(**places)).is_file()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_any_postgresql_address_uses_our_driver(scheme):
    """People copy them from everywhere."""
    assert database(f"{scheme}://u:p@h/d").render_as_string(hide_password=False) == "postgresql+psycopg://u:p@h/d"


@pytest.mark.parametrize("url", ["", "var/anime.db", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "nonsense://x"])
def test_another_address_is_refused_with_an_example(url):
    """Naming the setting."""
    with pytest.raises(CatalogueError, match=r"DATABASE_URL.*for example sqlite:///var/anime.db"):
        database(url)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogueError, match="DATABASE_URL: cannot make the folder"):
        open_engine(f"sqlite:///{tmp_path}/file/anime.db")


def test_looking_at_a_catalogue_that_is_not_there_makes_none(tmp_path):
    """A typing error in DATABASE_URL is no empty catalogue."""
    with pytest.raises(CatalogueError, match="there is no catalogue at"), connect(f"sqlite:///{tmp_path}/no.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_database_server_that_is_down_is_named():
    """No traceback of a driver; the password stays hidden."""
    with pytest.raises(CatalogueError, match=r"postgresql\+psycopg://u:\*\*\*@127.0.0.1:1/d.*database runs"):
        open_engine("postgresql://u:canary@127.0.0.1:1/d")


@pytest.fixture
def file(tmp_path):
    """A catalogue file with something in it, closed."""
    path = tmp_path / "anime.db"
    with opened(f"sqlite:///{path}") as tables:
        tables.store(*(release(f"serial-{i}", str(i), range(50)) for i in range(50)))
    return path


@pytest.mark.parametrize("kept", [0.0002, 0.3, 0.9])
def test_a_truncated_file_is_loud_and_says_what_to_do(file, kept):
    """Wherever it was cut."""
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CatalogueError, match=r"damaged.*\.recover.*move"):
        open_engine(f"sqlite:///{file}")
    assert file.stat().st_size == int(len(whole) * kept)


def test_a_file_that_is_no_database_is_loud(file):
    """A page of HTML under the name of the catalogue."""
    file.write_text("<html>" * 1000)
    with pytest.raises(CatalogueError, match="not a database"):
        asyncio.run(Catalogue.open(f"sqlite:///{file}"))


def test_an_empty_file_is_a_new_catalogue(tmp_path):
    """A process killed in the moment of creation leaves one."""
    (tmp_path / "anime.db").write_bytes(b"")
    with opened(f"sqlite:///{tmp_path}/anime.db") as tables:
        tables.store(release())
