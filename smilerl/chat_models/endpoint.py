"""endpoint: any model behind an OpenAI-compatible chat endpoint: vLLM, llama.cpp, Ollama, a provider.

    {name: endpoint, args: {url: "http://127.0.0.1:8000/v1", model: Qwen/Qwen3-8B}}
    {name: endpoint, args: {url: "https://api.openai.com/v1", model: gpt-4.1-mini, key_env: OPENAI_API_KEY,
                            prices: {input: 0.4, output: 1.6}}}

Failures that may pass (refused, slow, cut off, malformed, 429, 5xx) are retried with growing waits, or as Retry-After
says; others are errors at once. Replies are cached on disk. The API key comes from the environment, is written nowhere
and follows no redirect. At most 8 MB of an answer are read, and one try ends after `timeout` seconds.

The `openai` client is not used: it neither bounds the length and total time of an answer nor retries malformed ones,
and its waits cannot be stopped, so all of that would stay our code beside it. Importing it takes .4 s.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from smilerl.chat_models import ChatModelError, Conversation, Usage
from smilerl.chat_models._answers import Reply, Trouble, read, refusal
from smilerl.chat_models._kept import Kept
from smilerl.io import paths, places
from smilerl.io.terminal import brief, named

#: Names of fields that may hold a key, which would be written to recipes, manifests and the cache.
_SECRET = re.compile(r"api[-_]?key|key|authorization|secret|(access_|auth_)?token|sig(nature)?", re.IGNORECASE)
#: The most bytes read of an answer, and of an error.
_MOST, _MOST_OF_ERROR = 8 << 20, 64 << 10
_HELLO = [{"role": "user", "content": "Say hello."}]


@dataclass(frozen=True)
class Endpoint:
    """A model behind a URL.

    Attributes:
        url: up to and with `/v1` (or the whole address that ends in /chat/completions).
        model: as the server calls it.
        key_env: the name of the environment variable that holds the API key; None where none is needed.
        timeout: seconds that one try may take.
        retries: further tries after a first one that failed in a way that may pass.
        concurrency: requests at the same time.
        cache: whether replies are kept on disk, in `$SMILERL_CACHE/speakers`; or a folder of your own.
        prices: of a million tokens, `{input: 0.4, output: 1.6}`, for an estimate of the cost.
        extra: further fields of the request; null takes one out: `{max_tokens: null, max_completion_tokens: 256}`.
        most_failed: the share of a call's conversations that may stay without reply; more is an error.
        first_wait, longest_wait: seconds before the second try, doubled for each further one, and the most.
    """

    url: str
    model: str
    key_env: str | None = None
    timeout: float = 60.0
    retries: int = 5
    concurrency: int = 8
    cache: bool | str = True
    prices: dict[str, float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    most_failed: float = 0.5
    first_wait: float = 0.5
    longest_wait: float = 120.0
    usage: Usage = field(default_factory=Usage, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if (wrong := self._mistake()) is not None:
            raise ChatModelError(f"the chat model 'endpoint': {wrong}")

    def _mistake(self) -> str | None:
        """What is wrong with the settings. Repeats nothing that may be a key."""
        place = re.fullmatch(r"(https?)://([^/?#]+)(/[^?#]*)?(\?[^#]*)?", self.url)
        if place is None or "@" in place[2]:
            return (
                "url is no http(s) address without a user name in it. "
                "Write url: http://127.0.0.1:8000/v1, and key_env: NAME where a key is needed"
            )
        names = [*re.findall(r"[?&]([^=&]*)=", place[4] or ""), *self.extra]
        if secrets := [name for name in names if _SECRET.fullmatch(name)]:
            return (
                f"'{secrets[0]}' looks like a place for a key, which belongs in no file. "
                "Put the key in an environment variable, and write its name: key_env: OPENAI_API_KEY"
            )
        try:
            port = httpx.URL(self._address).port or 1
        except httpx.InvalidURL as error:
            return f"url is no address: {error}"
        if self.key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key_env):
            return (
                "key_env is the name of an environment variable in capitals, such as OPENAI_API_KEY; "
                "the value is not repeated here, since it may be the key itself, which belongs in no file"
            )
        for name, holds, said in (
            ("timeout", 0 < self.timeout <= 1e7, "above 0 and at most 1e7 seconds"),
            ("retries", self.retries >= 0, "at least 0"),
            ("concurrency", self.concurrency >= 1, "at least 1"),
            ("most_failed", 0 <= self.most_failed < 1, "in [0, 1)"),
            ("first_wait", self.first_wait >= 0, "at least 0"),
        ):
            if not holds:
                return f"{name} is {getattr(self, name)}, but should be {said}"
        if self.prices is not None and set(self.prices) != {"input", "output"}:
            return f"prices are {{input: ..., output: ...}}, of a million tokens, not {self.prices}"
        return f"url is no address: there is no port {port}" if port > 65535 else None

    @property
    def name(self) -> str:
        """Model and address, for reports."""
        return f"{self.model} at {self.url}"

    @property
    def fingerprint(self) -> str:
        """The server's name for the model; it does not show when the weights change."""
        return self.name

    def check(self) -> None:
        """Makes one tiny call.

        Raises:
            ChatModelError: no answer, or none that can be read.
        """
        try:
            self._ask(self._body(_HELLO, 128, 0.0, 0), threading.Event())  # room for those that think first
        except Trouble as trouble:
            raise self._error(trouble) from None

    def __call__(
        self, conversations: Sequence[Conversation], *, max_new_tokens: int, temperature: float = 1.0, seed: int = 0
    ) -> list[str | None]:
        """One reply to each conversation; None where none could be had after all tries, or the model declined."""
        bodies = [self._body(one, max_new_tokens, temperature, seed) for one in conversations]
        keys = [json.dumps(body, sort_keys=True) for body in bodies]
        distinct = dict(zip(keys, bodies, strict=True))
        replies = {key: kept for key, body in distinct.items() if (kept := self._kept.get(self._request(body)))}
        self.usage.cached += len(replies)
        missing = {key: body for key, body in distinct.items() if key not in replies}
        if missing:
            replies |= self._fetch(missing, len(distinct))
        return [replies[key].text if key in replies else None for key in keys]

    def _fetch(self, bodies: Mapping[str, dict], of: int) -> dict[str, Reply]:
        """The replies to these requests, several at a time; stops all once too many have failed."""
        stop, replies, failed = threading.Event(), dict[str, Reply](), 0
        _ = self._client  # made here, once, and not by several threads
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            waiting: dict[Future, str] = {pool.submit(self._ask, body, stop): key for key, body in bodies.items()}
            for done in as_completed(waiting):
                try:
                    reply = done.result()
                except Trouble as trouble:
                    failed += 1
                    self.usage.failed += 1
                    self.usage.trouble = self._hidden(str(trouble))
                    if trouble.fatal or failed > self.most_failed * of:
                        raise self._error(trouble, f"{failed} of {of} conversations found no reply. ") from None
                    continue
                if reply is not None:
                    replies[waiting[done]] = reply
                    self._count(reply)
                    self._kept.put(self._request(bodies[waiting[done]]), reply)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return replies

    def _ask(self, body: dict, stop: threading.Event) -> Reply | None:
        """Tries until there is a reply or trouble that will not pass; None once another request has set `stop`."""
        wait = self.first_wait
        for tried in range(1, self.retries + 2):
            if stop.is_set():
                return None
            try:
                return self._try(body)
            except Trouble as trouble:
                if trouble.fatal:
                    stop.set()  # here, before the next request starts
                if trouble.wait > self.longest_wait:
                    raise Trouble(f"{trouble}; it asks for {trouble.wait:.0f} s of patience", fix=trouble.fix) from None
                if not trouble.again:
                    raise
                if tried > self.retries:
                    raise Trouble(f"{trouble} ({tried} tries)", fix=trouble.fix) from None
                stop.wait(min(max(trouble.wait, wait * random.Random().uniform(0.5, 1.0)), self.longest_wait))
                wait *= 2
        return None

    def _try(self, body: dict) -> Reply:
        try:
            status, headers, content = self._post_in_time(body)
        except httpx.TimeoutException:
            fix = "Raise timeout, or lower concurrency or max_new_tokens."
            raise Trouble(f"no answer within {self.timeout:g} s", again=True, fix=fix) from None
        except httpx.ConnectError as error:
            fix = "Start the server (such as `vllm serve MODEL`), or correct url."
            raise Trouble(f"no connection: {error}", again=True, fix=fix) from None
        except httpx.HTTPError as error:
            raise Trouble(named(error), again=True, fix="Look at the server's log.") from None
        if not 200 <= status < 300:
            trouble = refusal(status, headers, content)
            trouble.fix = trouble.fix or self._advice(status)
            raise trouble
        return read(content)

    def _post_in_time(self, body: dict) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body within `timeout` seconds in all; httpx's timeout starts again with each byte."""
        answered: Future = Future()
        headers = {"Authorization": f"Bearer {self._secret}"} if self.key_env else {}

        def post() -> None:
            try:
                answered.set_result(self._post(body, headers))
            except BaseException as error:  # noqa: BLE001 - raised again by `result`
                answered.set_exception(error)

        threading.Thread(target=post, name="endpoint-post", daemon=True).start()
        try:
            return answered.result(self.timeout)
        except FutureTimeout:
            raise httpx.ReadTimeout("too slow") from None

    def _post(self, body: dict, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        fix = "Is this address an OpenAI-compatible chat endpoint?"
        until, content = time.monotonic() + self.timeout, bytearray()
        with self._client.stream("POST", self._address, json=body, headers=headers) as response:
            good = response.is_success
            for part in response.iter_bytes():
                content += part
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("too slow")
                if good and len(content) > _MOST:
                    raise Trouble(f"its answer is longer than {_MOST >> 20} MB", fatal=True, fix=fix)
                if not good and len(content) > _MOST_OF_ERROR:
                    break
            return response.status_code, response.headers, bytes(content)

    def _advice(self, status: int) -> str:
        if status in (401, 403) and self.key_env:
            return f"Is the key in ${self.key_env} valid, and may it use '{self.model}'?"
        if status in (401, 403):
            return "Say where the key is: key_env: NAME_OF_THE_VARIABLE."
        models = self._address.partition("?")[0].removesuffix("/chat/completions") + "/models"
        return f"Does url end in /v1, and does {models} list '{self.model}'?"

    def _request(self, body: dict) -> dict[str, Any]:
        return {"address": self._address, "body": body}

    def _body(self, conversation: Conversation, max_new_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
        settings = {"max_tokens": max_new_tokens, "temperature": temperature, "seed": seed, **self.extra}
        body = {"model": self.model, "messages": list(conversation), **settings}
        return {name: value for name, value in body.items() if value is not None}

    @property
    def _address(self) -> str:
        bare, mark, query = self.url.partition("?")
        bare = bare.rstrip("/")
        if not bare.endswith("/chat/completions"):
            bare += "/chat/completions" if bare.count("/") > 2 else "/v1/chat/completions"
        return bare + mark + query

    @cached_property
    def _kept(self) -> Kept:
        if isinstance(self.cache, bool):
            return Kept(paths.cache_dir() / "speakers" if self.cache else None)
        return Kept(Path(places.expanded(self.cache)))

    @cached_property
    def _client(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=self.concurrency)
        return httpx.Client(timeout=self.timeout, limits=limits, follow_redirects=False)

    @property
    def _secret(self) -> str:
        secret = os.environ.get(self.key_env or "", "").strip()
        if not secret or not secret.isascii() or not secret.isprintable():
            wrong = "holds no key" if secret else "is not set"
            fix = f"Set it: export {self.key_env}=..."
            raise Trouble(f"the environment variable {self.key_env} {wrong}", fatal=True, fix=fix)
        return secret

    def _hidden(self, said: str) -> str:
        """The text, short and without the key, which some servers repeat."""
        secret = os.environ.get(self.key_env or "", "").strip()
        return brief(said.replace(secret, "***") if secret else said)

    def _error(self, trouble: Trouble, scale: str = "") -> ChatModelError:
        return ChatModelError(
            self._hidden(f"the endpoint {self.url} (model '{self.model}'): {trouble}.\n{scale}{trouble.fix}")
        )

    def _count(self, reply: Reply) -> None:
        self.usage.calls += 1
        self.usage.tokens_in += reply.tokens_in
        self.usage.tokens_out += reply.tokens_out
        if self.prices is not None:
            spent = reply.tokens_in * self.prices["input"] + reply.tokens_out * self.prices["output"]
            self.usage.cost = (self.usage.cost or 0.0) + spent / 1e6


def build(**args) -> Endpoint:
    """A model behind an OpenAI-compatible endpoint; see `Endpoint`."""
    return Endpoint(**args)
