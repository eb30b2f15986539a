"""The channels through which outcomes have already reached a model or a data file, as is written beside it.

A declared channel stays declared: a policy that starts from one that was tuned on gold, a reward model trained on pairs
that gold ranked, and what is trained on that, name it in their manifests and on their cards (`learnt_from`).
"""

from __future__ import annotations

from pathlib import Path

from smilerl.io.files import read_json


def of_model(model: str | Path | None) -> tuple[str, ...]:
    """Of a model directory: by its run's manifest, or that of a pushed run. Nothing for other models."""
    return () if model is None else _said(Path(model).parent / "manifest.json", Path(model) / "manifest.json")


def of_file(path: str | Path | None) -> tuple[str, ...]:
    """Of a data file that `smilerl pairs` or a run has made. Nothing for other files."""
    return () if path is None else _said(provenance_path(Path(path)))


def provenance_path(path: Path) -> Path:
    """The file beside a file of pairs or labels that says how they were made."""
    return path.with_name(f"{path.name}.provenance.json")


def _said(*files: Path) -> tuple[str, ...]:
    file = next((file for file in files if file.is_file()), None)
    said = {} if file is None else read_json(file, types={"channels": list, "learnt_from": list})
    return tuple(sorted({*said.get("channels", ()), *said.get("learnt_from", ())}))
