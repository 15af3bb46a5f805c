"""Where every command writes: no error is a reader that has gone, a terminal of another encoding or of odd width.

Standard output that cannot be written, on a full disk, makes any command end with one sentence and exit code 2.
"""

from __future__ import annotations

import atexit
import codecs
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST, WIDEST = 40, 1000
"""Columns of a table. With fewer than 40 some show nothing; a terminal that says so, or 0, is wrapped by itself."""
USUAL = 80
"""Where nobody says."""


EXIT_UNWRITABLE = 2
"""`job.Exit.CONFIGURATION`, which takes long to import."""


class Pipe(io.FileIO):
    """A standard stream. What is written after its reader has gone (``| head``), or to a full disk, goes nowhere."""

    failure: OSError | None = None
    """Why the first piece that got lost could not be written; ``None``: everything was, or its reader had gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes
        except OSError as error:
            self.failure = self.failure or error
            return memoryview(data).nbytes


def prepare() -> None:
    """Put such streams in place of the interpreter's; others, of a test or a program that runs us, are left alone."""
    codecs.register_error("escaped", escaped)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for as long as we live
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            pipe = Pipe(stream.fileno(), "wb", closefd=False)
            mended = io.TextIOWrapper(
                pipe if stream.write_through else io.BufferedWriter(pipe),
                encoding=stream.encoding,
                errors="escaped",
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
            setattr(sys, name, mended)
            if name == "stdout":
                atexit.register(end_with_failure, mended, pipe)


def say_unwritable(error: OSError) -> str:
    """The sentence for standard output that cannot be written."""
    return f"standard output cannot be written: {error.strerror or error}"


def end_with_failure(stdout: io.TextIOWrapper, pipe: Pipe) -> None:
    """End the process with `EXIT_UNWRITABLE` where something that it has written to standard output got lost.

    Called when the interpreter exits, by when the exit code cannot be changed otherwise. What cannot be written to
    stderr is not told: there is nobody whom it could be told.
    """
    if not stdout.closed:
        stdout.flush()
    if pipe.failure:
        sys.stderr.write(f"scrapy: {say_unwritable(pipe.failure)}\n")
        sys.stderr.flush()
        os._exit(EXIT_UNWRITABLE)


def escaped(error: UnicodeError) -> tuple[str, int]:
    r"""``\u0416`` for a character that the stream's encoding lacks: what it is can be read, and JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex(" ", 2)
    return "".join(f"\\u{unit}" for unit in units.split()), error.end


def width() -> int:
    """Columns for tables: what COLUMNS says where that is a number, else the terminal, within bounds."""
    said = os.environ.get("COLUMNS", "")
    columns = int(said) if said.isascii() and said.isdecimal() and len(said) < 10 else 0
    return min(max(columns or _size()[0] or USUAL, NARROWEST), WIDEST)


def console(*, stderr: bool = False) -> Console:
    """A console for tables and data from the net: no markup, no emoji for `:star:`, no colours for numbers."""
    from rich.console import Console  # here: it takes 0.05 s, and a command that prints no table needs none

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width(), height=_size()[1] or 25)


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal that one of the streams is; zeros: none is."""
    for descriptor in (1, 2, 0):
        try:
            size = os.get_terminal_size(descriptor)
            return size.columns, size.lines
        except OSError:
            continue
    return 0, 0
