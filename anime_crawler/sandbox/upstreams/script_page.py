"""A page that is nothing until its script has run, and what it names beside it, which no crawler should want."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from anime_crawler.sandbox.server.wire import Call, Reply

SCRIPT_PATH = "/_page.js"
PICTURE_PATH = "/_picture.png"
TRACKER = "https://tracker.example.org"
SHELL = """<!doctype html>
<html><head><meta charset="utf-8"><title>This page needs scripts</title></head><body>
<img src="{base}{picture}"><img src="{tracker}/pixel.gif"><script src="{tracker}/count.js" async></script>
<template id="page">{page}</template><script src="{base}{script}"></script>
</body></html>
"""
SCRIPT = b"""addEventListener("DOMContentLoaded", () => {
  const packed = atob(document.getElementById("page").innerHTML);
  const text = new TextDecoder().decode(Uint8Array.from(packed, (letter) => letter.charCodeAt(0)));
  const page = new DOMParser().parseFromString(text, "text/html");
  document.replaceChild(document.importNode(page.documentElement, true), document.documentElement);
});
"""


def script(call: Call, answer: Callable[[], Reply], _options: dict[str, Any]) -> Reply:
    """HTML pages are put in place by a script from ``/_page.js``, beside a picture and another host's tracker."""
    if call.path == SCRIPT_PATH:
        return Reply(200, SCRIPT, "text/javascript", {"cache-control": "max-age=3600"})
    reply = answer()
    if reply.status != 200 or not reply.content_type.startswith("text/html"):
        return reply
    page = b64encode(reply.body).decode()
    text = SHELL.format(base=call.base_url, picture=PICTURE_PATH, tracker=TRACKER, script=SCRIPT_PATH, page=page)
    return replace(reply, body=text.encode())
