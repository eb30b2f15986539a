"""Reward: a reward made from the values of others, which keeps what these are known by.

Through any depth it has their channels, their lineage (`learnt_from`, which the card tells), their state (which
checkpoints hold), whether they need a reaction, and what `smilerl reward check` asks of them. It is async where one of
them is.

    class Halved(Reward):                                     # {name: mine.py:Halved, args: {inner: preference}}
        def __init__(self, inner):
            super().__init__(inner)

        def combine(self, values, *, prompts, completions, **columns):
            return [None if value is None else value / 2 for value in values[0]]

One that keeps something of its own adds it to `state_dict` and takes it back in `load_state_dict`. A reward that a
function
only closes over cannot be seen from outside: such a function sets these attributes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smilerl.rewards import build_reward
from smilerl.rewards._carried import carry, is_async, load_states, name_of, states
from smilerl.rewards._checked import as_values, located


class Reward:
    """A reward around rewards. A subclass says in `combine` what it makes of their values.

    Attributes:
        inner: the rewards inside.
        channels, learnt_from, by_design: words, see `rewards`; a class may set its own, and those of `inner` are added.
        needs_reaction: whether it, or one inside, scores how a person reacts.
        is_async: whether calling it gives a coroutine, as it does where one inside is async.
    """

    channels: tuple[str, ...] = ()
    learnt_from: tuple[str, ...] = ()
    by_design: tuple[str, ...] = ()
    needs_reaction = False
    inner: tuple = ()
    __name__: str

    def __init__(self, *inner: Any, name: str | None = None, seed: int = 0) -> None:
        """
        Args:
            inner: rewards, or what names them in a recipe: `{name: ..., args: ...}` or a name.
            name: what metrics and errors call it; the name of its class when None.
            seed: for rewards inside that draw random numbers and set no seed.
        """
        carry(self, *(build_reward(one, seed) for one in inner), name=name or type(self).__name__)
        self.is_async = any(map(is_async, self.inner))

    def combine(
        self, values: Sequence[list[float | None]], *, prompts: Sequence, completions: Sequence, **columns: Any
    ) -> list[float | None]:
        """The value of each completion.

        Args:
            values: of each reward inside, N finite numbers or None.
            columns: those of the data set, and what a TRL trainer passes.
        """
        raise NotImplementedError(
            f"the reward '{name_of(self)}' has no combine(values, *, prompts, completions, **columns)"
        )

    def __call__(self, prompts: Sequence, completions: Sequence, **columns: Any) -> Any:
        if self.is_async:
            return self._awaited(prompts, completions, columns)
        given = [one(prompts=prompts, completions=completions, **columns) for one in self.inner]
        return self._combined(given, prompts, completions, columns)

    async def _awaited(self, prompts: Sequence, completions: Sequence, columns: dict[str, Any]) -> list[float | None]:
        given = []
        for one in self.inner:
            found = one(prompts=prompts, completions=completions, **columns)
            given.append(await found if is_async(one) else found)
        return self._combined(given, prompts, completions, columns)

    def _combined(self, given: list, prompts: Sequence, completions: Sequence, columns: dict[str, Any]) -> list:
        values = []
        for one, own in zip(self.inner, given, strict=True):
            with located(one):
                values.append(as_values(name_of(one), own, completions))
        return self.combine(values, prompts=prompts, completions=completions, **columns)

    def state_dict(self) -> dict[str, Any]:
        """The state of the rewards inside; a subclass adds its own: `{**super().state_dict(), "count": self.count}`."""
        return {"inner": states(self.inner)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts it back; a subclass calls this, too."""
        load_states(self.inner, state["inner"])
