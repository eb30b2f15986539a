"""What a run makes in its folder either goes or is said to stay: the two lists cannot part."""

from __future__ import annotations

from smilerl.publish import contents
from smilerl.publish.facts import Facts, base_of
from smilerl.runs import ownership


def test_each_thing_that_a_run_makes_goes_or_has_a_reason_to_stay():
    assert {*contents._GOES, *contents._STAYS} == set(ownership.OF_A_RUN)
    assert not set(contents._GOES) & set(contents._STAYS)


def test_what_stays_is_said_and_what_others_put_there_is_not(make_run):
    run = make_run("one")
    for name in ("checkpoints", "earlier", "initial", "notes"):
        (run.path / name).mkdir()
    for name in ("uncommitted.diff", "uncommitted-2.diff", "traceback.txt", "pairs.jsonl", "thesis.txt"):
        (run.path / name).write_text("")
    items, left = contents.of_run(Facts(run, "one", base_of(run, {}), run.recipe))
    said = {one.path: one.why for one in left if "/" not in one.path}
    assert set(said) == {
        "checkpoints",
        "earlier",
        "initial",
        "uncommitted.diff",
        "uncommitted-2.diff",
        "traceback.txt",
        "pairs.jsonl",
    }
    assert all(said.values()) and not {item.name.split("/")[0] for item in items} & set(said)
