"""Translated models of other tools on disk: each is translated once, and stored as a model package.

The folder of a translation has the digest of its source as its name. It can be removed at any time. Translations that
other users can have written are not used: they could contain a program.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from clickseg.core.errors import ModelError, OutputError
from clickseg.core.files import file_sha256, write_bytes
from clickseg.core.new_folder import new_folder
from clickseg.core.owned_files import is_trusted_tree, make_trusted_tree, user_and_group
from clickseg.core.validation import read_json
from clickseg.inference.model_readers import get_reader, source_name
from clickseg.models.importers.registry import read_model, source_digest
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import INFERENCE_CONFIG, METADATA, ModelPackage, load_package

logger = logging.getLogger(__name__)

_FOLDER = "models"
_COMPLETE = "complete.json"
"""The last file of a translation: digests of the files that the package itself does not verify."""

_HINT = "select another folder for translated models with --cache"
_POLL_S = 0.1


def translate(path: Path, options: ImportOptions, cache: Path | None) -> ModelPackage:
    """Returns a model of another tool as a model package, translated now or by an earlier run.

    Args:
        path: The model, which one of the readers recognizes.
        options: What the user states about it.
        cache: The folder of the cache; None for a folder of this user that is removed when the machine restarts.

    Raises:
        EngineError: The weights do not fit the network, or it does not run.
        LibraryError: A library for the translation is not installed.
        ModelError: The model cannot be expressed as a model package.
        OutputError: The cache cannot be written to, or another user has written the translation.
    """
    reader = get_reader(path)
    folder = (cache or _temporary_cache()) / _FOLDER / source_digest(path, reader, options)
    package = folder / _folder_name(path)
    if not _is_complete(package):
        with _lock(folder):
            if not _is_complete(package):  # else another process has translated it in the meantime
                _write_translation(path, options, package)
    loaded = load_package(package)
    return replace(loaded, import_options=options, may_run_script=path.is_file())


def _folder_name(path: Path) -> str:
    """Returns the name of a model as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", source_name(path)).lstrip(".") or "model"


def _temporary_cache() -> Path:
    """Returns a folder of this user for temporary files; others can create a folder of this name too.

    Raises:
        OutputError: It cannot be created, or another user has created it.
    """
    user = user_and_group()
    folder = Path(tempfile.gettempdir(), f"clickseg-{user[0]}" if user else "clickseg")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_own = is_trusted_tree(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}", hint=_HINT) from error
    if not is_own:
        raise OutputError(f"{folder}: another user can write to it", hint=_HINT)
    return folder


def _is_complete(package: Path) -> bool:
    """Whether a translation exists, and its description is undamaged; the weights are verified when they are loaded.

    Raises:
        OutputError: It exists, but other users can have written it.
    """
    marker = package.parent / _COMPLETE
    try:
        if not marker.is_file():
            return False
        is_trusted = is_trusted_tree(package.parent)
        is_complete = bool(read_json(marker, ModelError) == _description_digests(package))
    except (ModelError, OSError):
        return False
    if not is_trusted:
        raise OutputError(f"{package.parent}: not used: another user can have written it", hint=_HINT)
    return is_complete


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Waits until no other process translates into a folder; without waiting if its file system has no locks."""
    from clickseg.core.file_locks import try_lock

    path, lock = folder.with_name(f"{folder.name}.lock"), None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while (lock := try_lock(path)) is None:
            time.sleep(_POLL_S)
    except OSError as error:
        logger.debug("no lock: %s: %s", path, error.strerror)
    try:
        yield
    finally:
        if lock is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            lock.close()


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
            make_trusted_tree(folder)
    except OSError as error:
        if not _is_complete(package):  # else another process has written it, where files cannot be locked
            raise OutputError(str(error), hint=_HINT) from error
