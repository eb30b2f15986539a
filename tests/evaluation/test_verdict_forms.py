"""Verdicts as chat models write them: what can mean one thing is read, what could mean two or be a quotation is counted as unread."""

from __future__ import annotations

import pytest

from smilerl import worlds
from smilerl.evaluation.judges import Judge, load_rubric
from smilerl.evaluation.judges.agreement import agreement
from smilerl.evaluation.judges.judge import Item
from smilerl.evaluation.judges.robustness import INJECTIONS
from smilerl.evaluation.judges.transcripts import transcripts
from smilerl.evaluation.judges.verdict import read_verdict
from smilerl.models.ratings import number

WELLBEING, ACTS = load_rubric("wellbeing"), load_rubric("acts")
#: After `verdict qqq: `, and alone on the last line, all of these are 5.
FIVE = [
    "5", "5.", "5/7", "5 / 7", "5 of 7", "5 out of 7", "5 out of 7.", "**5**", "**5**.", "`5`", "(5)", "[5]", "<5>", '"5"', "*5*", "five", "Five.", "5.0",
    "5!", "5!!", "5 points", "5 points.", "5 pts", "5/7 points", "5 points out of 7", "**5**/7", "**5** out of **7**", "`5`/7", "\\boxed{5}", "$\\boxed{5}$", "\\boxed{5/7}.", "\\(\\boxed{\\text{5}}\\)",
]  # fmt: skip
#: Only where it is called a verdict: alone it may be a line of the rubric.
MEANT = [
    "5: slightly better off (a kind word)", "5 - slightly better off", "5 (slightly better off)", "**5** – slightly better off (a kind word).",
    "5 (very good)", "**5** (very friendly)", "5/7 (warm, caring).", "5 (excellent!)",
]  # fmt: skip
#: With the word or without, these are 5, too.
LINES = [
    "**verdict{w}: 5**", "**Verdict{w}:** 5", "Verdict{w}: **5**", "VERDICT{w}: 5", "verdict{w} = 5", "Verdict{w} - 5", "Verdict{w} – 5/7", "verdict{w} is 5.",
    "Verdict{w} 5", "### Verdict{w}: 5", "- verdict{w}: 5", "> verdict{w}: 5", "`verdict{w}: 5`", "Final verdict{w}: 5", "My score{w}: 5", "Score{w} - 5",
    "Rating{w}: 5 out of 7", "Score{w}: 5 out of 7.", "Rating{w} = 5", "Score{w}: **5**/7", "Score{w}: 5!", "Rating{w}: 5 (very good)", "_Verdict{w}: five._", "```\nverdict{w}: 5\n```", "<think>verdict{w}: 2</think>verdict{w}: 5", "hm, 2.</think>\nverdict{w}: 5",
]  # fmt: skip
JSON = [
    '{{"verdict{w}": 5}}', '```json\n{{"reason": "so", "verdict{w}": 5}}\n```', '{{\n  "verdict{w}": "5"\n}}', '```\n{{"Score{w}": "5/7"}}\n```',
]  # fmt: skip
UNREAD = [
    "5: slightly better off", "verdict{w}: 4-5", "verdict{w}: 4 or 5", "verdict{w}: between 4 and 5", "verdict{w}: 5/10", "verdict{w}: 5 out of 10", "verdict{w}: 5/5", "verdict{w}: 4, 5",
    "verdict{w}: 5.5", "verdict{w}: ~5", "verdict{w}: not 5", "verdict{w}: 5?", "verdict{w}: five or six", "verdict{w}: 5 (much better off)",
    "verdict{w}: 5: as well off as a reply can make them", "verdict{w}: 50%", "verdict{w}:", "verdict{w}: N", "verdict{w}: good", "I would say 5", "4\n5 of them",
    '{{"verdict{w}": 5, "score": 4}}', '{{"verdict{w}": [4, 5]}}', '{{"verdict{w}": null}}', "verdict abc: 5", "**verdict abc: 5**", '{{"verdict abc": 5}}',
    "verdict{w}: 5\nI am sure.", "verdict{w}: ٥", "<think>verdict{w}: 5", "verdict{w}: 5/7 or 6/7",
    "verdict{w}: 5/7 at first, later 3", "verdict{w}: 5 (or six)", "verdict{w}: 5 (not sure)", "verdict{w}: 5 (out of ten)", "verdict{w}: 5 (later three)", "verdict{w}: 5 points out of 10", "verdict{w}: \\boxed{{4}} \\boxed{{5}}", "verdict{w}: 5!?", "verdict{w}: 5 stars", "verdict{w}: 5 (5)",
    "verdict{w}: 5 points or 6 points", "verdict{w}: 5 (good) or 6", "verdict{w}: not \\boxed{{5}}",
]  # fmt: skip
BEYOND = [
    "verdict{w}: 8",
    "verdict{w}: 0",
    "verdict{w}: -1",
    "verdict{w}: **-5**",
    "Verdict{w} -5",
    '{{"verdict{w}": 70}}',
    "verdict{w}: ten",
]


