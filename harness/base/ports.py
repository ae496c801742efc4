"""Whether something could listen on a port: asked before a model is loaded, or a machine waited for."""

from __future__ import annotations

import errno
import socket

from harness.base.errors import UserError


def refusal(port: int, host: str | None = None) -> OSError | None:
    """Why nothing could listen at `port` of `host`, of every address without one; None: something could."""
    family = socket.AF_INET6 if host is None and socket.has_dualstack_ipv6() else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as listener:
            # As servers do: what a closed connection leaves behind for a minute does not count.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error
    except UnicodeError:
        return socket.gaierror(socket.EAI_NONAME, "No host can have that name")
    return None


def require_free(host: str, port: int) -> None:
    """Raises UserError where nothing can listen at `host` and `port`."""
    error = refusal(port, host)
    if isinstance(error, socket.gaierror):
        raise UserError([f"--host {host}: {error.strerror}; use 127.0.0.1, or 0.0.0.0 for every address"])
    if error is not None:
        fix = {
            errno.EADDRNOTAVAIL: "use an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them",
            errno.EACCES: "give a --port above 1023",
        }.get(error.errno or 0, "give another --port, or stop what has it")
        raise UserError([f"--host {host} --port {port}: {error.strerror}; {fix}"])
