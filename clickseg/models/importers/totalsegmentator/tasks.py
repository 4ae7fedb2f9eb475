"""The tasks of TotalSegmentator, version 2, that segment all organs of a CT, and the folders of their models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.models.importers.nnunet import model_files

_DATASET = re.compile(r"Dataset(\d{3})_TotalSegmentator_\w{1,80}")
_PLACES = ("", "nnunet/results")
"""Where the folders of datasets are: in the folder that is named, or as in ``~/.totalsegmentator``."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        name: The name, as the options of TotalSegmentator's command.
        datasets: The numbers of its datasets in the order in which the labels of a later one overwrite the others.
        spacing_mm: The spacing to which TotalSegmentator resamples images.
        overlap: The overlap of windows, as a part of the window.
    """

    name: str
    datasets: tuple[int, ...]
    spacing_mm: float
    overlap: float


TASKS = (
    Task("total", (291, 292, 293, 294, 295), 1.5, 0.2),
    Task("fast", (297,), 3.0, 0.5),
    Task("fastest", (298,), 6.0, 0.5),
)
_NAMES = join_names([task.name for task in TASKS])


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used of a path.

    Attributes:
        task: The task.
        folders: The folders of its datasets; one for the folder of a single dataset.
    """

    task: Task
    folders: tuple[Path, ...]


def find_datasets(path: Path) -> Mapping[int, Path]:
    """Returns the folders of TotalSegmentator's datasets by number; empty if a folder contains others as well.

    Args:
        path: The folder of one dataset, the folder that contains them, or ``~/.totalsegmentator``.
    """
    if (number := _dataset_number(path)) is not None:
        return {number: path}
    for place in _PLACES:
        children = _folders_in(path / place)
        found = {number: child for child in children if (number := _dataset_number(child)) is not None}
        if found and all(child.name.startswith("Dataset") for child in children):
            return found
    return {}


def _other_models(path: Path) -> list[str]:
    """Returns the names of the folders next to the datasets that contain other trained models of nnU-Net."""
    children = [child for place in _PLACES for child in _folders_in(path / place)]
    return [child.name for child in children if _dataset_number(child) is None and model_files.is_model(child)]


def _folders_in(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def choose(path: Path, name: str) -> Choice:
    """Returns what is used of a path.

    Args:
        path: The folder.
        name: The name of the task; empty for the only one whose datasets are complete.

    Raises:
        ModelError: There is no such task, datasets are missing, or there are several tasks and none is named.
    """
    found = find_datasets(path)
    if name and name not in {task.name for task in TASKS}:
        raise ModelError(
            f"--preset {name[:80]}: expected {_NAMES} for models of TotalSegmentator",
            hint="models of its other tasks are trained models of nnU-Net: name the folder of one; some need a licence",
        )
    if _dataset_number(path) is not None:
        return _choose_one(path, next(iter(found)), name)
    if not name and (others := _other_models(path)):
        raise ModelError(
            f"{path.name}: contains models of TotalSegmentator, and others: {join_names(others)}",
            hint="select a task with --preset total, or name the folder of another model",
        )
    complete = [task for task in TASKS if set(task.datasets) <= set(found)]
    chosen = [task for task in TASKS if task.name == name] if name else complete
    if len(chosen) != 1:
        numbers = join_names([str(number) for number in sorted(found)], 9)
        raise ModelError(
            f"{path.name}: expected the datasets of one task, got {numbers}: {_text(complete)}",
            hint=f"select a task with --preset {chosen[0].name}" if chosen else None,
        )
    missing = [str(number) for number in chosen[0].datasets if number not in found]
    if missing:
        raise ModelError(
            f"{path.name}: {chosen[0].name}: missing are the datasets {join_names(missing)}",
            hint="download them with totalseg_download_weights",
        )
    return Choice(chosen[0], tuple(found[number] for number in chosen[0].datasets))


def _choose_one(path: Path, number: int, name: str) -> Choice:
    """Returns the choice of the folder of one dataset, whose classes are those of this dataset."""
    task = next(task for task in TASKS if number in task.datasets)
    if name not in ("", task.name):
        raise ModelError(f"--preset {name}: expected {task.name}, to which {path.name} belongs")
    return Choice(task, (path,))


def _text(complete: list[Task]) -> str:
    names = [task.name for task in complete]
    return f"complete are {join_names(names)}" if names else "no task is complete"


def _dataset_number(path: Path) -> int | None:
    """Returns the number of a dataset with a trained model; None for other folders, and for datasets of other tasks."""
    match = _DATASET.fullmatch(path.resolve().name) if path.is_dir() else None  # not links that refer to each other
    number = int(match.group(1)) if match else None
    is_known = any(number in task.datasets for task in TASKS)
    return number if is_known and model_files.is_model(path) else None
