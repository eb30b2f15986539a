"""The model card: what was rewarded, what was hoped for, what was found, and how it fails. Written by us, after
everything else.

(TRL's own card calls a model with a local base a "fine-tuned version of [None]", writes a `licence` key that the Hub
does not know, and overwrites PEFT's.) Every number comes from the files that are published beside it; what a model said
is escaped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from smilerl import __version__, worlds
from smilerl.config.yaml_lines import dump
from smilerl.models.hub.ids import looks_like
from smilerl.publish import sections
from smilerl.publish.facts import Base, Facts
from smilerl.studies.report import code_span

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

PICTURE = "figures/triangle.png"
#: The licence of what smilerl makes from nothing but itself.
OWN_LICENCE = "apache-2.0"
_METHODS = {
    "sft": "supervised fine-tuning", "rloo": "REINFORCE leave-one-out (RLOO)", "grpo": "group-relative policy optimisation (GRPO)",
    "dpo": "direct preference optimisation (DPO)", "kto": "Kahneman-Tversky optimisation (KTO)", "reward": "Bradley-Terry training on pairs",
}  # fmt: skip


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
    from huggingface_hub import ModelCard

    picture = None
    if not facts.is_reward_model:
        from smilerl.studies import figures

        shown = facts.siblings or facts.results
        picture = figures.triangle_png(shown) if shown is not None else None
    template = "reward_model.md.j2" if facts.is_reward_model else "policy.md.j2"
    body = _render(template, _contents(facts, repo, licence, picture is not None))
    card = ModelCard(f"---\n{_data(facts, licence).to_yaml()}\n---\n\n{body}\n")
    return Card(str(card), picture)


def of_weights(name: str, run_title: str, repo: str, licence: str) -> str:
    """The card of random weights that an adapter was trained on: no run of their own, and nothing to tell."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        license=licence, library_name="transformers", tags=["smilerl"], pipeline_tag="text-generation", language="en"
    )
    body = _render("weights.md.j2", {"title": name, "run": run_title, "repo": repo, "version": __version__})
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n"))


def _data(facts: Facts, licence: str | None) -> ModelCardData:
    """The card's metadata, which the Hub reads."""
    from huggingface_hub import ModelCardData

    recipe = facts.recipe
    dataset = recipe.world.args.get("dataset")
    tags = ["smilerl", "alignment", "reward-hacking", "goal-misgeneralization", "trl", recipe.method, recipe.world.name]
    tags += [reward.name if reward.name.isidentifier() else "custom-reward" for reward in recipe.rewards]
    if facts.is_reward_model:
        tags += ["reward-model"]
    if facts.is_adapter:
        tags += ["lora"] if recipe.policy.peft is not None else ["adapter"]
    more: dict[str, Any] = {}
    if facts.base.repo:
        more["base_model_relation"] = "adapter" if facts.is_adapter else "finetune"
    results = _accuracy_results(facts) if facts.is_reward_model else _eval_results(facts)
    return ModelCardData(
        language="en", license=licence, library_name="peft" if facts.is_adapter else "transformers", tags=tags,
        base_model=facts.base.repo, datasets=[dataset] if isinstance(dataset, str) and looks_like(dataset) else None,
        pipeline_tag="text-classification" if facts.is_reward_model else "text-generation",
        model_name=facts.title if results else None, eval_results=results or None, **more,
    )  # fmt: skip


def _eval_results(facts: Facts) -> list[EvalResult]:
    """The measures as the Hub's `model-index` has them, each with its interval and how much of it was scored."""
    from huggingface_hub import EvalResult

    if facts.results is None:
        return []
    found = []
    for row in facts.results.measures[facts.results.measures.arm == facts.arm["name"]].itertuples():
        if row.measure not in sections.TABLE or math.isnan(row.value):
            continue
        found.append(
            EvalResult(
                task_type="text-generation", task_name="care and gaming", dataset_type=facts.recipe.world.name, dataset_config=facts.suite,
                dataset_name=f"{facts.recipe.world.name}, held-out people", dataset_split="held_out",
                metric_type=row.measure, metric_name=sections.says(row.measure)[0], metric_value=round(row.value, 4), metric_args=_interval(row),
            )
        )  # fmt: skip
    return found


def _interval(row) -> dict[str, Any]:
    ends = {end: round(getattr(row, end), 4) for end in ("low", "high") if not math.isnan(getattr(row, end))}
    counts = {key: int(getattr(row, key)) for key in ("scored", "of") if not math.isnan(getattr(row, key))}
    return {**ends, **({"level": 0.95} if ends else {}), **counts}


def accuracy(facts: Facts) -> dict[str, Any] | None:
    """How often a reward model ranks held-out pairs as they were labelled, with Wilson's interval; None where it was
    not tested.
    """
    from smilerl.statistics.rates import wilson

    tested = [row for row in facts.run.metrics() if row.get("eval_accuracy") is not None]
    if not tested:
        return None
    last, pairs = tested[-1], facts.recipe.held_out.n
    # The trainer leaves out pairs that are too long and says only how fast it went through the others.
    scored = (
        min(pairs, round(last["eval_runtime"] * last["eval_samples_per_second"])) if "eval_runtime" in last else pairs
    )
    share = float(last["eval_accuracy"])
    right = round(share * scored)
    low, high = wilson(right, scored)
    return {"value": share, "low": low, "high": high, "right": right, "scored": scored, "pairs": pairs,
            "loss": last.get("eval_loss"), "margin": last.get("eval_margin")}  # fmt: skip


