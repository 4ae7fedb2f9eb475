"""Images and label maps in files of their own (NIfTI, MetaImage, NRRD): found by their endings, read by SimpleITK.

Where ITK does not look itself, it is checked that a file holds all that its header promises.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray

from clickseg.core.errors import InputError
from clickseg.core.sitk import from_sitk
from clickseg.dicom.series import MAX_VOXELS

_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 1 << 20
ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd")
"""Of images that hold grid and values in one file; those that name another file for their values are left aside."""

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


def ending_of(path: Path) -> str | None:
    """Returns the ending of an image file's name as ``ENDINGS`` has it; None where it is no image."""
    name = path.name.lower()
    return None if name.startswith(".") else next((each for each in ENDINGS if name.endswith(each)), None)


def stem_of(path: Path) -> str:
    """Returns the name of a file or folder without the ending of an image."""
    return path.name[: len(path.name) - len(ending_of(path) or "")]


def _read(path: Path) -> Any:
    """Returns the image in a file, once its header has been found to be that of a volume."""
    import SimpleITK

    ending = ending_of(path)
    if ending is None:
        raise InputError(f"{path.name}: expected an image ending in {', '.join(ENDINGS)}, or DICOM")
    _check_holds_its_values(path, ending)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[ending])
    try:
        reader.ReadImageInformation()
        _check_header(reader, path.name)
        if _READERS[ending] == _NIFTI:
            _check_whole_nifti(path, reader)
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path.name}: cannot be read: {_reason(error)}") from error


def _check_holds_its_values(path: Path, ending: str) -> None:
    """Refuses headers that name another file for the values: the name could be of any file there is.

    Raises:
        InputError: The file cannot be read, or is such a header.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from error
    if ending == ".nrrd":
        head, end, _ = head.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end:
            raise InputError(f"{path.name}: expected a header of at most {_HEAD_BYTES} bytes that a blank line ends")
    lines = [line.strip() for line in head.replace(b" ", b"").lower().split(b"\n")]
    is_meta = ending == ".mha" and b"elementdatafile=local" not in lines
    is_nrrd = ending == ".nrrd" and any(line.startswith(b"datafile:") for line in lines)
    if is_meta or is_nrrd:
        raise InputError(f"{path.name}: expected its values in the same file, got the name of another one")


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


def _check_whole_nifti(path: Path, reader: Any) -> None:
    """Refuses a NIfTI file that was cut or damaged: where values are missing, ITK takes 0 for them.

    Args:
        path: The file.
        reader: SimpleITK's reader, which has read the header.

    Raises:
        InputError: Values are missing, or what is compressed is damaged.
    """
    counts = [int(reader.GetMetaData(f"dim[{axis}]")) for axis in range(1, 1 + int(reader.GetMetaData("dim[0]")))]
    bits = int(reader.GetMetaData("bitpix"))
    for count in counts:
        bits *= count
    expected = int(float(reader.GetMetaData("vox_offset"))) + bits // 8
    found = _size(path)
    if found < expected:
        raise InputError(f"{path.name}: expected {expected} bytes by its header, got {found}: it was cut")


def _size(path: Path) -> int:
    """Returns how many bytes are in a file once they are expanded; nothing of them is kept."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    size = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE_BYTES):
                size += len(piece)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path.name}: it was cut, or is damaged: {error}") from error
    return size


def _reason(error: RuntimeError) -> str:
    """Returns what ITK says is wrong, without where in its code and its memory that was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ITK ERROR: \w+\(0x\w+\): ", "", lines[-1]) if lines else type(error).__name__


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))
