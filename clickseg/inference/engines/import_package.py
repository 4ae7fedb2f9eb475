"""Writes a model of another tool, translated, as a model package: with weights for torch, and for OpenVINO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clickseg.core.arrays import Float32Array
from clickseg.core.errors import ConversionError, ModelError, OutputError
from clickseg.core.files import file_sha256, write_bytes
from clickseg.core.new_folder import new_folder
from clickseg.core.text import first_line
from clickseg.inference.engines.choice import make_plain_engine
from clickseg.inference.engines.engine import Precision
from clickseg.inference.engines.export import export_openvino
from clickseg.inference.engines.openvino_engine import CONSTANTS, GRAPH
from clickseg.inference.model_readers import get_reader
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.importers.registry import ImportedModel, read_model
from clickseg.models.importers.report import import_entry, import_report, summary_lines
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome
from clickseg.models.importers.torch_files import import_torch
from clickseg.models.package import IMPORT_SECTION, INFERENCE_CONFIG, METADATA, TORCHSCRIPT, ModelPackage, load_package

_STATE_DICT = "model.pt"
_ENGINE_KEY = "network"
_TOLERANCE = 1e-3
"""The largest difference between logits of OpenVINO and torch on random values, as a share of the largest logit.

It is about 1e-5. On nearly constant images, instance and group normalization differ more (OpenVINO 2026.4).
"""


def import_model(source: Path, path: Path, options: ImportOptions) -> list[str]:
    """Translates a model of another tool into a model package; if it fails, no package is left.

    Args:
        source: The folder or file of the model.
        path: The folder of the package; it does not exist yet, or is empty.
        options: What the user states about the model.

    Returns:
        Lines for the terminal: the licence, what the user should check, a summary, and the path of the package.

    Raises:
        ClickSegError: The model cannot be translated, or the package cannot be written.
    """
    model = read_model(source, get_reader(source), options)
    with new_folder(path) as folder:
        notes = write_package(model, folder)
    return [*summary_lines(model, notes), f"network   {notes[-1].text}", f"package   {path}"]


def write_package(model: ImportedModel, path: Path) -> tuple[ImportNote, ...]:
    """Writes a model package, and runs its network once.

    Args:
        model: The translated model.
        path: The folder of the package; it is new or empty.

    Returns:
        What was done with each key of the source; the last note is about the runtime of the network.

    Raises:
        EngineError: The weights do not fit the network, or it does not run.
        LibraryError: torch is not installed.
        ModelError: The network cannot be built, or a program returns probabilities where logits are needed.
        OutputError: A file cannot be written.
    """
    try:
        for folder in ("configs", "models", "docs"):
            (path / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written to: {error.strerror}") from error
    if model.source.network_def is not None:
        _write_json(path / INFERENCE_CONFIG, {"network_def": model.source.network_def})
    if model.source.licence:
        write_bytes(path / "LICENSE", f"{model.source.licence}\n".encode())
    _write_torch_weights(model, path / "models")
    _write_metadata(model, model.source.notes, path)
    package = _load(path, model.source.name)
    checked = () if model.source.script is None else _check_logits(package)
    notes = (*model.source.notes, *checked, _write_openvino(package))
    _write_metadata(model, notes, path)
    write_bytes(path / "docs" / "README.md", import_report(model, notes).encode())
    return notes


def _write_metadata(model: ImportedModel, notes: Sequence[ImportNote], path: Path) -> None:
    """Writes the metadata, with the digests of the weights that the package contains."""
    weights = {file.name: file_sha256(file) for file in sorted((path / "models").iterdir())}
    metadata = {
        **model.source.metadata,
        "version": model.source.version,
        "name": model.source.name,
        "clickseg": {**model.spec.model_dump(mode="json", exclude_none=True), "weights": weights},
        IMPORT_SECTION: import_entry(model, notes),
    }
    _write_json(path / METADATA, metadata)


def _write_torch_weights(model: ImportedModel, folder: Path) -> None:
    """Writes the state dict, or the TorchScript program."""
    torch = import_torch()
    name = TORCHSCRIPT if model.source.load_state is None else _STATE_DICT
    try:
        if model.source.load_state is not None:
            torch.save(dict(model.source.load_state()), folder / name)
        elif model.source.script is not None:
            shutil.copyfile(model.source.script, folder / name)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch cannot write, as when the disk is full
        raise OutputError(f"{folder / name}: cannot be written: {first_line(error)}") from error


def _check_logits(package: ModelPackage) -> tuple[ImportNote, ...]:
    """Returns a note if the output of a program looks like probabilities, because it contains softmax.

    Raises:
        ModelError: It looks like probabilities, and sigmoid is applied to it: each voxel would be foreground.
    """
    engine = make_plain_engine(package, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32))
    logits = np.array(engine.infer(_random_window(package)))
    engine.close()
    if logits.min() < 0 or logits.max() > 1:
        return ()
    found = "the outputs of the program for a random window are all between 0 and 1, as probabilities are"
    if package.spec.activation == "sigmoid":
        raise ModelError(
            f"model {package.name}: activation: {found}: expected logits, because sigmoid is applied to them",
            hint="export the network without its last sigmoid",
        )
    text = f"{found}: if it contains softmax, export the network without it, or use --set interpolation=logits"
    return (ImportNote("activation", Outcome.ASSUMED, text),)


def _write_openvino(package: ModelPackage) -> ImportNote:
    """Writes the weights for OpenVINO if it computes the same logits as torch; returns how the network runs."""
    try:
        export_openvino(package, may_compress=False)
    except ConversionError as error:
        return ImportNote(_ENGINE_KEY, Outcome.TRANSLATED, f"{_only_torch(package)}: {error}")
    difference = _relative_difference(_load(package.path, package.name))
    if difference <= _TOLERANCE:
        return ImportNote(_ENGINE_KEY, Outcome.TRANSLATED, "runs in OpenVINO on the CPU, in torch on a GPU")
    for name in (GRAPH, CONSTANTS):
        (package.path / "models" / name).unlink()
    text = f"{_only_torch(package)}: the logits of OpenVINO differ by {difference:.1%} of the largest"
    return ImportNote(_ENGINE_KEY, Outcome.TRANSLATED, text)


def _only_torch(package: ModelPackage) -> str:
    """Returns how a network runs that OpenVINO cannot run; programs in packages are run only on request."""
    option = " (with --engine torch, because it is a program)" if package.has_weights(TORCHSCRIPT) else ""
    return f"runs only in torch{option}"


def _load(path: Path, name: str) -> ModelPackage:
    """Returns the package with the name of the model, for messages: its folder has a temporary name."""
    return replace(load_package(path), name=name)


def _relative_difference(package: ModelPackage) -> float:
    """Returns the largest difference between logits of OpenVINO and torch, as a share of the largest logit."""
    window, logits = _random_window(package), []
    for runtime in (Runtime.TORCH, Runtime.OPENVINO):
        engine = make_plain_engine(package, RuntimeSettings(runtime, "cpu", Precision.F32))
        logits.append(np.array(engine.infer(window)))
        engine.close()
    return float(np.abs(logits[1] - logits[0]).max() / max(np.abs(logits[0]).max(), np.finfo(np.float32).tiny))


def _random_window(package: ModelPackage) -> Float32Array:
    """Returns a window [1, C, I, J, K] with values from 0 to 1."""
    shape = (1, package.spec.input_channels, *package.spec.window.roi)
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())
