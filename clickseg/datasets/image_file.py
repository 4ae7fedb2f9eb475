"""Images and label maps in files (NIfTI, MetaImage, NRRD): found by file name extension, read by SimpleITK.

Files that are truncated are rejected; the checks that ITK does not make are made here.
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

_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 1 << 20
IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".mha", ".nrrd")
"""The extensions of images with header and values in one file; formats with a separate file of values are ignored."""

_NIFTI_IO = "NiftiImageIO"
_IMAGE_IOS = {
    ".nii.gz": _NIFTI_IO,
    ".nii": _NIFTI_IO,
    ".mha": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
}
"""The ImageIO (reader of ITK) of each extension; without it, ITK would try many readers on the content."""

_MAX_CLASS_NUMBER = 255


def read_image(path: Path) -> hd.Volume:
    """Returns the values of an image file, float32; NaN in NIfTI becomes 0, as ITK reads it.

    Raises:
        InputError: The file cannot be read, is not a 3D volume, or contains values that are not finite.
    """
    volume = from_sitk(_read(path), np.float32)
    if not np.isfinite(volume.array).all():
        count = np.count_nonzero(~np.isfinite(volume.array))
        raise InputError(f"{path.name}: expected finite values, got {count} that are not finite")
    return volume


def read_label_map(path: Path) -> hd.Volume:
    """Returns the class numbers in a label map file, uint8.

    Raises:
        InputError: The file cannot be read, is not a 3D volume, or contains values that are not class numbers.
    """
    volume = from_sitk(_read(path))
    return volume.with_array(to_class_numbers(volume.array, path.name))


def to_class_numbers(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Converts values to class numbers, uint8.

    Args:
        values: The values of a label map.
        name: The name of the label map, for messages.

    Raises:
        InputError: A value is not an integer from 0 to 255.
    """
    invalid = ~((values >= 0) & (values <= _MAX_CLASS_NUMBER))  # also True for NaN
    if not invalid.any() and values.dtype.kind == "f":
        invalid = values != np.rint(values)
    if invalid.any():
        raise InputError(
            f"{name}: expected integer class numbers from 0 to {_MAX_CLASS_NUMBER}, got {values[invalid][0]} in "
            f"{np.count_nonzero(invalid)} of {values.size} voxels"
        )
    return values.astype(np.uint8)


def find_images(folder: Path) -> dict[str, Path]:
    """Returns the image files of a folder, by file name without extension; hidden and other files are ignored.

    Raises:
        InputError: The folder cannot be read, or two images have names that differ in the extension only.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if image_extension(path) and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    images: dict[str, Path] = {}
    for path in paths:
        first = images.setdefault(image_stem(path), path)
        if first != path:
            raise InputError(f"{folder.name}: {first.name} and {path.name}: expected one file for each name")
    return images


def image_extension(path: Path) -> str | None:
    """Returns the extension of an image file, one of ``IMAGE_EXTENSIONS``; None if the file is not an image."""
    name = path.name.lower()
    if name.startswith("."):
        return None
    return next((extension for extension in IMAGE_EXTENSIONS if name.endswith(extension)), None)


def image_stem(path: Path) -> str:
    """Returns the name of a file or folder without an image extension."""
    return path.name[: len(path.name) - len(image_extension(path) or "")]


def _read(path: Path) -> Any:
    """Returns the SimpleITK image in a file, after checks of its header."""
    import SimpleITK

    extension = image_extension(path)
    if extension is None:
        raise InputError(f"{path.name}: expected an image file ending in {', '.join(IMAGE_EXTENSIONS)}, or DICOM")
    _check_single_file(path, extension)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_IMAGE_IOS[extension])
    try:
        reader.ReadImageInformation()
        _check_header(reader, path.name)
        if _IMAGE_IOS[extension] == _NIFTI_IO:
            _check_nifti_size(path, reader)
        return reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path.name}: cannot be read: {_itk_message(error)}") from error


def _check_single_file(path: Path, extension: str) -> None:
    """Rejects headers that refer to a separate file of values, which could be any file of the system.

    Raises:
        InputError: The file cannot be read, or refers to another file.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_MAX_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from error
    if extension == ".nrrd":
        header, end, _ = header.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end:
            raise InputError(
                f"{path.name}: expected a header of at most {_MAX_HEADER_BYTES} bytes that ends with a blank line"
            )
    lines = [line.strip() for line in header.replace(b" ", b"").lower().split(b"\n")]
    is_detached_mha = extension == ".mha" and b"elementdatafile=local" not in lines
    is_detached_nrrd = extension == ".nrrd" and any(line.startswith(b"datafile:") for line in lines)
    if is_detached_mha or is_detached_nrrd:
        raise InputError(f"{path.name}: expected the values in the same file, got a reference to another file")


def _check_header(reader: Any, name: str) -> None:
    size = reader.GetSize()
    shape = " x ".join(str(count) for count in size)
    components = reader.GetNumberOfComponents()
    if reader.GetDimension() != 3 or components != 1:
        raise InputError(
            f"{name}: expected a 3D volume with one value per voxel, got {shape} voxels with {components} per voxel",
            hint="store each channel or time point in a separate file",
        )
    if math.prod(size) > MAX_VOXELS:
        raise InputError(f"{name}: {shape} voxels: expected at most {MAX_VOXELS}")


def _check_nifti_size(path: Path, reader: Any) -> None:
    """Rejects a NIfTI file that is truncated or damaged: ITK would read missing values as 0.

    Args:
        path: The file.
        reader: A SimpleITK reader that has read the header.

    Raises:
        InputError: Values are missing, or the compressed data are damaged.
    """
    counts = [int(reader.GetMetaData(f"dim[{axis}]")) for axis in range(1, 1 + int(reader.GetMetaData("dim[0]")))]
    bits = int(reader.GetMetaData("bitpix"))
    for count in counts:
        bits *= count
    expected = int(float(reader.GetMetaData("vox_offset"))) + bits // 8
    actual = _uncompressed_bytes(path)
    if actual < expected:
        raise InputError(f"{path.name}: the file is truncated: its header defines {expected} bytes, got {actual}")


def _uncompressed_bytes(path: Path) -> int:
    """Returns the uncompressed size of a file, without keeping its content in memory."""
    if not path.name.lower().endswith(".gz"):
        return path.stat().st_size
    size = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path.name}: the file is truncated or damaged: {error}") from error
    return size


def _itk_message(error: RuntimeError) -> str:
    """Returns the error message of ITK without source lines and memory addresses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ITK ERROR: \w+\(0x\w+\): ", "", lines[-1]) if lines else type(error).__name__
