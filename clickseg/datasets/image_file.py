"""Images and label maps in files of their own (NIfTI, MetaImage, NRRD), by SimpleITK."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.datasets.files import ENDINGS, ending_of
from clickseg.datasets.whole_file import check_holds_its_values, check_whole_nifti
from clickseg.dicom.series import MAX_VOXELS
from clickseg.errors import InputError
from clickseg.itk import from_sitk

_NIFTI = "NiftiImageIO"
_READERS = {
    ".nii.gz": _NIFTI,
    ".nii": _NIFTI,
    ".mha": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
}
"""By the ending and not by the content: ITK would try many readers."""

_MAX_CLASS = 255


def read_image(path: Path) -> hd.Volume:
    """Returns the values of an image file, float32; what is no number in NIfTI is 0, as ITK reads it.

    Raises:
        InputError: It cannot be read, is no volume, or holds what is no number.
    """
    volume = from_sitk(_read(path), np.float32)
    if not np.isfinite(volume.array).all():
        raise InputError(f"{path.name}: expected finite values, got {_count(~np.isfinite(volume.array))} that are not")
    return volume


def read_label_map(path: Path) -> hd.Volume:
    """Returns the class numbers of a label map's file, uint8.

    Raises:
        InputError: It cannot be read, is no volume, or holds what is no class number.
    """
    volume = from_sitk(_read(path))
    return volume.with_array(class_numbers(volume.array, path.name))


def class_numbers(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Returns values as class numbers.

    Raises:
        InputError: They are not whole, or not from 0 to 255.
    """
    unfit = ~((values >= 0) & (values <= _MAX_CLASS))  # what is no number is neither
    if not unfit.any() and values.dtype.kind == "f":
        unfit = values != np.rint(values)
    if unfit.any():
        raise InputError(
            f"{name}: expected whole class numbers from 0 to {_MAX_CLASS}, got {values[unfit][0]} in "
            f"{_count(unfit)} of {values.size} voxels"
        )
    return values.astype(np.uint8)


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _read(path: Path) -> Any:
    """Returns the image in a file, once its header has been found to be that of a volume."""
    import SimpleITK

    ending = ending_of(path)
    if ending is None:
        raise InputError(f"{path.name}: expected an image ending in {', '.join(ENDINGS)}, or DICOM")
    check_holds_its_values(path, ending)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[ending])
    try:
        reader.ReadImageInformation()
        _check_header(reader, path.name)
        if _READERS[ending] == _NIFTI:
            check_whole_nifti(path, reader)
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path.name}: cannot be read: {_reason(error)}") from error


def _check_header(reader: Any, name: str) -> None:
    size = reader.GetSize()
    shape = " x ".join(str(count) for count in size)
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{name}: expected one volume of numbers, got {shape} voxels with {reader.GetNumberOfComponents()} values",
            hint="images of several channels or times belong into a file each",
        )
    if math.prod(size) > MAX_VOXELS:
        raise InputError(f"{name}: {shape} voxels: expected at most {MAX_VOXELS}")


def _reason(error: RuntimeError) -> str:
    """Returns what ITK says is wrong, without where in its code and its memory that was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ITK ERROR: \w+\(0x\w+\): ", "", lines[-1]) if lines else type(error).__name__
