"""The model card: what was rewarded, what was hoped for, what was found, and how it fails.

It replaces TRL's own, which calls a model with a local base a "fine-tuned version of [None]", writes a `licence` key
that the Hub does not know, and overwrites PEFT's. Every number comes from the files that are published beside it; what
a model said is escaped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smilerl import __version__, worlds
from smilerl.config.yaml_lines import dump
from smilerl.io import packages
from smilerl.models.hub.ids import looks_like
from smilerl.publish import sections
from smilerl.publish.facts import Base, Facts
from smilerl.studies import comparisons, figures, findings
from smilerl.studies.report import code_span, render

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

PICTURE = "figures/triangle.png"
#: The licence of what smilerl makes from nothing but itself.
OWN_LICENCE = "apache-2.0"
_TEMPLATES = Path(__file__).parent / "templates"
_METHODS = {
    "sft": "supervised fine-tuning",
    "rloo": "REINFORCE leave-one-out (RLOO)",
    "grpo": "group-relative policy optimisation (GRPO)",
    "dpo": "direct preference optimisation (DPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
    "reward": "Bradley-Terry training on pairs",
}


@dataclass(frozen=True)
class Card:
    """A card and the picture that it shows.

    Attributes:
        text: the whole README.md.
        picture: PNG of the triangle plot, where there is anything to plot.
    """

    text: str
    picture: bytes | None = None


def of_run(facts: Facts, repo: str, licence: str | None) -> Card:
    """The card of a run.

    Args:
        repo: the id it is to have, for the commands that it shows.
        licence: an identifier of the Hub's list.
    """
    shown = facts.siblings or facts.results
    picture = None if facts.is_reward_model or shown is None else figures.triangle_png(shown)
    content = _contents(facts, repo, licence)
    content |= {"accuracy": accuracy(facts)} if facts.is_reward_model else _measured(facts, picture is not None)
    template = "reward_model.md.j2" if facts.is_reward_model else "policy.md.j2"
    return Card(_made(template, content, _metadata(facts, licence)), picture)


def of_weights(name: str, facts: Facts, repo: str, licence: str) -> str:
    """The card of weights that a run started from and no run made: read from a GGUF file, or random ones of an adapter.

    Args:
        facts: of the run that started from them.
    """
    metadata: dict[str, Any] = {
        "license": licence,
        "tags": ["smilerl"],
        "library_name": "transformers",
        "language": "en",
    }
    metadata["pipeline_tag"] = "text-generation"
    metadata |= (
        {"base_model": _made_from(facts.gguf), "base_model_relation": "quantized"} if _made_from(facts.gguf) else {}
    )
    read = facts.gguf and _read_from(facts.gguf)
    content = {"title": name, "run": facts.title, "repo": repo, "version": __version__, "gguf": read}
    return _made("weights.md.j2", content, metadata)


def accuracy(facts: Facts) -> dict[str, Any] | None:
    """How often a reward model ranks held-out pairs as they were labelled, with Wilson's interval; None if untested."""
    from smilerl.statistics.rates import wilson

    tested = [row for row in facts.run.metrics() if row.get("eval_accuracy") is not None]
    if not tested:
        return None
    last, scored = tested[-1], facts.recipe.held_out.n
    if "eval_runtime" in last:  # the trainer leaves out pairs that are too long, and logs only its speed on the others
        scored = min(scored, round(last["eval_runtime"] * last["eval_samples_per_second"]))
    share = float(last["eval_accuracy"])
    right = round(share * scored)
    low, high = wilson(right, scored)
    return {"value": share, "low": low, "high": high, "right": right, "scored": scored, "loss": last.get("eval_loss"),
            "margin": last.get("eval_margin"), "pairs": facts.recipe.held_out.n}  # fmt: skip


