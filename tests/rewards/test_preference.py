"""The preference reward scores as RewardTrainer trained."""

from __future__ import annotations

from shutil import copytree, ignore_patterns

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from smilerl.rewards import RewardError
from smilerl.rewards.preference import MODEL_VARIABLE, build, reward

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


def trainers_own_score(folder: str, tmp_path, prompt, chosen) -> float:
    """The model's output on the token ids that RewardTrainer itself makes of an example."""
    from trl import RewardConfig, RewardTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    other = " no." if isinstance(chosen, str) else [{"role": "assistant", "content": "no."}]
    trainer = RewardTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"prompt": prompt, "chosen": chosen, "rejected": other}]),
        args=RewardConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none"
        ),
    )
    ids = torch.tensor([trainer.train_dataset[0]["chosen_ids"]])
    with torch.inference_mode():
        return model.eval()(input_ids=ids).logits[0, 0].item()


def test_plain_text_scores_as_in_training(reward_model, tmp_path, batch):
    prompt, said = batch["prompts"][0], batch["completions"][0]
    expected = trainers_own_score(reward_model, tmp_path, prompt, said)
    scored = build(model=reward_model)(prompts=batch["prompts"], completions=batch["completions"])
    assert scored[0] == pytest.approx(expected, abs=1e-5)
    assert len(set(scored)) > 1


def test_messages_score_as_in_training(reward_model, tmp_path, tokenizer):
    folder = str(copytree(reward_model, tmp_path / "chat"))
    chatty = AutoTokenizer.from_pretrained(folder)
    chatty.chat_template = TEMPLATE
    chatty.save_pretrained(folder)
    prompt, said = (
        [{"role": "user", "content": "i feel flat."}],
        [{"role": "assistant", "content": "i am here with you."}],
    )
    expected = trainers_own_score(folder, tmp_path, prompt, said)
    scored = build(model=folder)(
        prompts=[prompt, prompt], completions=[said, [{"role": "assistant", "content": "no."}]]
    )
    assert scored[0] == pytest.approx(expected, abs=1e-5)
    assert scored[1] != scored[0]


def test_messages_without_a_chat_template_are_refused(reward_model, tokenizer, tmp_path):
    folder = str(copytree(reward_model, tmp_path / "plain", ignore=ignore_patterns("*.jinja")))
    tokenizer.save_pretrained(folder)
    with pytest.raises(RewardError, match="no chat template"):
        build(model=folder)(
            prompts=[[{"role": "user", "content": "hi"}]], completions=[[{"role": "assistant", "content": "ho"}]]
        )


def test_a_value_does_not_depend_on_its_batch(reward_model, batch):
    columns = {"prompts": batch["prompts"], "completions": batch["completions"]}
    assert build(model=reward_model, batch_size=3)(**columns) == pytest.approx(
        build(model=reward_model)(**columns), abs=1e-5
    )


def test_a_text_longer_than_the_model_reads_is_unscored(reward_model):
    logged = {}
    scored = build(model=reward_model)(
        prompts=["i", "i"], completions=[" am" * 500, " am."], log_metric=logged.__setitem__
    )
    assert scored[0] is None
    assert scored[1] is not None
    assert logged == {"preference/too_long": 0.5}


def test_the_ready_made_reward_finds_its_model_by_the_environment(reward_model, batch, monkeypatch):
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    with pytest.raises(RewardError, match=MODEL_VARIABLE):
        build()(**batch)
    monkeypatch.setenv(MODEL_VARIABLE, reward_model)
    assert reward(**batch) == build(model=reward_model)(**batch)


def test_what_is_no_reward_model_is_known_before_it_loads(classifier_dir):
    with pytest.raises(RewardError) as caught:
        build(model=classifier_dir(["NEGATIVE", "POSITIVE"]))
    assert "2 outputs (NEGATIVE, POSITIVE)" in str(caught.value)
    assert "name: sentiment" in str(caught.value)
    with pytest.raises(RewardError, match="no model"):
        build(model="nowhere/at/all")


def test_an_adapter_directory_works(classifier_dir, tokenizer, tmp_path, batch):
    from peft import LoraConfig, get_peft_model

    base = AutoModelForSequenceClassification.from_pretrained(classifier_dir(["LABEL_0"]))
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=2, init_lora_weights=False))
    torch.nn.init.normal_(adapted.base_model.model.score.modules_to_save["default"].weight)
    adapted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scored = build(model=str(tmp_path))(prompts=batch["prompts"][:4], completions=batch["completions"][:4])
    adapted.eval()
    for prompt, said, value in zip(batch["prompts"], batch["completions"], scored, strict=False):
        ids = torch.tensor([tokenizer(prompt + said + tokenizer.eos_token)["input_ids"]])
        with torch.inference_mode():
            assert value == pytest.approx(adapted(input_ids=ids).logits[0, 0].item(), abs=1e-4)
