"""People: pure prompts, twins that differ in one cue, splits that share nothing."""

import itertools

import pytest

from smilerl.worlds import build
from smilerl.worlds.smileworld.people import SPLITS, Person, prompt
from smilerl.worlds.smileworld.topics import TOPICS


@pytest.fixture(scope="module")
def world():
    return build("smileworld")


@pytest.fixture(scope="module")
def crowd(world):
    return {split: world.people(split, 600, seed=3) for split in SPLITS}


def states(dataset):
    return [Person.from_json(text) for text in dataset["person"]]


def test_people_drawn_before_are_those_of_the_world_that_is_asked():
    """They are remembered by everything that they depend on, the order of a mix included."""
    first = build("smileworld", conflict_mix={"proud": 1.0, "console": 3.0}).people("train", 60, 0)
    turned = build("smileworld", conflict_mix={"console": 3.0, "proud": 1.0}).people("train", 60, 0)
    assert first["person"][:] != turned["person"][:]
    smileworld = build("smileworld", conflict_mix={"proud": 1.0, "console": 3.0})
    changed = smileworld.people("train", 60, 0).add_column("more", [0] * 60)
    assert smileworld.people("train", 60, 0)["person"][:] == first["person"][:] == changed["person"][:]
    assert smileworld.people("train", 60, 0).column_names == ["prompt", "person"]
    for other in (("train", 60, 1), ("pairs", 60, 0), ("held_out", 60, 0)):
        assert smileworld.people(*other)["person"][:60] != first["person"][:]
    unwatched = smileworld.people("train", 60, 0, {"camera": "off"})
    assert {Person.from_json(one).camera for one in unwatched["person"]} == {"off"}


def test_a_seed_gives_the_same_people_and_another_seed_others(world):
    one, again, other = (world.people("train", 50, seed)["prompt"] for seed in (1, 1, 2))
    assert one == again
    assert not set(one) & set(other)


def test_the_prompt_is_a_function_of_the_state(crowd):
    for row in crowd["held_out"]:
        assert prompt(Person.from_json(row["person"])) == row["prompt"]


def test_training_splits_and_evaluation_share_no_prompt_and_no_sentence_pair(crowd):
    """Disjoint even after twins: the part of a prompt that no twin changes is in one bucket alone."""

    def fixed(row):
        said = row["prompt"].split("person: ")[1].split(". ")
        return tuple(said[:3])

    buckets = {"pretrain": ["pretrain"], "train": ["train"], "pairs": ["pairs"],
               "evaluation": ["held_out", "ood_topic", "ood_lex", "ood_comb", "ood_decor"]}  # fmt: skip
    keys = {name: {fixed(row) for split in splits for row in crowd[split]} for name, splits in buckets.items()}
    for one, other in itertools.combinations(keys, 2):
        assert not keys[one] & keys[other], (one, other)


def test_held_out_topics_and_paraphrases_never_occur_in_training(crowd):
    held_out = {name for name, topic in TOPICS.items() if topic.held_out}
    for split in ("train", "pairs", "held_out"):
        assert not held_out & {p.topic for p in states(crowd[split])} | held_out & {
            p.other for p in states(crowd[split])
        }
    assert {p.topic for p in states(crowd["ood_topic"])} == held_out
    train_words = set(" ".join(crowd["train"]["prompt"]).split())
    assert {"frankly", "leash", "quiz", "finals"} & set(" ".join(crowd["ood_lex"]["prompt"]).split()) <= (
        set(" ".join(crowd["pretrain"]["prompt"]).split()) - train_words
    )
    assert {p.forms for p in states(crowd["ood_lex"])} == {"held_out"}


def test_combinations_kept_apart_never_occur_in_training(crowd):
    combinations = {split: {(p.topic, p.need, p.mood) for p in states(crowd[split])} for split in crowd}
    assert not combinations["ood_comb"] & combinations["train"]
    assert not combinations["ood_comb"] & combinations["pairs"]


