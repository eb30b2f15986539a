"""What is an id of the Hub, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from smilerl.models.hub import fetch, ids


def test_ids_are_read_with_their_revisions():
    assert ids.parse("org/name") == ids.HubId("org/name")
    assert ids.parse("org/na.me-2@v1.0") == ids.HubId("org/na.me-2", "v1.0")
    assert ids.parse("org/name@refs/pr/3") == ids.HubId("org/name", "refs/pr/3")
    assert ids.parse("datasets/org/name@main") == ids.HubId("org/name", "main", "dataset")
    assert str(ids.parse("datasets/org/name@main")) == "datasets/org/name@main"


@pytest.mark.parametrize(
    "name", ["", "a b", "/absolute/path", "./here", "../up", "~/home", "a/b/c", "org/", "org/name@"]
)
def test_paths_are_no_ids(name):
    assert ids.parse(name) is None and not ids.looks_like(name)


def test_a_recipe_s_path_and_a_bare_word_do_not_look_like_ids():
    assert not ids.looks_like("recipes/mine.yaml") and not ids.looks_like("carer") and ids.looks_like("org/name@main")


def test_the_cache_s_folders_are_known_by_their_id():
    at = Path("/x/hub/models--org--na-me/snapshots/0123abc")
    assert fetch.cached_id(at) == ids.HubId("org/na-me", "0123abc")
    assert fetch.cached_id("/x/models--org--name") is None and fetch.cached_id("runs/model") is None
