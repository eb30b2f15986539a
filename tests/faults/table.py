"""The table *attack | tried | held* at the end of a run of the tests in this folder.

A test belongs to a row by `pytestmark = pytest.mark.attack("bad rewards")`, and counts once; one that tries several things says how many:
`record_property("tried", 30)`. A row holds if every test of it passed.
"""

from __future__ import annotations

from collections import defaultdict

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Notes a test's row where the controller of several workers finds it."""
    mark = item.get_closest_marker("attack")
    if mark is not None:
        item.user_properties.append(("attack", mark.args[0]))


def pytest_terminal_summary(terminalreporter) -> None:
    """Prints the table, where such tests ran."""
    tried: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            said = dict(getattr(report, "user_properties", ()))
            if "attack" not in said or (outcome == "passed" and report.when != "call"):
                continue
            tried[said["attack"]] += int(said.get("tried", 1))
            held[said["attack"]] += int(said.get("tried", 1)) * (outcome == "passed")
    if not tried:
        return
    terminalreporter.section("attacks")
    width = max(map(len, tried))
    terminalreporter.write_line(f"{'attack':<{width}}  tried   held")
    for attack in sorted(tried):
        terminalreporter.write_line(f"{attack:<{width}}  {tried[attack]:>5}  {held[attack]:>5}")
    total = sum(tried.values()), sum(held.values())
    terminalreporter.write_line(f"{'all':<{width}}  {total[0]:>5}  {total[1]:>5}")
