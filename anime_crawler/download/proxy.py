"""`proxy_of` gives the proxy for an address, by one rule for every request that leaves this process.

The environment variables `http_proxy`, `https_proxy` and `no_proxy` (or their names in capitals) name the proxies.
Addresses that begin with ``http://`` use the first, those with ``https://`` the second, and hosts that `no_proxy` names
use none. This machine's own addresses never use a proxy, because a proxy cannot reach our loopback. Nothing else is
read: no `all_proxy`, no settings of the system, and no ``.netrc``, whose passwords are for other programs.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from socket import inet_aton
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Proxy:
    """A `Proxy` is a proxy that clients speak to by plain HTTP."""

    url: str
    """Address of the proxy without user and password."""
    authorization: str | None
    """Value of the header `Proxy-Authorization`; ``None`` if the environment gives no user."""
    url_with_password: str = field(repr=False)
    """Address with user and password, for libraries that make the header themselves."""


def proxy_of(url: str) -> Proxy | None:
    """The proxy for requests to an address; ``None`` if they go there directly.

    Raises:
        ValueError: if the environment names a proxy that we cannot speak to; the message does not repeat its value.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    name = f"{parts.scheme}_proxy"
    given = _variable(name)
    words = re.split(r"[,\s]+", _variable("no_proxy"))
    if not given or is_loopback(host) or any(_is_meant(host, port, word) for word in words):
        return None
    return _parsed(name, given)


def check_proxies() -> None:
    """Check the proxies that the environment names.

    Raises:
        ValueError: if we cannot speak to one of them.
    """
    for name in ("http_proxy", "https_proxy"):
        if given := _variable(name):
            _parsed(name, given)


def passwords() -> set[str]:
    """The passwords of the environment's proxies, which `secrets.py` masks in every log."""
    given = filter(None, map(_variable, ("http_proxy", "https_proxy")))
    return {unquote(value.rpartition("@")[0].rpartition(":")[2]) for value in given} - {""}


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its own address: 127.0.0.0/8, ::1, 0.0.0.0 (where servers say that they
    listen, and where a client reaches its own machine), a short form (127.1) or a name of them."""
    host = host.lower().rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", host):
            return host == "localhost" or host.endswith(".localhost")
        try:
            address = ip_address(inet_aton(host))
        except OSError:
            return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return any(form.is_loopback or form.is_unspecified for form in (address, mapped) if form is not None)


def _variable(name: str) -> str:
    """The variable's value; the name in small letters has precedence over the one in capitals."""
    value = os.environ.get(name)
    return (os.environ.get(name.upper(), "") if value is None else value).strip()


def _parsed(name: str, given: str) -> Proxy:
    whole = given if "://" in given else f"http://{given}"
    parts = urlsplit(whole)
    try:
        is_ours = parts.scheme == "http" and parts.hostname and (parts.port or True) and not re.search(r"\s", whole)
    except ValueError:
        is_ours = False
    if not is_ours or len(re.findall("@", parts.netloc)) > 1:
        raise ValueError(
            f"{name} (environment) names no proxy that can be used: http://host:port is wanted, or "
            "http://user:password@host:port, with @ : / in user and password written %40 %3A %2F"
        )
    user_and_password, _, place = parts.netloc.rpartition("@")
    authorization = None
    if user_and_password:
        user, _, password = user_and_password.partition(":")
        authorization = "Basic " + b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return Proxy(f"http://{place}", authorization, whole)


def _is_meant(host: str, port: int | None, word: str) -> bool:
    """Whether a word of `no_proxy` means the host: ``*``, a name and all below it, an address or a network, or one of
    these with a port."""
    word = word.lower()
    found = re.fullmatch(r"\[(?P<six>[^\]]+)\](?::(?P<port>\d+))?|(?P<name>[^:]+):(?P<own_port>\d+)", word)
    if found:
        word, its_port = found["six"] or found["name"], found["port"] or found["own_port"]
        if its_port and int(its_port) != port:
            return False
    if word == "*":
        return True
    try:
        return ip_address(host) in ip_network(word, strict=False)
    except ValueError:
        name = word.removeprefix("*").removeprefix(".").rstrip(".")
        return bool(name) and (host.lower() == name or host.lower().endswith(f".{name}"))
