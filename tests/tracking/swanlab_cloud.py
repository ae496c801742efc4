"""A server that stands in for SwanLab's cloud, since no test may need a network: real HTTP, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_SID = {"sid": "s", "expiredAt": "2999-01-01T00:00:00.000Z", "userInfo": {"username": "u", "name": "n"}}
_PROJECT = {
    "cuid": "p",
    "name": "harness",
    "path": "/u/harness",
    "version": 1,
    "group": {"username": "u"},
    "_count": {"experiments": 0},
}


class Cloud(ThreadingHTTPServer):
    """Answers as SwanLab's does to what swanlab 0.10.3 asks, with one status for all where `status` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status: int | None = None
        self.metrics: list[Any] = []
        """What was uploaded."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Cloud

    def do_GET(self) -> None:
        self._answer(200, _PROJECT)

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.endswith("/house/metrics") and self.server.status is None:
            self.server.metrics += sent["metrics"]
        if self.path.endswith("/login/api_key"):
            self._answer(200, _SID)
        elif self.path.endswith("/experiment"):
            self._answer(201, {"cuid": "e", "name": sent["name"], "slug": "e"})
        else:
            self._answer(200, {})

    do_PUT = do_POST

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(self.server.status or status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *_: object) -> None:
        pass


@contextmanager
def cloud() -> Iterator[Cloud]:
    with Cloud() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
