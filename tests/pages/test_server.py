# SPDX-License-Identifier: Apache-2.0
"""The server: what it sends, and whom it refuses."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.pages.html import resource
from cnncore.pages.opened import open_model
from cnncore.pages.server import ADDRESS, MAX_BODY, Server
from cnncore.pages.session import Sample, Session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = str(tmp_path_factory.mktemp("model") / "m.safetensors")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    cc.save(model, path, preprocessing={"size": (8, 8)})
    session = Session(open_model(path), [Sample(np.ones((1, 8, 8), np.float32), "a")])
    with Server(session) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(ADDRESS, server.server_port)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, given)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, dict(reply.getheaders()), content


def test_it_listens_to_this_computer_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/explore.css", "text/css"), ("/explore.js", "text/javascript")]
)
def test_the_page(server: Server, path: str, kind: str) -> None:
    status, headers, content = ask(server, "GET", path)
    assert status == 200
    assert headers["Content-Type"].startswith(kind)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert content.decode() == resource("explore.html" if path == "/" else path[1:])


def test_nothing_comes_from_outside() -> None:
    for name in ("explore.html", "explore.css", "explore.js"):
        assert not re.search(r"https?://|//\w+\.\w+|@import|url\(", resource(name)), name
    assert "innerHTML" not in resource("explore.js")


def test_every_part_that_the_script_names_is_on_the_page() -> None:
    named = set(re.findall(r'\$\("([\w-]+)"\)', resource("explore.js")))
    there = set(re.findall(r'id="([\w-]+)"', resource("explore.html")))
    assert named
    assert named <= there


def test_questions_are_answered(server: Server) -> None:
    status, _, content = ask(server, "GET", "/model")
    assert (status, json.loads(content)["kind"]) == (200, "Sequential")
    for path, part in (("/look", "odds"), ("/moves", "shifts")):
        status, _, content = ask(server, "POST", path, b'{"sample": 0}', Content_Type="application/json")
        assert status == 200
        assert len(json.loads(content)[part]) > 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:PORT"},
    ],
)
def test_other_names_and_other_sites_are_refused(server: Server, headers: dict[str, str]) -> None:
    given = {name: value.replace("PORT", str(server.server_port)) for name, value in headers.items()}
    for method, path in (("GET", "/model"), ("POST", "/look")):
        status, _, _ = ask(server, method, path, b"{}", Content_Type="application/json", **given)
        assert status == 403


def test_the_page_itself_is_not(server: Server) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        headers = {"Host": host, "Origin": f"http://{host}", "Content_Type": "application/json"}
        assert ask(server, "POST", "/look", b'{"sample": 0}', **headers)[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/look", b'{"sample": 0}', "text/plain", 415),  # what a form of another site can send
        ("/look", b"not json", "application/json", 400),
        ("/look", b"[" * 100_000, "application/json", 400),
        ("/look", b'{"sample": 9}', "application/json", 400),
        ("/look", b"[]", "application/json", 400),
        ("/look", b"\xff", "application/json", 400),
        ("/describe", b"{}", "application/json", 404),
        ("/_image", b"{}", "application/json", 404),
    ],
)
def test_other_questions(server: Server, path: str, body: bytes, kind: str, status: int) -> None:
    found, _, content = ask(server, "POST", path, body, Content_Type=kind)
    assert found == status
    assert json.loads(content)["error"]


def test_the_usual_port_is_not_in_the_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As browsers send it where the server listens to port 80."""
    assert ask(server, "GET", "/", Host="127.0.0.1")[0] == 403
    monkeypatch.setattr("cnncore.pages.server.HTTP_PORT", 0)
    monkeypatch.setattr(Server, "server_bind", lambda self: setattr(self, "server_port", 0))
    usual = Server(server.session, 0)
    usual.server_close()
    assert {"127.0.0.1", "localhost"} <= usual.hosts


def test_what_went_wrong_inside_is_answered(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(server.session, "look", fail)
    status, _, content = ask(server, "POST", "/look", b"{}", Content_Type="application/json")
    assert (status, json.loads(content)["error"]) == (500, "MemoryError: no room")


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/session.py", "/report.css", "//etc/passwd", "/?x"])
def test_other_files(server: Server, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


@pytest.mark.parametrize(
    ("length", "status"), [(str(MAX_BODY + 1), 413), ("9" * 5000, 413), ("-1", 411), ("x", 411), ("²", 411)]
)
def test_long_bodies_are_not_read(server: Server, length: str, status: int) -> None:
    """The server answers without waiting for the bytes that were announced."""
    with socket.create_connection((ADDRESS, server.server_port), timeout=10) as connection:
        head = (
            f"POST /look HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode("latin-1"))
        reply: Any = connection.recv(4096)
    assert reply.startswith(f"HTTP/1.1 {status} ".encode())


def test_a_browser_that_goes_away_does_not_end_it(server: Server) -> None:
    with socket.create_connection((ADDRESS, server.server_port)) as connection:
        connection.sendall(b"POST /look HTTP/1.1\r\nContent-Le")
    assert ask(server, "GET", "/model")[0] == 200
