"""Image files by their names: which there are in a folder, and which label belongs to which image."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from clickseg.errors import InputError
from clickseg.wording import counted

ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd")
"""Of images that hold grid and values in one file; those that name another file for their values are left aside."""

_SHOWN = 4
HINT = "a JSON datalist names the cases that count; one in which there is nothing to be found has no label there"
"""What to do about images without labels."""


def ending_of(path: Path) -> str | None:
    """Returns the ending of an image file's name as ``ENDINGS`` has it; None where it is no image."""
    name = path.name.lower()
    return None if name.startswith(".") else next((each for each in ENDINGS if name.endswith(each)), None)


def stem_of(path: Path) -> str:
    """Returns the name of a file or folder without the ending of an image."""
    return path.name[: len(path.name) - len(ending_of(path) or "")]


def images_in(folder: Path) -> dict[str, Path]:
    """Returns the image files of a folder by their names without ending; hidden and other files are passed over.

    Raises:
        InputError: It cannot be read, or two of its images differ in the ending only.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if ending_of(path) and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    images: dict[str, Path] = {}
    for path in paths:
        other = images.setdefault(stem_of(path), path)
        if other != path:
            raise InputError(f"{folder.name}: {other.name} and {path.name}: expected one file of a name")
    return images


def check_pairs(images: Collection[str], labels: Collection[str], where: Path) -> None:
    """Refuses images without labels and labels without images, by their names.

    Raises:
        InputError: There are some, or there is nothing at all.
    """
    alone, over = sorted({*images} - {*labels}), sorted({*labels} - {*images})
    if alone or over:
        kinds = [(alone, "image", "a label"), (over, "label", "an image")]
        said = [f"{counted(len(names), kind)} without {of}: {listed(names)}" for names, kind, of in kinds if names]
        raise InputError(f"{where}: {'; '.join(said)}", hint=HINT)
    if not images:
        raise InputError(f"{where}: no images: expected files ending in {', '.join(ENDINGS)}")


def listed(names: Collection[str]) -> str:
    """Returns the first names, as messages list them."""
    return ", ".join([*list(names)[:_SHOWN], *["..."] * (len(names) > _SHOWN)])
