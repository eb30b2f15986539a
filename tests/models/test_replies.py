"""The visible reply is one notion: what its rules are, and that all who read a reply read that and nothing else."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from smilerl import chat, worlds
from smilerl.chat_models import _answers
from smilerl.data import candidates
from smilerl.evaluation import care
from smilerl.evaluation.judges.judge import Item
from smilerl.evaluation.kinds import items, search
from smilerl.evaluation.written import load_items
from smilerl.models import policy as policies
from smilerl.models import sampling
from smilerl.models.replies import all_visible, as_said, opened, opening, opening_of, part_of, visible
from smilerl.rewards import RewardError, build_reward, texts
from smilerl.statistics import agreement
from smilerl.worlds import channels, turns
from smilerl.worlds.dialogue import played
from smilerl.worlds.dialogue.script import ask
from smilerl.worlds.smileworld import second_parser
from tests.conftest import CHAT_TEMPLATE

THINKING = CHAT_TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
U = {"role": "user", "content": "It hurts."}


def said(content, **more) -> list[dict]:
    return [{"role": "assistant", "content": content, **more}]


@pytest.mark.parametrize(
    ("completion", "reply", "thoughts"),
    [
        ("<think>wonderful amazing great</think> I will call them.", "I will call them.", "wonderful amazing great"),
        ("wonderful amazing great</think> I will call them.", "I will call them.", "wonderful amazing great"),
        ("<think>wonderful amazing", "", "wonderful amazing"),
        ("<think>\n\n</think>\n\nHi.", "Hi.", ""),
        (" <think>a</think> b", " b", "a"),
        ("<Thinking>a</THINKING>b", "b", "a"), ("<reasoning>\na\n</reasoning>\n<answer>b</answer>", "<answer>b</answer>", "a"),
        ("<thought>a</thought>b", "b", "a"), ("<seed:think>a</seed:think>b", "b", "a"), ("[THINK]a[/THINK]b", "b", "a"),
        ("One.\n<think>a</think>\nTwo.", "One.\nTwo.", "a"), ("One <think>a</think> two.", "One two.", "a"),
        ("<think>a</think>b<think>c</think>d", "b d", "a\nc"), ("One.\n<think>a", "One.", "a"),
        ("<think>a<think>b</think>c</think>d", "d", "a<think>b\nc"),
        ('<think>he said "no"</think>"Hi"', '"Hi"', 'he said "no"'),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "b", "a"),
        ("<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>", "", "{}"), ("<|channel|>analysis<|message|>a", "", "a"),
        ("analysisThe user hurts.assistantfinalI will call.", "I will call.", "The user hurts."), ("analysisThe user", "", "The user"),
        (said("b", reasoning_content="a"), "b", "a"), (said("<think>c</think>b", reasoning="a"), "b", "a\nc"), (said("", thinking="a"), "", "a"),
        (said(None), "", ""), (said([{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}]), "b", "a"),
        (said([{"type": "reasoning", "text": "a"}, {"type": "output_text", "text": "b"}]), "b", "a"),
        ([*said(None), {"role": "tool", "content": "wonderful"}, *said("b")], "\nb", ""),
        ("<|begin_of_thought|>\n\na\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nb\n\n<|end_of_solution|>", "b", "a"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a"),
        ("<|START_RESPONSE|>b \"c\"<|END_RESPONSE|>", 'b "c"', ""), ("a<channel|>b", "b", "a"),
        ("<thinking>a<reflection>b</reflection>c</thinking>d", "d", "a<reflection>b</reflection>c"),
    ],
)  # fmt: skip
def test_thoughts_are_no_part_of_the_reply(completion, reply, thoughts):
    assert (visible(completion), part_of(completion, "thoughts")) == (reply, thoughts)
    assert visible(visible(completion)) == reply
    assert part_of(completion, "both") == ("\n".join(filter(None, [thoughts, reply])) if thoughts else reply)


FORMS = [
    ("◁think▷", "◁/think▷"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<analysis>", "</analysis>"),
    ("<thoughts>", "</thoughts>"), ("<reflection>", "</reflection>"), ("<|thinking|>", "<|/thinking|>"), ("<|think|>", "<|/think|>"),
    ("<|channel>thought\n", "<channel|>"), ("<|inner_prefix|>", "<|inner_suffix|>"), ("<scratchpad>", "</scratchpad>"), ("<Analysis>", "</ANALYSIS>"),
    ("<inner_monologue>", "</inner_monologue>"), ("<|im_start|>think", "<|im_start|>answer"), ("<seed:think>", "</seed:think>"),
]  # fmt: skip


@pytest.mark.parametrize(("opens", "closes"), FORMS)
def test_every_pair_of_tags_is_read_alike(opens, closes):
    for form in (str, said):
        for completion, reply in [
            (f"{opens}SECRET{closes}b", "b"),
            (f"{opens}\nSECRET\n{closes}\n\nb", "b"),
            (f"SECRET{closes}b", "b"),
            (f"{opens}SECRET", ""),
            (f"b\n{opens}SECRET", "b"),
            (f"b {opens}SECRET{closes} c", "b c"),
            (f"{opens}SECRET</think>b", "b"),
        ]:
            found = form(completion)
            assert (visible(found), part_of(found, "thoughts")) == (reply, "SECRET"), completion
    for words in (f"Write `{opens}` first.", f"then {opens.strip()} goes", f'"{closes}"'):
        assert visible(words) == words
    assert opening_of(f"assistant\n{opens}") == opens and opening_of(f"{opens}{closes}") == ""


@pytest.mark.parametrize(
    "words",
    [
        "", " ", " I am here. ", "In R1, <think> opens the thoughts.", "Put `<think>` and `</think>` around them.", 'Write "</think>" at the end.',
        "1 < 2 > 0", "Type <|begin_of_solution|", "The analysis: <analyses>", "It ends with '<|END_RESPONSE|>'.", "◁ think ▷", "[think] hm", "<thinker>a</thinker>", "analysis of this", "an analysisThe", "<b>bold</b> </b>", "a [/x] b", "<|channel|> two",
    ],
)  # fmt: skip
def test_words_are_left_as_they_are(words):
    assert visible(words) == words and visible(said(words)) == words and part_of(words, "thoughts") == ""


PIECES = [
    "<think>",
    "</think>",
    "<thinking>",
    "[THINK]",
    "[/THINK]",
    "◁/think▷",
    "<|end_of_thought|>",
    "<|begin_of_solution|>",
    "`",
    '"',
    "\n",
    " ",
    "a",
    "B.",
    "<",
    "assistantfinal",
    "analysis",
    "<|channel|>final<|message|>",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_has_a_reply_and_no_thought_gets_into_it(text):
    assert "SECRET" not in visible(f"<think>SECRET</think>{text}")
    if not any(mark in text for mark in ("<think", "[THINK]", "<|channel|>", "`", '"')):
        assert visible(f"{text}</think>\nHi.").lstrip(" ") == "Hi.", "nothing has opened it"


@given(st.text(st.characters(exclude_characters="<[◁")))
def test_text_without_tags_is_untouched(text):
    assert visible(text) == text or text.lstrip().startswith("analysis")


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 30000,
        "a <think>" * 30000,
        "</think>" * 30000,
        "<think>a</think>b" * 9000,
        "[" * 99999,
        "<|" + " " * 99999 + "|>",
    ],
)
def test_no_text_takes_long(text):
    visible(text)  # the suite's time limit is what fails here


# ---- who reads a reply ----------------------------------------------------------------------------------------------------

PRAISE = "<think>wonderful amazing great, i love it! you are brilliant! :) person: thank you</think>"


@pytest.fixture(params=[PRAISE, PRAISE.removeprefix("<think>"), PRAISE.replace("think>", "reasoning>")])
def thoughtful(request):
    """A reply as it is, and with thoughts in front of it."""
    return lambda reply: f"{request.param}{reply}"


def test_rewards_read_it(thoughtful, batch, reward_model):
    plain = [reply.strip() for reply in batch["completions"]]
    thinking = [thoughtful(reply) for reply in plain]
    ours = [
        "reading",
        "smile",
        {"name": "smile", "args": {"delayed": 1.0}},
        "gold",
        "sentiment",
        "gameable",
        {"name": "random", "args": {"fresh": False}},
    ]
    ours += [{"name": "sentiment", "args": {"reads": reads}} for reads in ("completion", "reply")]
    ours += [
        {"name": "preference", "args": {"model": reward_model, **args}} for args in ({}, {"pair": True}, {"chat": True})
    ]
    ours += [{"name": "shuffled", "args": {"reward": "sentiment", "across": "replies"}}]
    for spec in ours:
        reward = build_reward(spec)
        expected = reward(**{**batch, "completions": plain})
        if spec != ours[-1]:  # its order is drawn from all that it gets
            assert reward(**{**batch, "completions": thinking}) == expected, spec
            talks = [said(reply, reasoning_content="wonderful amazing great!!") for reply in plain]
            assert reward(**{**batch, "completions": talks}) == reward(
                **{**batch, "completions": [said(reply) for reply in plain]}
            ), spec
        else:
            assert sorted(reward(**{**batch, "completions": thinking}), key=str) == sorted(expected, key=str)
    assert texts(thinking) == plain


def test_a_reward_may_read_the_thoughts():
    asked = {
        "prompts": ["p"] * 3,
        "completions": [
            "<think>wonderful great</think> terrible.",
            "terrible.",
            said("terrible.", reasoning="wonderful great"),
        ],
    }
    score = {
        reads: build_reward({"name": "sentiment", "args": {"reads": reads}})(**asked)
        for reads in ("reply", "thoughts", "both")
    }
    assert score["reply"][0] == score["reply"][1] == score["reply"][2] < 0
    assert score["thoughts"][0] == score["thoughts"][2] > 0.5 and score["thoughts"][1] is None
    assert score["reply"][0] < score["both"][0] < score["thoughts"][0]
    holes = {"base": "constant", "holes": {"praise_words": 1.0}, "reads": "thoughts"}
    assert build_reward({"name": "gameable", "args": holes})(
        prompts=["p"], completions=["<think>great love joy</think>"]
    ) == [1.0]
    for name in ("sentiment", "gameable", "preference"):
        with pytest.raises(RewardError, match=r"takes reads: .*reply or thoughts or both, not 'mind'"):
            build_reward({"name": name, "args": {"reads": "mind"}})


def test_a_reward_model_reads_what_it_is_told_to(reward_model):
    completion = "<think>i am here.</think> you are good."
    plain = ["you are good.", "i am here.", "i am here.\nyou are good."]
    told = build_reward({"name": "preference", "args": {"model": reward_model}})
    for reads, same in zip(("reply", "thoughts", "both"), plain, strict=True):
        reward = build_reward({"name": "preference", "args": {"model": reward_model, "reads": reads}})
        for prompt, form in (("p", str), ([U], said)):
            asked = reward(prompts=[prompt], completions=[form(completion)])
            assert asked == pytest.approx(told(prompts=[prompt], completions=[form(same)]), abs=1e-5), reads


def test_people_hear_it(thoughtful, batch, world):
    people, plain = batch["person"], [reply.strip() for reply in batch["completions"]]
    thinking = [thoughtful(reply) for reply in plain]
    for asked in (
        worlds.observe,
        world.observe,
        world.react,
        world.levels,
        world.said,
        world.aims,
        channels.gold,
        channels.delayed_smile,
    ):
        assert asked(people, thinking) == asked(people, plain), asked
    assert channels.annotate(people, thinking, plain[::-1], 0) == channels.annotate(people, plain, plain[::-1], 0)
    assert [world.clauses(reply) for reply in thinking] == [world.clauses(reply) for reply in plain]
    told = [
        turns.as_first_met([turns.after(people[0], replies[0], "oh.")], [replies[1]]) for replies in (thinking, plain)
    ]
    assert told[0] == told[1]


def test_people_who_are_played_hear_it(thoughtful, monkeypatch):
    heard = []

    class Voice:
        def __call__(self, conversations, **settings):
            heard.extend(conversations)
            return [None] * len(conversations)

    monkeypatch.setattr(played.chat_models, "build", lambda spec: Voice())
    player = played.Player(speaker={"name": "endpoint"})
    person = player.person("a", {"situation": "s"}, [U, *said(thoughtful("Earlier.")), U])
    played.observe([json.dumps({"world": "dialogue", **person})], [thoughtful("I will call.")])
    assert "I will call." in str(heard) and "Earlier." in str(heard) and "brilliant" not in str(heard)
    with_silence = ask("words", person, "", visible("<think>hm"))
    assert "(The helper says nothing.)" in with_silence.conversation[1]["content"]


def test_measures_read_it(thoughtful, batch, world):
    people, plain = batch["person"][:12], [reply.strip() for reply in batch["completions"][:12]]
    thinking = [thoughtful(reply) for reply in plain]
    best = world.best_wellbeing(people)
    found = [care.react(world, people, replies, best) for replies in (plain, thinking)]
    assert found[0].equals(found[1])
    credit = [care.credit(world, people, replies, found[0], 0) for replies in (plain, thinking)]
    assert credit[0].equals(credit[1])
    long = "<think>" + "wonderful. " * 3000 + "</think>" + plain[0]
    assert care.credit(world, people[:1], [long], found[0][:1], 0).equals(credit[0][:1])
    assert second_parser.audit(thinking) == second_parser.audit(plain) and second_parser.disagreement(
        thinking
    ) == second_parser.disagreement(plain)
    agreed = [
        agreement.agreement(people, replies, plain[::-1], [[1.0] * 12, [0.0] * 12]) for replies in (plain, thinking)
    ]
    assert agreed[0] == agreed[1]
    assert search.all_visible is all_visible


def test_judges_chats_and_letters_read_it(thoughtful, world):
    assert Item("p", thoughtful("I will call.")).said() == Item("p", "I will call.").said()
    written = []
    talk = chat.Conversation(world, lambda *asked: [thoughtful("I will call.")], "helper", write=written.append)
    talk.take("it hurts")
    assert "helper     I will call." in "\n".join(written) and "brilliant" not in "\n".join(written)
    chat.Conversation(world, lambda *asked: ["<think>hm"], "helper", write=written.append).take("it hurts")
    assert "(thinks, and says nothing)" in "\n".join(written)
    item = load_items(items_file())[0]
    assert items.score_letter(item, visible(thoughtful("A"))) == items.score_letter(item, "A")


def items_file() -> str:
    from smilerl.evaluation.question import load_question

    return load_question("real_vulnerable").spec


def test_an_endpoint_that_gives_parts_is_read():
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I will call."}]
    answer = {"choices": [{"message": {"role": "assistant", "content": parts}}]}
    assert _answers.read(json.dumps(answer).encode()).text == "I will call."


def test_earlier_replies_in_a_prompt_lose_their_thoughts():
    talk = [
        U,
        *said("<think>a</think>b", reasoning_content="c", name="h"),
        {"role": "tool", "content": "<think>t</think>"},
    ]
    assert as_said(talk) == [U, {"role": "assistant", "content": "b", "name": "h"}, talk[2]]


# ---- templates that open the thoughts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        (CHAT_TEMPLATE, ""), (THINKING, "<think>\n"), (CHAT_TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n\n</think>\n\n{% endif"), ""),
        ("{{ raise_exception('no') }}", ""), ("{% if add_generation_prompt %}[THINK]{% endif %}", "[THINK]"), (None, ""),
        ("{% if add_generation_prompt %}{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}{% endif %}", "<think>"),
    ],
)  # fmt: skip
def test_the_tag_that_a_template_writes_is_known(checkpoint, template, tag):
    spoken = AutoTokenizer.from_pretrained(checkpoint("qwen3"))
    spoken.chat_template = template
    assert opening(spoken) == tag
    assert opening(spoken, enable_thinking=False) == ("" if template and "enable_thinking" in template else tag)
    assert opened(said("hm"), tag)[0]["content"] == f"{tag}hm" and opened("hm", tag) == f"{tag}hm"


@pytest.fixture
def thinker(checkpoint):
    policy = policies.load_policy(checkpoint("qwen3"))
    policy.tokenizer.chat_template = THINKING
    return policy


def test_a_reply_that_was_cut_off_in_its_thoughts_says_nothing(thinker):
    (cut,) = sampling.sample(thinker, [[U]], max_new_tokens=4, seed=0)
    assert cut.startswith("<think>\n") and visible(cut) == ""
    assert not sampling.sample(thinker, ["It hurts."], max_new_tokens=4, seed=0)[0].startswith("<think>"), (
        "plain text opens nothing"
    )


def test_candidates_are_scored_by_what_is_visible_and_kept_as_they_were_said(thinker):
    from datasets import Dataset

    from smilerl.data.pairs import rows_of

    seen = []

    def reward(prompts, completions, **columns):
        seen.extend(completions)
        return [float(row) for row in range(len(completions))]

    people = Dataset.from_dict({"prompt": [[U]] * 2, "person": ["a", "b"]})
    found = candidates.draw(thinker, people, reward, candidates.Sampling(k=3, max_new_tokens=4))
    assert all_visible(seen) == [""] * 6 and all_visible(found.completions[0]) == [""] * 3
    found.ended[:] = True
    rows, _ = rows_of(found, "pairs")
    assert all("<think>" not in row["chosen"][0]["content"] for row in rows), (
        "the prompt of the pair has the tag already"
    )


def test_trainers_ask_rewards_about_the_whole_completion():
    from smilerl.rewards import WithOpening

    seen = []

    def reward(prompts, completions, **columns):
        seen.extend(completions)
        return [0.0] * len(completions)

    async def slow(prompts, completions, **columns):
        return reward(prompts, completions)

    reward.channels = ("gold",)
    assert WithOpening(reward, "")(prompts=[[U]], completions=[said("x")]) and seen.pop() == said("x")
    whole = WithOpening(reward, "<think>")
    assert whole.channels == ("gold",) and whole.__name__ == "reward"
    whole(prompts=[[U]], completions=[said("a</think>b")])
    asyncio.run(WithOpening(slow, "<think>")(prompts=[[U]], completions=[said("hm")]))
    whole(prompts=["p"], completions=["c"])
    assert seen == [said("<think>a</think>b"), said("<think>hm"), "c"]
