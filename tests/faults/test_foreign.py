"""What comes from elsewhere runs nothing: repositories that were pulled, run directories of others, ids on the Hub.

Each attack would touch a file, `MARK`, if it got through: the harmless stand-in of whatever else code could do.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.faults.conftest import Process
from tests.fixtures.recipes import TINY

pytestmark = [pytest.mark.slow, pytest.mark.attack("foreign repositories")]

MARK = "MARK"
EVIL = f"open({MARK!r}, 'w').close()\ndef reward(prompts, completions, **columns): return [0.0] * len(completions)\n"
SPEAKER = EVIL + "class Speaker:\n    name = 'x'\n    def __call__(self, *a, **k): return []\n"
#: Of a recipe that would be built: its reward is a command.
BASE = {
    "method": "rloo", "policy": {"config": TINY}, "data": {"n": 16}, "training": {"max_steps": 1, "use_cpu": True},
    "rewards": [{"name": "os.system", "args": {"command": f"touch {MARK}"}}],
}  # fmt: skip
HELD_OUT = ("--suite", "held_out", "--n", "8")
NOT_OURS = "not part of smilerl"


@dataclass(frozen=True)
class Attack:
    """A repository, and what the product should say of it.

    Attributes:
        recipe: sections of its recipe.yaml.
        files: that lie in it; None: the file is not there.
        says: part of the refusal; None: it is evaluated, and nothing else happens.
        command: `REPO` stands for the folder. Run inside it where it is `.`.
        run: laid out as a run directory, with status.json and the weights in model/.
    """

    says: str | None
    recipe: dict = field(default_factory=dict)
    files: dict[str, str | bytes | None] = field(default_factory=dict)
    command: tuple[str, ...] = ("eval", "REPO", *HELD_OUT)
    run: bool = False


class Touch:
    """What a pickle makes when it is opened."""

    def __reduce__(self):
        return (open, (MARK, "w"))


def rewarded(*rewards: dict | str) -> dict:
    return {"rewards": [{"name": one} if isinstance(one, str) else one for one in rewards]}


def played(**speaker) -> dict:
    data = {"path": "data/dialogue/people_train.jsonl", "people": {"speaker": speaker}}
    return {"world": {"name": "dialogue", "args": data}}


def adapter(base: str, **more) -> dict[str, str | bytes | None]:
    """The files of an adapter instead of a whole model."""
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": 2,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": base,
    }
    return {"adapter_config.json": json.dumps(said | more), "config.json": None, "model.safetensors": None}


def configured(**more) -> dict[str, str | bytes | None]:
    return {"config.json": json.dumps(TINY | {"vocab_size": 700} | more)}


PREFERENCE = rewarded({"name": "preference", "args": {"model": "base.yaml"}})
YAML = {"base.yaml": yaml.safe_dump(BASE)}
INSIDE = ("eval", ".", *HELD_OUT)
BEST = {"method": "best_of_n", "training": {"num_generations": 4, "max_completion_length": 8}}
ATTACKS = {
    "a reward model's recipe": Attack("base.yaml", PREFERENCE, YAML),
    "the same of a run directory": Attack("base.yaml", PREFERENCE, YAML, run=True),
    "the base's recipe": Attack("base.yaml", {"policy": {"model_name_or_path": "base.yaml"}}, YAML, INSIDE),
    "the base's recipe with a slash": Attack("base.yaml/", {"policy": {"model_name_or_path": "./base.yaml/"}}, YAML, INSIDE),
    "the base's recipe by its path": Attack("/base.yaml", {"policy": {"model_name_or_path": "HERE/base.yaml"}}, YAML),
    "a recipe under any key": Attack("base.yaml", rewarded({"name": "gameable", "args": {"trigger": "base.yaml"}}), YAML),
    "a recipe in a list": Attack("base.yaml", rewarded({"name": "preference", "args": {"model": ["base.yaml"]}}), YAML),
    "a command": Attack(NOT_OURS, {"rewards": BASE["rewards"]}),
    "exec": Attack(NOT_OURS, rewarded({"name": "builtins.exec", "args": {"source": EVIL}})),
    "a file": Attack(NOT_OURS, rewarded("HERE/evil.py:reward"), {"evil.py": EVIL}),
    "a module": Attack(NOT_OURS, rewarded("evil.reward"), {"evil.py": EVIL}, INSIDE),
    "a module in a wrapper": Attack(NOT_OURS, rewarded({"name": "shuffled", "args": {"reward": "evil.reward"}}), {"evil.py": EVIL}, INSIDE),
    "a module with a hyphen": Attack(NOT_OURS, rewarded({"name": "shuffled", "args": {"reward": "an-evil.reward"}}), {"an-evil.py": EVIL}, INSIDE),
    "a module with a space": Attack(NOT_OURS, rewarded({"name": "shuffled", "args": {"reward": "an evil.reward"}}), {"an evil.py": EVIL}, INSIDE),
    "best of n": Attack(NOT_OURS, {**BEST, **rewarded("evil.reward")}, {"evil.py": EVIL}, INSIDE),
    "best of n of a recipe": Attack("base.yaml", {**BEST, "policy": {"model_name_or_path": "base.yaml"}}, YAML, INSIDE),
    "who plays the people": Attack(NOT_OURS, played(name="evil.Speaker"), {"evil.py": SPEAKER}, INSIDE),
    "who plays them, a command": Attack(NOT_OURS, played(name="os.system", args={"command": f"touch {MARK}"})),
    "an address": Attack("http://127.0.0.1:9/v1", played(name="endpoint", args={"url": "http://127.0.0.1:9/v1", "model": "m", "key_env": "HF_TOKEN"})),
    "an address without a scheme": Attack("127.0.0.1:9", played(name="endpoint", args={"url": "127.0.0.1:9", "model": "m"})),
    "a file of this machine": Attack("/etc/passwd", {"world": {"name": "dialogue", "args": {"path": "/etc/passwd"}}}),
    "a secret in the base's name": Attack("a variable or a home of this machine", {"policy": {"model_name_or_path": "org/$HF_TOKEN"}}),
    "a variable in a reward model's place": Attack("${PWD}", rewarded({"name": "preference", "args": {"model": "${PWD}/whole"}})),
    "a home": Attack("a variable or a home of this machine", {"policy": {"model_name_or_path": "~/models/private"}}),
    "a world that was replaced": Attack(
        None, played(name="evil.Speaker"), {"evil.py": SPEAKER}, ("eval", ".", *HELD_OUT, "--world", "smileworld")
    ),
    "a run directory": Attack(NOT_OURS, rewarded("evil.reward"), {"evil.py": EVIL}, INSIDE, run=True),
    "a run directory that says it is ours": Attack(
        NOT_OURS, rewarded("evil.reward"), {"evil.py": EVIL, "status.json": '{"state": "finished", "step": 2, "seconds": 1.0, "made_here": "' + "0" * 64 + '"}'}, INSIDE, run=True
    ),
    "an adapter on a recipe": Attack("base.yaml", {}, {**YAML, **adapter("./base.yaml")}, INSIDE),
    "an adapter on a recipe elsewhere": Attack("base.yaml", {}, {**YAML, **adapter("HERE/base.yaml")}),
    "an adapter that imports": Attack("Megatron", {}, {"evil.py": EVIL, **adapter("gpt2", megatron_config={"x": 1}, megatron_core="evil")}, INSIDE),
    "an adapter that is pickled": Attack("cannot be loaded", {}, {**adapter("HERE/whole"), "adapter_model.bin": pickle.dumps(Touch())}),
    "code beside the weights": Attack(
        "cannot be loaded", {}, {"modeling_evil.py": EVIL, **configured(model_type="evil", auto_map={"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "modeling_evil.M"})}
    ),
    "code beside the tokenizer": Attack(
        "contains custom code", {}, {"evil.py": EVIL, "tokenizer_config.json": json.dumps({"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}})}
    ),
    "a kernel": Attack("kernels-community/evil", {}, configured(attn_implementation="kernels-community/evil")),
    "a kernel by the recipe": Attack("attn_implementation", {"policy": {"model_name_or_path": "gpt2", "attn_implementation": "evil/kernel"}}),
    "pickled weights": Attack("cannot be loaded", {}, {"model.safetensors": None, "pytorch_model.bin": pickle.dumps(Touch())}),
    "pickled weights of best of n": Attack(
        "cannot be loaded", {**BEST, "policy": {"model_name_or_path": "HERE/whole"}}, {"whole/model.safetensors": None, "whole/pytorch_model.bin": pickle.dumps(Touch())}
    ),
    "a file in the place of ours": Attack(
        None, {"policy": {"model_name_or_path": "recipes/smileworld/pretrain.yaml"}}, {"recipes/smileworld/pretrain.yaml": yaml.safe_dump(BASE)},
        ("chat", "."),
    ),
    "its recipe, to be built": Attack(NOT_OURS, PREFERENCE, YAML, ("reward", "check", "REPO/recipe.yaml")),
    "its recipe, as a model": Attack("nothing that lies in a repository is built", rewarded("evil.reward"), {"evil.py": EVIL}, ("eval", "./recipe.yaml", *HELD_OUT)),
    "another recipe of it, as a model": Attack("nothing that lies in a repository is built", {}, YAML, ("chat", "./base.yaml")),
    "a talk": Attack(NOT_OURS, played(name="evil.Speaker"), {"evil.py": SPEAKER}, ("chat", ".")),
    "pairs": Attack(NOT_OURS, played(name="evil.Speaker"), {"evil.py": SPEAKER}, ("pairs", ".", "--reward", "reading", "--out", "pairs.jsonl")),
    "a judge's policy": Attack("base.yaml", {"policy": {"model_name_or_path": "base.yaml"}}, YAML, ("judge", "{name: local, args: {model: x}}", "--policy", ".")),
    "a rival": Attack(NOT_OURS, rewarded("evil.reward") | BEST, {"evil.py": EVIL}, ("eval", "carer", "--suite", "reward_swap", "--rival", "first=.")),
    "a push": Attack("base.yaml", {"policy": {"model_name_or_path": "base.yaml"}}, YAML, ("push", ".", "--to", "org/x", "--base", "org/y", "--license", "mit", "--dry-run"), run=True),
}  # fmt: skip


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A tiny model of random weights."""
    from smilerl import worlds
    from smilerl.models.policy import fresh_policy

    folder = tmp_path_factory.mktemp("weights")
    policy = fresh_policy(TINY, worlds.build("smileworld"))
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def repository(weights, tmp_path) -> Callable[[Attack], Path]:
    def make(attack: Attack) -> Path:
        folder = tmp_path / "repo"
        shutil.copytree(weights, folder / "model" if attack.run else folder)
        shutil.copytree(weights, folder / "whole")
        recipe = {
            "method": "rloo",
            "output_dir": "runs/x",
            "policy": {"config": TINY},
            **rewarded("smile"),
            **attack.recipe,
        }
        here = {
            "recipe.yaml": yaml.safe_dump(recipe),
            "manifest.json": "{}",
            **({"status.json": '{"state": "finished", "step": 2, "seconds": 1.0}'} if attack.run else {}),
        }
        for name, content in {**here, **attack.files}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.unlink(missing_ok=True)
            elif isinstance(content, bytes):
                file.write_bytes(content)
            else:
                file.write_text(content)
        for file in folder.rglob("*.[jy]*"):
            if file.is_file():
                file.write_text(file.read_text().replace("HERE", str(folder)))
        return folder

    return make


