"""MONAI's JSON datalists: ``{"training": [{"image": path or paths, "label": path, "fold": 0}]}``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clickseg.datasets.case import CaseFiles
from clickseg.datasets.channels import Description, choose_channels
from clickseg.datasets.files import listed, stem_of
from clickseg.errors import InputError
from clickseg.validation import parse, read_json

_Name = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    image: _Name | Annotated[tuple[_Name, ...], Field(min_length=1)]
    label: _Name | None = None
    fold: Annotated[int, Field(ge=0)] | None = None

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image,) if isinstance(self.image, str) else self.image


class _Datalist(Description):
    training: Annotated[tuple[_Entry, ...], Field(min_length=1)]


def is_datalist(data: Path) -> bool:
    """Whether data are a JSON file."""
    return data.is_file() and data.suffix.lower() == ".json"


def find_datalist(data: Path, modalities: tuple[str, ...]) -> tuple[CaseFiles, ...]:
    """Returns the cases under ``training``; one without ``label`` is a case in which there is nothing to be found.

    Raises:
        InputError: The file is no datalist, names what does not exist, or its images are not those of the model.
    """
    content = parse(_Datalist, read_json(data, InputError), data.name, InputError)
    names = _names([entry.images[0] for entry in content.training])
    cases = tuple(
        _case_of(name, entry, content, modalities, data) for name, entry in zip(names, content.training, strict=True)
    )
    paths = [path for case in cases for path in (*case.images, case.truth) if path is not None]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise InputError(f"{data.name}: no such file or folder: {listed(missing)}", hint="paths are relative to it")
    return cases


def _case_of(name: str, entry: _Entry, content: _Datalist, modalities: tuple[str, ...], data: Path) -> CaseFiles:
    chosen = choose_channels(content.channels(data.name), len(entry.images), modalities, f"{data.name}: {name}")
    images = tuple(data.parent / entry.images[number] for number in chosen)
    return CaseFiles(name, modalities, images, data.parent / entry.label if entry.label else None, entry.fold)


def _names(images: Sequence[str]) -> list[str]:
    """Returns the names of images without their endings; with their folders, where two would be the same."""
    paths = [Path(image) for image in images]
    short = [stem_of(path) for path in paths]
    if len({*short}) == len(short):
        return short
    return ["_".join(part for part in (*path.parent.parts, stem_of(path)) if part.strip("./")) for path in paths]
