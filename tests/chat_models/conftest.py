"""A chat endpoint on this machine that does what a test tells it to, good or bad."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

#: What a test may make of one request: it gets the handler, the parsed body and the number of the request, from 0.
Behaviour = Callable[[BaseHTTPRequestHandler, dict, int], None]


def completion(text, finish: str = "stop", **message) -> bytes:
    """A chat completion as a server sends it; `text` may be anything."""
    return json.dumps(
        {
            "id": "x", "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
        }
    ).encode()  # fmt: skip


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, length: int | None = None, **headers) -> None:
    """Answers; `length` lies about how much follows."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def echo(handler: BaseHTTPRequestHandler, body: dict, number: int) -> None:
    """Says what it was told last, in capitals."""
    send(handler, completion(body["messages"][-1]["content"].upper()))


class Server:
    """Set `behaviour`; read `requests` (bodies) and `headers`."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = echo
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    number = len(server.requests)
                    server.requests.append(body)
                    server.headers.append({"path": self.path, **self.headers})
                try:
                    server.behaviour(self, body, number)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client has stopped listening

            def log_message(self, *args) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server that echoes until told otherwise."""
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path, monkeypatch) -> None:
    """A cache of the test's own, and no proxy between it and its server."""
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
