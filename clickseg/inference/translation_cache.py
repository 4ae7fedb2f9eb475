"""Translated models of other tools on disk: each is translated once, and stored as a model package.

The folder of a translation has the digest of its source as its name. It can be removed at any time.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from clickseg.core.errors import ModelError, OutputError
from clickseg.core.files import file_sha256, write_bytes
from clickseg.core.new_folder import new_folder
from clickseg.core.validation import read_json
from clickseg.inference.model_readers import get_reader
from clickseg.models.importers.registry import read_model, source_digest
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import INFERENCE_CONFIG, METADATA, ModelPackage, load_package, package_name

logger = logging.getLogger(__name__)

_FOLDER = "models"
_COMPLETE = "complete.json"
"""The last file of a translation: digests of the files that the package itself does not verify."""


def translate(path: Path, options: ImportOptions, cache: Path | None) -> ModelPackage:
    """Returns a model of another tool as a model package, translated now or by an earlier run.

    Args:
        path: The model, which one of the readers recognizes.
        options: What the user states about it.
        cache: The folder of the cache; None for a folder that is removed when the machine restarts.

    Raises:
        EngineError: The weights do not fit the network, or it does not run.
        LibraryError: A library for the translation is not installed.
        ModelError: The model cannot be expressed as a model package.
        OutputError: The cache cannot be written to.
    """
    reader = get_reader(path)
    folder = (cache or Path(tempfile.gettempdir(), "clickseg")) / _FOLDER / source_digest(path, reader, options)
    package = folder / _folder_name(path)
    if not _is_complete(package):
        _write_translation(path, options, package)
    loaded = load_package(package)
    return replace(loaded, may_run_script=path.is_file())


def _folder_name(path: Path) -> str:
    """Returns the name of a model as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", package_name(path)).lstrip(".") or "model"


def _is_complete(package: Path) -> bool:
    """Whether a translation exists, and its description is undamaged; the weights are verified when they are loaded."""
    marker = package.parent / _COMPLETE
    if not marker.is_file():
        return False
    try:
        return bool(read_json(marker, ModelError) == _description_digests(package))
    except (ModelError, OSError):
        return False


def _description_digests(package: Path) -> dict[str, str]:
    files = (package / METADATA, package / INFERENCE_CONFIG)
    return {file.name: file_sha256(file) for file in files if file.is_file()}


def _write_translation(path: Path, options: ImportOptions, package: Path) -> None:
    from clickseg.inference.engines.import_package import write_package

    logger.info("%s: translating the model; later runs use the result", path.name)
    model = read_model(path, get_reader(path), options)
    shutil.rmtree(package.parent, ignore_errors=True)  # damaged
    try:
        with new_folder(package.parent) as folder:
            write_package(model, folder / package.name)
            write_bytes(folder / _COMPLETE, json.dumps(_description_digests(folder / package.name)).encode())
    except OutputError as error:
        if not _is_complete(package):  # else another process has written it in the meantime
            raise OutputError(str(error), hint="select another folder for translated models with --cache") from error
