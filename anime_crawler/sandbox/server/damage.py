"""The kinds of faults. Each takes the request, the way to the true answer, and its options; it gives the bad reply."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson

from anime_crawler.sandbox.server.wire import Call, Reply, cloudflare_reply, html_reply, json_reply
from anime_crawler.sandbox.upstreams.script_page import script
from anime_crawler.sandbox.world.malice import malicious

Answer = Callable[[], Reply]
Options = dict[str, Any]

MIB = 1024 * 1024


def status(_call: Call, _answer: Answer, options: Options) -> Reply:
    """A status (`status`, 500) with a text (`body`) and `content_type`."""
    text = options.get("body", '{"message":"sandbox fault"}')
    return Reply(options.get("status", 500), text.encode(), options.get("content_type", "application/json"))


def too_many(_call: Call, _answer: Answer, options: Options) -> Reply:
    """429. `retry_after`: seconds, ``date`` (with `seconds`), any other text as it is, or nothing: no header."""
    wait = options.get("retry_after")
    if wait == "date":
        wait = formatdate(time.time() + options.get("seconds", 2), usegmt=True)
    headers = {} if wait is None else {"retry-after": str(wait)}
    return Reply(429, b"Retry later\n", "text/plain", headers)


def silence(_call: Call, _answer: Answer, _options: Options) -> Reply:
    """Accepted and never answered."""
    return Reply(0, b"", silent=True)


def drop(_call: Call, _answer: Answer, _options: Options) -> Reply:
    """The connection is cut without a byte."""
    return Reply(0, b"", dropped=True)


def slow_start(_call: Call, answer: Answer, options: Options) -> Reply:
    """`delay_s` of silence before the first byte."""
    return replace(answer(), delay_s=options.get("delay_s", 60))


def held(_call: Call, answer: Answer, _options: Options) -> Reply:
    """The true answer, once the faults have been taken away."""
    return replace(answer(), held=True)


def slow_body(_call: Call, answer: Answer, options: Options) -> Reply:
    """`delay_s` of silence in the middle of the body."""
    return replace(answer(), pause_s=options.get("delay_s", 60))


def cut(_call: Call, answer: Answer, _options: Options) -> Reply:
    """The connection closes in the middle of the body, short of the announced length."""
    reply = answer()
    half = len(reply.body) // 2
    return replace(reply, body=reply.body[:half], missing=len(reply.body) - half)


def truncated(_call: Call, answer: Answer, _options: Options) -> Reply:
    """Half of the JSON as if it were all."""
    reply = answer()
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def html(_call: Call, _answer: Answer, options: Options) -> Reply:
    """An HTML page with `status` (200)."""
    return html_reply(options.get("status", 200), "Maintenance")


def challenge(_call: Call, _answer: Answer, options: Options) -> Reply:
    """DDoS-Guard's page with `status` (403)."""
    reply = html_reply(options.get("status", 403), "DDOS-GUARD")
    return replace(reply, headers={"server": "ddos-guard", "set-cookie": "__ddg1_=sandbox; Path=/"})


def cloudflare(_call: Call, _answer: Answer, options: Options) -> Reply:
    """Cloudflare's challenge with `status` (403). `retry_after`: seconds; without it the answer has no such header."""
    reply = cloudflare_reply(options.get("status", 403))
    if "retry_after" in options:
        reply.headers["retry-after"] = str(options["retry_after"])
    return reply


def body(_call: Call, _answer: Answer, options: Options) -> Reply:
    """Exactly the text in `body` (``null``) as JSON with 200; an empty text is an empty body."""
    return Reply(200, options.get("body", "null").encode())


def oversized(_call: Call, _answer: Answer, options: Options) -> Reply:
    """Valid JSON of `mb` (100) MiB."""
    return Reply(200, b'{"results":[],"pad":"' + b"x" * (options.get("mb", 100) * MIB) + b'"}')


def bomb(_call: Call, _answer: Answer, options: Options) -> Reply:
    """A gzip body that unpacks to `mb` (500) MiB."""
    pad = gzip.compress(b" " * MIB, 9) * options.get("mb", 500)  # gzip members may follow each other
    return Reply(200, pad, headers={"content-encoding": "gzip"})


def nested(_call: Call, _answer: Answer, options: Options) -> Reply:
    """Arrays in arrays, `depth` (100,000) of them."""
    depth = options.get("depth", 100_000)
    return Reply(200, b'{"results":' + b"[" * depth + b"]" * depth + b"}")


def redirect(_call: Call, _answer: Answer, options: Options) -> Reply:
    """301 to `location`: how a moved Shikimori answers."""
    location = options.get("location", "https://moved.example.org/")
    return Reply(301, b"", "text/html", {"location": location})


def token_refused(_call: Call, _answer: Answer, _options: Options) -> Reply:
    """Kodik's word for a wrong or missing token, which it also has for one that may not list."""
    return json_reply({"error": "Отсутствует или неверный токен"}, 500)


