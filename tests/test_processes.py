"""A forked command is the process that `python -m` would be: for who looks at it, and for what it sees itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import processes
from tests.guard import ROOT, clean_environment

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
LOOK = """
import json, os, random, signal, sqlite3, sys, threading
print(json.dumps({
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgid(0), "cwd": os.getcwd(), "argv": sys.argv[1:],
    "environment": dict(os.environ), "path": sys.path[0], "name": __name__, "random": random.random(),
    "threads": threading.active_count(), "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "reactor": "twisted.internet.reactor" in sys.modules,
    "files": sorted(int(name) for name in os.listdir("/dev/fd")),
}))
"""


@pytest.fixture
def start(tmp_path: Path):
    """Starts Python text as a module of the test's directory, forked or not, with pipes."""

    def start(text: str, *arguments: str, **options) -> subprocess.Popen[str]:
        (tmp_path / "text_of_test.py").write_text(text)
        options = {"env": clean_environment({"OF_THIS_TEST": "é"}), **PIPES, **options}
        return processes.start("text_of_test", *arguments, cwd=tmp_path, **options)

    return start


def test_it_sees_what_a_command_started_by_python_sees(start, monkeypatch):
    forked = start(LOOK, "an", "argument")
    monkeypatch.setattr(processes, "forking", False)
    true = start(LOOK, "an", "argument")
    assert (type(forked), type(true)) == (processes.Forked, subprocess.Popen)
    seen, expected = json.loads(forked.communicate()[0]), json.loads(true.communicate()[0])
    assert seen.pop("pid") == forked.pid != expected.pop("pid")
    assert seen.pop("random") != expected.pop("random")
    assert seen == expected
    assert seen["environment"]["OF_THIS_TEST"] == "é"


def test_two_draw_different_numbers_and_are_in_sessions_as_wished(start):
    one, two = start(LOOK), start(LOOK, start_new_session=True)
    first, second = json.loads(one.communicate()[0]), json.loads(two.communicate()[0])
    assert first["random"] != second["random"]
    assert (first["session"], first["group"]) == (os.getsid(0), os.getpgid(0))
    assert second["session"] == second["group"] == two.pid


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import atexit; atexit.register(print, 'end', file=__import__('sys').stderr)", 0, "end\n"),
        ("import signal, os; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
    ],
)
def test_it_ends_as_python_ends(start, monkeypatch, text, code, said):
    forked = start(text)
    monkeypatch.setattr(processes, "forking", False)
    true = start(text)
    assert [(p.communicate(), p.returncode) for p in (forked, true)] == [(("", said), code)] * 2


def test_an_exception_is_a_traceback_and_exit_code_1(start):
    process = start("1 / 0")
    assert "ZeroDivisionError" in process.communicate()[1]
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signals_reach_it_and_its_end_is_known(start, number):
    with start("import sys; print('ready', flush=True); sys.stdin.read()") as process:
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        process.send_signal(number)
        assert process.wait() == -number
        assert process.poll() == -number


def test_pipes_carry_what_is_written(start):
    process = start("import sys; sys.stdout.write(sys.stdin.read() * 2); sys.stderr.write('and')")
    assert process.communicate("x" * 200_000) == ("x" * 400_000, "and")


def test_no_command_leaves_this_machine(start):
    process = start("import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)")
    assert "only loopback is allowed" in process.communicate()[1]


def test_what_the_interpreter_reads_at_its_start_starts_one(start):
    with start("", env=clean_environment({"PYTHONWARNINGS": "always"})) as process:
        assert type(process) is subprocess.Popen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
@pytest.mark.parametrize("victim", ["the tests", "the server"])
def test_commands_end_with_the_server_and_the_server_with_the_tests(tmp_path, victim):
    (tmp_path / "text_of_test.py").write_text("import time; print('ready', flush=True); time.sleep(600)")
    owner = f"""
from tests import processes
from tests.guard import clean_environment
command = processes.start("text_of_test", cwd={str(tmp_path)!r}, env=clean_environment(), stdout=-1)
command.stdout.readline()
print(processes.running_server()._process.pid, command.pid, flush=True)
command.wait()
"""
    with subprocess.Popen([sys.executable, "-c", owner], cwd=ROOT, stdout=-1, stderr=-1, text=True) as tests:
        server, command = map(int, tests.stdout.readline().split())
        both = [psutil.Process(server), psutil.Process(command)]
        os.kill(server if victim == "the server" else tests.pid, signal.SIGKILL)
        gone, _ = psutil.wait_procs(both, timeout=30)
        assert len(gone) == 2
        tests.kill()
