"""No test leaves this machine: connections and name look-ups other than loopback are refused.

Imported by conftest for the test process, and by Python itself at its start (``PYTHONPATH``) in processes that
tests start.
Connections that uvloop makes do not raise audit events; what runs on it asks the sandbox only, by configuration.
"""

import ipaddress
import sys
from typing import Any

LOCAL_NAMES = frozenset({"localhost", "", None})


class NetworkUsedError(OSError):
    """A test tried to leave this machine."""


def is_local(host: Any) -> bool:
    """Whether the host is this machine, by name or address."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):  # a str is a Unix socket's path
        host = arguments[1][0]
    else:
        return
    if not is_local(host):
        raise NetworkUsedError(f"a test tried to reach {host!r}; only loopback is allowed")


sys.addaudithook(_audit)
