"""A stand-in Hub, a client of it, and runs as training leaves them, made in a blink: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import yaml

from smilerl.runs.directory import Run
from smilerl.training.recipe_check import load_recipe
from tests.publish.client import Client
from tests.publish.server import Hub

TINY = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "tie_word_embeddings": True, "max_position_embeddings": 128,
}  # fmt: skip
TRAINING = {"max_steps": 2, "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
STORY = {"goal": "The helper | helps.", "rationale": "People <b>smile</b> when *helped*."}


@pytest.fixture(scope="session")
def client(tmp_path_factory) -> Iterator[tuple[Hub, Client]]:
    with Hub() as hub:
        client = Client(hub.url, tmp_path_factory.mktemp("client"))
        yield hub, client
        client.close()


@pytest.fixture
def hub(client) -> Hub:
    """The stand-in, empty."""
    hub, _ = client
    hub.repos.clear()
    hub.broken.clear()
    hub.requests.clear()
    return hub


@pytest.fixture
def smilerl(client, hub, tmp_path) -> Callable:
    """`smilerl("push", ...)`, signed in; `token=None` is signed out, `cache="other"` a fresh machine, `code=` Python instead."""

    def run(*arguments: str, token: str | None = hub.token, **how):
        return client[1].run(*map(str, arguments), cwd=tmp_path, token=token, **how)

    return run


@pytest.fixture
def make_run(tmp_path) -> Callable[..., Run]:
    """A finished run with a tiny model of random weights: `make_run("one")`, `make_run("judge", method="reward")`.

    `_weights="fresh"` leaves the base that the recipe names unbuilt.
    """

    def make(
        name: str,
        *,
        method: str = "rloo",
        peft: bool = False,
        _weights: str = "base",
        metrics: tuple[dict, ...] = ({"loss": 1.0},),
        **sections,
    ) -> Run:
        recipe = {"method": method, "output_dir": str(tmp_path / "runs" / name), "policy": {"config": TINY}, "data": {"n": 16}, "training": TRAINING,
                  "story": STORY}  # fmt: skip
        if method == "rloo":
            recipe |= {"rewards": [{"name": "smile"}]}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe | sections))
        with Run.create(load_recipe(path), ["smilerl", "train", str(path)]) as run:
            _save_model(run, method, peft, fresh=_weights == "fresh")
            for row in metrics:
                run.log({"step": 2, **row})
            run.note(channels=["annotators"] if method == "reward" else [], learnt_from=[])
            run.finish()
        return run

    return make


def _save_model(run: Run, method: str, peft: bool, fresh: bool) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    from smilerl import worlds
    from smilerl.models.policy import fresh_policy, load_policy

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(run.path.name))
        named = None if fresh else run.recipe.policy.model_name_or_path
        policy = load_policy(named) if named else fresh_policy(TINY, worlds.build("smileworld"))
        model = policy.model
        if peft:
            model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
        if method == "reward":
            config = model.config
            config.num_labels = 1
            model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(run.model)
    policy.tokenizer.save_pretrained(run.model)
