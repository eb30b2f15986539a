"""Prompts that are read once for their group: the same log-probabilities, gradients and weights as TRL's own rows."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers as tf
from datasets import Dataset
from peft import LoraConfig
from scipy import stats
from trl.trainer.utils import add_fused_lm_head

from smilerl.config.trl import config_class
from smilerl.models.policy import load_tokenizer
from smilerl.training.trl_adapter import shared_prompt, state
from smilerl.training.trl_adapter.shared_prompt import SHARED, SharedGRPO, SharedPrompt, SharedRLOO, pack, why_not

V, WIDTH = 260, 12
SMALL = {
    "vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 256, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
GPT2 = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "bos_token_id": 1, "eos_token_id": 1,
        "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}  # fmt: skip
FAMILIES = {
    "llama": lambda: tf.LlamaConfig(**SMALL),
    "qwen3": lambda: tf.Qwen3Config(**SMALL, head_dim=8),
    "gemma3": lambda: tf.Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=128),
    "gpt2": lambda: tf.GPT2Config(**GPT2),
    "mistral": lambda: tf.MistralConfig(**SMALL, sliding_window=None),
}
MORE = {
    "qwen2": lambda: tf.Qwen2Config(**SMALL),
    "gemma2": lambda: tf.Gemma2Config(**SMALL, head_dim=8, sliding_window=128, attn_implementation="eager"),
    "phi": lambda: tf.PhiConfig(**{**SMALL, "num_key_value_heads": 4, "resid_pdrop": 0.0, "embd_pdrop": 0.0}),
    "olmo2": lambda: tf.Olmo2Config(**SMALL),
    "smollm3": lambda: tf.SmolLM3Config(**SMALL),
    "mistral with a window": lambda: tf.MistralConfig(**SMALL, sliding_window=128),
}


def model(family, attention=None):
    config = {**FAMILIES, **MORE}[family]()
    torch.manual_seed(0)
    made = tf.AutoModelForCausalLM.from_config(
        config, **({"attn_implementation": attention} if attention else {})
    ).eval()
    add_fused_lm_head(made, outputs=("log_probs", "entropy"))
    return made


def rows(group=4, prompts=3, width=20, keep=9, seed=0):
    """Ragged prompts and completions: of one token, of all columns, and of none (truncated ones that do not count)."""
    rng = random.Random(seed)
    ids, mask = (torch.zeros(group * prompts, width + keep, dtype=torch.long) for _ in range(2))
    for prompt in range(prompts):
        before = rng.randrange(1, width + 1)
        said = torch.tensor([rng.randrange(2, V) for _ in range(before)])
        for number in range(group):
            after = (1, keep, 0, rng.randrange(1, keep + 1))[min(number, 3)]
            row = prompt * group + number
            ids[row, width - before : width] = said
            ids[row, width : width + after] = torch.tensor(
                [rng.randrange(2, V) for _ in range(after)], dtype=torch.long
            )
            mask[row, width - before : width + after] = 1
    return ids, mask, keep


def theirs(model, ids, mask, keep):
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-keep] = -100
    found = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return found.log_probs[:, -keep:], found.entropy[:, -keep:]


def ours(model, ids, mask, keep):
    trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=lambda: torch.autocast("cpu", enabled=False)))
    return SharedPrompt._shared(trainer, model, ids, mask, keep, entropy=True)


def gradients(model, scored):
    weights = torch.rand(scored.shape, generator=torch.Generator().manual_seed(3))
    model.zero_grad(set_to_none=True)
    (scored * weights).sum().backward()
    return [one.grad.clone() for one in model.parameters() if one.grad is not None]


def apart(first, second):
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", [*FAMILIES, *MORE])
def test_log_probabilities_entropies_and_gradients_are_those_of_rows(family, attention):
    if family == "gemma2" and attention == "sdpa":
        pytest.skip("this family has none")
    policy, given = model(family, attention), rows()
    before, after = theirs(policy, *given), ours(policy, *given)
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one, other, atol=1e-5), (one - other).abs().max()
    assert apart(gradients(policy, before[0]), gradients(policy, after[0])) < 1e-5


@pytest.mark.parametrize("group", [2, 3, 16])
def test_groups_of_any_size_and_in_any_order(group):
    ids, mask, keep = rows(group, prompts=5, seed=group)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(group))
    policy = model("llama")
    assert torch.allclose(theirs(policy, ids[order], mask[order], keep)[0], ours(policy, ids[order], mask[order], keep)[0], atol=1e-5)  # fmt: skip


def test_nothing_is_packed_where_nothing_is_shared():
    ids, mask, keep = rows(group=2, prompts=1)
    assert pack(ids[:1], mask[:1], keep) is None, "one row"
    ids[1, 19] = ids[0, 19] % 200 + 2
    assert pack(ids, mask, keep) is None, "two prompts"
    ids, mask, keep = rows()
    hole = mask.clone()
    hole[1, 22] = 0
    assert pack(ids, hole, keep) is None, "padding within a completion"
    assert pack(ids, torch.cat([mask[:, :20], torch.zeros_like(mask[:, 20:])], 1), keep) is None, "nothing said"


def test_prompts_that_differ_in_length_alone_are_not_taken_for_equal():
    """One is the other with a padding token in front: ids alone would make them one."""
    ids, mask, keep = rows(group=2, prompts=1, width=6)
    ids[:, :6] = torch.tensor([0, 0, 5, 6, 7, 8])
    mask[0, :6], mask[1, :6] = torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 1, 1])
    assert pack(ids, mask, keep) is None
    policy, given = model("llama"), (torch.cat([ids, ids]), torch.cat([mask, mask]), keep)
    assert torch.allclose(theirs(policy, *given)[0], ours(policy, *given)[0], atol=1e-5)


def broken(packed, how):
    """What would go wrong if the packing were wrong."""
    allowed = packed.allowed.clone()
    if how == "a completion sees its sibling":
        return packed._replace(allowed=torch.ones_like(allowed).tril())
    if how == "positions do not restart":
        return packed._replace(positions=torch.arange(packed.tokens.shape[1]).expand_as(packed.positions))
    if how == "one padding token let in":
        allowed[..., 0] = True
        return packed._replace(allowed=allowed)
    others = packed.tokens.roll(1, 0)[:, : packed.start]
    return packed._replace(tokens=torch.cat([others, packed.tokens[:, packed.start :]], 1))


@pytest.mark.parametrize(
    "how",
    [
        "a completion sees its sibling",
        "positions do not restart",
        "one padding token let in",
        "a prompt taken for equal",
    ],
)
def test_a_wrong_packing_is_refused_on_the_first_batch(how, monkeypatch):
    policy, (ids, mask, keep) = model("llama"), rows(seed=5)
    assert not mask[:, 0].all(), "there is padding to let in"
    monkeypatch.setattr(shared_prompt, "pack", lambda *given: broken(pack(*given), how))
    said = []
    trainer = standing_of(policy, (ids, mask, keep), said.append)
    assert trainer.standing == said[0] and "differ from TRL's" in said[0]


class Bare:
    """The parts of TRL's trainer that the mixin calls."""

    def __init__(self, setting="auto", spread="NO", mixed="no"):
        self.args = SimpleNamespace(shared_prompt=setting)
        self.accelerator = SimpleNamespace(
            autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed != "no"),
            distributed_type=SimpleNamespace(name=spread),
            mixed_precision=mixed,
        )

    def _get_per_token_logps_and_entropies(self, model, ids, mask, keep, **more):
        return (*theirs(model, ids, mask, keep), None)


