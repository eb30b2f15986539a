"""An endpoint that behaves is asked once for the same thing; one that does not is a clear error, or a counted gap."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from smilerl import chat_models
from smilerl.chat_models import ChatModelError
from smilerl.chat_models.endpoint import Endpoint
from tests.fixtures.endpoint import completion, echo, send

KEY = "sk-very-secret-123"


def says(text: str) -> list[dict]:
    return [{"role": "system", "content": "be"}, {"role": "user", "content": text}]


def at(server, **settings) -> Endpoint:
    return Endpoint(**{"url": server.url, "model": "m", "first_wait": 0.001, "retries": 2, "timeout": 5.0, **settings})


def talk(chat_model: Endpoint, *texts: str, **more):
    return chat_model([says(text) for text in texts], max_new_tokens=8, **more)


def test_a_request_is_what_openai_takes_and_replies_come_in_order(server) -> None:
    def slowest_first(handler, body, number):
        time.sleep(0.05 if body["messages"][-1]["content"] == "a" else 0)
        echo(handler, body, number)

    server.behaviour = slowest_first
    chat_model = at(server, extra={"top_p": 0.9, "seed": None})
    assert talk(chat_model, "a", "b", "a", temperature=0.7, seed=3) == ["A", "B", "A"]
    assert len(server.requests) == 2, "equal requests are one"
    sent = next(body for body in server.requests if body["messages"] == says("a"))
    assert sent == {"model": "m", "messages": says("a"), "max_tokens": 8, "temperature": 0.7, "top_p": 0.9}
    assert server.headers[0]["path"] == "/v1/chat/completions"
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("ending", ["", "/", "/chat/completions", "/chat/completions/"])
def test_the_address_may_be_written_in_any_way(server, ending) -> None:
    assert talk(at(server, url=server.url + ending), "a") == ["A"]
    assert talk(at(server, url=server.url.removesuffix("/v1") + "/"), "b") == ["B"]


def test_what_was_said_once_is_read_from_disk_by_any_process(server) -> None:
    first, second = at(server), at(server)
    assert talk(first, "a", "b") == talk(second, "a", "b") == ["A", "B"]
    assert len(server.requests) == 2
    assert (first.usage.calls, first.usage.cached, second.usage.calls, second.usage.cached) == (2, 0, 0, 2)
    talk(second, "a", seed=1), talk(second, "a", temperature=0.5), talk(at(server, model="n"), "a")
    assert len(server.requests) == 5, "another seed, temperature or model is another request"
    talk(at(server, cache=False), "a")
    assert len(server.requests) == 6


def test_a_spoilt_file_of_the_cache_is_asked_again(server, tmp_path) -> None:
    talk(at(server), "a")
    [file] = (tmp_path / "cache").rglob("*.json")
    file.write_text(file.read_text()[:40])
    assert talk(at(server), "a") == ["A"]
    assert len(server.requests) == 2
    assert json.loads(file.read_text())["reply"]["text"] == "A"
    assert not list((tmp_path / "cache").rglob("*.writing"))


def test_several_who_ask_at_once_leave_whole_files(server, tmp_path) -> None:
    texts = [f"t{i}" for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(lambda _: talk(at(server), *texts), range(4)))
    assert heard == [[text.upper() for text in texts]] * 4
    files = list((tmp_path / "cache").rglob("*.json"))
    assert len(files) == 8
    assert all(json.loads(file.read_text())["reply"]["text"] for file in files)


def test_tokens_and_cost_are_counted(server) -> None:
    chat_model = at(server, prices={"input": 2.0, "output": 8.0})
    talk(chat_model, "a", "b")
    talk(chat_model, "a")
    assert (chat_model.usage.tokens_in, chat_model.usage.tokens_out) == (20, 8)
    assert chat_model.usage.cost == pytest.approx((20 * 2 + 8 * 8) / 1e6)
    assert "2 calls; 1 from the cache; 0 failed; 20 tokens in, 8 out; about 0.0001" in chat_model.usage.line()


def test_no_more_requests_at_once_than_allowed(server) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def behaviour(handler, body, number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        echo(handler, body, number)

    server.behaviour = behaviour
    talk(at(server, concurrency=3), *map(str, range(9)))
    assert 1 < most <= 3


def cut_off(handler, body, number):
    send(handler, completion("whole")[:30], length=500)
    handler.close_connection = True


def half_a_chunk(handler, body, number):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"20\r\n" + completion("whole")[:32] + b"\r\n")
    handler.close_connection = True


def hang_up(handler, body, number):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def slow(handler, body, number):
    time.sleep(0.4)
    echo(handler, body, number)


def drip(handler, body, number):
    content = completion("whole")
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for byte in content:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.02)


def drip_headers(handler, body, number):
    with suppress(OSError):  # until the client hangs up, or for ten seconds
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 500:
            handler.connection.send(bytes([byte]))
            time.sleep(0.02)
    handler.close_connection = True


#: How an endpoint may be bad in a way that may pass: what is sent, and what the error says of it.
BAD = {
    "500": (lambda h, b, n: send(h, b"the GPU is on fire", 500), "HTTP 500: the GPU is on fire"),
    "503": (lambda h, b, n: send(h, b"", 503), "HTTP 503"),
    "429": (lambda h, b, n: send(h, b"slow down", 429), "HTTP 429: slow down"),
    "malformed": (lambda h, b, n: send(h, b"<html>busy</html>"), "no chat completion (JSONDecodeError): '<html>busy</html>'"),
    "half a JSON": (lambda h, b, n: send(h, completion("whole")[:40]), "no chat completion (JSONDecodeError)"),
    "cut off": (cut_off, "RemoteProtocolError"),
    "half a stream": (half_a_chunk, "RemoteProtocolError"),
    "hangs up": (hang_up, "RemoteProtocolError"),
    "a list": (lambda h, b, n: send(h, b"[]"), "no chat completion"),
    "no choices": (lambda h, b, n: send(h, b'{"choices": []}'), "no chat completion (IndexError)"),
    "null": (lambda h, b, n: send(h, b'{"choices": null}'), "no chat completion (TypeError)"),
    "an error with 200": (lambda h, b, n: send(h, b'{"error": {"message": "overloaded"}}'), "overloaded"),
    "not UTF-8": (lambda h, b, n: send(h, b'{"choices": "\xff\xfe"}'), "no chat completion"),
    "slow": (slow, "no answer within 0.1 s"),
    "drips": (drip, "no answer within 0.1 s"),
    "drips headers": (drip_headers, "no answer within 0.1 s"),
    "headers without end": (lambda h, b, n: send(h, b"x", X_Long="x" * 200_000), "RemoteProtocolError"),
    "more tokens than there are numbers": (lambda h, b, n: send(h, completion("a").replace(b"10,", b"1e999,")), "no chat completion (OverflowError)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_may_pass_is_tried_again_and_then_said_with_address_and_fix(server, name) -> None:
    server.behaviour, says_so = BAD[name]
    chat_model = at(server, timeout=0.1 if name in ("slow", "drips", "drips headers") else 5.0)
    with pytest.raises(ChatModelError) as caught:
        talk(chat_model, "a")
    said = str(caught.value)
    assert says_so in said
    assert server.url in said
    assert "'m'" in said
    assert "(3 tries)" in said
    assert said.splitlines()[1], "what to do"
    assert len(said.splitlines()) <= 10
    assert len(server.requests) == 3


@pytest.mark.parametrize("name", ["500", "malformed", "half a stream", "cut off"])
def test_it_may_pass(server, name) -> None:
    server.behaviour = lambda h, b, n: (BAD[name][0] if n < 2 else echo)(h, b, n)
    chat_model = at(server)
    assert talk(chat_model, "a") == ["A"]
    assert (chat_model.usage.calls, chat_model.usage.failed) == (1, 0)


def without_end(handler, body, number):
    """Sends as long as anybody reads, and counts."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    part = b" " * (1 << 20)
    with suppress(OSError):
        for _ in range(200):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            handler.server.sent = getattr(handler.server, "sent", 0) + len(part)
    handler.close_connection = True


