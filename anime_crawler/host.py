"""One spelling of each host: what is kept under an address is found again however the setting spells it."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from socket import inet_aton
from urllib.parse import SplitResult

PORTS = {"http": 80, "https": 443}

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Three spellings of one host; the first one stands in addresses. Other addresses of 127.0.0.0/8 are hosts of their
own, for a server may listen on one of them alone."""


def host_of(url: SplitResult) -> str:
    """The URL's host: in lower case, without a final dot, IDNA, short IPv6 in brackets, ``localhost`` for loopback."""
    name = (url.hostname or "").rstrip(".")
    if re.fullmatch(r"[0-9a-fx.]+", name):  # 127.1 and 0x7f000001 are 127.0.0.1 for whoever connects
        with suppress(OSError):
            name = str(ip_address(inet_aton(name)))
    with suppress(ValueError):
        address = ip_address(name)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        name = str(mapped or address)
    with suppress(UnicodeError):
        name = name if name.isascii() else name.encode("idna").decode()
    name = f"[{name}]" if ":" in name else name
    return LOOPBACK[0] if name in LOOPBACK else name


def port_of(url: SplitResult) -> int:
    """The port that the URL names, or its scheme's; 0: neither is known."""
    return url.port or PORTS.get(url.scheme, 0)