def standing_of(policy, given, tell=lambda text: None, **more):
    trainer = type("Trainer", (SharedPrompt, Bare), {"tell": staticmethod(tell)})(**more)
    logps, entropies, _ = trainer._get_per_token_logps_and_entropies(policy, *given, compute_entropy=True)
    expected = theirs(policy, *given)
    assert torch.allclose(logps, expected[0], atol=1e-5) and torch.allclose(entropies, expected[1], atol=1e-5)
    return trainer


@pytest.mark.parametrize("how", ["mixed", "of the weights"])
def test_in_half_precision_it_is_allowed_its_rounding_and_no_more(how, monkeypatch):
    """Log-probabilities come in single precision from mixed, too, and were held to the tolerance of single precision."""
    policy, given = model("llama"), rows()
    with torch.no_grad():  # fresh weights find every token equally likely, which would hide mistakes
        policy.lm_head.weight.mul_(10)
    if how == "of the weights":
        policy = policy.to(torch.bfloat16)

    def standing():
        trainer = type("Trainer", (SharedPrompt, Bare), {})(mixed="bf16" if how == "mixed" else "no")
        with trainer.accelerator.autocast():
            trainer._get_per_token_logps_and_entropies(policy, *given)
        return trainer.standing

    assert standing() == SHARED
    monkeypatch.setattr(shared_prompt, "pack", lambda *given: broken(pack(*given), "a completion sees its sibling"))
    assert "log-probabilities differ from TRL's" in standing()


