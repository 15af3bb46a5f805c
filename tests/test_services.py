"""The suite's own services and guards."""

import socket
import subprocess
import sys

import psycopg
import pytest

from tests.guard import clean_environment
from tests.guard.sitecustomize import NetworkUsedError


def test_each_test_gets_an_empty_postgresql_database(postgres_url, new_postgres_url):
    """Two addresses are two databases, both empty, on a server that answers."""
    for url in (postgres_url, new_postgres_url()):
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute(
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            ).fetchone() == (0,)
            connection.execute("CREATE TABLE mine (id int)")


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com", "169.254.169.254", "2001:db8::1"])
def test_no_test_reaches_another_machine(host):
    """A connection or name look-up beyond loopback fails at once."""
    with pytest.raises(NetworkUsedError, match="only loopback"):
        socket.create_connection((host, 80), timeout=1)


def test_processes_that_tests_start_are_guarded_too():
    """Python started with the suite's environment cannot reach another machine either."""
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True)
    assert "only loopback is allowed" in done.stderr
