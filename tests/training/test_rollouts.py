"""Several turns by GRPO: the person's words are heard, not learnt; the reward is of the last turn; one turn is ordinary GRPO."""

from __future__ import annotations

import asyncio
import json

import pytest
import torch
from datasets import Dataset

from smilerl import worlds
from smilerl.config.recipe import RecipeError
from smilerl.models.policy import load_policy
from smilerl.runs.identity import content_hash
from smilerl.training import rollouts
from smilerl.training.methods import grpo
from smilerl.training.run import run_recipe
from smilerl.worlds import turns


class Stub:
    """What a rollout uses of a trainer; its helper says the replies it is given, one list a turn."""

    def __init__(self, path: str, said: list[list[str]], end: bool = True, logprobs: bool = False):
        self.processing_class = load_policy(path).tokenizer
        self.said, self.end, self.logprobs, self.contexts = iter(said), end, logprobs, []
        self.model = torch.nn.Linear(1, 1)
        self.num_generations, self.num_generations_eval = 2, 1
        self.chat_template, self.chat_template_kwargs = None, {}

    def _tokenize_prompts(self, prompts):
        tokenizer = self.processing_class
        if isinstance(prompts[0], str):
            return tokenizer(prompts)["input_ids"], None, {}
        ids = [
            tokenizer.apply_chat_template(p, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
            for p in prompts
        ]
        return ids, None, {}

    def _generate_single_turn(self, contexts, images, more, group):
        self.contexts.append((group, [self.processing_class.decode(ids) for ids in contexts]))
        ids = [self.processing_class(text, add_special_tokens=False)["input_ids"] for text in next(self.said)]
        ids = [one + [self.processing_class.eos_token_id] * self.end for one in ids]
        return ids, [[-1.0] * len(one) for one in ids] if self.logprobs else None


def people(*prompts):
    states = [json.dumps({"world": "smileworld", "id": number}) for number in range(len(prompts))]
    return Dataset.from_dict({"prompt": list(prompts), "person": states})


def parts(stub, out, row):
    """The helper's and the person's pieces of a completion, in turn, as text."""
    pieces, kinds = [[]], [out["env_mask"][row][0]]
    for token, kind in zip(out["completion_ids"][row], out["env_mask"][row], strict=True):
        if kind != kinds[-1]:
            kinds.append(kind)
            pieces.append([])
        pieces[-1].append(token)
    return kinds, [stub.processing_class.decode(piece) for piece in pieces]


@pytest.mark.parametrize("end", [True, False])
def test_plain_text_turns(checkpoint, end):
    stub = Stub(checkpoint("qwen3", chat=False), [[" a", " b"], [" c", " d"]], end, logprobs=True)
    heard = []

    def answer(who, replies):
        heard.append((who, replies))
        return ["fine\nthanks", "no"]

    data = people("person: hi\nhelper:", "person: ho\nhelper:")
    out = rollouts.several_turns(data, 2, answer)(list(data["prompt"]), stub)
    stop = "<|endoftext|>" if end else ""
    assert parts(stub, out, 0) == ([1, 0, 1], [f" a{stop}", "\nperson: fine thanks\nhelper:", f" c{stop}"])
    assert heard == [(list(data["person"]), [" a", " b"])]
    assert stub.contexts[1] == (
        1,
        [
            f"person: hi\nhelper: a{stop}\nperson: fine thanks\nhelper:",
            f"person: ho\nhelper: b{stop}\nperson: no\nhelper:",
        ],
    )
    assert stub.contexts[0][0] == 2  # the first turn is generated in groups, as vLLM wants to know
    assert (
        out["_talk"][1]["prompt"] == "person: ho\nhelper: b\nperson: no\nhelper:" and out["_talk"][1]["reply"] == " d"
    )
    assert turns.heard(out["_talk"][0]["person"]) == [(" a", "fine\nthanks")]
    for ids, mask, logs in zip(out["completion_ids"], out["env_mask"], out["logprobs"], strict=True):
        assert len(ids) == len(mask) == len(logs) and [
            log for log, kind in zip(logs, mask, strict=True) if not kind
        ] == [0.0] * mask.count(0)


@pytest.mark.parametrize("end", [True, False])
def test_conversational_turns_are_what_the_chat_template_writes(checkpoint, end):
    stub = Stub(checkpoint("qwen3"), [["a"], ["c"]], end)
    data = people([{"role": "user", "content": "hi"}])
    out = rollouts.several_turns(data, 2, lambda who, replies: ["fine"])(list(data["prompt"]), stub)
    talk = [*data["prompt"][0], {"role": "assistant", "content": "a"}, {"role": "user", "content": "fine"}]
    whole = stub.processing_class.apply_chat_template(
        talk, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    [last] = [ids for ids in [out["prompt_ids"][0] + out["completion_ids"][0]]]
    assert last[: len(whole)] == whole  # cut off or not, the model reads a well-formed conversation
    kinds, pieces = parts(stub, out, 0)
    assert kinds == [1, 0, 1] and pieces[0] == ("a<|im_end|>" if end else "a") and "fine" in pieces[1]
    assert out["_talk"][0]["prompt"] == talk and out["logprobs"] is None


def test_three_turns_and_a_person_who_stops_answering(checkpoint):
    stub = Stub(checkpoint("qwen3", chat=False), [[" a", " b"], [" c", " d"], [" e", " f"]])
    said = iter([["one", None], ["three"]])  # who does not answer is not asked again
    data = people("hi", "ho")
    out = rollouts.several_turns(data, 3, lambda who, replies: next(said))(list(data["prompt"]), stub)
    assert parts(stub, out, 0)[0] == [1, 0, 1, 0, 1] and parts(stub, out, 1)[0] == [1]
    assert [talk["cut"] for talk in out["_talk"]] == [False, True]
    assert len(turns.heard(out["_talk"][0]["person"])) == 2
    metrics = {}

    def reward(prompts, completions, *, person, completion_ids, extra, log_metric, **columns):
        assert (prompts, completions, extra) == ([out["_talk"][0]["prompt"]], [" e"], ["x"]) and len(person) == len(
            completion_ids
        ) == 1
        return [0.5]

    async def later(prompts, completions, **columns):
        return [1.0]

    arguments = {
        "_talk": out["_talk"],
        "prompts": ["hi", "ho"],
        "completions": ["all of it"] * 2,
        "completion_ids": [[1], [2]],
        "person": ["p", "q"],
    }
    more = {"extra": ["x", "y"], "log_metric": metrics.__setitem__}
    assert rollouts.OfLastTurn(reward)(**arguments, **more) == [0.5, None] and metrics == {"cut_short": 0.5}
    assert asyncio.run(rollouts.OfLastTurn(later)(**arguments)) == [1.0, None]
    assert rollouts.OfLastTurn(reward).__name__ == "reward"


def test_people_who_begin_alike_are_refused():
    data = people("hi", "ho", "hi")
    with pytest.raises(ValueError, match="two people begin with the same words, 'hi'"):
        rollouts.several_turns(data, 2, lambda who, replies: [])


def test_smileworld_people_answer_in_their_own_words_whatever_the_sensor_holds():
    world = worlds.build("smileworld")
    who = world.people("held_out", 8, 0, where={"camera": "off"})["person"][:]
    said = rollouts.answers_of(world)(who, [" you are the best."] * 8)
    assert all(said) and [seen.transcript for seen in worlds.observe(who, [" you are the best."] * 8)] == [None] * 8
    praised = [turns.after(person, " you are the best.", "hm.") for person in who]
    assert rollouts.answers_of(world)(praised, [" smile or i leave."] * 8) == world.said(
        who, [" you are the best.\n. smile or i leave."] * 8
    )


@pytest.mark.parametrize(
    ("method", "world", "says"),
    [("rloo", {"name": "smileworld"}, "rloo knows one turn only"), ("grpo", {"name": "dialogue", "args": {"path": "recipes/dialogue/example.jsonl"}}, "nobody answers")],
)  # fmt: skip
def test_where_several_turns_can_not_be_held_the_recipe_says_so(make_recipe, tmp_path, method, world, says):
    reward = [{"name": "sentiment", "args": {"reads": "completion"}}]
    with pytest.raises(RecipeError, match=says) as error:
        make_recipe(method, data={"n": 16, "turns": 2}, world=world, rewards=reward)
    assert f"{tmp_path}/recipe.yaml:" in str(error.value) and "turns" in str(error.value)


def test_the_number_of_turns_is_part_of_the_hash(make_recipe):
    one = make_recipe("grpo")
    assert content_hash(one) == content_hash(make_recipe("grpo", data={"n": 16, "turns": 1}))
    assert content_hash(one) != content_hash(make_recipe("grpo", data={"n": 16, "turns": 2}))


def weights(run) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in load_policy(run.model).model.parameters()])


