"""Chat models that play a person or a judge. One file each; a dotted path is the user's own.

    chat_model = build({"name": "local", "args": {"model": "Qwen/Qwen3-0.6B"}})                       # in this process
    chat_model = build({"name": "endpoint", "args": {"url": "http://127.0.0.1:8000/v1", "model": "Qwen/Qwen3-8B"}})
    replies = chat_model([[{"role": "user", "content": "Hello."}]], max_new_tokens=32)

Equal specs share one chat model in a process, so that its weights are loaded once. Building loads nothing and makes no
call; `check` tests before a run begins whether the chat model will work.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from smilerl.config import elsewhere, named_code
from smilerl.config.validation import bad_arguments
from smilerl.io import paths
from smilerl.io.errors import UserError

#: Messages with the keys `role` (system, user, assistant) and `content`.
Conversation = list[dict[str, str]]


class ChatModelError(UserError, ValueError):
    """A chat model that does not exist, cannot be built, or does not answer. At most ten lines, with the fix."""


@dataclass
class Usage:
    """The calls to a chat model in this process, and their cost.

    Attributes:
        calls: replies that the model made.
        cached: replies from the cache.
        failed: missing replies; their rows are unscored.
        tokens_in, tokens_out: of the calls, as far as the server counts them.
        cost: an estimate in the currency of `prices`; None without prices.
        trouble: the reason of the last failure.
    """

    calls: int = 0
    cached: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    trouble: str | None = None

    def line(self) -> str:
        """A summary in one line."""
        parts = [f"{self.calls} calls", f"{self.cached} from the cache", f"{self.failed} failed"]
        parts += [f"{self.tokens_in} tokens in, {self.tokens_out} out"]
        parts += [f"about {self.cost:.4f} by the given prices"] if self.cost is not None else []
        parts += [f"last trouble: {self.trouble}"] if self.trouble else []
        return "; ".join(parts)


class ChatModel(Protocol):
    """Answers batches of conversations, in process or through an endpoint.

    One that also has `option_logprobs`, as `local` has, may judge by likelihood.
    """

    name: str  # for reports; holds no secret

    def __call__(
        self, conversations: Sequence[Conversation], *, max_new_tokens: int, temperature: float = 1.0, seed: int = 0
    ) -> list[str | None]:
        """One reply to each conversation, None where it failed; the same in any batch for the same seed.

        Raises:
            ChatModelError: all or too many replies failed.
        """
        ...


_shared: dict[str, Any] = {}


def names() -> list[str]:
    """The names of our chat models."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def build(spec: Mapping[str, Any] | str) -> ChatModel:
    """The chat model of a spec, `{name: ..., args: {...}}` or a bare name; the same one for an equal spec.

    Raises:
        ChatModelError: no such name, or wrong arguments.
    """
    written: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    if set(written) - {"name", "args"} or not isinstance(written.get("name"), str):
        raise ChatModelError(f"a chat model is written {{name: local, args: {{model: ...}}}}, not {spec!r}")
    if written["name"] != "local":
        elsewhere.refuse(written["name"], "asked")  # even if this process has built it already
    key = json.dumps(written, sort_keys=True)
    if key not in _shared:
        _shared[key] = _made(written["name"], written.get("args") or {})
    return _shared[key]


def check(chat_model: ChatModel) -> None:
    """Raises ChatModelError where a chat model will not work; loads no weights, and makes at most one short call."""
    if hasattr(chat_model, "check"):
        chat_model.check()


def usage(since: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """The fields of `Usage` of each chat model of this process, by its name.

    Args:
        since: an earlier result, which is subtracted.
    """
    used = [{model.name: vars(model.usage)} for model in _shared.values() if hasattr(model, "usage")]
    for name, spent in (since or {}).items():
        used.append({name: {key: -value for key, value in spent.items() if _counts(value)}})
    return total(used)


def total(used: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The sum of several results of `usage`, such as those of several processes, without unused chat models."""
    sums: dict[str, dict[str, Any]] = {}
    for one in used:
        for name, spent in one.items():
            own = sums.setdefault(name, {})
            for key, value in spent.items():
                own[key] = (own.get(key) or 0) + value if _counts(value) else own.get(key) or value
    return {name: spent for name, spent in sums.items() if any(spent[key] for key in ("calls", "cached", "failed"))}


def _counts(value: Any) -> bool:
    return isinstance(value, int | float)


def _made(name: str, args: Mapping[str, Any]) -> ChatModel:
    make = _maker(name)
    if not isinstance(args, Mapping):
        raise ChatModelError(f"the args of the chat model '{name}' are a mapping, such as {{model: ...}}, not {args!r}")
    for problem in bad_arguments(make, args, ("speaker", "args")):
        raise ChatModelError(f"the chat model '{name}': {problem.text} {problem.fix}".strip())
    chat_model = make(**args)
    if not callable(chat_model) or not isinstance(getattr(chat_model, "name", None), str):
        made = f"'{name}' gave a {type(chat_model).__name__}, not a chat model"
        raise ChatModelError(f"{made}: a callable with a `name`, see smilerl.chat_models.ChatModel")
    return chat_model


def _maker(name: str) -> Callable[..., Any]:
    """`build` of a module here, or the class or function at the user's dotted path."""
    if ".py:" in name:
        file, attribute = name.rsplit(":", 1)
        found = paths.find(file)
        spec = importlib.util.spec_from_file_location(named_code.module_name(file), found) if found else None
        if spec is None or spec.loader is None:
            raise ChatModelError(f"no file '{file}' for the chat model '{name}': looked from {os.getcwd()}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return _attribute(module, attribute, name)
    if "." in name:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        place, attribute = name.rsplit(".", 1)
        if (wrong := named_code.why_not_module(place)) is not None:
            raise ChatModelError(f"'{name}' is {wrong}, and no class or function that makes a chat model")
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            raise ChatModelError(f"no module '{error.name}' for the chat model '{name}'") from None
        return _attribute(module, attribute, name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        raise ChatModelError(
            f"no chat model '{name}'. There are: {', '.join(names())}.{f' Did you mean {near[0]!r}?' if near else ''} "
            "Your own: a dotted path such as my_package.my_module.MyChatModel, or my_file.py:MyChatModel."
        )
    return importlib.import_module(f"{__name__}.{name}").build


def _attribute(module: Any, attribute: str, name: str) -> Callable[..., Any]:
    made = getattr(module, attribute, None)
    if made is None or named_code.why_not(made) is not None or not named_code.may_make(made):
        raise ChatModelError(f"'{name}' is no class or function that makes a chat model")
    return made
