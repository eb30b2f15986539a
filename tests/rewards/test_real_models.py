"""Real architectures as rewards: read to as they were trained, whatever the batch; and what is wrong with one is said."""

from __future__ import annotations

import json
import os
from shutil import copytree

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from smilerl.models.whole import loading_whole
from smilerl.rewards import RewardError
from smilerl.rewards._classifier import Classifier, Loading
from smilerl.rewards._loading import load_model
from smilerl.rewards.preference import JOINED, TRAINED_ON
from smilerl.rewards.preference import build as preference
from smilerl.rewards.sentiment import build as sentiment

SAID = ["I am so glad, thank you!", "no", "That is hard. " * 9, "", "it was a long day and I am tired of it all"]
PROMPTS = ["How are you?"] * len(SAID)
TALKS = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
REPLIES = [[{"role": "assistant", "content": said}] for said in SAID]
THREE = ["negative", "neutral", "positive"]


@torch.inference_mode()
def logit(folder: str, **encoded) -> float:
    """What the model says of one text alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model(**{name: torch.tensor([ids]) for name, ids in encoded.items()}).logits[0, 0].item()


@pytest.fixture(scope="session")
def closing(checkpoint, tmp_path_factory):
    """Makes a copy of an encoder whose tokenizer writes <|im_start|> a <|im_end|> b <|im_end|>, as BERT's kind does."""

    def make(architecture: str, **how) -> str:
        from tokenizers.processors import TemplateProcessing

        folder = tmp_path_factory.mktemp("closing") / "model"
        copytree(checkpoint(architecture, **{"chat": False, **how}), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        first, last = "<|im_start|>", "<|im_end|>"
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1",
            special_tokens=[(one, tokenizer.convert_tokens_to_ids(one)) for one in (first, last)],
        )  # fmt: skip
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def test_a_three_way_roberta_is_its_probabilities_by_name(checkpoint):
    folder = checkpoint("roberta", labels=THREE)
    values = sentiment(model=folder, reads="completion")(prompts=PROMPTS, completions=SAID)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    for said, value in zip(SAID, values, strict=True):
        ids = tokenizer(said)["input_ids"]
        if not ids:  # nothing was said, and this tokenizer adds nothing
            assert value is None
            continue
        with torch.inference_mode():
            bad, _, good = model.eval()(torch.tensor([ids])).logits.softmax(-1)[0].tolist()
        assert value == pytest.approx(good - bad, abs=1e-5)


def test_labels_without_meaning_ask_for_labels(checkpoint):
    folder = checkpoint("roberta", labels=["LABEL_0", "LABEL_1"])
    with pytest.raises(RewardError, match=r"labels: \{positive: LABEL_1, negative: LABEL_0\}"):
        sentiment(model=folder)
    told = sentiment(model=folder, reads="completion", labels={"positive": "LABEL_0", "negative": "LABEL_1"})
    turned = sentiment(model=folder, reads="completion", labels={"positive": "LABEL_1", "negative": "LABEL_0"})
    one, other = (reward(prompts=["p"], completions=["so good"])[0] for reward in (told, turned))
    assert one == pytest.approx(-other)
    assert one != 0


def test_roberta_reads_two_fewer_positions_than_it_counts(checkpoint):
    classifier = Classifier(checkpoint("roberta", labels=THREE, max_position_embeddings=40), "sentiment")
    assert classifier.longest == 39  # 40, less the padding token's position, 0 here
    assert torch.isfinite(classifier.logits([{"input_ids": [7] * 39}])).all()
    with pytest.raises((IndexError, RuntimeError)):
        classifier.logits([{"input_ids": [7] * 40}])


def test_a_long_text_loses_its_beginning_and_that_is_counted(checkpoint):
    logged = {}
    reward = sentiment(model=checkpoint("roberta", labels=THREE), reads="completion", max_length=20)
    end = "and now I am glad!!!"
    said = ["x" * 90 + end, "y" * 50 + end, "short", "tiny"]
    values = reward(prompts=said, completions=said, log_metric=logged.__setitem__)
    assert values[0] == values[1]
    assert logged == {"sentiment/truncated": 0.5}
    assert reward.about()["limit"] == 20
    assert reward.tokens(prompts=said, completions=said) == [len(one) for one in said]


