"""Whether a server could listen where it is told to: asked before a model is loaded for it."""

from __future__ import annotations

import socket

from harness.errors import UserError


def require_free(host: str, port: int) -> None:
    """Raises UserError where nothing can listen at `host` and `port`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            # As the servers do it: a port that was just left is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except socket.gaierror as error:
        raise UserError([f"--host {host}: {error.strerror}; use 127.0.0.1, or 0.0.0.0 for every address"]) from None
    except OSError as error:
        raise UserError(
            [f"--host {host} --port {port}: {error.strerror}; give another --port, or stop what has it"]
        ) from None
