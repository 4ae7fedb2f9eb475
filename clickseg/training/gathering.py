"""The cases of a dataset on the model grid; each is kept in two files that are mapped into memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.read import read_case
from clickseg.datasets.regions import names_of
from clickseg.progress import Progress
from clickseg.staging import write_bytes
from clickseg.training.config import Training
from clickseg.training.grid_case import GridCase, on_grid


def gather(files: Sequence[CaseFiles], how: Training, folder: Path, progress: Progress) -> Iterator[GridCase]:
    """Yields cases on the model grid; those that were kept in a folder before are taken from there.

    Args:
        files: The cases.
        how: The run, with its model.
        folder: Where they are kept.
        progress: Told after each.

    Raises:
        InputError: A case cannot be read, or does not fit the model.
        OutputError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(files, 1):
        images, truth = folder / f"{each.name}.images.npy", folder / f"{each.name}.truth.npy"
        if not truth.is_file():
            case = on_grid(read_case(each, names_of(how.truth, how.model.classes)), how.model)
            _write(case.images, images)
            _write(case.truth, truth)  # last: it says that both are whole
        yield GridCase(each.name, each.modalities[0], np.load(images, mmap_mode="r"), np.load(truth, mmap_mode="r"))
        progress(number, len(files))


def _write(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
