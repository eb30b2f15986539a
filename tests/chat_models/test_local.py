"""A model in this process says the same to the same talk, in whatever batch; equal specs share it."""

from __future__ import annotations

import json

import pytest

from smilerl import chat_models
from smilerl.chat_models import ChatModelError, local
from smilerl.models.policy import load_policy
from smilerl.models.sampling import completion_logprobs, sample

TALKS = [[{"role": "system", "content": "s"}, {"role": "user", "content": "u" * n}] for n in (1, 40, 3, 17, 3, 90)]


def chat_model(model: str, **args) -> local.Local:
    return chat_models.build({"name": "local", "args": {"model": model, "device": "cpu", **args}})


def test_a_reply_depends_on_its_talk_and_the_seed_and_on_no_batch(checkpoint) -> None:
    one_by_one, together = (chat_model(checkpoint("qwen3"), batch_size=size) for size in (1, 4))
    replies = together(TALKS, max_new_tokens=12, seed=5)
    assert one_by_one(TALKS[::-1], max_new_tokens=12, seed=5)[::-1] == replies
    assert [together([talk], max_new_tokens=12, seed=5)[0] for talk in TALKS] == replies
    assert replies[2] == replies[4], "the same talk has the same reply"
    assert len(set(replies)) == 5
    other = together(TALKS, max_new_tokens=12, seed=6)
    assert all(a != b for a, b in zip(replies, other, strict=True))
    assert together(TALKS, max_new_tokens=12, temperature=0.0) == one_by_one(
        TALKS, max_new_tokens=12, temperature=0.0, seed=1
    )
    assert together([], max_new_tokens=4) == []


def test_what_is_said_is_what_sampling_the_model_says(checkpoint) -> None:
    model = checkpoint("llama")
    direct = sample(load_policy(model), TALKS[:2], max_new_tokens=8, temperature=0.0, seed=0)
    assert chat_model(model)(TALKS[:2], max_new_tokens=8, temperature=0.0) == direct


def test_equal_specs_are_one_speaker_and_one_model_is_loaded_once(checkpoint, monkeypatch) -> None:
    loads = []
    local._loaded.cache_clear()
    real = load_policy
    monkeypatch.setattr(
        "smilerl.models.policy.load_policy", lambda *args, **more: loads.append(args) or real(*args, **more)
    )
    person, judge = chat_model(checkpoint("qwen3")), chat_model(checkpoint("qwen3"), batch_size=2)
    assert chat_model(checkpoint("qwen3")) is person
    assert judge is not person
    assert not loads, "building loads nothing"
    for who in (person, judge, person):
        who(TALKS[:1], max_new_tokens=2)
    assert len(loads) == 1


def test_usage_counts_what_was_asked(checkpoint) -> None:
    who = chat_model(checkpoint("qwen3"), batch_size=3)
    before = chat_models.usage()
    who(TALKS, max_new_tokens=5)
    spent = chat_models.usage(since=before)[who.name]
    assert (spent["calls"], spent["failed"]) == (5, 0)
    assert spent["tokens_in"] > 150
    assert 5 <= spent["tokens_out"] <= 25
    twice = chat_models.total([{who.name: spent}, {who.name: spent}])[who.name]
    assert twice["calls"] == 10
    assert json.dumps(twice)


def test_a_talk_too_long_for_the_model_is_a_gap_and_nothing_but_such_an_error(checkpoint) -> None:
    who = chat_model(checkpoint("qwen3"), batch_size=5)
    long = [{"role": "user", "content": "u" * 600}]
    replies = who([TALKS[0], long], max_new_tokens=8)
    assert isinstance(replies[0], str)
    assert replies[1] is None
    assert who.usage.failed == 1
    with pytest.raises(ChatModelError, match="can read none of 1 conversations: longer than the 504 tokens"):
        who([long], max_new_tokens=8)