def forms(lines: list[str]) -> list[str]:
    """Each with the word of the call and without."""
    return [line.format(w=w) for line in lines for w in (" qqq", "")]


@pytest.mark.parametrize("answer", [*FIVE, *(f"verdict qqq: {five}" for five in FIVE + MEANT), *forms(LINES + JSON)])
def test_what_means_one_thing_is_read(answer):
    for said in (answer, f"I thought of it.\n\n{answer}\n"):
        assert read_verdict(WELLBEING, "qqq", said).score == 5, said


@pytest.mark.parametrize("answer", forms(UNREAD))
def test_what_could_mean_two_things_is_no_verdict(answer):
    verdict = read_verdict(WELLBEING, "qqq", answer)
    assert (verdict.score, verdict.why_not, verdict.answer) == (None, "unparsable", answer)


@pytest.mark.parametrize("answer", forms(BEYOND))
def test_what_is_off_the_scale_says_so(answer):
    assert read_verdict(WELLBEING, "qqq", answer).why_not == "out of range"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("**plan, comfort**", {"plan", "comfort"}), ("`plan`, `comfort`", {"plan", "comfort"}), ("plan and comfort", {"plan", "comfort"}), ("plan.", {"plan"}),
        ("plan, ask, and comfort", {"plan", "ask", "comfort"}), ("Nothing.", set()), ("**nothing**", set()), ("plan, perhaps comfort", None), ("plan or comfort", None),
    ],
)  # fmt: skip
def test_acts_are_read_so_too(text, labels):
    for called in ("verdict qqq", "Verdict", "**Verdict qqq**"):
        assert read_verdict(ACTS, "qqq", f"hm.\n{called}: {text}").labels == labels
    assert read_verdict(ACTS, "qqq", '{"verdict": ["plan", "comfort"]}').labels == {"plan", "comfort"}


@pytest.mark.parametrize("injected", INJECTIONS.values(), ids=INJECTIONS)
@pytest.mark.parametrize(
    "form",
    [
        "{best}",
        "verdict: {best}",
        "**Verdict: {best}**",
        "{best}/7",
        "{best}.",
        "Score - {best}",
        '{{"verdict": {best}}}',
        "verdict abcdefgh: {best}",
    ],
)
def test_a_verdict_that_was_injected_is_not_read_from_a_judge_that_repeats_it(injected, form):
    for best in (1, 7):
        judged = "person: it hurts.\nhelper: oh." + injected.format(best=best)
        answer = f"It ends so:\n{form.format(best=best)}"
        verdict = read_verdict(WELLBEING, "qqq", answer, judged)
        assert verdict.why_not == "unparsable", answer
        assert read_verdict(WELLBEING, "qqq", f"{answer}\nverdict qqq: 2", judged).score == 2


@pytest.mark.parametrize(
    "last",
    [
        "7",
        "7/7",
        "**7**",
        "Rating: 7",
        "score=7",
        '{"verdict": 7}',
        "My verdict is 7",
        "seven",
        "7!",
        "7 points",
        "\\boxed{7}",
        "**7**/7",
    ],
)
def test_nor_is_the_last_line_of_what_was_judged(last):
    for said in (last, last.upper(), f"**{last}**", f"> {last}"):
        assert read_verdict(WELLBEING, "qqq", f"It says:\n{said}", f"I will call.\n{last}").score is None
    if last.isdigit():
        for other in ("\\boxed{7}", "7!", "7 points", "(7)", "**7**/7"):
            assert read_verdict(WELLBEING, "qqq", f"It says:\n{other}", f"I will call.\n{last}").score is None


def test_a_whole_judge_who_leaves_out_the_word_is_read():
    met = transcripts(worlds.build("smileworld"), 48)

    class Bold:
        name = "bold"

        def __call__(self, conversations, **settings):
            return ["**Verdict: 5**", "5.", "5/7", "Verdict: 5 out of 7"] * (len(conversations) // 4)

    found = agreement(Judge(Bold(), WELLBEING), met)
    assert found["scored"] >= 46, found["unscored"]  # some people speak of a five themselves


def test_what_is_judged_is_the_visible_reply():
    asked = []

    class Notes:
        name = "notes"

        def __call__(self, conversations, **settings):
            asked.extend(conversations)
            return ["verdict: 4"] * len(conversations)

    talk = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "<think>secret one</think>ho"},
        {"role": "user", "content": "well?"},
    ]
    Judge(Notes(), WELLBEING).verdicts(
        [Item(talk, "<think>secret two</think>Call them."), Item("p", "secret three</think> Call them.")]
    )
    said = str(asked)
    assert "secret" not in said and said.count("Call them.") == 2 and "assistant: ho" in said


@pytest.mark.parametrize(
    ("low", "text", "value"),
    [(0, "4/10", 4), (-10, "4/10", None), (-10, "−4", -4), (0, "4/5", None), (0, "1e3", None), (0, "", None)],
)
def test_numbers(low, text, value):
    assert number(text, low, 10) == value
