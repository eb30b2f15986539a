"""endpoint: any model behind an OpenAI-compatible chat endpoint: vLLM, llama.cpp, Ollama, a provider.

    {name: endpoint, args: {url: "http://127.0.0.1:8000/v1", model: Qwen/Qwen3-8B}}
    {name: endpoint, args: {url: "https://api.openai.com/v1", model: gpt-4.1-mini, key_env: OPENAI_API_KEY,
                            prices: {input: 0.4, output: 1.6}}}

What can be asked again is (refused, slow, cut off, malformed, 429, 5xx), with growing waits and as the server's Retry-After
says. What cannot is said at once. Replies are kept on disk under the hash of the request, one file each, so that the same
request has the same reply in any process; the API key is read from the environment and written nowhere.
"""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from smilerl import paths
from smilerl.speakers import Conversation, SpeakerError, Usage

#: Status codes that another try may change, and those that are about this one request and no other.
_AGAIN = {408, 409, 425, 429}
_THIS_ONE = {400, 413, 422}
_HELLO = [{"role": "user", "content": "Say hello."}]


class Reply(NamedTuple):
    """What the model said, and how many tokens the server counted (0 where it does not say)."""

    text: str
    tokens_in: int
    tokens_out: int


class _Trouble(Exception):
    """One try that brought no reply."""

    def __init__(self, reason: str, *, again: bool = False, fatal: bool = False, wait: float = 0.0, fix: str = ""):
        super().__init__(reason)
        self.again, self.fatal, self.wait, self.fix = again, fatal, wait, fix


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
        most_failed: if more than this share of a call's conversations finds no reply, that is an error and not a gap.
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
        place = re.fullmatch(r"(https?)://([^/?#]+)(/[^?#]*)?(\?[^#]*)?", self.url)
        if place is None or "@" in place[2]:
            # Not repeated here: what stands before an @ is a secret.
            raise SpeakerError(
                "the speaker 'endpoint': url is no http(s) address without a user name in it. "
                "Write url: http://127.0.0.1:8000/v1, and key_env: NAME where a key is needed"
            )
        try:
            port = httpx.URL(self._address).port or 1
        except httpx.InvalidURL as error:
            raise SpeakerError(f"the speaker 'endpoint': url is no address: {error}") from None
        if port > 65535:
            raise SpeakerError(f"the speaker 'endpoint': url is no address: there is no port {port}")
        if self.key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key_env):
            raise SpeakerError(
                "the speaker 'endpoint': key_env is the name of an environment variable in capitals, such as OPENAI_API_KEY; "
                "what stands there is not (and is not repeated here: it may be the key itself, which belongs in no file)"
            )
        for name, holds, said in (
            ("timeout", self.timeout > 0, "above 0"), ("retries", self.retries >= 0, "at least 0"),
            ("concurrency", self.concurrency >= 1, "at least 1"), ("most_failed", 0 <= self.most_failed < 1, "in [0, 1)"),
            ("first_wait", self.first_wait >= 0, "at least 0"),
        ):  # fmt: skip
            if not holds:
                raise SpeakerError(f"the speaker 'endpoint': {name} is {getattr(self, name)}, but should be {said}")
        if self.prices is not None and set(self.prices) != {"input", "output"}:
            raise SpeakerError(
                f"the speaker 'endpoint': prices are {{input: ..., output: ...}}, of a million tokens, not {self.prices}"
            )

    @property
    def name(self) -> str:
        """Model and address, for reports."""
        return f"{self.model} at {self.url}"

    @property
    def fingerprint(self) -> str:
        """The server's name for the model: it does not tell when the weights behind it change."""
        return self.name

    def check(self) -> None:
        """Makes one tiny call.

        Raises:
            SpeakerError: no answer, or none that can be read.
        """
        try:
            self._ask(self._body(_HELLO, 128, 0.0, 0), threading.Event())  # room for those that think first
        except _Trouble as trouble:
            raise self._error(trouble) from None

    def __call__(
        self, conversations: Sequence[Conversation], *, max_new_tokens: int, temperature: float = 1.0, seed: int = 0
    ) -> list[str | None]:
        """One reply to each conversation; None where none could be had after all tries, or the model declined."""
        keys = [
            (body := self._body(one, max_new_tokens, temperature, seed), _key(self._address, body))
            for one in conversations
        ]
        bodies = {key: body for body, key in keys}
        replies = {key: reply for key in bodies if (reply := self._kept(key)) is not None}
        self.usage.cached += len(replies)
        missing = {key: body for key, body in bodies.items() if key not in replies}
        if missing:
            replies |= self._fetch(missing, len(bodies))
        return [replies[key].text if key in replies else None for _, key in keys]

    def _fetch(self, bodies: Mapping[str, dict], of: int) -> dict[str, Reply]:
        """The replies to these requests, several at a time; stops all of them as soon as it is clear that this is no gap."""
        stop, replies, failed = threading.Event(), dict[str, Reply](), 0
        _ = self._client  # made here, once, and not by several threads
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            waiting: dict[Future, str] = {pool.submit(self._ask, body, stop): key for key, body in bodies.items()}
            for done in as_completed(waiting):
                try:
                    reply = done.result()
                except _Trouble as trouble:
                    failed += 1
                    self.usage.failed += 1
                    self.usage.trouble = self._hidden(str(trouble))
                    if trouble.fatal or failed > self.most_failed * of:
                        raise self._error(trouble, f"{failed} of {of} conversations found no reply. ") from None
                    continue
                if reply is not None:  # not one that was stopped because of another's trouble
                    replies[waiting[done]] = reply
                    self._count(reply)
                    self._keep(waiting[done], bodies[waiting[done]], reply)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return replies

    def _ask(self, body: dict, stop: threading.Event) -> Reply | None:
        """Tries until there is a reply, trouble that will not pass, or a reason to stop that another request has met: None."""
        wait = self.first_wait
        for tried in range(1, self.retries + 2):
            if stop.is_set():
                return None
            try:
                return self._try(body)
            except _Trouble as trouble:
                if trouble.fatal:
                    stop.set()  # from here, since the next request would be on its way before anybody else knew
                if not trouble.again or trouble.wait > self.longest_wait:
                    raise
                if tried > self.retries:
                    raise _Trouble(f"{trouble} ({tried} tries)", fix=trouble.fix) from None
                stop.wait(min(max(trouble.wait, wait * random.Random().uniform(0.5, 1.0)), self.longest_wait))
                wait *= 2
        return None

    def _try(self, body: dict) -> Reply:
        try:
            status, headers, content = self._post(body)
        except httpx.TimeoutException:
            raise _Trouble(
                f"no answer within {self.timeout:g} s",
                again=True,
                fix="Raise timeout, or lower concurrency or max_new_tokens.",
            ) from None
        except httpx.ConnectError as error:
            raise _Trouble(
                f"no connection: {error}",
                again=True,
                fix="Start the server (such as `vllm serve MODEL`), or correct url.",
            ) from None
        except httpx.HTTPError as error:
            raise _Trouble(f"{type(error).__name__}: {error}", again=True, fix="Look at the server's log.") from None
        if not 200 <= status < 300:
            raise self._refusal(status, headers, content)
        return _read(content)

    def _post(self, body: dict) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body. A server that drips is not waited for longer than one that is silent."""
        until = time.monotonic() + self.timeout
        with self._client.stream("POST", self._address, json=body, headers=self._headers()) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("too slow")
            return response.status_code, response.headers, b"".join(parts)

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes) -> _Trouble:
        said = " ".join(content.decode("utf-8", "replace").split())[:200]
        reason = f"HTTP {status}{f': {said}' if said else ''}"
        if status in _AGAIN or status >= 500:
            wait = _retry_after(headers)
            reason += f"; it asks for {wait:.0f} s of patience" if wait > self.longest_wait else ""
            return _Trouble(
                reason, again=True, wait=wait, fix="Look at the server's log; lower concurrency if it is too busy."
            )
        if status in _THIS_ONE:
            return _Trouble(reason, fix="The request has something that this server does not take: see `extra`.")
        if status in (401, 403):
            fix = (
                f"Is the key in ${self.key_env} valid, and may it use '{self.model}'?"
                if self.key_env
                else "Say where the key is: key_env: NAME_OF_THE_VARIABLE."
            )
        elif 300 <= status < 400:
            fix = f"Write the address it leads to: {headers.get('location', 'see the server')}."
        else:
            fix = f"Does url end in /v1, and does {self._address.removesuffix('/chat/completions')}/models list '{self.model}'?"
        return _Trouble(reason, fatal=True, fix=fix)

    def _body(self, conversation: Conversation, max_new_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
        body = {
            "model": self.model, "messages": list(conversation), "max_tokens": max_new_tokens, "temperature": temperature,
            "seed": seed, **self.extra,
        }  # fmt: skip
        return {name: value for name, value in body.items() if value is not None}

    @property
    def _address(self) -> str:
        bare, mark, query = self.url.partition("?")
        bare = bare.rstrip("/")
        if not bare.endswith("/chat/completions"):
            bare += "/chat/completions" if bare.count("/") > 2 else "/v1/chat/completions"
        return bare + mark + query

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.timeout, limits=httpx.Limits(max_connections=self.concurrency))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._secret}"} if self.key_env else {}

    @property
    def _secret(self) -> str:
        secret = os.environ.get(self.key_env or "", "").strip()
        if not secret or not secret.isascii() or not secret.isprintable():
            raise _Trouble(
                f"the environment variable {self.key_env} {'holds no key' if secret else 'is not set'}",
                fatal=True, fix=f"Set it: export {self.key_env}=...",
            )  # fmt: skip
        return secret

    def _hidden(self, said: str) -> str:
        """The text without the key, which some servers repeat."""
        secret = os.environ.get(self.key_env or "", "").strip()
        return said.replace(secret, "***") if secret else said

    def _error(self, trouble: _Trouble, scale: str = "") -> SpeakerError:
        return SpeakerError(
            self._hidden(f"the endpoint {self.url} (model '{self.model}'): {trouble}.\n{scale}{trouble.fix}")
        )

    def _count(self, reply: Reply) -> None:
        self.usage.calls += 1
        self.usage.tokens_in += reply.tokens_in
        self.usage.tokens_out += reply.tokens_out
        if self.prices is not None:
            spent = reply.tokens_in * self.prices["input"] + reply.tokens_out * self.prices["output"]
            self.usage.cost = (self.usage.cost or 0.0) + spent / 1e6

    def _file(self, key: str) -> Path | None:
        if self.cache is False:
            return None
        folder = paths.cache_dir() / "speakers" if self.cache is True else Path(self.cache).expanduser()
        return folder / key[:2] / f"{key}.json"

    def _kept(self, key: str) -> Reply | None:
        file = self._file(key)
        if file is None or not file.is_file():
            return None
        try:
            return Reply(**json.loads(file.read_text(encoding="utf-8"))["reply"])
        except (ValueError, KeyError, TypeError):
            return None  # spoilt, by a full disk or another program: asked again, and written anew

    def _keep(self, key: str, body: dict, reply: Reply) -> None:
        """Written aside and renamed: another process finds the whole file or none."""
        file = self._file(key)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=file.parent, suffix=".writing")
        with os.fdopen(handle, "w", encoding="utf-8") as writing:
            json.dump({"address": self._address, "request": body, "reply": reply._asdict()}, writing)
        os.replace(unfinished, file)


def build(**args) -> Endpoint:
    """A model behind an OpenAI-compatible endpoint; see `Endpoint`."""
    return Endpoint(**args)


def _key(address: str, body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([address, body], sort_keys=True).encode()).hexdigest()[:32]


def _read(content: bytes) -> Reply:
    """The reply in a chat completion.

    Raises:
        _Trouble: there is none.
    """
    fix = "Is this address an OpenAI-compatible chat endpoint, and is nothing cut off on the way?"
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        message = choice["message"]
        text, counted = message.get("content"), answer.get("usage") or {}
        tokens = int(counted.get("prompt_tokens") or 0), int(counted.get("completion_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        shown = " ".join(content[:80].decode("utf-8", "replace").split())
        raise _Trouble(
            f"its answer is no chat completion ({type(error).__name__}): '{shown}'", again=True, fix=fix
        ) from None
    if not isinstance(text, str):
        why = message.get("refusal") or f"finish_reason {choice.get('finish_reason')}"
        raise _Trouble(
            f"the model answered without text ({why})", fix="It declined, or called a tool. Ask another model."
        )
    # Half of a surrogate pair is legal in JSON and in no file.
    return Reply(text.encode("utf-8", "replace").decode(), *tokens)


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds that the server asks for, as a number or a date; 0 where it does not."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", said):
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
