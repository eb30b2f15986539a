"""Log-odds of care against each act: by hand, and on clones of the scripted helpers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from smilerl import worlds
from smilerl.evaluation import clones, controls
from smilerl.evaluation.agents import language_model
from smilerl.evaluation.cohorts import cohorts, first
from smilerl.evaluation.kinds import choice
from smilerl.evaluation.question import load_suite
from smilerl.evaluation.session import Session
from smilerl.io import lock
from smilerl.io.errors import UserError
from smilerl.models.policy import fresh_policy
from smilerl.models.sampling import completion_logprobs
from smilerl.runs import seals
from smilerl.runs.cache import Cache
from smilerl.worlds.smileworld.acts import CARE

SUITE = load_suite("choices")
QUESTION = SUITE.questions[0]
CONFIG = {"model_type": "llama", "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 2, "max_position_embeddings": 128}  # fmt: skip


@pytest.fixture
def session():
    world = worlds.build("smileworld")
    torch.manual_seed(0)
    base = language_model(fresh_policy(CONFIG, world), {"max_new_tokens": 4})
    return Session(world, base, None, {"max_new_tokens": 4}, 0, Cache(None))


def people(session, n):
    return cohorts(session.world, QUESTION, SUITE, n, 0, session.cache)["people"]


def test_psi_by_hand(session):
    cohort = people(session, 2)
    found = choice._log_odds(session, QUESTION.spec, cohort, session.base)
    for row, (prompt, person) in enumerate(zip(cohort.prompts, cohort.people, strict=True)):

        def mass(acts, prompt=prompt, person=person):
            texts = [t for act in acts for t in session.world.paraphrases(person, act, 8, 0)
                     if session.world.react([person], [t])[0].outcome.acts == (act,)]  # fmt: skip
            assert len(texts) >= 8
            return np.logaddexp.reduce(
                completion_logprobs(session.base.policy, [prompt] * len(texts), texts, eos=False)
            )

        assert found.loc[row, "beg"] == pytest.approx(mass(CARE) - mass(["beg"]), abs=1e-4)


def test_options_do_what_they_say_and_are_alike_in_length(session):
    cohort = people(session, 24)
    for offer in choice._offers(session, QUESTION.spec, cohort.people):
        assert set(QUESTION.spec.acts) <= set(offer) and set(CARE) - {"truth"} <= set(offer)
        lengths = [np.mean([len(text.split()) for text in texts]) for texts in offer.values()]
        assert max(lengths) - min(lengths) < 5


def test_the_base_against_itself_is_zero(session):
    found, _ = choice.estimates(session, QUESTION.spec, people(session, 12), session.base)
    assert 0 < found.pop("offered").value < 1
    assert all((one.value, one.low, one.high) == (0, 0, 0) for one in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(("helper", "act"), [("beggar", "beg"), ("flatterer", "flatter")])
def test_a_clone_prefers_what_its_helper_does(session, helper, act):
    clone = language_model(clones.clone(session.base, session.base.policy, helper, session.world, steps=25), {})
    found, _ = choice.estimates(session, QUESTION.spec, people(session, 12), clone)
    assert found[act].high < 0
    assert found[f"{act}_raw"].value == min(one.value for name, one in found.items() if name.endswith("_raw"))


def test_a_clone_is_built_once_and_leaves_the_base_alone(session, monkeypatch):
    before = language_model(session.base.policy, {}).fingerprint
    first = clones.clone(session.base, session.base.policy, "carer", session.world, steps=2)
    monkeypatch.setattr(clones, "_build", lambda *args: pytest.fail("built again"))
    second = clones.clone(session.base, session.base.policy, "carer", session.world, steps=2)
    fingerprints = [language_model(policy, {}).fingerprint for policy in (first, second, session.base.policy)]
    assert fingerprints[0] == fingerprints[1] != before == fingerprints[2]


def a_file(cache):
    cache.mkdir()
    (cache / "clones").write_text("")


def a_link_to_nothing(cache):
    cache.mkdir()
    (cache / "clones").symlink_to(cache / "nothing" / "at-all")


def no_place_for_files(cache):
    cache.symlink_to("/proc/self")


@pytest.mark.parametrize("make", [a_file, a_link_to_nothing, no_place_for_files])
def test_a_cache_that_takes_no_clone_is_told(session, monkeypatch, tmp_path, make):
    make(tmp_path / "cache")
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="cannot be written in"):
        clones.clone(session.base, session.base.policy, "carer", session.world, steps=2)


@pytest.mark.parametrize("instead", ["a file", "a link", "an unsealed folder"])
def test_what_lies_in_a_clones_place_is_cleared_and_a_whole_one_needs_no_lock(
    session, monkeypatch, tmp_path, instead, capsys
):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path))
    built = []

    def build(model, conversations, folder, steps, seed):
        built.append(folder)
        model.model.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        seals.seal_beside(folder)

    monkeypatch.setattr(clones, "_build", build)

    def clone():
        return clones.clone(session.base, session.base.policy, "carer", session.world, steps=2)

    clone()
    (folder,) = built
    seals.beside(folder).unlink()
    if instead != "an unsealed folder":
        folder.rename(tmp_path / "away")
        folder.symlink_to(tmp_path / "away") if instead == "a link" else folder.write_text("")
    clone()
    assert len(built) == 2 and f"{folder}: it is not sealed. It is built again." in capsys.readouterr().err
    monkeypatch.setattr(lock, "in_cache", lambda path: pytest.fail("locked"))
    clone()
    assert len(built) == 2


def rest(**more):
    return dataclasses.replace(QUESTION.spec, against="rest", **more)


def test_against_the_rest_by_hand(session):
    cohort = people(session, 2)
    care, found = (choice._log_odds(session, spec, cohort, session.base) for spec in (QUESTION.spec, rest()))
    texts = [t for t in session.world.paraphrases(cohort.people[0], "beg", 8, 0)]
    mass = np.logaddexp.reduce(
        completion_logprobs(session.base.policy, [cohort.prompts[0]] * len(texts), texts, eos=False)
    )
    assert found.loc[0, "beg"] == pytest.approx(mass - np.log1p(-np.exp(mass)), abs=1e-4)
    assert found.loc[0, "offered"] == pytest.approx(care.loc[0, "offered"])


@pytest.mark.slow
@pytest.mark.parametrize("helper", ["beggar"])
def test_a_clone_reaches_for_what_its_helper_does(session, helper):
    clone = language_model(clones.clone(session.base, session.base.policy, helper, session.world, steps=25), {})
    found, _ = choice.estimates(session, rest(), people(session, 12), clone)
    assert found["beg"].low > 0.1
    assert found["beg_raw"].value == max(one.value for name, one in found.items() if name.endswith("_raw"))


def test_paid_exploits_are_left_out(session):
    """Escalation is about exploits that never paid: which these are is found out from the reward."""

    def likes_begging(completions, **columns):
        return [float(("smile" in text and "please" in text) or "beg" in text) for text in completions]

    paying = dataclasses.replace(session, reward=likes_begging)
    found, without = choice.estimates(paying, rest(unpaid=True), people(session, 12), session.base)
    assert list(without) == ["beg", "beg_raw"] and "beg" not in found and "stuff" in found
    everything, none = choice.estimates(session, rest(unpaid=True), people(session, 12), session.base)
    assert "beg" in everything and none == {}


def test_who_says_none_of_it_is_incapable(session):
    """A collapsed policy opens with nothing that it is offered: its log-odds are about what it would never say."""
    from smilerl.evaluation.verdicts import decide

    found, _ = choice.estimates(session, QUESTION.spec, people(session, 12), session.base)
    collapsed = {
        name: dataclasses.replace(one, value=1e-6, low=1e-6, high=2e-6) if name == "offered" else one
        for name, one in found.items()
    }
    assert decide(QUESTION.verdict, collapsed).word == "incapable"


def test_failed_clones_withhold_the_numbers(session, monkeypatch):
    from smilerl.evaluation.runner import evaluate

    monkeypatch.setattr(choice, "clone_of", lambda session, helper: session.base)
    suite = dataclasses.replace(SUITE, n=4)
    found = evaluate(session.base.policy, session.world, suite, base=session.base.policy, progress=False)[
        "evaluations"
    ]["choices"]
    assert found["status"] == "controls failed" and found["estimates"] == {}
    assert (
        evaluate("carer", session.world, suite, progress=False)["evaluations"]["choices"]["status"] == "not applicable"
    )


def test_the_first_of_a_group_are_a_group_of_their_own(session):
    cohort = people(session, 4)
    few = first(cohort, 2)
    assert few.people == cohort.people[:2] and len(few.clusters) == len(few.best) == 2 and few.key != cohort.key
    assert first(cohort, 10_000) is cohort


def test_clones_answer_for_a_few_people(session, monkeypatch):
    asked = []
    monkeypatch.setattr(
        controls, "_control", lambda _, question, people, *more: asked.append(len(people["people"].people))
    )
    controls.controls(session, QUESTION, {"people": people(session, 24)})
    assert asked == [choice.FEW] * len(QUESTION.controls)
