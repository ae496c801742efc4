"""Node 0's sign of life on the port that torchrun has while it trains: which run of the sweep it is at."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

GREETING = b"run "
"""Before the number; a store of torch's says nothing until it is asked."""


class Beacon:
    """Answers whoever connects with the number of a run, while it is lit."""

    def __init__(self, port: int) -> None:
        self.number = 0
        """Of the run that this process is at."""
        self.trained: int | None = None
        """Of the last run that others trained with it."""
        self._port = port
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def light(self) -> None:
        """Answer from here on; where something else has the port, nothing is lit."""
        if self._listener is not None:
            return
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        with suppress(OSError):
            self._listener = socket.create_server(("", self._port), family=family, dualstack_ipv6=dual)
            self._thread = threading.Thread(target=self._answer, args=[self._listener], daemon=True)
            self._thread.start()

    def put_out(self) -> None:
        """Leave the port to others."""
        listener, self._listener = self._listener, None
        if listener is None or self._thread is None:
            return
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # Ends the accept that is under way.
        listener.close()
        self._thread.join()

    def _answer(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except OSError:  # Put out; or too many files are open, which may pass.
                time.sleep(0.05)
                continue
            with suppress(OSError), connection:
                connection.sendall(GREETING + str(self.number).encode())


def ask(address: str, port: int, seconds: float) -> int | None:
    """Return the number that a beacon tells; None where something else listens. Raises OSError where nothing does."""
    with socket.create_connection((address, port), seconds) as connection, suppress(TimeoutError):
        connection.settimeout(0.5)
        answer = b""
        while part := connection.recv(64):
            answer += part
        if answer.startswith(GREETING):
            return int(answer.removeprefix(GREETING))
    return None