def test_it_is_on_by_default_and_can_be_switched_off():
    assert standing_of(model("llama"), rows()).standing == SHARED
    assert standing_of(model("llama"), rows(), setting="off").standing == "training.shared_prompt is off"
    assert "was not tried" in standing_of(model("llama"), rows(), spread="FSDP").standing


def test_a_window_shorter_than_a_row_is_left_to_trl():
    config = tf.MistralConfig(**SMALL, sliding_window=8)
    policy = tf.AutoModelForCausalLM.from_config(config).eval()
    add_fused_lm_head(policy, outputs=("log_probs", "entropy"))
    said = []
    trainer = standing_of(policy, rows(), said.append)
    assert trainer.standing is None and trainer.unshared and said == [shared_prompt.NOTHING]


@pytest.mark.parametrize("attention", [0.9, 1.0])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_group_in_several_packed_rows_gives_the_same(family, attention, monkeypatch):
    """Where all completions of a group behind one prompt make too long a row."""
    policy, (ids, mask, keep) = model(family), rows(group=9, prompts=3, seed=2, keep=40)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(1))
    given = ids[order], mask[order], keep
    whole = pack(*given)
    monkeypatch.setattr(shared_prompt, "MOST_ATTENTION", attention)
    monkeypatch.setattr(shared_prompt, "MOST_TOKENS", 2)
    packed = pack(*given)
    assert 3 == len(whole.tokens) < len(packed.tokens) < len(ids)
    before, after = theirs(policy, *given), ours(policy, *given)
    assert torch.allclose(before[0], after[0], atol=1e-5) and torch.allclose(before[1], after[1], atol=1e-5)
    assert apart(gradients(policy, before[0]), gradients(policy, after[0])) < 1e-5


def test_long_completions_are_packed_by_few_and_beside_a_short_prompt_not_at_all():
    """Sixteen completions behind one prompt are one long row, and attention grows with its square."""
    assert len(pack(*rows(group=4, prompts=1, width=20, keep=40)).tokens) == 1
    ids, mask = (torch.ones(8, 200 + 256, dtype=torch.long) for _ in range(2))
    assert pack(ids, mask, 256).tokens.shape == (2, 199 + 4 * 256)
    ids, mask = (torch.ones(16, 2 + 200, dtype=torch.long) for _ in range(2))
    assert pack(ids, mask, 200) is None


def test_other_architectures_are_left_to_trl():
    said = {}
    for name, config in {
        "bloom": tf.BloomConfig(vocab_size=V, hidden_size=32, n_layer=1, n_head=2),
        "mamba": tf.MambaConfig(vocab_size=V, hidden_size=32, num_hidden_layers=1),
        "hybrid": tf.Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]),
        "by length": tf.LlamaConfig(
            **SMALL, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        ),
    }.items():
        said[name] = why_not(tf.AutoModelForCausalLM.from_config(config), "NO")
    assert "positions" in said["bloom"] and "not attention" in said["mamba"] and "not attention" in said["hybrid"]
    assert "length of a row" in said["by length"]


