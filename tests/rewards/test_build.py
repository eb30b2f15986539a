"""Names to rewards: short names, dotted paths, files, and what is said when there is none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from smilerl import rewards, worlds
from smilerl.data.candidates import Sampling, draw
from smilerl.models.policy import fresh_policy
from smilerl.rewards import RewardError, build_reward, build_rewards
from smilerl.rewards._summed import Summed
from tests.fixtures.recipes import TINY

USERS_FILE = """
def words(completions, **columns):
    return [float(len(said.split())) for said in completions]

class Counts:
    def __init__(self, letter="e"):
        self.letter = letter
    def __call__(self, prompts, completions, **columns):
        return [float(said.count(self.letter)) for said in completions]

def counting(letter):
    return Counts(letter)

def no_columns(completions):
    return [0.0] * len(completions)

number = 3
"""


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    """A folder of the user's, with a file and a package."""
    (tmp_path / "mine.py").write_text(USERS_FILE)
    package = tmp_path / "users_own_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(USERS_FILE)
    (package / "broken.py").write_text("import not_installed_anywhere\n")
    (package / "built.py").write_text(
        "def build(value=1.0):\n    return lambda **columns: [value] * len(columns['completions'])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_rewards_of_the_issue_are_there():
    assert {"reading", "smile", "sentiment", "preference", "gameable", "gold", "shuffled", "constant", "random"} <= set(
        rewards.names()
    )


def test_specs_are_names_mappings_objects_or_callables():
    spec = SimpleNamespace(name="constant", args={"value": 2.0}, weight=1.0)
    built = build_rewards(["constant", {"name": "constant", "args": {"value": 1.0}}, spec, lambda **columns: [3.0]])
    assert [reward(prompts=["p"], completions=["c"]) for reward in built] == [[0.0], [1.0], [2.0], [3.0]]
    assert [reward.__name__ for reward in built] == ["constant", "constant_2", "constant_3", "<lambda>"]


def test_the_run_seeds_rewards_that_draw_and_whose_args_do_not():
    batch = {"prompts": ["p"] * 4, "completions": ["c"] * 4}

    def draws(seed, *specs):
        return [reward(**batch) for reward in build_rewards(specs, seed)]

    given = {"name": "random", "args": {"seed": 7}}
    assert draws(0, "random") == draws(0, "random") != draws(1, "random")
    assert draws(0, given) == draws(1, given)
    both = draws(0, "random", "random")
    assert both[0] != both[1]


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("mine.py:words", {}, 2.0),
        ("mine.py:Counts", {"letter": "o"}, 2.0),
        ("mine.py:counting", {"letter": "l"}, 1.0),
        ("users_own_package.mine.words", {}, 2.0),
        ("users_own_package.mine.Counts", {}, 0.0),
        ("users_own_package.built", {"value": 5.0}, 5.0),
    ],
)
def test_the_users_own_by_file_and_by_dotted_path(users_folder, name, args, value):
    [reward] = build_rewards([{"name": name, "args": args}])
    assert reward(prompts=["p"], completions=["so long"]) == [value]


def test_a_bare_trl_reward_works_here():
    [reward] = build_rewards([{"name": "trl.rewards.think_format_reward"}])
    said = [[{"role": "assistant", "content": text}] for text in ("<think>\nwhy\n</think>\nso", "so")]
    assert reward(prompts=["p", "p"], completions=said) == [1.0, 0.0]
    [soft] = build_rewards(
        [
            {
                "name": "trl.rewards.get_soft_overlong_punishment",
                "args": {"max_completion_len": 4, "soft_punish_cache": 2},
            }
        ]
    )
    assert soft(prompts=["p", "p"], completions=["a", "b"], completion_ids=[[1], [1] * 9]) == [0.0, -1.0]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sentimant", ["no reward 'sentimant'", "gameable", "Did you mean 'sentiment'?", "dotted path"]),
        ({"name": "sentiment", "args": {"modle": "x"}}, ["takes no 'modle'", "Did you mean 'model'?"]),
        ({"args": {}}, ["{name: ..., args: {...}}"]),
        ({"name": "reading", "arg": {}}, ["{name: ..., args: {...}}"]),
        ("not_there_at_all.words", ["no module 'not_there_at_all'", "not_there_at_all.words"]),
        ("users_own_package.mine.wordz", ["no 'wordz'", "Did you mean 'words'?"]),
        ("users_own_package.mine.number", ["is a int, not a callable"]),
        ("users_own_package.mine", ["has no function build"]),
        ("nowhere.py:words", ["no file 'nowhere.py'"]),
        ("mine.py:no_columns", ["must take **kwargs"]),
        ({"name": "mine.py:words", "args": {"a": 1}}, ["takes no args", "factory"]),
        ("mine.py:counting", ["needs args: {letter: ...}"]),
    ],
)
def test_what_cannot_be_built_is_said_in_few_words(users_folder, spec, says):
    with pytest.raises(RewardError) as caught:
        build_rewards([spec])
    message = str(caught.value)
    assert all(part in message for part in says), message
    assert len(message.splitlines()) <= 10