def bomb(handler, body, number):
    """Some kilobytes that would be 200 MB."""
    send(handler, gzip.compress(b" " * (200 << 20), 1), Content_Encoding="gzip")


def a_long_one(handler, body, number):
    send(handler, completion("x" * (9 << 20)))


@pytest.mark.parametrize("behaviour", [without_end, bomb, a_long_one])
def test_no_more_of_an_answer_is_read_than_an_answer_has(server, behaviour) -> None:
    server.behaviour = behaviour
    chat_model = at(server, timeout=60.0)
    with pytest.raises(ChatModelError, match=r"longer than 8 MB.*\n.*chat endpoint"):
        talk(chat_model, "a")
    assert len(server.requests) == 1 and getattr(server._http, "sent", 0) < 40 << 20


def test_of_a_long_error_the_beginning_is_read(server) -> None:
    server.behaviour = lambda h, b, n: send(h, b"no \x1b[2J" + b"x" * (30 << 20), 400)
    with pytest.raises(ChatModelError, match=r"HTTP 400: no \\x1b\[2Jx+") as caught:
        talk(at(server), "a")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_key_follows_no_redirect(server, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    there = server.url.replace("127.0.0.1", "localhost")
    server.behaviour = lambda h, b, n: send(h, b"", 307, location=f"{there}/chat/completions")
    with pytest.raises(ChatModelError, match="HTTP 307"):
        talk(at(server, key_env="MY_KEY"), "a")
    assert len(server.requests) == 1


def test_a_refused_connection(server) -> None:
    server.close()
    chat_model = at(server)
    for ask in (chat_model.check, lambda: talk(chat_model, "a")):
        with pytest.raises(ChatModelError, match=r"(?s)no connection: .*refused.*\(3 tries\).*Start the server"):
            ask()


@pytest.mark.parametrize(
    ("status", "settings", "fix"),
    [
        (401, {"key_env": "MY_KEY"}, r"Is the key in \$MY_KEY valid"),
        (401, {}, "key_env: NAME"),
        (403, {"key_env": "MY_KEY"}, "may it use 'm'"),
        (404, {}, "/v1/models list 'm'"),
        (405, {}, "end in /v1"),
        (307, {}, "Write the address it leads to: http://elsewhere/v1"),
    ],
)
def test_what_will_not_pass_is_said_at_once(server, monkeypatch, status, settings, fix) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server.behaviour = lambda h, b, n: send(h, f"no: {KEY}".encode(), status, location="http://elsewhere/v1")
    chat_model = at(server, concurrency=1, **settings)
    with pytest.raises(ChatModelError, match=f"HTTP {status}(?s:.*){fix}") as caught:
        talk(chat_model, "a", "b", "c", "d")
    assert len(server.requests) == 1
    assert (KEY in str(caught.value)) == (not settings), "a server may repeat the key; we do not"
    with pytest.raises(ChatModelError, match=f"HTTP {status}"):
        chat_model.check()


def test_a_few_that_cannot_be_had_are_gaps_and_counted(server) -> None:
    def behaviour(handler, body, number):
        match body["messages"][-1]["content"]:
            case "refuse":
                send(handler, completion(None, refusal="I cannot do that."))
            case "tool":
                send(handler, completion(None, "tool_calls"))
            case "too long":
                send(handler, b"context length exceeded", 400)
            case _:
                echo(handler, body, number)

    server.behaviour = behaviour
    chat_model = at(server, concurrency=1)
    assert talk(chat_model, "a", "refuse", "b", "tool", "c", "too long", "d") == ["A", None, "B", None, "C", None, "D"]
    assert (chat_model.usage.calls, chat_model.usage.failed) == (4, 3)
    assert len(server.requests) == 7, "none of these is tried again"
    assert "context length exceeded" in chat_model.usage.trouble
    assert talk(chat_model, "a", "refuse") == ["A", None]
    assert len(server.requests) == 8, "what could not be had is not kept as if it were a reply"
    for text, reason in (
        ("refuse", "I cannot do that"),
        ("tool", "finish_reason tool_calls"),
        ("too long", "HTTP 400"),
    ):
        with pytest.raises(ChatModelError, match=reason):
            talk(chat_model, text)


def test_an_outage_is_an_error_and_not_many_gaps(server) -> None:
    server.behaviour = lambda h, b, n: send(h, b"", 500)
    chat_model = at(server, retries=0, concurrency=2)
    with pytest.raises(ChatModelError, match=r"11 of 20 conversations found no reply"):
        talk(chat_model, *map(str, range(20)))
    assert len(server.requests) < 16, "it stops asking"


def test_retry_after_is_honoured_as_seconds_and_as_a_date(server) -> None:
    moments: list[float] = []

    def behaviour(handler, body, number):
        moments.append(time.monotonic())
        if number == 0:
            send(handler, b"", 429, Retry_After="0.3")
        else:
            echo(handler, body, number)

    server.behaviour = behaviour
    assert talk(at(server), "a") == ["A"]
    assert moments[1] - moments[0] >= 0.3
    server.requests.clear()
    server.behaviour = lambda h, b, n: send(h, b"", 503, Retry_After="Wed, 21 Oct 2099 07:28:00 GMT")
    began = time.monotonic()
    with pytest.raises(ChatModelError, match=r"it asks for .* s of patience"):
        talk(at(server), "b")
    assert len(server.requests) == 1, "nobody waits for years"
    assert time.monotonic() - began < 5


def test_waits_grow(server, monkeypatch) -> None:
    waits: list[float] = []
    real = threading.Event.wait
    monkeypatch.setattr(
        threading.Event, "wait", lambda self, seconds=None: bool(waits.append(seconds)) if seconds else real(self)
    )
    server.behaviour = BAD["500"][0]
    chat_model = at(server, first_wait=1.0, retries=6, longest_wait=10.0)
    with pytest.raises(ChatModelError):
        chat_model.check()
    assert len(waits) == 6
    for tried, wait in enumerate(waits):
        assert min(10.0, 0.5 * 2**tried) <= wait <= min(10.0, 2.0**tried)


def test_the_key_comes_from_the_environment_and_goes_nowhere(server, monkeypatch, tmp_path) -> None:
    chat_model = at(server, key_env="MY_KEY")
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ChatModelError, match=r"MY_KEY is not set.*\n.*export MY_KEY="):
        chat_model.check()
    assert not server.requests
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    assert talk(chat_model, "a") == ["A"]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert written
    assert all(KEY.encode() not in content for content in written)
    assert KEY not in repr(chat_model) + str(vars(chat_model)) + chat_model.usage.line()


