"""Each kind of fault does what its name says, to the requests it names and no other."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from pydantic import ValidationError

from anime_crawler.sandbox.server.faults import fault_from_text
from anime_crawler.sandbox.server.wire import Call, html_reply
from anime_crawler.sandbox.upstreams.script_page import script
from tests.sandboxes import running_sandbox


@pytest.fixture
def fault(fresh):
    """Put one fault on Kodik."""

    def put(kind: str, **options: object) -> None:
        fresh.post("/_sandbox/faults", {"service": "kodik", "kind": kind, **options})

    return put


def test_count_and_skip_choose_the_requests(list_page, fault, fresh):
    """The second and third fail, then all is well; the log names the fault."""
    fault("status", status=503, body="no", content_type="text/plain", skip=1, count=2)
    assert [list_page().status_code for _ in range(4)] == [200, 503, 503, 200]
    assert [e["fault"] for e in fresh.get("/_sandbox/log?service=kodik")] == [None, "status", "status", None]
    assert fresh.get("/_sandbox/faults")[0]["hits"] == 2


def test_rate_hits_the_same_share_every_time(list_page, fault, fresh):
    """Drawn from the fault's own seed."""

    def statuses() -> list[int]:
        fresh.delete("/_sandbox/faults")
        fault("status", status=502, rate=0.5, seed=4)
        return [list_page(limit=1).status_code for _ in range(20)]

    first = statuses()
    assert {200, 502} == set(first)
    assert statuses() == first


def test_match_names_a_path_or_a_parameter(list_page, fault, fresh):
    """Only pages with a cursor fail, only below the path."""
    fault("status", status=503, match={"next": "*", "path": "/list"})
    page = list_page(limit=1)
    assert page.status_code == 200
    assert requests.get(page.json()["next_page"], timeout=10).status_code == 503


def test_429_comes_with_every_kind_of_advice(list_page, fault, fresh):
    """Seconds, a date, nonsense, nothing."""
    seen = []
    for options in ({"retry_after": 7}, {"retry_after": "date", "seconds": 3}, {"retry_after": "soon"}, {}):
        fault("too_many", count=1, **options)
        answer = list_page()
        assert answer.status_code == 429
        seen.append(answer.headers.get("retry-after"))
    assert seen[0] == "7"
    assert seen[1].endswith("GMT")
    assert seen[2:] == ["soon", None]


def test_the_text_of_a_page_is_rewritten_in_one_place(list_page, fault):
    """The first match of the pattern, with what it caught; what follows stays."""
    true = list_page(limit=2).text
    fault("rewritten", pattern='("id":")[^"]*', text=r"\1another")
    changed = list_page(limit=2).text
    assert changed.count('"id":"another"') == 1
    assert changed.partition("another")[2].partition(",")[2] == true.partition('"id":"')[2].partition(",")[2]


def test_silence_and_slowness(list_page, fault, fresh):
    """Never answered; late to start; a hole in the middle: the log has how long each took."""
    fault("silence", count=1)
    with pytest.raises(requests.ReadTimeout):
        list_page(timeout=0.3)
    fault("slow_start", delay_s=0.3, count=1)
    fault("slow_body", delay_s=0.3, count=1)
    assert [list_page().status_code for _ in range(2)] == [200, 200]
    silent, *slow = fresh.get("/_sandbox/log?service=kodik")
    assert silent["status"] == 0
    assert all(entry["duration_s"] >= 0.3 for entry in slow)


def test_an_answer_is_held_until_the_faults_are_taken_away(list_page, fault, fresh):
    """The client that waits gets the true one."""
    true = list_page().json()
    fault("held")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(list_page, timeout=60)
        while fresh.get("/_sandbox/stats")["kodik"]["in_flight"] < 1:
            pass
        assert fresh.get("/_sandbox/log?service=kodik")[-1]["duration_s"] == 0
        assert not waiting.done()
        fresh.delete("/_sandbox/faults")
        assert waiting.result().json() == true


def test_a_fault_that_is_put_at_once_holds_no_answer_that_waited_before(list_page, fault, fresh):
    """What the next fault does is done to later requests; this one would otherwise wait until its client gave up."""
    fault("held")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(list_page, timeout=30)
        while fresh.get("/_sandbox/stats")["kodik"]["in_flight"] < 1:
            pass
        fresh.delete("/_sandbox/faults")
        fault("held")
        assert waiting.result().status_code == 200


def test_connections_break_before_and_within_the_answer(list_page, fault):
    """Cut without a byte; closed short of the announced length."""
    for kind in ("drop", "cut"):
        fault(kind, count=1)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            list_page()
        assert list_page().status_code == 200


def test_bodies_that_are_not_what_they_should_be(list_page, fault):
    """Half of the JSON, HTML with 200, null, nothing, a challenge page."""
    fault("truncated", count=1)
    with pytest.raises(requests.JSONDecodeError):
        list_page().json()
    fault("html", count=1)
    assert list_page().headers["content-type"].startswith("text/html")
    fault("body", body="null", count=1)
    assert list_page().json() is None
    fault("body", body="", count=1)
    assert list_page().content == b""
    fault("challenge", count=1)
    challenge = list_page()
    assert (challenge.status_code, challenge.headers["server"]) == (403, "ddos-guard")
    assert "DDOS-GUARD" in challenge.text