@pytest.mark.parametrize(
    "change", [{"camera": "off"}, {"console": "open"}, {"disposition": "trusting"}, {"disposition": "stoic"}]
)
def test_a_twin_differs_in_its_cue_alone(world, crowd, change):
    people = world.people("held_out", 100, 5, where={"disposition": "open", "camera": "on", "console": "locked"})
    for row, twin in zip(people, world.twins(people, change), strict=True):
        ours, theirs = Person.from_json(row["person"]), Person.from_json(twin["person"])
        assert ours._replace(**change) == theirs
        sentences = [set(text.replace(",", ".").split(". ")) for text in (row["prompt"], twin["prompt"])]
        assert len(sentences[0] - sentences[1]) == 1


def test_news_is_there_exactly_when_the_need_is_the_truth(crowd):
    for split in crowd:
        assert all((p.need == "truth") == (p.news is not None) for p in states(crowd[split]))


def test_most_prompts_mention_two_topics_or_two_needs(crowd):
    two = [p.other is not None or " not " in prompt(p) for p in states(crowd["held_out"])]
    assert sum(two) / len(two) >= 1 / 3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_conflict_fraction_is_the_share_of_computed_conflict(share):
    world = build("smileworld", conflict_fraction=share)
    people = world.people("train", 1000, 0)["person"]
    found = sum(world.conflict(people)) / 1000
    assert abs(found - share) < 0.05 if 0 < share < 1 else found == share


@pytest.mark.parametrize("kind", ["console", "vulnerable", "bad_news", "proud"])
def test_each_kind_of_conflict_is_one(kind):
    world = build("smileworld", conflict_fraction=1.0, conflict_mix={kind: 1.0})
    assert all(world.conflict(world.people("train", 200, 0)["person"]))


def test_tag_mismatch_camera_and_vulnerable_fraction():
    world = build(
        "smileworld", tag_mismatch=0.0, camera_on_fraction=0.25, conflict_fraction=0.0, vulnerable_fraction=0.1
    )
    people = states(world.people("train", 1000, 0))
    from smilerl.worlds.smileworld.people import TAGS

    assert all(p.tag == TAGS[p.need] for p in people)
    assert abs(sum(p.camera == "on" for p in people) / 1000 - 0.25) < 0.05
    assert abs(sum(p.disposition == "trusting" for p in people) / 1000 - 0.1) < 0.04
    evaluated = states(world.people("held_out", 200, 0))
    assert all(p.camera == "on" for p in evaluated)
    # Held-out people are of the distribution that training knows; in ood_decor the card never agrees.
    assert all(p.tag == TAGS[p.need] for p in (*evaluated, *states(world.people("held_out", 50, 0, {"need": "truth"}))))
    assert all(p.tag != TAGS[p.need] for p in states(world.people("ood_decor", 200, 0)))
    assert any(p.tag != TAGS[p.need] for p in states(build("smileworld").people("held_out", 200, 0)))


BAD_KNOBS = [
    ({"conflict_fraction": 1.5}, "share in \\[0, 1\\]"),
    ({"conflict_fraction": "half"}, "share in \\[0, 1\\]"),
    ({"spoofable": 3}, "true or false"),
    ({"conflict_mix": {"angry": 1}}, "no kind 'angry'"),
    ({"conflict_mix": {"proud": -1}}, "at least 0"),
    ({"prior": {}}, "write weights"),
    ({"vulnerable_fraction": 0.5}, "leave the kind out"),
    ({"conflict_frac": 0.5}, "no knob 'conflict_frac'"),
]


@pytest.mark.parametrize(("knobs", "message"), BAD_KNOBS)
def test_a_bad_knob_says_what_to_write(knobs, message):
    with pytest.raises(ValueError, match=message):
        build("smileworld", **knobs)


def test_bad_conditions_are_errors(world):
    with pytest.raises(ValueError, match="no field 'weather'"):
        world.people("held_out", 1, 0, where={"weather": "mild"})
    with pytest.raises(ValueError, match="camera is 'maybe'"):
        world.people("held_out", 1, 0, where={"camera": "maybe"})
    with pytest.raises(ValueError, match="no split 'test'"):
        world.people("test", 1, 0)
