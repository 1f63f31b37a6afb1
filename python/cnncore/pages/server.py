# SPDX-License-Identifier: Apache-2.0
"""The page to explore a model with, served to this computer alone."""

from __future__ import annotations

import json
import sys
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from .html import resource
from .session import Session

ADDRESS = "127.0.0.1"
MAX_BODY = 4 << 20
"""Bytes of a request; an image of the largest size that is taken has 1.05 MB in base64."""

_FILES = {
    "/": ("explore.html", "text/html; charset=utf-8"),
    "/explore.css": ("explore.css", "text/css; charset=utf-8"),
    "/explore.js": ("explore.js", "text/javascript; charset=utf-8"),
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves the page and its questions.

    Other sites that the browser has open cannot ask: requests must name this server as their host, so that no
    name of theirs leads here, and come from its own page.

    Args:
        session: answers the questions.
        port: 0 takes any that is free.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.session = session
        names = {ADDRESS, "localhost"}
        self.hosts = {f"{name}:{self.server_port}" for name in names}
        if self.server_port == HTTP_PORT:
            self.hosts |= names  # browsers leave the usual port out

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over browsers that have gone; say what else went wrong."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(f"cnncore: {type(error).__name__}: {error}", file=sys.stderr)


class _Refused(Exception):  # noqa: N818
    """A request that is not answered: a status and why."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30
    """Seconds that a silent connection may last."""

    _asked: ClassVar[dict[str, str]] = {"/look": "look", "/moves": "moves"}

    def do_GET(self) -> None:
        """Send a file of the page, or what is known of the model."""
        self._answer(self._file)

    def do_POST(self) -> None:
        """Answer a question."""
        self._answer(self._question)

    def _answer(self, make: Any) -> None:
        try:
            self._check_origin()
            status, content, kind = make()
        except _Refused as refused:
            status, content, kind = refused.status, *_json({"error": str(refused)})
            self.close_connection = True  # a body that was not read would be taken for the next request
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _check_origin(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in self.server.hosts:
            raise _Refused(403, "expected this computer's own address as the host")
        if origin is not None and origin not in {f"http://{name}" for name in self.server.hosts}:
            raise _Refused(403, "expected a request of the page itself")

    def _file(self) -> tuple[int, bytes, str]:
        if self.path == "/model":
            return 200, *_json(self.server.session.describe())
        if self.path not in _FILES:
            raise _Refused(404, "there is no such page")
        name, kind = _FILES[self.path]
        return 200, resource(name).encode("utf-8"), kind

    def _question(self) -> tuple[int, bytes, str]:
        name = self._asked.get(self.path)
        if name is None:
            raise _Refused(404, "there is no such question")
        if self.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise _Refused(415, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(411, "expected the length of the request")
        if len(length) > 9 or int(length) > MAX_BODY:
            raise _Refused(413, f"expected at most {MAX_BODY} bytes, got {length}")
        body = self.rfile.read(int(length))
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise ValueError("expected a JSON object")
            return 200, *_json(getattr(self.server.session, name)(request))
        except (ValueError, RecursionError) as error:
            return 400, *_json({"error": str(error)})
        except Exception as error:  # of the network: the page says it, and the server goes on
            print(f"cnncore: {type(error).__name__}: {error}", file=sys.stderr)
            return 500, *_json({"error": f"{type(error).__name__}: {error}"})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""


def _json(value: Any) -> tuple[bytes, str]:
    return json.dumps(value, allow_nan=False).encode("utf-8"), "application/json"
