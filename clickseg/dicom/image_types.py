"""Images of a series that are not slices of its volume according to Image Type: projections, reformats, reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickseg.core.text import format_count
from clickseg.dicom.aligned_planes import are_parallel
from clickseg.dicom.conversion import READ_ERRORS
from clickseg.dicom.image_kind import ImageKind, format_image_type, read_kinds
from clickseg.dicom.interleaved import are_within_steps
from clickseg.dicom.part10 import Instance
from clickseg.dicom.planes import Plane

_LARGEST_FRACTION = 0.25
"""The largest group of appended images, as a fraction of the slices; a larger group is a part of the volume."""

_MIN_VOLUME = 3
"""At the positions of other slices, fewer images are not a volume."""

_SAME_GEOMETRY = 2e-3
"""The largest difference of direction cosines and pixel spacings (in mm) of images that can be slices of one volume."""


@dataclass(frozen=True, slots=True)
class OtherImages:
    """Images that are not slices of the volume of their series.

    Attributes:
        images: The images: instances or planes.
        expected: Image Type of the slices, for messages.
    """

    images: tuple[Instance | Plane, ...]
    expected: str

    def contains(self, image: Instance | Plane) -> bool:
        """Whether an image is one of these images."""
        return any(other is image for other in self.images)

    def __str__(self) -> str:
        found = "; ".join(f"{image.name}: {format_image_type(image)}" for image in self.images[:3])
        return f"{format_count(len(self.images), 'image')} with another ImageType (0008,0008): {found}"


def find_images_without_slice_geometry(instances: Sequence[Instance]) -> OtherImages | None:
    """Returns the images of another Image Type that cannot be slices; None if all can be slices.

    Such an image, for example a screen save in colour or a reformat with another matrix, differs from the slices in
    Image Type and in its size, colours, orientation, pixel spacing or frame of reference, or has no position.

    Args:
        instances: The instances of a series, at least one, with one frame each.
    """
    kinds = read_kinds(instances)
    if len(set(kinds)) < 2:
        return None
    (slice_kind, count), *_ = Counter(kinds).most_common(1)
    slices = [instance for instance, kind in zip(instances, kinds, strict=True) if kind == slice_kind]
    candidates = [instance for instance, kind in zip(instances, kinds, strict=True) if kind != slice_kind]
    others = [instance for instance in candidates if not _has_geometry_of(slices[0], instance)]
    return OtherImages(tuple(others), format_image_type(slices[0])) if 0 < len(others) < count else None


def find_other_images(planes: Sequence[Plane]) -> OtherImages | None:
    """Returns the images that are not slices according to Image Type or Frame Type; None if all images are slices.

    The type of most images is that of the slices. An image is not a slice if the words of its type define something
    else (projection, reformat, report), or if it is of another kind and is appended to the stack or is at the position
    of a slice.

    Args:
        planes: At least one plane.
    """
    kinds = read_kinds(planes)
    if len(set(kinds)) < 2:
        return None
    (slice_kind, _), *_ = Counter(kinds).most_common(1)
    slices = [plane for plane, kind in zip(planes, kinds, strict=True) if kind.is_compatible(slice_kind)]
    groups: dict[ImageKind, list[Plane]] = defaultdict(list)
    for plane, kind in zip(planes, kinds, strict=True):
        if not kind.is_compatible(slice_kind):
            groups[kind].append(plane)
    others = [
        plane
        for kind, members in groups.items()
        if _are_other_images(members, slices, has_other_words=bool(kind.words - slice_kind.words))
        for plane in members
    ]
    return OtherImages(tuple(others), format_image_type(slices[0])) if others else None


def _has_geometry_of(reference: Instance, instance: Instance) -> bool:
    """Whether an image has the size, colours, orientation, pixel spacing and frame of reference of another image."""
    texts = ("FrameOfReferenceUID", "PhotometricInterpretation")
    sizes = ("Rows", "Columns", "SamplesPerPixel")
    if any(reference.text(keyword) != instance.text(keyword) for keyword in texts):
        return False
    if any(reference.header.get(keyword) != instance.header.get(keyword) for keyword in sizes):
        return False
    return all(
        _are_close(*(image.header.get(keyword) for image in (reference, instance)))
        for keyword in ("ImageOrientationPatient", "PixelSpacing")
    ) and bool(reference.header.get("ImagePositionPatient")) == bool(instance.header.get("ImagePositionPatient"))


def _are_close(first: object, second: object) -> bool:
    """Whether two attributes are missing, or have the same numbers."""
    if not first or not second:
        return not first and not second
    try:
        vectors = [np.array(value, dtype=np.float64) for value in (first, second)]
    except READ_ERRORS:
        return False
    return vectors[0].shape == vectors[1].shape and bool(np.abs(vectors[0] - vectors[1]).max() <= _SAME_GEOMETRY)


def _are_other_images(members: Sequence[Plane], slices: Sequence[Plane], *, has_other_words: bool) -> bool:
    """Whether a group of images of one kind does not belong to the volume of the slices."""
    if len(members) >= len(slices):
        return False
    if not are_parallel([slices[0], *members]):
        return has_other_words
    normal = slices[0].normal
    stack, offsets = (np.array([plane.position_mm @ normal for plane in group]) for group in (slices, members))
    if are_within_steps(offsets, stack).any():
        return len(members) < _MIN_VOLUME
    is_appended = bool(((offsets < stack.min()) | (offsets > stack.max())).all())
    return has_other_words or (is_appended and len(members) <= _LARGEST_FRACTION * len(slices))