def test_a_users_module_that_cannot_import_says_so_itself(users_folder):
    with pytest.raises(
        RewardError,
        match=r"broken\.py:1: importing .* raised ModuleNotFoundError: No module named 'not_installed_anywhere'",
    ):
        build_reward("users_own_package.broken.reward")


@pytest.mark.parametrize("name", ["reading", "smile", "sentiment", "gold", "shuffled", "gameable"])
def test_a_reward_that_needs_a_reaction_is_refused_where_nobody_reacts(name, tmp_path):
    (tmp_path / "talks.jsonl").write_text('{"prompt": "hello"}\n')
    world = worlds.build("dialogue", path=str(tmp_path / "talks.jsonl"), held_out_fraction=0)
    with pytest.raises(RewardError, match="reads: completion"):
        build_rewards([name], world=world)
    build_rewards(
        [{"name": "sentiment", "args": {"reads": "completion"}}, "constant", "random", "preference"], world=world
    )


@pytest.mark.parametrize("name", ["reading", "smile", "sentiment", "gold", "gameable"])
def test_a_missing_person_column_is_named(name):
    with pytest.raises(RewardError, match="column 'person'"):
        build_reward(name)(prompts=["p"], completions=["c"])


NEEDY = """
def graded(prompts, completions, answer, **columns):
    return [float(said == right) for said, right in zip(completions, answer)]

class Graded:
    def __call__(self, prompts, completions, *, answer, strict=False, **columns):
        return graded(prompts, completions, answer)
"""


@pytest.mark.parametrize("name", ["needy.py:graded", "needy.py:Graded"])
@pytest.mark.parametrize("inside", [None, "base", "reward"])
def test_a_column_that_the_data_lacks_is_told_with_the_nearest(tmp_path, monkeypatch, name, inside):
    (tmp_path / "needy.py").write_text(NEEDY)
    monkeypatch.chdir(tmp_path)
    spec = {"name": name}
    if inside:
        spec = {"name": {"base": "gameable", "reward": "shuffled"}[inside], "args": {inside: {"name": name}}}
    for there in (None, ["prompt", "person", "answer"]):
        assert build_rewards([spec], columns=there)
    with pytest.raises(
        RewardError, match=r"needs the column 'answer'.*Beside the prompt it has: answers, id. Did you mean"
    ):
        build_rewards([spec], columns=["prompt", "person", "answers", "id"])
    with pytest.raises(RewardError, match="Beside the prompt it has: nothing"):
        build_rewards([spec], columns=["prompt", "person"])
    assert build_rewards([spec]), "what one recipe's data has is forgotten"


def test_outside_training_a_reward_gets_the_columns_from_the_people(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text(NEEDY)
    (tmp_path / "talks.jsonl").write_text('{"prompt": "p", "answer": "4"}\n{"prompt": "q", "answer": "5"}\n')
    monkeypatch.chdir(tmp_path)
    people = worlds.build("dialogue", path="talks.jsonl", held_out_fraction=0).people("train", 2, 0)
    total = Summed(build_rewards([{"name": "needy.py:graded"}]), [2.0])
    prompts, persons = people["prompt"][:], people["person"][:]
    assert total(prompts=prompts, completions=people["answer"][:], person=persons) == [2.0, 2.0]
    assert total(prompts=prompts, completions=["4", "4"], person=persons, answer=["4", "4"]) == [2.0, 2.0]


def test_candidates_are_scored_with_the_columns_of_their_people(tmp_path, monkeypatch):
    """What pairs, labels and best of n are made from."""
    code = "def longest(prompts, completions, answer, **columns):\n    return [float(len(one)) for one in answer]\n"
    (tmp_path / "needy.py").write_text(code)
    (tmp_path / "talks.jsonl").write_text('{"prompt": "p", "answer": "four"}\n{"prompt": "q", "answer": "eleven"}\n')
    monkeypatch.chdir(tmp_path)
    world = worlds.build("dialogue", path="talks.jsonl", held_out_fraction=0)
    people = world.people("train", 2, 0)
    total = Summed(build_rewards([{"name": "needy.py:longest"}]), [1.0])
    found = draw(fresh_policy(TINY, world), people, total, Sampling(k=3, max_new_tokens=2))
    assert found.rewards.tolist() == [[float(len(answer))] * 3 for answer in people["answer"]]