def cursor_refused(call: Call, answer: Answer, _options: Options) -> Reply:
    """Only requests with a cursor fail."""
    return json_reply({"error": "Неправильный курсор"}, 500) if "next" in call.params else answer()


def edited(answer: Answer, change: Callable[[Any], None]) -> Reply:
    """The true answer after `change` of its JSON; other answers stay as they are."""
    reply = answer()
    if reply.status != 200:
        return reply
    value = orjson.loads(reply.body)
    change(value)
    return replace(reply, body=orjson.dumps(value))


def foreign_next(_call: Call, answer: Answer, options: Options) -> Reply:
    """``next_page`` on another `host`, with the true cursor."""
    host = options.get("host", "kodik.example.org")

    def change(page: Any) -> None:
        if page["next_page"]:
            query = page["next_page"].partition("?")[2]
            page["next_page"] = f"https://{host}/list?{query}"

    return edited(answer, change)


def repeated_cursor(call: Call, answer: Answer, _options: Options) -> Reply:
    """``next_page`` leads to the page it is on."""

    def change(page: Any) -> None:
        page["next_page"] = f"{call.base_url}/list?{call.query or call.body.decode()}"

    return edited(answer, change) if "next" in call.params else answer()


def repeated_page(call: Call, answer: Answer, _options: Options) -> Reply:
    """Fresh cursors, but the records of the first page again."""
    reply = answer()
    cursor = call.params.get("next")
    if cursor is None or reply.status != 200:
        return reply
    del call.params["next"]
    first = orjson.loads(answer().body)
    call.params["next"] = cursor
    return edited(lambda: reply, lambda page: page.update(results=first["results"]))


def page_ignored(call: Call, answer: Answer, _options: Options) -> Reply:
    """The first page of a list, whichever is asked for: by number, offset or cursor, in the address or the body."""
    call.path = re.sub(r"/page-\d+", "/page-1", call.path)
    first = {"page": "1", "page[offset]": "0"}
    kept = [(name, first.get(name, value)) for name, value in parse_qsl(call.query, True) if name != "next"]
    call.query = urlencode(kept)
    if call.body.startswith(b"{"):
        query = orjson.loads(call.body)
        query["variables"] = query.get("variables", {}) | {"page": 1}
        call.body = orjson.dumps(query)
    elif call.body:
        call.body = urlencode([pair for pair in parse_qsl(call.body.decode(), True) if pair[0] != "next"]).encode()
    for name in ("pairs", "params"):
        vars(call).pop(name, None)
    return answer()


def replaced(_call: Call, answer: Answer, options: Options) -> Reply:
    """`value` at `path` (dots, ``remove``: true takes the key away) of record number `record`, or of all."""

    def change(page: Any) -> None:
        for index, record in enumerate(records(page)):
            if options.get("record") in (None, index):
                put(record, str(options["path"]).split("."), options.get("value"), bool(options.get("remove")))

    return edited(answer, change)


def wrong_shape(_call: Call, answer: Answer, options: Options) -> Reply:
    """`value` at `path` of the whole answer, for example a text where ``results`` has its list."""
    path = str(options.get("path", "results")).split(".")
    return edited(answer, lambda page: put(page, path, options.get("value", "sandbox fault"), False))


def rewritten(_call: Call, answer: Answer, options: Options) -> Reply:
    """What `pattern`, a regular expression, matches first in the text of the true answer becomes `text`."""
    reply = answer()
    return replace(reply, body=re.sub(options["pattern"], options["text"], reply.body.decode(), count=1).encode())


def malice(_call: Call, answer: Answer, _options: Options) -> Reply:
    """Scripts, other schemes, link-local addresses and terminal escapes in every record."""

    def change(page: Any) -> None:
        for index, record in enumerate(records(page)):
            malicious(record, index)

    return edited(answer, change)


def records(page: Any) -> list[Any]:
    """The records of an answer: the first list in it, however deep; Kodik's ``results``, Kitsu's ``data``."""
    if isinstance(page, list):
        return page
    inner = page.values() if isinstance(page, dict) else ()
    return next(filter(None, map(records, inner)), [])


def put(target: Any, path: list[str], value: Any, remove: bool) -> None:
    """Set or remove one value below `target`; a path that is not there is left alone."""
    for name in path[:-1]:
        target = target[int(name)] if isinstance(target, list) else target.get(name)
        if not isinstance(target, dict | list):
            return
    last: Any = int(path[-1]) if isinstance(target, list) else path[-1]
    if remove:
        target.pop(last, None)
    else:
        target[last] = value


DAMAGES: dict[str, Callable[[Call, Answer, Options], Reply]] = {
    function.__name__: function
    for function in (
        status,
        too_many,
        silence,
        drop,
        slow_start,
        held,
        slow_body,
        cut,
        truncated,
        html,
        challenge,
        cloudflare,
        body,
        oversized,
        bomb,
        nested,
        redirect,
        token_refused,
        cursor_refused,
        foreign_next,
        repeated_cursor,
        repeated_page,
        page_ignored,
        replaced,
        rewritten,
        wrong_shape,
        malice,
        script,
    )
}