def test_an_encoder_that_was_trained_on_pairs_reads_two_segments(closing):
    folder = closing("deberta", type_vocab_size=2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    reward = preference(model=folder)
    values = reward(prompts=PROMPTS, completions=SAID)
    for prompt, said, value in zip(PROMPTS, SAID, values, strict=True):
        ids = {name: rows[0] for name, rows in tokenizer([prompt], [said.strip()]).items()}
        assert 1 in ids["token_type_ids"]
        assert value == pytest.approx(
            logit(folder, input_ids=ids["input_ids"], token_type_ids=ids["token_type_ids"]), abs=1e-4
        )
    assert reward(prompts=TALKS, completions=REPLIES) == pytest.approx(values)
    assert reward.about()["reads"] == "a pair of segments"
    joined = preference(model=folder, pair=False, eos=False)(prompts=PROMPTS[:1], completions=SAID[:1])
    assert joined[0] == pytest.approx(logit(folder, input_ids=tokenizer(PROMPTS[0] + SAID[0])["input_ids"]), abs=1e-4)
    assert joined[0] != pytest.approx(values[0], abs=1e-3)


def test_an_encoder_trained_here_is_read_to_as_rewardtrainer_did(closing, tmp_path):
    folder = tmp_path / "trained"
    copytree(closing("deberta"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {TRAINED_ON: JOINED}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    [value] = preference(model=str(folder))(prompts=PROMPTS[:1], completions=SAID[:1])
    ids = tokenizer(PROMPTS[0] + SAID[0] + tokenizer.eos_token)["input_ids"]
    assert value == pytest.approx(logit(str(folder), input_ids=ids), abs=1e-4)


def test_a_qwen3_reward_model_reads_messages_through_its_template(checkpoint):
    folder = checkpoint("qwen3", classifier=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    values = preference(model=folder)(prompts=TALKS, completions=REPLIES)
    for talk, reply, value in zip(TALKS, REPLIES, values, strict=True):
        ids = tokenizer.apply_chat_template(talk + reply, tokenize=True, return_dict=True)["input_ids"]
        assert value == pytest.approx(logit(folder, input_ids=ids), abs=1e-4)
    plain, as_chat = (preference(model=folder, chat=chat)(prompts=PROMPTS, completions=SAID) for chat in (None, True))
    assert as_chat == pytest.approx(values)
    assert plain[0] != pytest.approx(values[0], abs=1e-3)
    with pytest.raises(RewardError, match="one kind"):
        preference(model=folder)(prompts=[PROMPTS[0], TALKS[0]], completions=[SAID[0], REPLIES[0]])


@pytest.mark.parametrize("loading", [{"batch_size": 1}, {"batch_size": 3}, {"batch_tokens": 1}, {"batch_tokens": 150}])
@pytest.mark.parametrize("architecture", ["qwen3", "deberta"])
def test_no_limit_on_batches_changes_a_value(checkpoint, architecture, loading):
    folder = checkpoint(architecture, classifier=True)
    whole, parted = (preference(model=folder, **how)(prompts=TALKS, completions=REPLIES) for how in ({}, loading))
    assert parted == pytest.approx(whole, abs=1e-5)


def test_batches_hold_both_limits(checkpoint):
    classifier = Classifier(checkpoint("qwen3", classifier=True), "preference", Loading(batch_size=3, batch_tokens=20))
    lengths = [2, 9, 30, 5, 0, 4, 4, 3]
    batches = list(classifier._batches(dict(enumerate(lengths))))
    assert sorted(row for batch in batches for row in batch) == [0, 1, 2, 3, 5, 6, 7]
    assert batches[0] == [2]  # longer than the budget, and alone
    assert all(len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= 20 for rows in batches)
    assert all(len(rows) <= 3 for rows in batches)


def test_a_card_that_is_too_small_is_told_with_what_to_lower(checkpoint, monkeypatch):
    classifier = Classifier(checkpoint("qwen3", classifier=True), "preference", Loading(batch_tokens=4000))

    def full(**inputs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(classifier.model, "forward", full)
    with pytest.raises(RewardError, match="batch_tokens: 1000"):
        classifier.logits([{"input_ids": [5, 6]}])


def test_it_runs_on_the_process_own_device_unless_told_otherwise(checkpoint):
    from accelerate import PartialState

    folder = checkpoint("qwen3", classifier=True)
    assert Classifier(folder, "preference").model.device == PartialState().device
    elsewhere = Classifier(folder, "preference", Loading(device="meta"))
    with pytest.raises(Exception, match="meta"):  # the device that was asked for, which holds no numbers
        elsewhere.logits([{"input_ids": [1]}])


def test_an_rm_with_two_outputs_is_refused_with_a_way_out(checkpoint):
    with pytest.raises(RewardError) as caught:
        preference(model=checkpoint("deberta", labels=["worse", "better"]))
    assert "2 outputs (worse, better)" in str(caught.value)
    assert "name: sentiment" in str(caught.value)


def test_a_language_model_is_no_reward_model(checkpoint):
    with pytest.raises(RewardError, match=r"language model.*method: reward"):
        preference(model=checkpoint("qwen3"))


def test_a_body_without_a_head_is_refused_and_not_scored_by_random_numbers(checkpoint, tmp_path):
    folder = tmp_path / "body"
    copytree(checkpoint("qwen3"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"id2label": {"0": "LABEL_0"}, "architectures": ["Qwen3Model"]})
    )
    with pytest.raises(RewardError, match=r"no weights for score\.weight"):
        preference(model=str(folder))(prompts=TALKS, completions=REPLIES)


def test_an_adapter_without_a_head_is_refused(checkpoint, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(checkpoint("qwen3"))
    get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2)).save_pretrained(tmp_path)
    with pytest.raises(RewardError, match="holds no head"):
        preference(model=str(tmp_path))(prompts=TALKS, completions=REPLIES)


def test_a_missing_id_and_a_gated_one_say_what_to_do(monkeypatch):
    # The client would try the network again and again, for 23 seconds where there is none.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RewardError, match=r"neither a directory with config\.json nor a Hub id"):
        preference(model="nobody/nothing-of-this-name")

    def gated(*args, **kwargs):
        import httpx
        from huggingface_hub.errors import GatedRepoError

        response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
        raise OSError("You are trying to access a gated repo.") from GatedRepoError("gated", response=response)

    monkeypatch.setattr(AutoConfig, "from_pretrained", gated)
    with pytest.raises(
        RewardError, match=r"gated\. Accept its conditions on https://huggingface.co/org/rm.*hf auth login"
    ):
        preference(model="org/rm")


def test_a_tokenizer_of_another_model_is_named(checkpoint, tmp_path):
    folder = tmp_path / "mixed"
    copytree(checkpoint("roberta", labels=THREE), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["hello"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(RewardError, match="do not belong together"):
        sentiment(model=str(folder), reads="completion")(prompts=["p"], completions=["hello"])


def test_half_precision_keeps_the_head_exact(checkpoint):
    """Else rewards of some size would be multiples of a sixteenth."""
    model = load_model(checkpoint("qwen3", classifier=True), "preference", "bfloat16", torch.device("cpu"))
    assert model.score.weight.dtype == torch.float32
    assert model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert model(input_ids=torch.tensor([[5, 6]])).logits.dtype == torch.float32
    assert model.config.use_cache is False
    for architecture in ("roberta", "deberta"):
        coarse = preference(model=checkpoint(architecture), dtype="bfloat16")(prompts=TALKS, completions=REPLIES)
        exact = preference(model=checkpoint(architecture))(prompts=TALKS, completions=REPLIES)
        assert coarse == pytest.approx(exact, abs=0.1)


def test_weights_are_whole_in_a_launch_that_splits_the_policy(monkeypatch):
    from transformers.integrations import deepspeed

    class Zero3:
        def is_zero3(self):
            return True

    config = Zero3()
    deepspeed.set_hf_deepspeed_config(config)
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    try:
        with loading_whole():
            assert not deepspeed.is_deepspeed_zero3_enabled()
            assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
        assert deepspeed.is_deepspeed_zero3_enabled()
        assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"
    finally:
        deepspeed.unset_hf_deepspeed_config()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("architecture", ["qwen3", "deberta"])
def test_on_a_gpu_it_runs_in_bfloat16_on_the_ranks_card_and_agrees_with_float32(checkpoint, architecture):
    folder = checkpoint(architecture, classifier=True)
    reward = preference(model=folder)
    values = reward(prompts=TALKS, completions=REPLIES)
    about = reward.about()
    assert about["dtype"] == "bfloat16"
    assert about["device"] == f"cuda:{torch.cuda.current_device()}"
    exact = preference(model=folder, dtype="float32", device="cpu")(prompts=TALKS, completions=REPLIES)
    assert values == pytest.approx(exact, abs=0.1)
    alone = [reward(prompts=TALKS[row : row + 1], completions=REPLIES[row : row + 1])[0] for row in range(len(TALKS))]
    assert alone == pytest.approx(values, abs=0.05)
