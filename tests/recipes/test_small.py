"""Real-model recipes run: two steps on the CPU, with tiny models of the same architectures and data of the same columns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from smilerl.config.recipe import RecipeError, read_recipe
from smilerl.models.policy import Policy, load_policy
from smilerl.models.sampling import encode_prompts
from smilerl.runs.directory import Run
from smilerl.training import methods
from smilerl.training.run import run_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
REAL = sorted(
    path for path in RECIPES.rglob("*.yaml") if path.parent.name in ("qwen3-0.6b", "smollm2-360m", "qwen3-8b")
)


def _kind(path: Path) -> tuple:
    recipe = read_recipe(path)
    return recipe.method, *(reward.name for reward in recipe.rewards), recipe.policy.peft is not None


def _covering() -> list[Path]:
    """Few recipes that have between them every method with every reward, every method full and with LoRA, and every model."""
    wanted: set[tuple] = set()
    traits = {}
    for path in REAL:
        method, *rewards, lora = _kind(path)
        traits[path] = {(method, *rewards), (method, lora), path.parent.name}
        wanted |= traits[path]
    chosen: list[Path] = []
    while wanted:
        best = max(REAL, key=lambda path: len(traits[path] & wanted))
        chosen.append(best)
        wanted -= traits[best]
    return chosen


COVERING = _covering()


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _runs(path: Path, small) -> None:
    if read_recipe(path).method not in methods.names():
        pytest.skip("its method is not in this tree")
    recipe = small(path)
    run = run_recipe(recipe, progress=False)
    assert run.finished
    if recipe.method == "best_of_n":
        return  # trains nothing, and has no model of its own
    assert run.status["step"] == 2
    if recipe.policy.peft is not None:
        adapter = load_file(run.model / "adapter_model.safetensors")
        assert all(weight.abs().sum() > 0 for key, weight in adapter.items() if "lora_B" in key)  # they start at zero
    elif recipe.method != "reward":
        before, after = (load_policy(model).model for model in (recipe.policy.model_name_or_path, run.model))
        old = dict(before.named_parameters())
        assert not [key for key, weight in after.named_parameters() if torch.equal(weight, old[key])]
    _is_spoken_to_as_it_was_trained(recipe, run)


def _is_spoken_to_as_it_was_trained(recipe, run: Run) -> None:
    asked = AutoTokenizer.from_pretrained(run.model).apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    thinking_is_off = recipe.policy.chat_template_kwargs == {"enable_thinking": False}
    assert asked.endswith("<think>\n\n</think>\n\n") == thinking_is_off


@pytest.mark.slow
@pytest.mark.parametrize("path", COVERING, ids=name)
def test_it_trains_two_steps(path: Path, small) -> None:
    _runs(path, small)


@pytest.mark.long
@pytest.mark.parametrize("path", [path for path in REAL if path not in COVERING], ids=name)
def test_every_other_one_trains_two_steps(path: Path, small) -> None:
    _runs(path, small)


@pytest.mark.slow
def test_prompts_are_written_alike_in_training_and_in_held_out_sampling(small, monkeypatch) -> None:
    """With the thinking of Qwen3 off, and what the helper is told first."""
    from trl import RLOOTrainer

    trained: list[tuple[list, list]] = []
    write = RLOOTrainer._tokenize_prompts

    def watched(self, prompts):
        written = write(self, prompts)
        trained.append((prompts, written[0]))
        return written

    monkeypatch.setattr(RLOOTrainer, "_tokenize_prompts", watched)
    run = run_recipe(small(RECIPES / "qwen3-0.6b" / "rloo_sentiment.yaml"), progress=False)
    policy: Policy = load_policy(run.model)
    (prompts, ids), *_ = trained
    assert encode_prompts(policy, prompts) == ids
    text = policy.tokenizer.decode(ids[0])
    assert text.startswith("<|im_start|>system\nYou talk with somebody") and text.endswith("<think>\n\n</think>\n\n")


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_computing_in_bfloat16_the_base_is_the_policy_before_the_first_step(beta: float, small) -> None:
    """With beta 0 the base is our own copy, else TRL's reference: each has to compute as the policy does."""
    said = {"training.bf16": True, "training.beta": beta}
    run = run_recipe(small(RECIPES / "qwen3-0.6b" / "grpo_sentiment.yaml", **said), progress=False)
    first, *_, last = [row["held_out/kl"] for row in run.metrics() if "held_out/kl" in row]
    assert first == 0 and last != 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("You are trying to access a gated repo.\nMake sure to have access to it at https://hf.co/x.", "gated repo"),
        ("x/y is not a local folder and is not a valid model identifier", "is not a valid model identifier"),
    ],
)
def test_a_model_that_is_not_there_or_not_for_you_is_told_with_its_line(small, monkeypatch, said, told) -> None:
    from transformers import AutoModelForCausalLM

    def refused(*args, **kwargs):
        raise OSError(said)

    recipe = small(RECIPES / "smollm2-360m" / "rloo_gameable.yaml")
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refused)
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe, progress=False)
    assert "policy.model_name_or_path" in str(caught.value) or "rloo_gameable.yaml:" in str(caught.value)
    assert told in str(caught.value) and "hf auth login" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10 and not (Path(recipe.output_dir) / "model").exists()


def test_a_setting_that_the_template_does_not_know_is_told_with_its_line(small) -> None:
    recipe = small(RECIPES / "smollm2-360m" / "sft.yaml", **{"policy.chat_template_kwargs": {"enable_thinking": False}})
    with pytest.raises(
        RecipeError,
        match=r"--policy.chat_template_kwargs: .*'enable_thinking', which the model's chat template does not know",
    ):
        run_recipe(recipe, progress=False)


def test_data_without_the_columns_is_told_with_its_line(small, tmp_path) -> None:
    path = RECIPES / "smollm2-360m" / "sft.yaml"
    (tmp_path / "other.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    with pytest.raises(RecipeError, match=r"other.jsonl:1: no 'conversations' here. Its columns are: question, answer"):
        small(path, **{"world.args.path": str(tmp_path / "other.jsonl")})