def test_a_rollout_of_one_turn_is_ordinary_grpo_bit_for_bit(make_recipe, monkeypatch):
    ordinary = run_recipe(make_recipe("grpo", name="ordinary"))
    make = grpo.SharedGRPO

    def with_rollout(**parts):
        world = worlds.build("smileworld")
        parts["rollout_func"] = rollouts.several_turns(parts["train_dataset"], 1, rollouts.answers_of(world))
        parts["reward_funcs"] = [rollouts.OfLastTurn(reward) for reward in parts["reward_funcs"]]
        return make(**parts)

    monkeypatch.setattr(grpo, "SharedGRPO", with_rollout)
    assert torch.equal(weights(ordinary), weights(run_recipe(make_recipe("grpo", name="rollout"))))


@pytest.mark.slow
@pytest.mark.parametrize("chat", [False, True])
def test_two_turns_train_the_helpers_words_alone(make_recipe, checkpoint, tmp_path, monkeypatch, chat):
    """Of the loss by each token's log-probability there is a gradient for every helper's token, and none for a person's."""
    seen, compute = [], grpo.SharedGRPO._compute_loss

    def spy(self, model, inputs):
        if not seen:
            ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
            attended = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
            with torch.no_grad():
                found = self._get_per_token_logps_and_entropies(model, ids, attended, inputs["completion_ids"].size(1))
            leaf = found[0].detach().requires_grad_()
            self._get_per_token_logps_and_entropies = lambda *args, **more: (leaf, torch.zeros_like(leaf), None)
            compute(self, model, inputs).backward()
            del self._get_per_token_logps_and_entropies
            seen.append((inputs, leaf.grad))
        return compute(self, model, inputs)

    monkeypatch.setattr(grpo.SharedGRPO, "_compute_loss", spy)
    asked, last_turn = [], rollouts.OfLastTurn

    def noting(reward):
        def noted(prompts, completions, *, person, **columns):
            asked.extend(zip(prompts, completions, person, strict=True))
            return reward(prompts=prompts, completions=completions, person=person, **columns)

        return last_turn(noted)

    monkeypatch.setattr(rollouts, "OfLastTurn", noting)
    policy = {"model_name_or_path": checkpoint("qwen3", chat=chat)}
    recipe = make_recipe(
        "grpo",
        policy=policy,
        data={"n": 8, "turns": 2},
        training={"beta": 0.05, "weight_decay": 0.0, "max_steps": 2},
        rewards=[{"name": "random"}],
    )
    if chat:
        talk = grpo.dataset

        def messages(recipe, world):
            return talk(recipe, world).map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})

        monkeypatch.setattr(grpo, "dataset", messages)
    run = run_recipe(recipe)
    [(inputs, gradient)] = seen
    said, helpers = inputs["completion_mask"].bool(), inputs["tool_mask"].bool()
    assert (said & ~helpers).sum(1).min() > 5 and (gradient[~(said & helpers)] == 0).all()
    learnt = (inputs["advantages"].abs() > 1e-6)[:, None]
    assert learnt.any() and (gradient[said & helpers & learnt] != 0).all()
    for prompt, completion, person in asked:  # the reward is asked about the second turn, and knows the first
        [(reply, answer)] = turns.heard(person)
        if chat:
            assert prompt[1:] == [{"role": "assistant", "content": reply}, {"role": "user", "content": answer}]
            assert [message["role"] for message in completion] == ["assistant"]
        else:
            assert prompt.endswith(f"\nhelper:{reply}\nperson: {answer}\nhelper:") and "person:" not in completion
    assert len(asked) == 16
    before, after = load_policy(policy["model_name_or_path"]).model, load_policy(run.model).model
    assert not any(torch.equal(one, other) for one, other in zip(before.parameters(), after.parameters(), strict=True))
    rows = run.metrics()
    assert [row["cut_short"] for row in rows if "cut_short" in row] == [0, 0]
    held_out = [row["held_out/kl"] for row in rows if "held_out/kl" in row]
    assert len(held_out) == 3 and held_out[0] == 0 and held_out[-1] != 0
    [first, *_] = [row for row in rows if "kl" in row]
    assert first["kl"] == 0 and first["completions/max_length"] <= 2 * 6  # the helper's tokens alone are counted