def _made(template: str, content: dict[str, Any], metadata: dict[str, Any]) -> str:
    from huggingface_hub import ModelCard, ModelCardData

    body = render(_TEMPLATES / template, content).strip()
    return str(ModelCard(f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n{body}\n"))


def _metadata(facts: Facts, licence: str | None) -> dict[str, Any]:
    """The card's metadata, which the Hub reads."""
    recipe = facts.recipe
    dataset = recipe.world.args.get("dataset")
    tags = ["smilerl", "alignment", "reward-hacking", "goal-misgeneralization", "trl", recipe.method, recipe.world.name]
    tags += [reward.name if reward.name.isidentifier() else "custom-reward" for reward in recipe.rewards]
    tags += ["reward-model"] if facts.is_reward_model else []
    tags += ["adapter" if recipe.policy.peft is None else "lora"] if facts.is_adapter else []
    base = facts.base.repo or _made_from(facts.gguf)
    results = _accuracy_result(facts) if facts.is_reward_model else _eval_results(facts)
    metadata = {
        "language": "en",
        "license": licence,
        "library_name": "peft" if facts.is_adapter else "transformers",
        "tags": tags,
        "base_model": base,
        "datasets": [dataset] if isinstance(dataset, str) and looks_like(dataset) else None,
        "pipeline_tag": "text-classification" if facts.is_reward_model else "text-generation",
        "model_name": facts.title if results else None,
        "eval_results": results or None,
    }
    relation = {"base_model_relation": "adapter" if facts.is_adapter else "finetune"}
    return metadata | (relation if base else {})


def _eval_results(facts: Facts) -> list[EvalResult]:
    """The measures as the Hub's `model-index` has them, each with its interval and how much of it was scored."""
    from huggingface_hub import EvalResult

    if facts.results is None:
        return []
    world = facts.recipe.world.name
    rows = facts.results.measures[facts.results.measures.arm == facts.arm["name"]]
    return [
        EvalResult(
            task_type="text-generation", task_name="care and gaming", dataset_type=world, dataset_config=facts.suite,
            dataset_name=f"{world}, held-out people", dataset_split="held_out", metric_type=row.measure,
            metric_name=sections.says(row.measure)[0], metric_value=round(row.value, 4),
            metric_args=_interval(row._asdict()),
        )
        for row in rows.itertuples()
        if row.measure in sections.TABLE and not math.isnan(row.value)
    ]  # fmt: skip


def _accuracy_result(facts: Facts) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    found = accuracy(facts)
    if found is None:
        return []
    world = facts.recipe.world.name
    return [
        EvalResult(
            task_type="text-classification", task_name="preference", dataset_type=world, dataset_split="test",
            dataset_name=f"{world}, held-out pairs", metric_type="accuracy", metric_name="pairs ranked as labelled",
            metric_value=round(found["value"], 4), metric_args=_interval(found | {"of": found["pairs"]}),
        )
    ]  # fmt: skip


def _interval(row: dict[str, Any]) -> dict[str, Any]:
    ends = {end: round(row[end], 4) for end in ("low", "high") if not math.isnan(row[end])}
    counts = {key: int(row[key]) for key in ("scored", "of") if not math.isnan(row[key])}
    return {**ends, **({"level": 0.95} if ends else {}), **counts}


def _contents(facts: Facts, repo: str, licence: str | None) -> dict[str, Any]:
    """What the templates show of any run."""
    manifest, method = facts.run.manifest, facts.recipe.method
    numbers = sections.parameters(facts.run.model)
    parameters = (
        f"{numbers / 1e9:.1f} B" if numbers >= 1e9 else f"{numbers / 1e6:.1f} M" if numbers >= 1e5 else f"{numbers:,}"
    )
    return {
        "title": facts.title, "repo": repo, "facts": facts, "recipe": facts.recipe, "manifest": manifest,
        "licence": licence, "version": __version__, "method": _METHODS.get(method, method), "parameters": parameters,
        "study": facts.siblings.about if facts.siblings is not None else None, "suites": sorted(facts.suites),
        "steps": facts.run.status.get("step"), "training": dump(facts.recipe.training).strip(),
        "base": _base_says(facts), "outcomes": sections.outcomes(manifest), "changes": _changes(manifest),
        "world": _world_says(facts), "installs": packages.installs(facts.base.name),
    }  # fmt: skip


def _measured(facts: Facts, pictured: bool) -> dict[str, Any]:
    """What the template shows of a policy besides: its rewards, what it says and what was measured."""
    from smilerl.evaluation.question import load_suite

    results, said = facts.results, sections.prompt(facts)
    summary = known = ""
    if results is not None:
        summary = findings.of_arm(results, comparisons.changes(results), facts.arm)
        known = " ".join(load_suite("held_out").questions[0].known_failures.split())
    messages = None
    if said is not None and not isinstance(said, str):
        messages = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in said]
    distances = [row["held_out/kl"] for row in facts.run.metrics() if row.get("held_out/kl") is not None]
    return {
        "rewards": sections.rewards(facts), "table": sections.table(facts), "seeds": sections.seeds(facts),
        "verdicts": sections.verdicts(facts), "failures": sections.failures(facts), "worst": sections.worst(facts),
        "conversations": sections.conversations(facts), "picture": PICTURE if pictured else None, "summary": summary,
        "prompt": said if isinstance(said, str) else None, "messages": messages, "known": known,
        "audit": facts.suites[facts.suite].get("audit") if facts.suite else None,
        "kl": distances[-1] if distances else None,
    }  # fmt: skip


def _base_says(facts: Facts) -> str:
    """What it started from; of weights that were read from a GGUF file, what the file says of them."""
    read = facts.gguf and _read_from(facts.gguf)
    return f"{_named(facts.base)}; {read}" if read else _named(facts.base)


def _read_from(gguf: dict[str, Any]) -> str:
    """Where weights come from that were read from a GGUF file, in the file's own words."""
    words = [f"the name {code_span(gguf['name'])}"] if gguf["name"] else []
    words += [f"the organisation {code_span(gguf['organisation'])}"] if gguf["organisation"] else []
    own = f". Of itself the file says {' and '.join(words)}" if words else ""
    ids = gguf["made_from"] if gguf["source"] is None else [gguf["source"]]
    made = f"which was made from {', '.join(map(_linked, ids))}" if ids else "which names no repository on the Hub"
    return (
        f"its weights were dequantised to float32 from the GGUF file {code_span(gguf['file'])} "
        f"({code_span(gguf['quantisation'])}, SHA-256 {code_span(gguf['sha256'])}), {made}, and so are those of no "
        f"other checkpoint{own}"
    )


def _made_from(gguf: dict[str, Any] | None) -> str | list[str] | None:
    """The ids on the Hub that a GGUF file names as what it was made from."""
    return (gguf["source"] or gguf["made_from"] or None) if gguf else None


def _linked(repo: str | None) -> str:
    return f"[`{repo}`](https://huggingface.co/{repo})" if looks_like(str(repo)) else code_span(repo)


def _named(base: Base) -> str:
    if base.kind == "hub":
        return _linked(base.repo) + (f", revision {code_span(base.revision)}" if base.revision else "")
    if base.kind == "recipe":
        return (
            f"a small language model that smilerl builds from its recipe {code_span(base.name)} (on first use, in "
            "minutes); it has no repository of its own"
        )
    if base.kind == "package":
        return f"{code_span(base.name)}, a file in a Python package (`{packages.installs(base.name)}`)"
    return "nothing: it was trained from random weights"


def _world_says(facts: Facts) -> str:
    if about := worlds.kind(facts.recipe.world.name).about:
        return about
    args = facts.recipe.world.args
    dataset = args.get("dataset")
    if isinstance(dataset, str) and looks_like(dataset):
        return f"the prompts of [`{dataset}`](https://huggingface.co/datasets/{dataset})"
    return f"prompts of a file that is not published ({code_span(args.get('path') or dataset)})"


def _changes(manifest: dict[str, Any]) -> str:
    """The version of smilerl that made the run."""
    version, git = f"smilerl {manifest.get('smilerl', '')}", manifest.get("git")
    if not git:
        return f"{version}, installed as a package"
    dirty = " with uncommitted changes" if git.get("dirty") or git.get("untracked") else ""
    return f"{version} at revision {code_span((git.get('sha') or 'unknown')[:10])}{dirty}"