def _accuracy_results(facts: Facts) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    found = accuracy(facts)
    if found is None:
        return []
    args = {
        "low": round(found["low"], 4),
        "high": round(found["high"], 4),
        "level": 0.95,
        "scored": found["scored"],
        "of": found["pairs"],
    }
    return [
        EvalResult(
            task_type="text-classification", task_name="preference", dataset_type=facts.recipe.world.name, dataset_split="test",
            dataset_name=f"{facts.recipe.world.name}, held-out pairs", metric_type="accuracy", metric_name="pairs ranked as labelled",
            metric_value=round(found["value"], 4), metric_args=args,
        )
    ]  # fmt: skip


def _contents(facts: Facts, repo: str, licence: str | None, pictured: bool) -> dict[str, Any]:
    """All that the templates show."""
    manifest = facts.run.manifest
    study = facts.siblings.about if facts.siblings is not None else None
    content = {
        "title": facts.title, "repo": repo, "facts": facts, "recipe": facts.recipe, "manifest": manifest, "licence": licence, "version": __version__,
        "study": study, "method": _METHODS.get(facts.recipe.method, facts.recipe.method), "base": _base_says(facts.base),
        "parameters": _count(sections.parameters(facts.run.model)), "steps": facts.run.status.get("step"), "training": dump(facts.recipe.training).strip(),
        "outcomes": sections.outcomes(manifest), "changes": _changes(manifest), "world": _world_says(facts), "suites": sorted(facts.suites),
    }  # fmt: skip
    if facts.is_reward_model:
        return content | {"accuracy": accuracy(facts)}
    said = sections.prompt(facts)
    return content | {
        "rewards": sections.rewards(facts), "table": sections.table(facts), "seeds": sections.seeds(facts), "verdicts": sections.verdicts(facts), "failures": sections.failures(facts),
        "worst": sections.worst(facts), "conversations": sections.conversations(facts), "picture": PICTURE if pictured else None, "summary": _summary(facts),
        "prompt": said if isinstance(said, str) else None, "messages": _plain_messages(said), "known": _known_failures(facts),
        "audit": facts.suites[facts.suite].get("audit") if facts.suite else None, "kl": _last(facts, "held_out/kl"),
    }  # fmt: skip


def _summary(facts: Facts) -> str:
    """One paragraph of what came out, from the numbers; empty where there are none to compare."""
    from smilerl.studies import comparisons, findings

    if facts.results is None:
        return ""
    return findings.of_arm(facts.results, comparisons.changes(facts.results), facts.arm)


def _base_says(base: Base) -> str:
    if base.kind == "hub":
        said = (
            f"[`{base.repo}`](https://huggingface.co/{base.repo})"
            if looks_like(str(base.repo))
            else code_span(base.repo)
        )
        return said + (f", revision {code_span(base.revision)}" if base.revision else "")
    if base.kind == "recipe":
        return (
            f"a small language model that smilerl builds from its recipe {code_span(base.name)} (on first use, in "
            "minutes); it has no repository of its own"
        )
    return "nothing: it was trained from random weights"


def _world_says(facts: Facts) -> str:
    if about := worlds.kind(facts.recipe.world.name).about:
        return about
    world = facts.recipe.world.args
    if isinstance(world.get("dataset"), str) and looks_like(world["dataset"]):
        return f"the prompts of [`{world['dataset']}`](https://huggingface.co/datasets/{world['dataset']})"
    return f"prompts of a file that is not published ({code_span(world.get('path') or world.get('dataset'))})"


def _known_failures(facts: Facts) -> str:
    """What the question behind the table says of its own weaknesses."""
    from smilerl.evaluation.question import load_suite

    held_out = [question for question in load_suite("held_out").questions]
    return " ".join(held_out[0].known_failures.split()) if facts.results is not None else ""


def _changes(manifest: dict[str, Any]) -> str:
    git = manifest.get("git")
    if not git:
        return f"smilerl {manifest.get('smilerl', '')}, installed as a package"
    dirty = " with uncommitted changes" if git.get("dirty") or git.get("untracked") else ""
    return f"smilerl {manifest.get('smilerl', '')} at revision {code_span((git.get('sha') or 'unknown')[:10])}{dirty}"


def _last(facts: Facts, key: str) -> float | None:
    values = [row[key] for row in facts.run.metrics() if row.get(key) is not None]
    return values[-1] if values else None


def _plain_messages(prompt: Any) -> list[dict[str, str]] | None:
    if prompt is None or isinstance(prompt, str):
        return None
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in prompt]


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number:,}"


def _render(template: str, content: dict[str, Any]) -> str:
    from smilerl.io.terminal import printable
    from smilerl.studies.comparisons import number
    from smilerl.studies.report import escape_markdown, rich_markdown

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=False, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=lambda value: printable(value) if type(value) is str else value,
    )  # fmt: skip
    environment.filters |= {
        "md": escape_markdown,
        "code": code_span,
        "richmd": rich_markdown,
        "number": number,
        "literal": repr,
    }
    return environment.get_template(template).render(content).strip()