def test_learned_positions_that_skip_padding_are_refused_by_the_check():
    config = tf.OPTConfig(vocab_size=V, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, ffn_dim=64,
                          word_embed_proj_dim=32, dropout=0.0)  # fmt: skip
    policy = tf.AutoModelForCausalLM.from_config(config).eval()
    add_fused_lm_head(policy, outputs=("log_probs", "entropy"))
    assert "differ from TRL's" in standing_of(policy, rows(seed=5)).standing


def reward(completions, **columns):
    return [zlib.crc32(text.encode("utf-8", "replace")) % 7 / 7 for text in completions]


def sharp(family, folder, spread):
    """A model with large weights, so that mistakes show; from a folder, since TRL loads the reference from there."""
    torch.manual_seed(1)
    fresh = tf.AutoModelForCausalLM.from_config(FAMILIES[family]())
    with torch.no_grad():
        for one in fresh.parameters():
            one.normal_(0, spread)
    fresh.save_pretrained(folder)
    return tf.AutoModelForCausalLM.from_pretrained(folder)


def weights_after(trainer, family, tokenizer, out, *, peft=None, **said):
    """The weights after ten steps on completions that are the same whatever the trainer does."""

    class Replayed(trainer):
        def _generate_single_turn(self, prompt_ids, images, fields, *more):
            rng = random.Random(self.state.global_step)
            ends = [
                [rng.randrange(2, V) for _ in range(rng.randrange(WIDTH))] + [tokenizer.eos_token_id]
                for _ in prompt_ids
            ]
            cut = [one if number % 5 else one[:-1] or one for number, one in enumerate(ends)]
            return (cut, None) if trainer is SharedGRPO else cut

    config = config_class("grpo" if trainer is SharedGRPO else "rloo")
    settings = {"max_steps": 10, "per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": WIDTH,
                "learning_rate": 0.05, "optim": "sgd", "beta": 0.1, "lr_scheduler_type": "constant", "report_to": "none",
                "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "seed": 3}  # fmt: skip
    policy = sharp(family, out, 0.2)
    people = Dataset.from_dict({"prompt": ["a" * (number % 9 + 1) + " how are you" for number in range(24)]})
    made = Replayed(model=policy, processing_class=tokenizer, train_dataset=people, reward_funcs=[reward],
                    args=config(**{**settings, **said}, output_dir=str(out)), peft_config=peft)  # fmt: skip
    made.train()
    return made.standing, {
        name: one.detach().clone() for name, one in made.model.named_parameters() if one.requires_grad
    }


CASES = [
    *((SharedRLOO, family, {}) for family in FAMILIES),
    (SharedRLOO, "llama", {"num_generations": 2}),
    (SharedRLOO, "qwen3", {"num_generations": 16, "per_device_train_batch_size": 16}),
    (SharedRLOO, "llama", {"num_generations": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}),
    (SharedRLOO, "llama", {"num_generations": 8, "per_device_train_batch_size": 6, "gradient_accumulation_steps": 4}),
    (SharedRLOO, "gemma3", {"mask_truncated_completions": True}),
    (SharedRLOO, "llama", {"gradient_checkpointing": True}),
    (SharedRLOO, "gpt2", {"temperature": 0.7, "num_iterations": 2}),
    (SharedGRPO, "llama", {"num_iterations": 2}),
    *((SharedGRPO, "qwen3", {"loss_type": kind}) for kind in ("grpo", "bnpo", "dr_grpo", "dapo")),
]


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize(("trainer", "family", "said"), CASES, ids=[f"{t.__name__}-{f}-{s}" for t, f, s in CASES])
def test_ten_steps_end_in_the_same_weights(trainer, family, said, lora, checkpoint, tmp_path):
    tokenizer = load_tokenizer(checkpoint("llama"))
    target = "c_attn" if family == "gpt2" else "q_proj"
    ended = []
    for setting in ("off", "auto"):
        peft = LoraConfig(r=4, target_modules=[target], task_type="CAUSAL_LM") if lora else None
        ended.append(
            weights_after(trainer, family, tokenizer, tmp_path / setting, peft=peft, shared_prompt=setting, **said)
        )
    (off, before), (on, after) = ended
    assert off == "training.shared_prompt is off" and on == SHARED
    moved = max(float(one.abs().max()) for one in before.values())
    assert moved > 0 and max(float((before[name] - after[name]).abs().max()) for name in before) <= 1e-5 * moved


def sampler(checkpoint, tmp_path, setting, family="llama", lora=False, paid=None, **said):
    tokenizer = load_tokenizer(checkpoint("llama"))
    policy = sharp(family, tmp_path / "base", 0.3)
    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 3, "beta": 0.0,
                "report_to": "none", "use_cpu": True, "bf16": False, "seed": 3, "shared_prompt": setting}  # fmt: skip
    people = Dataset.from_dict({"prompt": ["are you well", "how are you"] * 4})
    peft = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM") if lora else None
    return SharedRLOO(model=policy, processing_class=tokenizer, train_dataset=people, reward_funcs=[paid or reward], peft_config=peft,
                      args=config_class("rloo")(**{**settings, **said}, output_dir=str(tmp_path)))  # fmt: skip