def test_the_preflight_loads_no_weights_and_finds_what_is_missing(checkpoint, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("smilerl.models.policy.load_policy", lambda *args, **more: pytest.fail("weights were loaded"))
    chat_model(checkpoint("qwen3")).check()
    with pytest.raises(ChatModelError, match=r"no chat template.*Instruct"):
        chat_model(checkpoint("qwen3", chat=False)).check()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # nobody is to be waited for
    for name in (str(tmp_path / "nowhere"), "nobody/has-this-model"):
        with pytest.raises(ChatModelError, match=f"cannot load '{name}'(?s:.*)gated") as caught:
            chat_model(name).check()
        assert len(str(caught.value).splitlines()) <= 10


def test_a_template_that_does_not_take_the_talk_is_said(checkpoint, tmp_path) -> None:
    policy = load_policy(checkpoint("qwen3"))
    policy.tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}x"
    )
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ChatModelError, match="does not take a talk of system, user: no system here"):
        chat_model(str(tmp_path))(TALKS[:1], max_new_tokens=2)


def test_the_likelihood_of_replies_is_that_of_the_model(checkpoint) -> None:
    who, policy = chat_model(checkpoint("qwen3")), load_policy(checkpoint("qwen3"))
    options = [["yes", "yes, no"], ["no"], ["a", "b", "c"]]
    for eos in (False, True):
        found = who.option_logprobs(TALKS[:3], options, eos=eos)
        for talk, own, numbers in zip(TALKS[:3], options, found, strict=True):
            assert numbers == pytest.approx(completion_logprobs(policy, [talk] * len(own), own, eos=eos), abs=1e-4)


def test_where_a_template_begins_with_thoughts_no_likelihood_is_given(checkpoint, tmp_path) -> None:
    policy = load_policy(checkpoint("qwen3"))
    policy.tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ChatModelError, match="begins each reply with thoughts"):
        chat_model(str(tmp_path)).option_logprobs(TALKS[:1], [["a"]], eos=False)


class Mine:
    """A user's own chat model."""

    name = "mine"

    def __init__(self, word: str = "yes"):
        self.word = word

    def __call__(self, conversations, *, max_new_tokens, temperature=1.0, seed=0):
        return [self.word for _ in conversations]


def nameless(conversations, **settings):
    return []


def test_a_speaker_of_the_users_own(tmp_path) -> None:
    who = chat_models.build({"name": f"{__name__}.Mine", "args": {"word": "no"}})
    assert who([[]], max_new_tokens=1) == ["no"]
    chat_models.check(who)  # has nothing to check
    (tmp_path / "mine.py").write_text(
        "class S:\n    name = 's'\n    def __call__(self, c, **k):\n        return ['s']\n"
    )
    assert chat_models.build(f"{tmp_path}/mine.py:S")([[]], max_new_tokens=1) == ["s"]


@pytest.mark.parametrize(
    ("spec", "says_so"),
    [
        ("lokal", "no chat model 'lokal'. There are: endpoint, local. Did you mean 'local'?"),
        ("local", "lacks 'model'"),
        ({"name": "local", "args": {"model": "m", "dtyp": "float32"}}, "Did you mean 'dtype'?"),
        ({"name": "local", "args": {"model": "m", "dtype": "int8"}}, "float32, bfloat16"),
        ({"name": "local", "args": {"model": "m", "batch_size": 0}}, "batch_size is 0"),
        ({"name": "local", "args": "m"}, "args of the chat model 'local' are a mapping"),
        ({"name": "endpoint", "args": {"model": "m", "url": "http://x/v1", "api_key": "sk"}}, "unknown key 'api_key'"),
        ({"model": "m"}, "a chat model is written"),
        ("nothing.there", "no module 'nothing'"),
        ("nothing.py:S", "no file 'nothing.py'"),
        (f"{__name__}.nowhere", "no class or function"),
        ({"name": f"{__name__}.Mine", "args": {"wort": "no"}}, "unknown key 'wort'"),
    ],
)
def test_a_mistake_in_a_spec_says_what_to_write(spec, says_so) -> None:
    with pytest.raises(ChatModelError) as caught:
        chat_models.build(spec)
    assert says_so in str(caught.value)
