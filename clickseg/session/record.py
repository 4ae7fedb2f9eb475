"""The record of a session on disk: its inputs and its steps, replaced as a whole after each step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue, model_validator
from typing_extensions import Self

from clickseg.clicks.click import Click, Polarity
from clickseg.clicks.formats.clicks_json import Coordinates
from clickseg.core.errors import ClickError, OutputError, SessionError
from clickseg.core.file_locks import FileLock, try_lock
from clickseg.core.files import file_sha256, remove_stale_temporaries, replace_atomically
from clickseg.core.validation import MAX_JSON_BYTES, StrictModel, read_json, validate_record
from clickseg.core.version import __version__
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.case import Case
from clickseg.inference.engines.engine import Engine
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.package import INFERENCE_CONFIG
from clickseg.session.history import Action, History, Step

SESSION_FILE = "session.json"
MAX_STEPS = 10_000
_LOCK_FILE = "lock"
_FORMAT_VERSION = 2
_VERSION_NAME = "ClickSeg version"
_HINT = "begin a new session in another folder"


@dataclass(frozen=True, slots=True)
class SessionInputs:
    """The series, model and engine of a session.

    Attributes:
        model: The name of the model package.
        import_options: What the user stated about the model of another tool; None if the model is a package.
        series_uids: The Series Instance UIDs of the input series.
        fingerprint: Everything that the bytes of the result depend on, except for the clicks.
    """

    model: str
    series_uids: tuple[str, ...]
    fingerprint: Mapping[str, str | int]
    import_options: ImportOptions | None = None

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the fingerprint."""
        return hashlib.sha256(json.dumps(dict(self.fingerprint), sort_keys=True).encode()).digest()


class _ClickEntry(StrictModel):
    label: str
    polarity: Polarity
    position_mm: Coordinates


class _StepEntry(StrictModel):
    action: Action
    user: str
    time: str
    click: _ClickEntry | None = None
    click_number: int | None = None

    @model_validator(mode="after")
    def _check_action(self) -> Self:
        if (self.click is not None, self.click_number is not None) != (
            self.action is Action.ADD,
            self.action is Action.REMOVE,
        ):
            raise ValueError(f"{self.action.value}: expected click only for add, and click_number only for remove")
        return self


class _ImportOptionsEntry(StrictModel):
    stored_axes: str = ""
    unit: str | None = None
    preset: str = ""
    changes: dict[str, JsonValue] = Field(default_factory=dict)


class _SessionFile(StrictModel):
    version: Literal[2]
    model: str
    import_options: _ImportOptionsEntry | None = None
    series_instance_uids: tuple[str, ...]
    fingerprint: dict[str, str | int]
    steps: tuple[_StepEntry, ...] = Field(max_length=MAX_STEPS)


class Record:
    """The record of one session. A lock excludes other processes while it is open.

    Attributes:
        inputs: The series, model and engine of the session, with the options that it was opened with.
    """

    def __init__(self, folder: Path, inputs: SessionInputs) -> None:
        """Opens the record in a folder, or creates one.

        Args:
            folder: The session's folder; created if it does not exist.
            inputs: The series, model and engine of the session.

        Raises:
            SessionError: The record is for other inputs, is damaged, or is in use.
            OutputError: The folder cannot be written to.
        """
        self._folder, self.inputs = folder, inputs
        self._lock = _lock_folder(folder)
        self._history: History | None = None
        try:
            remove_stale_temporaries(folder)
            if not (folder / SESSION_FILE).exists():
                self.store(History())
            _ = self.history  # reports a damaged record at once
        except BaseException:
            self.close()
            raise

    @property
    def history(self) -> History:
        """The steps; read again if writing them was interrupted, since the interruption may have come afterwards."""
        if self._history is None:
            self._history = self._read()
        return self._history

    def store(self, history: History) -> None:
        """Writes the history. The file then contains either all of the new history or the previous one.

        Raises:
            OutputError: The file cannot be written.
            SessionError: The history is longer than the limit of a record.
        """
        content = {
            "version": _FORMAT_VERSION,
            "model": self.inputs.model,
            **_options_to_json(self.inputs.import_options),
            "series_instance_uids": self.inputs.series_uids,
            "fingerprint": dict(self.inputs.fingerprint),
            "steps": [_step_to_json(step) for step in history.steps],
        }
        text = (json.dumps(content, indent=1) + "\n").encode()
        if len(history.steps) > MAX_STEPS or len(text) > MAX_JSON_BYTES:
            raise SessionError(
                f"{self._folder}: expected at most {MAX_STEPS} steps and {MAX_JSON_BYTES} bytes, "
                f"got {len(history.steps)} and {len(text)}",
                hint=_HINT,
            )
        previous, self._history = self._history, None
        try:
            replace_atomically(self._folder / SESSION_FILE, text)
        except OSError as error:
            self._history = previous
            raise OutputError(f"{self._folder / SESSION_FILE}: cannot be written: {error.strerror}") from error
        self._history = history

    def close(self) -> None:
        """Unlocks the session for other processes."""
        self._lock.close()

    def _read(self) -> History:
        file = _read_file(self._folder)
        _check_fingerprint(self._folder, file.fingerprint, self.inputs.fingerprint)
        if file.import_options is not None:  # kept if the session is resumed with the translated package
            self.inputs = replace(self.inputs, import_options=_options_from_entry(file.import_options))
        try:
            return History().with_steps(*map(_step_from_entry, file.steps))
        except ClickError as error:
            raise SessionError(f"{self._folder / SESSION_FILE}: the steps cannot be replayed: {error}") from error


