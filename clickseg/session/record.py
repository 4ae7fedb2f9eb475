"""The record of a session on disk: what it is of, and each step, whole after each of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.clicks.click import Click, Polarity
from clickseg.clicks.formats.clicks_json import Position
from clickseg.core.errors import ClickError, OutputError, SessionError
from clickseg.core.file_locks import FileLock, try_lock
from clickseg.core.files import file_sha256, remove_parts, replace_whole
from clickseg.core.validation import MAX_JSON_BYTES, Strict, parse, read_json
from clickseg.core.version import __version__
from clickseg.dicom.volume import Series
from clickseg.inference.case import Case
from clickseg.inference.engines.engine import Engine
from clickseg.models.package import CONFIG
from clickseg.session.history import Action, History, Step

SESSION = "session.json"
_LOCK = "lock"
_VERSION = 1
MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a session is of.

    Attributes:
        model: The name of the model package.
        series_uids: The Series Instance UIDs of its inputs.
        identity: All that the bytes of its result depend on, but for its clicks.
    """

    model: str
    series_uids: tuple[str, ...]
    identity: Mapping[str, str | int]

    @property
    def digest(self) -> bytes:
        """SHA-256 over the identity."""
        return hashlib.sha256(json.dumps(dict(self.identity), sort_keys=True).encode()).digest()


class _Click(Strict):
    label: str
    polarity: Polarity
    position_mm: Position


class _Step(Strict):
    action: Action
    user: str
    time: str
    click: _Click | None = None
    number: int | None = None

    @model_validator(mode="after")
    def _check_action(self) -> Self:
        if (self.click is not None, self.number is not None) != (
            self.action is Action.ADD,
            self.action is Action.REMOVE,
        ):
            raise ValueError(f"{self.action.value}: expected a click to add, a number to remove, and else neither")
        return self


class _File(Strict):
    version: Literal[1]
    model: str
    series_uids: tuple[str, ...]
    identity: dict[str, str | int]
    steps: tuple[_Step, ...] = Field(max_length=MAX_STEPS)


class Record:
    """The record of one session, which no other process has open.

    Attributes:
        subject: What it is of.
    """

    def __init__(self, folder: Path, subject: Subject) -> None:
        """Opens the record in a folder, or begins one.

        Args:
            folder: The session's folder; made where it is missing.
            subject: What the session is of.

        Raises:
            SessionError: It is a record of something else, damaged, or in use.
            OutputError: The folder cannot be written to.
        """
        self._folder, self.subject = folder, subject
        self._lock = _locked(folder)
        self._history: History | None = None
        try:
            remove_parts(folder)
            if not (folder / SESSION).exists():
                self.keep(History())
            _ = self.history  # what is damaged is said at once
        except BaseException:
            self.close()
            raise

    @property
    def history(self) -> History:
        """What was done; read again where writing it was interrupted, which may have come too late."""
        if self._history is None:
            self._history = self._read()
        return self._history

    def keep(self, history: History) -> None:
        """Writes the history; it is either there as a whole, or the one before is.

        Raises:
            OutputError: It cannot be written.
            SessionError: It would be longer than what is read again.
        """
        content = {"version": _VERSION, **asdict(self.subject), "steps": [_as_json(step) for step in history.steps]}
        text = (json.dumps(content, indent=1) + "\n").encode()
        if len(history.steps) > MAX_STEPS or len(text) > MAX_JSON_BYTES:
            raise SessionError(
                f"{self._folder}: expected at most {MAX_STEPS} steps and {MAX_JSON_BYTES} bytes, "
                f"got {len(history.steps)} and {len(text)}",
                hint="begin a new session in another folder",
            )
        before, self._history = self._history, None
        try:
            replace_whole(self._folder / SESSION, text)
        except OSError as error:
            self._history = before
            raise OutputError(f"{self._folder / SESSION}: cannot be written: {error.strerror}") from error
        self._history = history

    def close(self) -> None:
        """Gives the session free for other processes."""
        self._lock.close()

    def _read(self) -> History:
        file, ours = _file(self._folder), self.subject.identity
        for name in sorted({*file.identity, *ours}):
            if file.identity.get(name) != ours.get(name):
                raise SessionError(
                    f"{self._folder}: the session is of another {name}: expected {ours.get(name)}, "
                    f"got {file.identity.get(name)}",
                    hint="begin a new session in another folder",
                )
        try:
            return History().after(*map(_step, file.steps))
        except ClickError as error:
            raise SessionError(f"{self._folder / SESSION}: its steps cannot be replayed: {error}") from error


def subject_of(folder: Path) -> Subject:
    """Returns what the session in a folder is of.

    Raises:
        SessionError: There is none, or its record is damaged.
    """
    if not (folder / SESSION).is_file():
        raise SessionError(
            f"{folder}: expected a session, found no {SESSION}", hint="clickseg segment --session opens one"
        )
    file = _file(folder)
    return Subject(file.model, file.series_uids, file.identity)


def _file(folder: Path) -> _File:
    path = folder / SESSION
    return parse(_File, read_json(path, SessionError), str(path), SessionError)


def _locked(folder: Path) -> FileLock:
    """Locks a session; the lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder / _LOCK)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to: {error.strerror}") from error
    if lock is None:
        raise SessionError(f"{folder}: the session is in use by another process")
    return lock


def subject(case: Case, engine: Engine) -> Subject:
    """Returns what a session is of: data, model, weights, engine and version."""
    package = case.package
    specification = package.spec.model_dump_json(exclude={"weights"})
    network = package.path / CONFIG
    identity = {
        "clickseg": __version__,
        "model": f"{package.name} {package.version}",
        "model specification": hashlib.sha256(specification.encode()).hexdigest(),
        **{f"weights {each.path.name}": each.sha256 for each in engine.weights},
        **({CONFIG.name: file_sha256(network)} if network.is_file() else {}),
        **{f"engine {name}": value for name, value in engine.describe().items()},
        **{f"series {number}": _digest(series) for number, series in enumerate(case.series, 1)},
    }
    return Subject(package.name, tuple(series.candidate.series_uid for series in case.series), identity)


def _digest(series: Series) -> str:
    """Returns a SHA-256 over a series' values, where they lie, and what they are."""
    volume = series.volume
    digest = hashlib.sha256(np.ascontiguousarray(volume.array).data)
    digest.update(np.ascontiguousarray(volume.affine, dtype="<f8").tobytes())
    digest.update(json.dumps([series.candidate.series_uid, volume.frame_of_reference_uid, series.unit]).encode())
    return digest.hexdigest()


def _as_json(step: Step) -> dict[str, Any]:
    content: dict[str, Any] = {"action": step.action.value, "user": step.user, "time": step.time}
    if step.click is not None:
        click = step.click
        content["click"] = {
            "label": click.label,
            "polarity": click.polarity.value,
            "position_mm": list(click.position_mm),
        }
    if step.number is not None:
        content["number"] = step.number
    return content


def _step(step: _Step) -> Step:
    click = step.click
    point = None if click is None else Click(click.label, click.polarity, click.position_mm)
    return Step(step.action, step.user, step.time, point, step.number)
