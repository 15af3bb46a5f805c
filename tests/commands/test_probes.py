"""What each answer of a service means to the person who set it up, seen over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from scrapy.http import Response

from anime_crawler.base_spiders import Action, Probe, Secret, SourceCard, SourceSpider, Verdict, verdict_by_status
from anime_crawler.commands.diagnose import exit_code
from anime_crawler.commands.probes import Finding, check_backend, check_catalogue, check_source, cleaner
from anime_crawler.config import Config
from anime_crawler.rate_limit.limits import budget_of
from anime_crawler.rate_limit.sqlite_limiter import SqliteLimiter
from tests.services import free_port

SECRET = "s3cr3t-canary-value"
AGENT = "anime_crawler/test"
IMPORT = "/api/v1/internal/import/anime"


class Service(ThreadingHTTPServer):
    """Answers as it is told and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, headers, answer = self.server.answers.get(self.path, (200, {}, b"{}"))
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815  the name that http.server calls

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""


@pytest.fixture
def service() -> Iterator[Service]:
    """A service on loopback."""
    with Service() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def source(service: Service) -> type[SourceSpider]:
    """A source that lives at the service and wants Kodik's token in its form."""

    class Source(SourceSpider):
        name = "kodik_like"
        card = SourceCard(
            name="kodik_like",
            title="Kodik-like",
            documentation="",
            base_url="",
            limits="off",
            limits_origin="",
            item_kinds=(),
            base_url_setting="KODIK_BASE_URL",
            secrets=(Secret("KODIK_API_TOKEN", "form", "token", "Ask for one."),),
            max_body_bytes=1000,
            probe=Probe("/list", form={"limit": "1"}),
        )

        def judge(self, response: Response) -> Verdict:
            if b"token" in response.body:
                return Verdict(Action.GIVE_UP, "token_refused", f"it said {response.text}", setting="KODIK_API_TOKEN")
            return verdict_by_status(response.status)

    return Source


def config(service: Service, **more: str) -> Config:
    return Config.load({"KODIK_API_TOKEN": SECRET, "KODIK_BASE_URL": service.url, "HTTP_TIMEOUT_SECONDS": "5", **more})


def test_a_source_that_answers_is_fine_and_was_asked_once_as_its_card_says(service, source):
    """One request with the card's form, the credential and our user agent."""
    finding = check_source(source, config(service), AGENT, SqliteLimiter(":memory:"))
    assert (finding.what_happened, finding.exit_code) == ("fine", 0)
    ((method, path, headers, body),) = service.asked
    assert (method, path, headers["User-Agent"]) == ("POST", "/list", AGENT)
    assert body == f"limit=1&token={SECRET}".encode()


def test_a_missing_credential_is_named_and_nothing_is_asked(service, source):
    """Exit 2, how to get one, no request."""
    finding = check_source(source, Config.load({"KODIK_BASE_URL": service.url}), AGENT, SqliteLimiter(":memory:"))
    assert (finding.exit_code, finding.what_to_do) == (2, "set KODIK_API_TOKEN. Ask for one.")
    assert service.asked == []


def test_a_refused_credential_is_the_setting_to_change(service, source):
    """The spider's own judgement, as in a crawl; exit 3."""
    service.answers["/list"] = (500, {}, b"bad token")
    finding = check_source(source, config(service), AGENT, SqliteLimiter(":memory:"))
    assert (finding.exit_code, finding.what_to_do) == (3, "set KODIK_API_TOKEN")
    assert finding.what_happened.startswith("token_refused")


def test_the_upstreams_limits_hold_for_a_diagnosis_too(service, source):
    """While a penalty runs nothing is asked; when to come back is told."""
    limiter = SqliteLimiter(":memory:")
    limiter.penalize(budget_of("kodik_like", service.url), 600, "Retry-After")
    finding = check_source(source, config(service), AGENT, limiter)
    assert service.asked == []
    assert finding.what_happened == "not asked because of Retry-After"
    assert finding.what_to_do in ("run again in 600 s", "run again in 599 s")


def test_a_redirect_is_not_followed(service, source):
    """The token does not travel."""
    service.answers["/list"] = (301, {"Location": f"{service.url}/elsewhere"}, b"")
    finding = check_source(source, config(service), AGENT, SqliteLimiter(":memory:"))
    assert (finding.exit_code, finding.what_happened) == (3, "status_301: status 301")
    assert [path for _, path, _, _ in service.asked] == ["/list"]