def marks(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob(MARK))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_of_the_author_s_runs(product, repository, tmp_path, attack):
    folder = repository(attack)
    command = [part.replace("REPO", str(folder)) for part in attack.command]
    inside = any(part == "." or part.startswith(("./", "first=.")) for part in command)
    ended: Process = product(*command, cwd=folder if inside else tmp_path, timeout=60)
    assert not marks(tmp_path), f"it ran:\n{ended.out}\n{ended.err}"
    if attack.says is not None:
        ended.refused(attack.says)
    else:
        assert ended.code == 0 and "Traceback" not in ended.err, ended.err


def test_what_the_user_trusts_runs_and_is_recorded(product, repository, tmp_path):
    """Else the tests above would hold of a product that runs nothing at all."""
    attack = Attack(None, rewarded("evil.reward"), {"evil.py": EVIL})
    folder = repository(attack)
    ended = product("eval", ".", *HELD_OUT, "--trust", "--out", "out", cwd=folder)
    assert ended.code == 0 and "trusted: 'evil.reward'" in ended.err, ended.err
    assert marks(tmp_path) and json.loads((folder / "out/results.json").read_text())["trusted"] == ["evil.reward"]


def test_without_its_rewards_it_is_evaluated(product, repository, tmp_path):
    folder = repository(Attack(None, rewarded("evil.reward"), {"evil.py": EVIL}))
    ended = product("eval", ".", *HELD_OUT, "--reward", "none", cwd=folder)
    assert ended.code == 0 and not marks(tmp_path), ended.err


