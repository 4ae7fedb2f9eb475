"""Targets of the fuzzing: models of other tools, of which one file, or one part of an archive, is mutated."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from clickseg.inference.model_readers import get_reader
from clickseg.models.importers.registry import read_model
from clickseg.models.importers.source_model import ImportOptions

MODEL_TARGETS = ("MONAI Bundle", "Auto3DSeg", "nnU-Net", "TotalSegmentator", "checkpoint", "TorchScript")
HAS_TORCH = importlib.util.find_spec("torch") is not None

_CHECKPOINT = "fold_0/checkpoint_final.pth"

Seeds = dict[str, bytes]
Reads = Callable[[Path], object]


def make_model_targets(folder: Path) -> dict[str, tuple[Seeds, Reads]]:
    """Returns the seeds and the function of each target; writes valid models to a folder. Needs torch."""
    return {
        "MONAI Bundle": _bundle(folder / "bundle"),
        "Auto3DSeg": _auto3dseg(),
        "nnU-Net": _nnunet(folder / "nnunet"),
        "TotalSegmentator": _totalsegmentator(folder / "results"),
        "checkpoint": _checkpoint(folder / "checkpoint"),
        "TorchScript": _torchscript(folder / "torchscript"),
    }


def _read(path: Path, preset: str = "") -> None:
    """Reads a model and its weights."""
    model = read_model(path, get_reader(path), ImportOptions(preset=preset))
    if model.source.load_state is not None:
        model.source.load_state()


def _bundle(folder: Path) -> tuple[Seeds, Reads]:
    import yaml

    from tests.helpers.foreign_bundles import make_config, write_runnable_bundle

    bundle = write_runnable_bundle(folder)
    files = {"inference.json": "configs", "metadata.json": "configs", "model.pt": "models", "LICENSE.txt": "."}
    (bundle / "LICENSE").rename(bundle / "LICENSE.txt")
    seeds = {name: (bundle / place / name).read_bytes() for name, place in files.items()}
    seeds["inference.yaml"] = yaml.safe_dump(make_config()).encode()

    def read(path: Path) -> None:
        copy = shutil.copytree(bundle, path.parent / "x")
        if path.suffix == ".yaml":
            (copy / "configs" / "inference.json").unlink()
        shutil.copy(path, copy / files.get(path.name, "configs") / path.name)
        _read(copy)

    return seeds, read


def _auto3dseg() -> tuple[Seeds, Reads]:
    import torch

    network = {"_target_": "SegResNetDS", "init_filters": 8, "in_channels": 1, "out_channels": 2}
    config = {"network": network, "modality": "ct", "normalize_mode": "meanstd", "roi_size": [32, 32, 32]}
    content = {"config": {**config, "resample_resolution": [1.5, 1.5, 3.0]}, "state_dict": {"weight": torch.ones(3)}}
    members = {"model.pt": _save(content), "labels.csv": b"LabelValue,Name\n0,background\n1,spleen\n"}
    seeds = {"x.zip": _zip(members), "labels.csv": members["labels.csv"], "data.pkl": _member(members["model.pt"])}

    def read(path: Path) -> None:
        changed = {"labels.csv": path.read_bytes()} if path.suffix == ".csv" else {}
        if path.suffix == ".pkl":
            changed = {"model.pt": _replaced(members["model.pt"], path)}
        if path.suffix != ".zip":
            path.with_name("x.zip").write_bytes(_zip(members | changed))
        _read(path.with_name("x.zip"))

    return seeds, read


def _nnunet(folder: Path) -> tuple[Seeds, Reads]:
    from tests.helpers.nnunet_models import IDENTIFIER, write_model, zip_model

    model = write_model(folder / "Dataset001_Test" / IDENTIFIER)
    exported = zip_model(folder / "x.zip", model).read_bytes()

    def read(path: Path) -> None:
        if path.suffix == ".zip":
            _read(path)
            return
        copy = shutil.copytree(model, path.parent / IDENTIFIER)
        _replace_file_of_nnunet(copy, path)
        _read(copy)

    return _nnunet_files(model) | {"x.zip": exported}, read


def _totalsegmentator(folder: Path) -> tuple[Seeds, Reads]:
    """The five datasets of a task, of which one is mutated."""
    from tests.helpers.totalsegmentator_models import NAMES, PARTS, write_datasets

    write_datasets(folder, PARTS)
    (model,) = (folder / NAMES[292]).iterdir()

    def read(path: Path) -> None:
        copy = shutil.copytree(folder, path.parent / "results")
        _replace_file_of_nnunet(copy / model.relative_to(folder), path)
        _read(copy, "total")

    return _nnunet_files(model), read


def _nnunet_files(model: Path) -> Seeds:
    """Returns the files of a model of nnU-Net, and the pickle in its checkpoint."""
    checkpoint = (model / _CHECKPOINT).read_bytes()
    files = {name: (model / name).read_bytes() for name in ("plans.json", "dataset.json")}
    return files | {Path(_CHECKPOINT).name: checkpoint, "data.pkl": _member(checkpoint)}


def _replace_file_of_nnunet(model: Path, path: Path) -> None:
    """Replaces the file of a model of nnU-Net that has the name of another file, or the pickle in its checkpoint."""
    checkpoint = model / _CHECKPOINT
    if path.suffix == ".pkl":
        checkpoint.write_bytes(_replaced(checkpoint.read_bytes(), path))
    else:
        shutil.copy(path, checkpoint if path.suffix == ".pth" else model / path.name)


def _checkpoint(folder: Path) -> tuple[Seeds, Reads]:
    import numpy as np
    import torch

    from clickseg.inference.engines.network import build_from_definition
    from tests.helpers.foreign_programs import DESCRIPTION

    folder.mkdir()
    shape = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    state = build_from_definition({"_target_": "UNet", **shape, "num_res_units": 1}, "x").state_dict()
    content = {"state_dict": state, "epoch": 3, "scores": np.array([0.5, 0.75]), "best": np.float64(0.75)}
    legacy = io.BytesIO()
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    whole, description = _save(content), json.dumps({**DESCRIPTION, "window": {"roi": [16, 16, 16]}}).encode()
    seeds = {"x.pt": whole, "x.ckpt": legacy.getvalue(), "x.json": description, "data.pkl": _member(whole)}

    def read(path: Path) -> None:
        if path.suffix == ".pkl":
            path.with_name("x.pt").write_bytes(_replaced(whole, path))
        elif path.suffix == ".json":
            path.with_name("x.pt").write_bytes(whole)
        if path.suffix != ".json":
            path.with_name("x.json").write_bytes(description)
        _read(path.with_name("x.ckpt" if path.suffix == ".ckpt" else "x.pt"))

    return seeds, read


def _torchscript(folder: Path) -> tuple[Seeds, Reads]:
    from tests.helpers.foreign_programs import write_shifter

    program = write_shifter(folder, "x")
    whole, description = program.read_bytes(), program.with_suffix(".json").read_bytes()

    def read(path: Path) -> None:
        if path.suffix == ".json":
            path.with_name("x.ts").write_bytes(whole)
        else:
            path.with_name("x.json").write_bytes(description)
        _read(path.with_name("x.ts"))

    return {"x.ts": whole, "x.json": description}, read


def _save(content: object) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _zip(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def _member(archive: bytes) -> bytes:
    """Returns the pickle in a file of torch."""
    return next(content for name, content in _members(archive).items() if name.endswith("/data.pkl"))


def _replaced(archive: bytes, pickle: Path) -> bytes:
    """Returns a file of torch with another pickle, with a valid checksum."""
    members = _members(archive)
    return _zip({name: pickle.read_bytes() if name.endswith("/data.pkl") else members[name] for name in members})