@pytest.mark.parametrize("said", [{}, {"temperature": 0.7}, {"top_p": 0.8}], ids=str)
def test_completions_have_the_distribution_of_generate(said, checkpoint, tmp_path):
    prompts = [[5, 9, 11]] * 1500 + [[7, 7, 9, 30, 12]] * 1500
    counts = []
    for setting in ("off", "auto"):
        trainer = sampler(checkpoint, tmp_path / setting, setting, **said)
        torch.manual_seed(2)
        found = trainer._generate_single_turn(prompts, None, {})
        assert len(found) == len(prompts) and {len(one) for one in found} <= {1, 2, 3}
        ends = trainer.eos_token_ids
        assert all(token not in ends for one in found for token in one[:-1]) and all(
            len(one) == 3 or one[-1] in ends for one in found
        )
        found = [(*one, *(-1,) * (3 - len(one))) for one in found]
        counts.append([Counter((row // 1500, one[place]) for row, one in enumerate(found)) for place in range(3)])
    for generated, sampled in zip(*counts, strict=True):
        common = [key for key, count in (generated + sampled).items() if count >= 20]
        table = [
            [*(one[key] for key in common), sum(one.values()) - sum(one[key] for key in common)]
            for one in (generated, sampled)
        ]
        assert len(common) > 8 and stats.chi2_contingency(np.array(table) + 0.5).pvalue > 1e-3


def test_completions_come_from_torch_s_own_random_numbers(checkpoint, tmp_path):
    """A checkpoint holds that state, so that a run which goes on samples what it would have sampled."""
    trainer = sampler(checkpoint, tmp_path, "auto")
    torch.manual_seed(2)
    first, state = trainer._generate_single_turn([[5, 9]] * 4, None, {}), torch.get_rng_state()
    second = trainer._generate_single_turn([[5, 9]] * 4, None, {})
    torch.set_rng_state(state)
    assert trainer._generate_single_turn([[5, 9]] * 4, None, {}) == second != first


@pytest.mark.parametrize(
    "said",
    [{"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.2}, {"generation_kwargs": {"no_repeat_ngram_size": 2}}],
    ids=str,
)
def test_what_evaluations_cannot_sample_is_left_to_generate(said, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_prompt, "decode", lambda *given: pytest.fail("sampled here"))
    trainer = sampler(checkpoint, tmp_path, "auto", **said)
    assert len(trainer._generate_single_turn([[5, 9]] * 4, None, {})) == 4


@pytest.mark.parametrize(("family", "beta"), [("llama", 0.0), ("llama", 0.1), ("gpt2", 0.0)])
def test_what_sampling_knew_stands_for_the_pass_of_the_old_policy(family, beta, checkpoint, tmp_path, monkeypatch):
    """Not for GPT-2: TRL counts padding among its learned positions when it scores, and not when it samples."""
    trainer, passes = (
        sampler(
            checkpoint, tmp_path, "auto", family, max_steps=3, beta=beta, temperature=0.8, per_device_train_batch_size=8
        ),
        [],
    )
    shared = SharedPrompt._shared

    def counted(self, *given, **more):
        passes.append("update" if torch.is_grad_enabled() else "reference" if given[0] is self.ref_model else "old")
        return shared(self, *given, **more)

    monkeypatch.setattr(SharedPrompt, "_shared", counted)
    compute, ratios = trainer._compute_loss, []

    def noted(model, inputs):
        with torch.no_grad():
            logps = theirs_of(model, inputs)
            ratios.append(float((logps - inputs["old_logps"]).abs().max()))
        return compute(model, inputs)

    trainer._compute_loss = noted
    trainer.train()
    assert max(ratios) < 1e-4, "the ratio of new to old is 1 at the first update"
    after = {
        ("llama", 0.0): ["update"],
        ("llama", 0.1): ["reference", "update"],
        ("gpt2", 0.0): ["old", "update"],
    }
    assert passes == ["old", *3 * after[family, beta]]  # the first is the comparison with TRL's


@pytest.mark.parametrize("found", [True, False])
def test_a_resumed_run_goes_on_with_what_it_found_on_its_first_batch(found, checkpoint, tmp_path, monkeypatch):
    """Another batch might tell otherwise, by rounding, and the weights would no longer be those of an uninterrupted run."""
    first = sampler(checkpoint, tmp_path / "first", "auto", max_steps=1)
    monkeypatch.setattr(shared_prompt, "SAME", 1e-5 if found else -1.0)
    first.train()
    assert first.draws is found and first.standing == SHARED
    second = sampler(checkpoint, tmp_path / "second", "auto", max_steps=2)
    monkeypatch.setattr(shared_prompt, "SAME", -1.0 if found else 1e-5)
    monkeypatch.setattr(second, "draws", state.state_of(first)["carried"]["draws"])
    second.train()
    assert second.draws is found and second.standing == SHARED


@pytest.mark.parametrize("lora", [False, True])
def test_rounding_is_no_kl(lora, checkpoint, tmp_path, monkeypatch):
    """The old policy's log-probabilities come from sampling and the reference's from a pass. While both are one model their KL
    is exactly 0, so that a constant reward moves no weight; a reference that differs by more than rounding has its KL."""
    told = []
    said = {"max_steps": 3, "beta": 0.1, "learning_rate": 0.1, "optim": "adamw_torch", "per_device_train_batch_size": 8}
    trainer = sampler(
        checkpoint, tmp_path, "auto", lora=lora, paid=lambda completions, **_: [1.0] * len(completions), **said
    )
    before = {name: one.clone() for name, one in trainer.model.state_dict().items()}
    scored = SharedPrompt._get_per_token_logps_and_entropies

    def noted(self, *given, **more):
        found = scored(self, *given, **more)
        told.append((torch.is_grad_enabled(), found[0].detach().clone()))
        return found

    monkeypatch.setattr(SharedPrompt, "_get_per_token_logps_and_entropies", noted)
    trainer.train()
    assert trainer.draws and len(told) == 9
    assert all(torch.equal(told[3 * step][1], told[3 * step + 1][1]) for step in range(3))
    assert all(torch.equal(one, before[name]) for name, one in trainer.model.state_dict().items())


def test_what_is_not_rounding_is_a_kl(checkpoint, tmp_path):
    trainer = sampler(
        checkpoint, tmp_path, "auto", beta=0.1, max_steps=3, learning_rate=0.05, optim="sgd", logging_steps=1
    )
    trainer.train()
    kl = [row["kl"] for row in trainer.state.log_history if "kl" in row]
    assert trainer.draws and len(kl) == 3 and kl[0] == 0 and kl[-1] != 0


def theirs_of(model, inputs):
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    return theirs(model, ids, mask, inputs["completion_ids"].shape[1])[0].sum(1)
