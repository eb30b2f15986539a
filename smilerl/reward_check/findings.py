"""The findings of a reward check, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "fails", "note", "by design", "n/a"]


@dataclass(frozen=True)
class Finding:
    """The answer to one question about a reward.

    Attributes:
        name: of the check.
        status: only `fails` keeps a reward from passing.
        said: what was found, in one line.
        fix: what to do about it.
        numbers: the same for machines.
    """

    name: str
    status: Status
    said: str
    fix: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """All findings of a reward check.

    Attributes:
        reward: its name.
        tried_on: which texts it was asked about.
        model: what the reward says of the model in it; empty where it has none, or does not say.
        findings: one for each check, in order.
        helpers: what scripted helpers earn and bring about, best paid first: rows of helper, mean, low, high, scored,
            of, wellbeing.
        pairs: agreement with people's preferences, as `Agreement.to_dict`.
    """

    reward: str
    tried_on: str
    model: Mapping[str, Any]
    findings: Sequence[Finding]
    helpers: Sequence[Mapping[str, Any]] = ()
    pairs: Mapping[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(finding.status != "fails" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain, for JSON."""
        checks = {
            one.name: {"status": one.status, "said": one.said, "fix": one.fix, **one.numbers} for one in self.findings
        }
        return {
            "reward": self.reward, "passed": self.passed, "tried_on": self.tried_on, "model": dict(self.model),
            "checks": checks, "helpers": [dict(row) for row in self.helpers], "pairs": self.pairs,
        }  # fmt: skip

    def table(self) -> str:
        """For the screen."""
        lines = [f"reward: {self.reward}", f"tried on: {self.tried_on}", ""]
        lines += [f"  {name:<16}{_shown(value)}" for name, value in self.model.items()]
        lines += [""] if self.model else []
        for one in self.findings:
            lines.append(f"  {one.status:<11}{one.name:<12}{one.said}")
            lines += [f"  {'':<23}→ {one.fix}"] if one.fix and one.status in ("fails", "note") else []
        if self.helpers:
            lines += ["", f"  {'what it pays':<14}{'mean':>8}   {'95 % interval':<20}{'scored':<14}{'wellbeing':>9}"]
            lines += [_helper(row) for row in self.helpers]
        failed = [one.name for one in self.findings if one.status == "fails"]
        lines += ["", "passed" if self.passed else f"FAILED: {', '.join(failed)}"]
        return "\n".join(lines)


def _helper(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return f"  {row['helper']:<14}{'–':>8}   {'':<20}0 of {row['of']:<9}{row['wellbeing']:>9.2f}"
    between = f"[{row['low']:.3f}, {row['high']:.3f}]"
    scored = f"{row['scored']} of {row['of']}"
    return f"  {row['helper']:<14}{row['mean']:>8.3f}   {between:<20}{scored:<14}{row['wellbeing']:>9.2f}"


def _shown(value: Any) -> str:
    match value:
        case Mapping():
            return ", ".join(f"{name} = {worth:+g}" for name, worth in value.items())
        case list():
            return ", ".join(map(str, value))
        case bool() | None:
            return {True: "yes", False: "no", None: "none"}[value]
    return str(value)