def test_a_run_of_one_s_own_is_trusted_and_the_same_of_somebody_else_is_not(product, tiny, tmp_path):
    (tmp_path / "mine.py").write_text("def reward(completions, **columns): return [0.0] * len(completions)\n")
    assert product("train", tiny(rewards=[{"name": "mine.reward"}])).code == 0
    evaluate = ("eval", "runs/recipe", *HELD_OUT)
    assert product(*evaluate).code == 0
    elsewhere = {"SMILERL_CACHE": str(tmp_path / "another")}
    product(*evaluate, env=elsewhere).refused("mine.reward", NOT_OURS, "--trust")
    recipe = tmp_path / "runs/recipe/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("mine.reward", "mine.py:reward"))
    product(*evaluate).refused("recipe.yaml has")
    for seal in (tmp_path / "runs/recipe").glob("*sealed.json"):  # whoever changes it can take the seal away, too
        seal.unlink()
    product(*evaluate).refused("mine.py:reward", NOT_OURS)


@pytest.mark.parametrize("harm", ["pickled", "with code beside it", "an adapter on a recipe"])
def test_nor_of_a_reward_model_that_it_brings(product, repository, tmp_path, harm):
    files = {
        "pickled": configured(architectures=["LlamaForSequenceClassification"])
        | {"pytorch_model.bin": pickle.dumps(Touch())},
        "with code beside it": configured(model_type="evil", auto_map={"AutoConfig": "evil.C"}) | {"evil.py": EVIL},
        "an adapter on a recipe": adapter("./base.yaml") | YAML,
    }[harm]
    brought = {f"whole/{name}": content for name, content in files.items()} | {"whole/model.safetensors": None}
    folder = repository(Attack(None, rewarded({"name": "preference", "args": {"model": "HERE/whole"}}), brought))
    ended = product("eval", folder, *HELD_OUT, cwd=folder)
    assert not marks(tmp_path) and "Traceback" not in ended.err and ended.code != 0, f"{ended.out}\n{ended.err}"


@pytest.mark.parametrize("through", ["a reward model's recipe", "an adapter whose base brings the recipe"])
def test_nor_what_lies_on_the_hub(smilerl, hub, repository, tmp_path, through):
    folder = repository(Attack(None, PREFERENCE, YAML))
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    hub.add("org/evil", files)
    if through.startswith("an adapter"):
        brings = adapter("org/evil") | {
            "recipe.yaml": yaml.safe_dump(
                {"method": "rloo", **PREFERENCE, "policy": {"model_name_or_path": "org/evil"}}
            )
        }
        hub.add(
            "org/one",
            {name: str(text).encode() for name, text in brings.items() if text}
            | {"manifest.json": b"{}", "adapter_model.safetensors": b""},
        )
    said = smilerl("eval", "org/one" if through.startswith("an adapter") else "org/evil", *HELD_OUT)
    assert said.code == 2 and "base.yaml" in said.err and len(said.err.splitlines()) <= 10, said.err
    assert not marks(tmp_path)
