"""Reward: the one class of all rewards, and `build_reward`, which makes one of a name, a spec or any callable.

A reward made from others has, through any depth, their channels, their lineage (`learnt_from`), their state, whether
they need a reaction, and what `smilerl reward check` asks of them. It is async where one of them is.

    class Halved(Reward):                                     # {name: mine.py:Halved, args: {inner: preference}}
        def __init__(self, inner):
            super().__init__(inner)

        def combine(self, values, *, prompts, completions, **columns):
            return [None if value is None else value / 2 for value in values[0]]

One with a state of its own adds it to `state_dict` and takes it back in `load_state_dict`. Rewards that a plain
function closes over cannot be seen from outside: such a function sets these attributes itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from smilerl import worlds
from smilerl.rewards._failures import RewardError, as_values, located, place_of
from smilerl.rewards._named import called, nearest, resolve, users_callable
from smilerl.worlds.base import GIVEN

#: Attributes that are tuples of words. A wrapper has its own and those of all that is inside.
WORDS = ("channels", "learnt_from", "by_design")


@dataclass(frozen=True)
class RewardContext:
    """When and for what a reward is asked. A reward gets it by naming the parameter `reward_context`.

    Attributes:
        step: updates made so far, from 0.
        max_steps: of the run, at least 1.
        split: of the people who are asked about.
    """

    step: int
    max_steps: int
    split: str

    @classmethod
    def before(cls, training: Mapping[str, Any], split: str = "train") -> RewardContext:
        """Before the first update of a run with these training settings (1 step where they name no number)."""
        return cls(0, max(1, int(training.get("max_steps", 1))), split)

    @classmethod
    def after(cls, training: Mapping[str, Any], split: str = "test") -> RewardContext:
        """After the last update of a run with these training settings."""
        steps = cls.before(training).max_steps
        return cls(steps, steps, split)


class Reward:
    """A reward around rewards. A subclass says in `combine` what it makes of their values.

    Attributes:
        inner: the rewards inside.
        channels, learnt_from, by_design: words, see `rewards`; a class may set its own, and those of `inner` are added.
        needs_reaction: whether it, or one inside, scores how a person reacts.
        is_async: whether calling it gives a coroutine, as it does where one inside is async.
        fingerprint: names all that its values depend on, so that they may be kept; None: not known.
        last_call, streams: of the checked reward that it is or goes around, else None; see `checked`.
    """

    channels: tuple[str, ...] = ()
    learnt_from: tuple[str, ...] = ()
    by_design: tuple[str, ...] = ()
    needs_reaction = False
    is_async = False
    inner: tuple[Reward, ...] = ()
    fingerprint: str | None = None
    last_call: Any = None
    streams: Any = None
    __name__: str
    _model: Any = None

    def __init__(self, *inner: Any, name: str | None = None, seed: int = 0) -> None:
        """
        Args:
            inner: rewards, or what names them in a recipe: `{name: ..., args: ...}` or a name.
            name: what metrics and errors call it; the name of its class when None.
            seed: for rewards inside that draw random numbers and set no seed.
        """
        self.inner = tuple(build_reward(one, seed) for one in inner)
        for words in WORDS:
            own = [word for one in (self, *self.inner) for word in getattr(one, words)]
            setattr(self, words, tuple(dict.fromkeys(own)))
        self.needs_reaction = any(one.needs_reaction for one in (self, *self.inner))
        self.is_async = any(one.is_async for one in (self, *self.inner))
        self.__name__ = self.__qualname__ = name or type(self).__name__
        models = [one for one in self.inner if one._model is not None or type(one).about is not Reward.about]
        self._model = models[0] if len(models) == 1 else self._model
        if self.is_async and type(self).__call__ is Reward.__call__:
            self.__class__ = _awaited(type(self))  # type: ignore[arg-type]

    def combine(
        self, values: Sequence[list[float | None]], *, prompts: Sequence, completions: Sequence, **columns: Any
    ) -> list[float | None]:
        """The value of each completion.

        Args:
            values: of each reward inside, N finite numbers or None.
            columns: those of the data set, what a TRL trainer passes, and `reward_context` where it is a parameter.
        """
        raise NotImplementedError(
            f"the reward '{self.__name__}' has no combine(values, *, prompts, completions, **columns)"
        )

    def before(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """What the rewards inside are asked instead of `given`; None: they are not asked, and have no values."""
        return given

    def around(self) -> AbstractContextManager[Any]:
        """Around the calls of the rewards inside."""
        return nullcontext()

    def __call__(self, prompts: Sequence, completions: Sequence, **columns: Any) -> Any:
        return self._ask({"prompts": prompts, "completions": completions, **columns})

    def _ask(self, given: dict[str, Any]) -> Any:
        asked = self.before(given)
        with self.around():
            found = [[] if asked is None else one(**asked) for one in self.inner]
        return self._combined(found, asked, given)

    async def _ask_async(self, given: dict[str, Any]) -> Any:
        asked, found = self.before(given), []
        with self.around():
            for one in self.inner:
                values = [] if asked is None else one(**asked)
                found.append(await values if inspect.isawaitable(values) else values)
        return self._combined(found, asked, given)

    def _combined(self, found: list, asked: dict[str, Any] | None, given: dict[str, Any]) -> list[float | None]:
        completions, values = [] if asked is None else asked["completions"], []
        for one, own in zip(self.inner, found, strict=True):
            with located(one.place):
                values.append(as_values(one.__name__, own, completions))
        return self.combine(values, **self._with_context(given))

    def _with_context(self, given: dict[str, Any]) -> dict[str, Any]:
        """What it is given, with `reward_context` where it asks for it."""
        parameter, state = self._parameters().get("reward_context"), given.get("trainer_state")
        if parameter is None or "reward_context" in given:
            return given
        if state is None and parameter.default is not parameter.empty:
            return given
        if state is None:
            raise RewardError(
                f"the reward '{self.__name__}' asks for reward_context, and there is no trainer to take it from. "
                "Outside training say it: reward_context=RewardContext(step=..., max_steps=..., split=...)"
            )
        return {**given, "reward_context": RewardContext(state.global_step, max(1, state.max_steps), "train")}

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        """Of the function in which it reads columns."""
        parameters = inspect.signature(self.combine).parameters
        return {name: one for name, one in parameters.items() if name != "values"}

    @property
    def place(self) -> str | None:
        """`file:line` where it is written; None for what is not Python."""
        return place_of(self.combine)

    def about(self) -> dict[str, Any]:
        """What a user should see of the model in it, where there is one; loads it."""
        return {} if self._model is None else self._model.about()

    def tokens(self, prompts: Sequence, completions: Sequence, **columns: Any) -> list[int | None]:
        """How many tokens that model reads for each completion; empty where it does not say."""
        tokens = getattr(self._model, "tokens", None)
        return [] if tokens is None else tokens(prompts, completions, **columns)

    def limit(self, completions: Sequence) -> float:
        """Seconds that a call with these completions may take."""
        return float("inf")

    def lacking(self, columns: Collection[str]) -> str | None:
        """Which column it, or a reward inside, needs beside these, in words; None where none is missing."""
        for needed, parameter in self._parameters().items():
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.default is parameter.empty and needed not in GIVEN and needed not in columns:
                others = sorted({*columns} - {"prompt", "person"})
                return (
                    f"the reward '{self.__name__}' needs the column '{needed}', which the data does not have. Beside "
                    f"the prompt it has: {', '.join(others) or 'nothing'}.{nearest(needed, others)}"
                )
        return next((lack for one in self.inner if (lack := one.lacking(columns)) is not None), None)

    def lacks(self, people: Sequence[str]) -> str | None:
        """Which column these people (JSON) lack that it needs, in words; None where none is missing."""
        return self.lacking({"prompt", "person", *worlds.columns_of(people)})

    def state_dict(self) -> Any:
        """The state of the rewards inside; a subclass adds its own: `{**super().state_dict(), "count": self.count}`."""
        return {"inner": [one.state_dict() for one in self.inner]}

    def load_state_dict(self, state: Any) -> None:
        """Puts it back; a subclass calls this, too."""
        for one, own in zip(self.inner, state["inner"], strict=True):
            one.load_state_dict(own)


class Around(Reward):
    """One reward asked in another way. It keeps the name, place and state of that reward."""

    def __init__(self, reward: Any, name: str | None = None) -> None:
        reward = build_reward(reward)
        super().__init__(reward, name=name or reward.__name__)
        self.__doc__ = reward.__doc__
        self.last_call, self.streams = reward.last_call, reward.streams

    def combine(self, values: Sequence[list[float | None]], **columns: Any) -> list[float | None]:
        return values[0]

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return {}

    @property
    def place(self) -> str | None:
        return self.inner[0].place

    def limit(self, completions: Sequence) -> float:
        return self.inner[0].limit(completions)

    def state_dict(self) -> Any:
        return self.inner[0].state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.inner[0].load_state_dict(state)


class _Plain(Reward):
    """A callable with TRL's protocol. Its values are returned as they are."""

    def __init__(self, function: Any) -> None:
        for words in WORDS:
            setattr(self, words, tuple(getattr(function, words, ())))
        self.needs_reaction = bool(getattr(function, "needs_reaction", False))
        self._function, self.is_async = function, is_async(function)
        self._model = function if hasattr(function, "about") else None
        self._saves = hasattr(function, "state_dict")
        super().__init__(name=str(getattr(function, "__name__", type(function).__name__)))
        self.__doc__ = function.__doc__
        if self._saves != hasattr(function, "load_state_dict"):
            has, lacks = (
                ("state_dict", "load_state_dict(state)") if self._saves else ("load_state_dict", "state_dict()")
            )
            with located(self.place):
                raise RewardError(
                    f"the reward '{self.__name__}' has {has} and no {lacks}: a stopped run could not be resumed from "
                    "its state. Write both, or neither"
                )

    def _ask(self, given: dict[str, Any]) -> Any:
        return self._function(**self._with_context(given))

    async def _ask_async(self, given: dict[str, Any]) -> Any:
        return await self._function(**self._with_context(given))

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self._function).parameters

    @property
    def place(self) -> str | None:
        return place_of(self._function)

    def state_dict(self) -> Any:
        return self._function.state_dict() if self._saves else None

    def load_state_dict(self, state: Any) -> None:
        if state is not None:
            self._function.load_state_dict(state)