def test_an_oversized_answer_is_cut_off(service, source):
    """The limit of the card holds here too."""
    service.answers["/list"] = (200, {}, b"x" * 100_000)
    finding = check_source(source, config(service), AGENT, SqliteLimiter(":memory:"))
    assert finding.you_see == "a body of more than 1000 bytes"
    assert finding.exit_code == 3


def test_a_service_that_is_not_there_says_so(source):
    """No traceback and no address with secrets: what was seen and what to check."""
    nobody = Config.load({"KODIK_API_TOKEN": SECRET, "KODIK_BASE_URL": f"http://127.0.0.1:{free_port()}"})
    finding = check_source(source, nobody, AGENT, SqliteLimiter(":memory:"))
    assert finding.you_see.startswith("no connection")
    assert "KODIK_BASE_URL" in finding.what_to_do
    assert finding.exit_code == 3


REFUSED = b'{"error": {"message": "Invalid internal token"}}'


@pytest.mark.parametrize(
    ("status", "body", "happened", "setting"),
    [
        (403, REFUSED, "token_refused: 403 Invalid internal token", "INTERNAL_TOKEN"),
        (404, b"Not Found", "wrong_service: 404 Not Found", "BACKEND_BASE_URL"),
        (307, b"", "redirect: 307", "BACKEND_BASE_URL"),
        (500, b"oops", "unknown_error: 500 of unknown cause", "backend's log"),
        (422, b"{}", "token_stripped: 422", "BACKEND_BASE_URL"),
    ],
)
def test_what_the_backend_says_is_explained_with_the_setting_to_change(service, status, body, happened, setting):
    """In the importer's own words; 422 for a wrong token too means that the token does not arrive. Exit 4."""
    service.answers[IMPORT] = (status, {"Location": "http://elsewhere.example/"}, body)
    finding = check_backend(config(service, BACKEND_BASE_URL=service.url, INTERNAL_TOKEN=SECRET))
    assert finding.what_happened.startswith(happened)
    assert setting in finding.what_to_do
    assert finding.exit_code == 4


def test_a_backend_that_takes_our_token_and_no_other_is_fine(sandbox):
    """The real reference backend; nothing is written."""
    settings = {"BACKEND_BASE_URL": sandbox.backend_url, "INTERNAL_TOKEN": sandbox.internal_token}
    before = sandbox.get("/backend/_reference/dump")
    assert check_backend(Config.load(settings)).what_happened == "fine"
    assert check_backend(Config.load({**settings, "INTERNAL_TOKEN": SECRET})).exit_code == 4
    assert sandbox.get("/backend/_reference/dump") == before


def test_the_backend_gets_empty_records_only(service):
    """Health first, then the token check: an empty record writes nothing."""
    check_backend(config(service, BACKEND_BASE_URL=service.url, INTERNAL_TOKEN=SECRET))
    health, check, *others = service.asked
    assert health[:2] == ("GET", "/health")
    assert (check[1], check[2]["X-Internal-Token"], json.loads(check[3])) == (IMPORT, SECRET, {})
    assert all(json.loads(body) == {} for _, _, _, body in others)


def test_no_backend_is_no_trouble():
    """The catalogue is then the only target."""
    assert check_backend(Config.load({})).exit_code == 0


def test_a_catalogue_that_cannot_be_opened_is_exit_code_2(tmp_path):
    """DATABASE_URL is the setting to change."""
    (tmp_path / "file").write_text("")
    finding = check_catalogue(Config.load({"DATABASE_URL": f"sqlite:///{tmp_path}/file/anime.db"}))
    assert (finding.exit_code, finding.what_to_do) == (2, "set DATABASE_URL")
    assert check_catalogue(Config.load({"DATABASE_URL": f"sqlite:///{tmp_path}/anime.db"})).exit_code == 0


def test_nothing_from_outside_is_printed_as_it_came(service):
    """Secrets are masked and control characters, which can rewrite a terminal, are replaced."""
    clean = cleaner(config(service))
    assert clean(f"a{SECRET}b\x1b[2J\n") == "a***b?[2J?"


def test_the_most_urgent_finding_decides_the_exit_code():
    """A setting before an upstream before the backend."""
    codes = [0, 4, 3, 2]
    findings = [Finding("", "", "", "", exit_code=code) for code in codes]
    assert [exit_code(findings[: n + 1]) for n in range(4)] == [0, 4, 3, 2]
