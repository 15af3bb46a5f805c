"""Starts the commands that tests run: each a process of its own, forked from one that has the package loaded.

`start` gives a `subprocess.Popen`, `run` is `subprocess.run`. Tests marked ``exec`` get a true ``python -m`` instead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import orjson

from tests.guard import ROOT, clean_environment

READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
"""Beginnings of environment variables that the interpreter reads when it starts: a fork would never know."""

forking = True
"""Whether `start` may fork; the fixture of the mark ``exec`` says no."""


class ForkServer:
    """The process that commands are forked from; see `fork_server`."""

    def __init__(self) -> None:
        self.environment = clean_environment()
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def ask(self, wish: Any, descriptors: Sequence[int] = ()) -> Any:
        """The answer to a wish."""
        line = orjson.dumps(wish) + b"\n"
        with self._lock:
            self._control.sendall(line[socket.send_fds(self._control, [line], descriptors) :])
            answer = self._control.recv(2**10)
        if not answer:
            raise RuntimeError(f"the fork server ended with {self._process.wait()}; its message is on stderr")
        return orjson.loads(answer)

    def stop(self) -> None:
        self._control.close()
        self._process.wait()


class Forked(subprocess.Popen[Any]):
    """A command whose parent is the fork server; all that differs is who starts it, and who hears how it ended."""

    def __init__(self, server: ForkServer, command: Sequence[str], warnings: Sequence[str], **options: Any) -> None:
        self._server = server
        self._warnings = warnings
        super().__init__(command, **options)

    def _execute_child(self, command: Sequence[str], *options: Any) -> None:
        # What subprocess' own method is called with in Python 3.11 to 3.14; `start` allows for what is not used here.
        _, _, _, _, cwd, environment, _, _, _, *ends, _, _, _, _, _, new_session, _ = options
        standard_input, _, _, output, _, errors = ends
        module, *arguments = command[command.index("-m") + 1 :]
        wish = {
            "module": module,
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": environment,
            "new_session": new_session,
            "warnings": self._warnings,
        }
        streams = enumerate((standard_input, output, errors))
        try:
            self.pid = self._server.ask(wish, [ours if end == -1 else end for ours, end in streams])
        finally:
            self._close_pipe_fds(*ends)
        self._child_created = True

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        pid, status = self._server.ask({"waited": self.pid})
        return pid, status

    def _wait(self, timeout: float | None) -> int:
        # With a limit subprocess looks again and again: the server can wait for none of its many children.
        return super()._wait(threading.TIMEOUT_MAX if timeout is None else timeout)

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._server is the_server:
            pid, status = self._try_wait(os.WNOHANG)
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


the_server: ForkServer | None = None
"""That of this test process, started by the first test that needs it."""


def running_server() -> ForkServer:
    """`the_server`, running."""
    global the_server
    if the_server is None:
        the_server = ForkServer()
    return the_server


def stop() -> None:
    """End the server, and with it whatever command still runs."""
    global the_server
    if the_server is not None:
        the_server.stop()
        the_server = None


def _may_fork(environment: Mapping[str, str]) -> bool:
    def read(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(READ_AT_START)}

    return forking and read(environment) == read(running_server().environment)


def start(
    module: str,
    *arguments: Any,
    cwd: PathLike[str],
    env: Mapping[str, str],
    warnings: Sequence[str] = (),
    **options: Any,
) -> subprocess.Popen[Any]:
    """``python -m module arguments…``, running.

    Args:
        warnings: as for ``python -W``.
        options: of `subprocess.Popen`: standard streams and how to read them, ``start_new_session``.
    """
    words = [word for warning in warnings for word in ("-W", warning)]
    command = [sys.executable, *words, "-m", module, *map(str, arguments)]
    if _may_fork(env):
        return Forked(running_server(), command, warnings, cwd=cwd, env=env, **options)
    return subprocess.Popen(command, cwd=cwd, env=env, **options)


def run(
    module: str, *arguments: Any, cwd: PathLike[str], env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The same, ended, with what it wrote. One that does not end in time is killed.

    Raises:
        subprocess.TimeoutExpired: with what it had written until then.
    """
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with start(module, *arguments, cwd=cwd, env=env, **pipes) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
