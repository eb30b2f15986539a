"""The key with which a user's runs are signed: one for a user, kept from others."""

from __future__ import annotations

import pytest

from smilerl.runs import signature


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def key(cache):
    (file,) = cache.glob("key-*")
    return file


def test_what_is_signed_is_known_again_and_what_has_changed_is_not(cache):
    signed = signature.sign("method: rloo\n")
    assert signature.is_ours("method: rloo\n", signed) and signature.sign("method: rloo\n") == signed
    assert not signature.is_ours("method: grpo\n", signed)
    assert not any(signature.is_ours("method: rloo\n", other) for other in (None, "", "0" * 64, 1, [signed]))
    assert key(cache).stat().st_mode & 0o777 == 0o600 and [file.name for file in cache.iterdir()] == [key(cache).name]


def test_another_machine_has_another_key(cache, tmp_path, monkeypatch):
    signed = signature.sign("a")
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "another"))
    assert not signature.is_ours("a", signed), "and to ask makes no key"
    assert not (tmp_path / "another").exists() and signature.sign("a") != signed


@pytest.mark.parametrize("harm", ["readable by others", "empty", "a link to another's"])
def test_a_key_that_others_could_know_is_none(cache, harm, tmp_path):
    signed = signature.sign("a")
    if harm == "readable by others":
        key(cache).chmod(0o644)
    elif harm == "empty":
        key(cache).write_bytes(b"")
    else:
        (tmp_path / "theirs").write_bytes(key(cache).read_bytes())
        file = key(cache)
        file.unlink()
        file.symlink_to(tmp_path / "theirs")
    assert not signature.is_ours("a", signed) and signature.sign("a") is None


def test_where_nothing_can_be_written_nothing_is_signed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMILERL_CACHE", str(tmp_path / "file"))
    assert signature.sign("a") is None and not signature.is_ours("a", "0" * 64)