@pytest.mark.parametrize(
    ("settings", "says_so"),
    [
        ({"key_env": KEY}, "key_env is the name of an environment variable"),
        ({"url": f"http://me:{KEY}@host/v1"}, "without a user name"),
        ({"url": f"http://host/v1?key={KEY}"}, "'key' looks like a place for a key"),
        ({"extra": {"api_key": KEY}}, "'api_key' looks like a place for a key"),
        ({"url": "localhost:8000"}, "no http"),
        ({"url": "http://host:99999999/v1"}, "no address|no http"),
        ({"retries": -1}, "retries is -1, but should be at least 0"),
        ({"timeout": 0.0}, "timeout is 0.0, but should be above 0"),
        ({"concurrency": 0}, "at least 1"),
        ({"most_failed": 1.0}, r"in \[0, 1\)"),
        ({"prices": {"in": 1.0}}, "prices are {input: ..., output: ...}"),
    ],
)
def test_mistakes_in_the_settings_are_told_before_anything_is_asked(settings, says_so) -> None:
    with pytest.raises(ChatModelError, match=says_so) as caught:
        chat_models.build({"name": "endpoint", "args": {"url": "http://127.0.0.1:9/v1", "model": "m", **settings}})
    assert KEY not in str(caught.value)


def test_odd_text_survives(server) -> None:
    server.behaviour = lambda h, b, n: send(h, b'{"choices": [{"message": {"content": "\\ud83d \xf0\x9f\x98\x80"}}]}')
    assert talk(at(server), "a") == talk(at(server), "a") == ["? \U0001f600"]
    assert len(server.requests) == 1


def test_the_preflight_makes_one_tiny_call(server) -> None:
    at(server).check()
    assert len(server.requests) == 1
    assert server.requests[0]["max_tokens"] <= 128