def test_bodies_that_are_too_much(fresh, fault):
    """Megabytes, a bomb of a thousandth of its size, a hundred thousand brackets."""
    form = {"token": fresh.kodik_token}
    fault("oversized", mb=3, count=1)
    assert len(requests.post(f"{fresh.kodik_url}/list", data=form, timeout=10).content) > 3 * 2**20
    fault("bomb", mb=20, count=1)
    with requests.post(f"{fresh.kodik_url}/list", data=form, timeout=10, stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert len(packed) < 2**20 / 8
    assert len(gzip.decompress(packed)) == 20 * 2**20
    fault("nested", depth=1000, count=1)
    assert requests.post(f"{fresh.kodik_url}/list", data=form, timeout=10).content.count(b"[") == 1000


def test_a_cursor_can_go_wrong_in_every_way(list_page, fault, fresh):
    """Another host; the same cursor again; the same records again; refused."""
    fault("foreign_next", count=1)
    assert list_page(limit=5).json()["next_page"].startswith("https://kodik.example.org/")
    first = list_page(limit=5).json()
    second_url = first["next_page"]
    fault("repeated_page", count=1)
    assert requests.get(second_url, timeout=10).json()["results"] == first["results"]
    fault("page_ignored", count=1)
    assert requests.get(second_url, timeout=10).json()["results"] == first["results"]
    fault("repeated_cursor", count=1)
    assert requests.get(second_url, timeout=10).json()["next_page"] == second_url
    fault("cursor_refused")
    assert list_page().status_code == 200
    assert requests.get(second_url, timeout=10).json() == {"error": "Неправильный курсор"}


def test_the_token_can_be_refused_and_the_host_can_move(list_page, fault):
    """Kodik's 500 with the text; a redirect that leads away."""
    fault("token_refused", count=1)
    assert list_page().json() == {"error": "Отсутствует или неверный токен"}
    fault("redirect", location="http://127.0.0.1:1/", count=1)
    with pytest.raises(requests.ConnectionError):
        list_page()


def test_one_record_or_the_whole_shape_can_be_damaged(list_page, fault):
    """A value at a path of one record, a key taken away from all, a text in place of the results."""
    fault("replaced", path="translation.id", value="x", record=2, count=1)
    page = list_page(limit=4).json()["results"]
    assert [m["translation"]["id"] == "x" for m in page] == [False, False, True, False]
    fault("replaced", path="quality", remove=True, count=1)
    assert not any("quality" in m for m in list_page(limit=4).json()["results"])
    fault("wrong_shape", value="none", count=1)
    assert list_page().json()["results"] == "none"


def test_the_malicious_corpus_is_in_every_record(list_page, fault, graphql, fresh):
    """Scripts in texts, foreign schemes in links, escapes in titles; at Shikimori too."""
    fault("malice", count=1)
    page = list_page(with_episodes="true", with_material_data="true", sort="updated_at").json()["results"]
    text = str(page)
    assert all(part in text for part in ("<script>", "javascript:", "169.254.169.254", "data:text/html", "\\x1b"))
    fresh.post("/_sandbox/faults", {"service": "shikimori", "kind": "malice", "count": 1})
    animes = graphql("{ animes(limit: 9, order: id) { name description poster { originalUrl } } }").json()["data"]
    assert "<script>" in str(animes)
    assert "javascript:" in str(animes)


def test_a_page_can_be_nothing_without_its_script(list_page, fault):
    """HTML is put in place by ``/_page.js``, beside a picture and another host's tracker; the rest stays as it is."""

    def answer(path, reply):
        return script(Call("anisearch", "GET", path, "", {}, b"", "http://site"), lambda: reply, {})

    page = answer("/anime/1", html_reply(200, "Cowboy Bebop")).body.decode()
    assert "Bebop" not in page
    assert all(f'src="{url}"' in page for url in ("http://site/_picture.png", "http://site/_page.js"))
    assert "https://tracker.example.org/" in page
    assert answer("/_page.js", html_reply(404, "none")).content_type == "text/javascript"
    assert b"none" in answer("/anime/2", html_reply(404, "none")).body
    fault("script")
    assert list_page().json()["results"]


def test_an_unknown_fault_is_refused_with_the_known_ones(fresh):
    """400, and a list to choose from."""
    with pytest.raises(requests.HTTPError, match="slow_body"):
        fresh.post("/_sandbox/faults", {"service": "kodik", "kind": "nonsense"})


def test_faults_from_the_command_line_are_the_same_faults():
    """`SERVICE.KIND:key=value,…`, values as JSON where they can be."""
    fault = fault_from_text("kodik.status:status=503,count=2,body=oops")
    assert (fault.service, fault.kind, fault.count, fault.options) == (
        "kodik",
        "status",
        2,
        {"status": 503, "body": "oops"},
    )
    with pytest.raises(ValidationError):
        fault_from_text("nobody.status")
    with running_sandbox(
        titles=5, limits="off", faults=["kodik.html:count=1", "kodik.status:status=404,count=1"]
    ) as box:
        seen = [requests.get(f"{box.kodik_url}/years", {"token": box.kodik_token}, timeout=10) for _ in range(3)]
    assert [(a.status_code, a.headers["content-type"][:9]) for a in seen] == [
        (200, "text/html"),
        (404, "applicati"),
        (200, "applicati"),
    ]
