"""Hostile folders of nnU-Net and TotalSegmentator: links, pipes, texts and numbers are one error; nothing is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ClickSegError
from clickseg.inference.model_sources import find_models
from clickseg.models.find import model_paths
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers import nnunet_models as nn
from tests.helpers import totalsegmentator_models as ts

FILES = ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth")
HOSTILE_JSON = {
    "NaN": '{"labels": NaN}',
    "digits": '{"a": ' + "9" * 5000 + "}",
    "depth": '{"a": ' + "[" * 100_000,
    "surrogate": '{"a": "\\ud800"}',
    "list": "[1]",
    "zero": "\x00",
}

Write = Callable[[Path], tuple[Path, Path]]


def of_nnunet(folder: Path) -> tuple[Path, Path]:
    """Writes a model of nnU-Net; returns the path that the user names, and the folder with its files."""
    model = nn.write_model(folder / "Dataset001_x" / nn.IDENTIFIER)
    return model.parent, model


def of_totalsegmentator(folder: Path) -> tuple[Path, Path]:
    """Writes a model of TotalSegmentator, as ``of_nnunet``."""
    (model,) = ts.write_dataset(folder / "results", 297).iterdir()
    return folder / "results", model


both = pytest.mark.parametrize("write", [of_nnunet, of_totalsegmentator])


def reject(path: Path, tmp_path: Path) -> str:
    """Checks that a model is one error that leaves nothing, and returns its text."""
    with pytest.raises(ClickSegError) as caught:
        find_models(model_paths(path, {}), None, ImportOptions(), tmp_path / "cache")
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
    return str(caught.value)


@both
@pytest.mark.parametrize("file", FILES)
def test_links_to_outside_the_folder_of_the_model_are_errors(tmp_path: Path, write: Write, file: str) -> None:
    path, model = write(tmp_path)
    (model / file).rename(tmp_path / "outside")
    (model / file).symlink_to(tmp_path / "outside")

    assert "expected a file in nnUNet" in reject(path, tmp_path)


@both
@pytest.mark.parametrize("file", FILES)
def test_pipes_are_not_read(tmp_path: Path, write: Write, file: str) -> None:
    path, model = write(tmp_path)
    (model / file).unlink()
    os.mkfifo(model / file)

    reject(path, tmp_path)


@both
def test_folders_that_refer_to_each_other_are_errors(tmp_path: Path, write: Write) -> None:
    path, _ = write(tmp_path)
    renamed = path.rename(tmp_path / "renamed")
    path.symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(path)

    assert "no model at" in reject(path, tmp_path)
    assert renamed.is_dir()


@both
@pytest.mark.parametrize("text", HOSTILE_JSON)
@pytest.mark.parametrize("file", FILES[:2])
def test_hostile_json_is_one_error(tmp_path: Path, write: Write, file: str, text: str) -> None:
    path, model = write(tmp_path)
    (model / file).write_text(HOSTILE_JSON[text])

    reject(path, tmp_path)


ABSURD: dict[str, dict[str, Any]] = {
    "features": {"architecture": nn.make_architecture(features_per_stage=[10**9, 10**9])},
    "stages": {"architecture": nn.make_architecture(n_stages=10**6)},
    "blocks": {"architecture": nn.make_architecture(n_conv_per_stage=[10**6, 1])},
    "window": {"patch_size": [10**6] * 3},
    "spacing": {"spacing": [1e-300] * 3},
    "program": {"architecture": {"network_class_name": "os.system", "arch_kwargs": {"command": "touch canary"}}},
    "preprocessor": {"preprocessor_name": "os.system"},
    "resampling": {"resampling_fn_data": "__import__('os').system('touch canary')"},
}


@both
@pytest.mark.parametrize("case", ABSURD)
def test_absurd_sizes_and_classes_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, case: str
) -> None:
    path, model = write(tmp_path)
    plans = json.loads((model / "plans.json").read_text())
    plans["configurations"]["3d_fullres"] |= ABSURD[case]
    (model / "plans.json").write_text(json.dumps(plans))
    monkeypatch.chdir(tmp_path)

    reject(path, tmp_path)

    assert not (tmp_path / "canary").exists()


@both
def test_control_characters_in_names_of_classes_are_removed(tmp_path: Path, write: Write) -> None:
    path, model = write(tmp_path)
    dataset = json.loads((model / "dataset.json").read_text())
    names = list(dataset["labels"])
    dataset["labels"] = {("\x1b[31m\u202e" + name if number else name): number for number, name in enumerate(names)}
    (model / "dataset.json").write_text(json.dumps(dataset))

    (package,) = find_models(model_paths(path, {}), None, ImportOptions(), tmp_path / "cache")

    assert len(package.spec.classes) == len(names) - 1
    assert all(entry.name.isprintable() for entry in package.spec.classes)


def test_code_in_the_folders_of_totalsegmentator_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = of_totalsegmentator(tmp_path)
    canary = tmp_path / "canary"
    for name in ("nnunetv2.py", "sitecustomize.py", "dynamic_network_architectures.py", "__init__.py"):
        (model / name).write_text(f"open({str(canary)!r}, 'w')")
    (model / "postprocessing.pkl").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    monkeypatch.chdir(model)

    (package,) = find_models(model_paths(path, {}), None, ImportOptions(), tmp_path / "cache")

    assert len(package.spec.classes) == len(ts.CLASSES[297])
    assert not canary.exists()