def build_reward(spec: Any, seed: int = 0) -> Reward:
    """One reward, unchecked: also what a wrapper calls for the reward inside it.

    Args:
        spec: a `RewardSpec`, a mapping with `name` and `args`, a bare name, or a reward itself: a `Reward` is returned
            as it is, another callable as a `Reward` around it.
        seed: for a reward that draws random numbers and whose args set no seed.

    Raises:
        RewardError: no such reward, or arguments that it does not take.
    """
    if isinstance(spec, Reward):
        if "inner" not in vars(spec):  # its class has an __init__ that does not call this one
            Reward.__init__(spec)
        return spec
    if callable(spec):
        return _Plain(spec)
    if isinstance(spec, Mapping):
        if {"name"} - {*spec} or {*spec} - {"name", "args"}:
            raise RewardError(f"a reward is written {{name: ..., args: {{...}}}}, not {dict(spec)!r}")
        name, args = spec["name"], dict(spec.get("args") or {})
    else:
        name, args = (spec, {}) if isinstance(spec, str) else (spec.name, dict(spec.args or {}))
    target = resolve(name)
    if not inspect.ismodule(target):
        return build_reward(users_callable(name, target, args))
    if not hasattr(target, "build"):
        raise RewardError(
            f"the module '{name}' has no function build(**args). Name the callable in it: {name}.my_reward"
        )
    if "seed" in inspect.signature(target.build).parameters:
        args.setdefault("seed", seed)
    return build_reward(called(name, target.build, args))


def is_async(reward: Callable) -> bool:
    """Whether calling it gives a coroutine, for functions, partials and instances alike."""
    while isinstance(reward, functools.partial):
        reward = reward.func
    if isinstance(reward, Reward):
        return reward.is_async
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(type(reward).__call__)


@functools.cache
def _awaited(kind: type[Reward]) -> type[Reward]:
    """The class of async rewards of a kind, in which TRL sees that `__call__` is async."""

    async def __call__(self: Reward, prompts: Sequence, completions: Sequence, **columns: Any) -> Any:
        return await self._ask_async({"prompts": prompts, "completions": completions, **columns})

    return type(kind.__name__, (kind,), {"__call__": __call__, "__module__": kind.__module__, "__doc__": kind.__doc__})
