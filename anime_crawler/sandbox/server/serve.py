"""``python -m anime_crawler.sandbox.server.serve``: the sandbox as a process; ``scrapy sandbox`` is the same."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from pydantic import ValidationError

from anime_crawler import output
from anime_crawler.reference_backend.server import listen, make_server
from anime_crawler.sandbox.server.app import create_app
from anime_crawler.sandbox.server.faults import Fault, fault_from_text
from anime_crawler.sandbox.server.limits import LIMITERS
from anime_crawler.sandbox.server.services import INTERNAL_TOKEN, TOKEN_SETTINGS, TOKENS, Options

HOST = "127.0.0.1"
"""Loopback only: it has no defence and opens to everyone who knows its published tokens."""
STOPS = (signal.SIGINT, signal.SIGTERM)
SHUTDOWN_S = 1
"""Requests that a fault keeps silent must not keep the process alive."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--titles", type=int, default=200, metavar="N", help="titles in the catalogue, 1 to 30,000 (200)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, another catalogue (1)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="0 (the default) takes a free one")
    parser.add_argument("--limits", choices=["enforced", "off"], default="enforced", help="upstream limits (enforced)")
    parser.add_argument(
        "--faults",
        action="append",
        default=[],
        type=_fault,
        metavar="SERVICE.KIND[:KEY=VALUE,...]",
        help="a fault from the start, for example kodik.status:status=503,count=3; may be repeated",
    )
    parser.add_argument("--catalogue", type=Path, metavar="FILE", help="real titles from a data set (jsonl.gz)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="every request as a JSON line")
    parser.add_argument("--now", type=int, default=Options.now, metavar="SECONDS", help="the world's present")
    for source, token in TOKENS.items():
        parser.add_argument(f"--{source}-token", default=token, help=f"({token})")
    parser.add_argument("--internal-token", default=INTERNAL_TOKEN, help=f"({INTERNAL_TOKEN})")
    parser.add_argument("--backend-database", metavar="URL", help="database of the backend (a file of its own)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the addresses as one line of JSON")
    parser.add_argument("--attached", action="store_true", help="end when standard input is closed")


def _fault(text: str) -> Fault:
    try:
        return fault_from_text(text)
    except ValidationError as wrong:
        raise argparse.ArgumentTypeError(f"{text}: {wrong.errors()[0]['msg']}") from wrong


def options_from(arguments: argparse.Namespace) -> Options:
    """The sandbox's options in the parsed command line."""
    return Options(
        titles=arguments.titles,
        seed=arguments.seed,
        enforced=arguments.limits == "enforced",
        now=arguments.now,
        catalogue=arguments.catalogue,
        log=arguments.log,
        faults=arguments.faults,
        tokens=tokens_in(arguments),
        internal_token=arguments.internal_token,
        backend_database=arguments.backend_database,
    )


def tokens_in(arguments: argparse.Namespace) -> dict[str, str]:
    """The tokens that the upstreams take, by upstream."""
    return {source: getattr(arguments, f"{source}_token") for source in TOKENS}


def serve(arguments: argparse.Namespace) -> None:
    """Build the world, listen, say where, and serve until stopped.

    Raises:
        OSError: the port is in use, or the data set file cannot be read.
    """
    stop = _Stop()
    for number in STOPS:
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="sandbox-") as directory:
        server = make_server(
            create_app(options_from(arguments), Path(directory)),
            log_level="warning",
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        stop.server = server
        if stop.is_told:
            return
        listening = listen(HOST, arguments.port)
        environment = environment_of(f"http://{HOST}:{listening.getsockname()[1]}", arguments)
        print(json.dumps(environment) if arguments.as_json else text_of(environment), flush=True)
        if arguments.attached:
            threading.Thread(target=_end_with_input, args=[server], daemon=True).start()
        server.run(sockets=[listening])


class _Stop:
    """What a signal does: the process ends in good order, wherever it is; uvicorn hands on those that it takes itself.

    It raises nothing: an exception that happens to come up in a destructor is dropped, and the signal with it.
    """

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self.is_told = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.is_told = True
        if self.server is not None:
            self.server.should_exit = True


def environment_of(url: str, arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that lead a crawl to this sandbox."""
    return {
        "SANDBOX_URL": url,
        **{TOKEN_SETTINGS[source]: token for source, token in tokens_in(arguments).items()},
        **{f"{name.upper()}_BASE_URL": f"{url}/{name}" for name in LIMITERS},
        "ANIDB_CLIENT": "sandbox",
        "BACKEND_BASE_URL": f"{url}/backend",
        "INTERNAL_TOKEN": arguments.internal_token,
    }


def text_of(environment: dict[str, Any]) -> str:
    """The same for people."""
    url, *settings = environment.items()
    lines = [f"Sandbox at {url[1]} (its own controls: {url[1]}/_sandbox/stats). To crawl it:"]
    return "\n".join(lines + [f"export {name}={value}" for name, value in settings])


def _end_with_input(server: uvicorn.Server) -> None:
    """Whoever started us holds the other end; it closes when they die, however they die."""
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    server.should_exit = True


def main() -> None:
    """Serve with the options of the command line."""
    parser = argparse.ArgumentParser(prog="scrapy sandbox")
    add_arguments(parser)
    serve(parser.parse_args())


if __name__ == "__main__":
    output.prepare()
    main()