def read_session_inputs(folder: Path) -> SessionInputs:
    """Returns the inputs of the session in a folder.

    Raises:
        SessionError: The folder contains no session, or its record is damaged or of another version.
    """
    if not (folder / SESSION_FILE).is_file():
        raise SessionError(
            f"{folder}: expected a session, found no {SESSION_FILE}", hint="open one with clickseg segment --session"
        )
    file = _read_file(folder)
    options = _options_from_entry(file.import_options) if file.import_options is not None else None
    return SessionInputs(file.model, file.series_instance_uids, file.fingerprint, options)


def session_inputs(case: Case, engine: Engine) -> SessionInputs:
    """Returns the inputs of a session, with the fingerprint of data, model, weights, engine and version."""
    package = case.package
    specification = package.spec.model_dump_json(exclude={"weights"})
    network = package.path / INFERENCE_CONFIG
    fingerprint = {
        _VERSION_NAME: __version__,
        "model": f"{package.name} {package.version}",
        "model specification": hashlib.sha256(specification.encode()).hexdigest(),
        **{f"weights {weights.path.name}": weights.sha256 for weights in engine.weights},
        **({INFERENCE_CONFIG.name: file_sha256(network)} if network.is_file() else {}),
        **{name if name == "engine" else f"engine {name}": value for name, value in engine.describe().items()},
        **{f"series {number}": _series_sha256(series) for number, series in enumerate(case.series, 1)},
    }
    series_uids = tuple(series.files.series_uid for series in case.series)
    return SessionInputs(package.name, series_uids, fingerprint, package.import_options)


def _check_fingerprint(folder: Path, stored: Mapping[str, str | int], present: Mapping[str, str | int]) -> None:
    """Checks that a session is resumed with the inputs that it was opened with.

    Raises:
        SessionError: An input differs: the session would continue with other bytes.
    """
    for name in sorted({*stored, *present}, key=lambda name: (name != _VERSION_NAME, name)):
        expected, got = stored.get(name), present.get(name)
        if expected == got:
            continue
        if name == _VERSION_NAME:
            raise _version_error(folder, f"{expected}, but this is {got}")
        raise SessionError(
            f"{folder}: {name} differs from that of the session: expected {expected}, got {got}",
            hint=f"resume the session with the data, model, device and machine that it was opened with, or {_HINT}",
        )


def _version_error(place: Path, versions: str) -> SessionError:
    return SessionError(
        f"{place}: the session was opened by another version of ClickSeg: {versions}",
        hint=f"finish the session with that version, or {_HINT}",
    )


def _read_file(folder: Path) -> _SessionFile:
    path = folder / SESSION_FILE
    try:
        content = read_json(path, SessionError)
    except SessionError as error:
        raise SessionError(f"{path.parent}: {error}", hint="begin a new session in another folder") from error
    if isinstance(content, dict) and "version" in content and content["version"] != _FORMAT_VERSION:
        got = f"{content['version']!a:.20}"
        raise _version_error(path, f"file format {got}, but this version uses format {_FORMAT_VERSION}")
    return validate_record(_SessionFile, content, str(path), SessionError)


def _lock_folder(folder: Path) -> FileLock:
    """Locks a session. The lock ends with the process, even if the process is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder / _LOCK_FILE)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    if lock is None:
        raise SessionError(
            f"{folder}: the session is in use by another process", hint="close it there, or use another folder"
        )
    return lock


def _series_sha256(series: SeriesVolume) -> str:
    """Returns a SHA-256 of the values, the geometry, the UIDs and the unit of a series."""
    volume = series.volume
    digest = hashlib.sha256(np.ascontiguousarray(volume.array).data)
    digest.update(np.ascontiguousarray(volume.affine, dtype="<f8").tobytes())
    digest.update(json.dumps([series.files.series_uid, volume.frame_of_reference_uid, series.unit]).encode())
    return digest.hexdigest()


def _options_to_json(options: ImportOptions | None) -> dict[str, Any]:
    """Returns the entry about a model of another tool, with the options that are stated; a package has no entry."""
    if options is None:
        return {}
    default = asdict(ImportOptions())
    return {"import_options": {key: value for key, value in asdict(options).items() if value != default[key]}}


def _options_from_entry(entry: _ImportOptionsEntry) -> ImportOptions:
    return ImportOptions(entry.stored_axes, entry.unit, entry.preset, entry.changes)


def _step_to_json(step: Step) -> dict[str, Any]:
    content: dict[str, Any] = {"action": step.action.value, "user": step.user, "time": step.time}
    if step.click is not None:
        click = step.click
        content["click"] = {
            "label": click.label,
            "polarity": click.polarity.value,
            "position_mm": list(click.position_mm),
        }
    if step.click_number is not None:
        content["click_number"] = step.click_number
    return content


def _step_from_entry(entry: _StepEntry) -> Step:
    click = entry.click
    point = None if click is None else Click(click.label, click.polarity, click.position_mm)
    return Step(entry.action, entry.user, entry.time, point, entry.click_number)
