"""Node 0's sign of life on a port that torchrun leaves: the other nodes wait for its next run while it scores."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

BUSY = b"busy"


class Beacon:
    """Answers whoever connects with BUSY while it is lit."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def light(self) -> None:
        """Where something else has the port, nothing is lit."""
        with suppress(OSError):
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            self._listener = socket.create_server(("", self._port), family=family, dualstack_ipv6=dual)
            self._thread = threading.Thread(target=self._answer, args=[self._listener], daemon=True)
            self._thread.start()

    def put_out(self) -> None:
        """Leave the port."""
        if self._listener is None or self._thread is None:
            return
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # Ends the accept that is under way.
        self._listener.close()
        self._thread.join()
        self._listener = self._thread = None

    @staticmethod
    def _answer(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection:
                    connection.sendall(BUSY)
