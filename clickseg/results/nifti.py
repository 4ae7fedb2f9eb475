"""Writes the label map as NIfTI."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clickseg.core.errors import OutputError
from clickseg.core.sitk import to_sitk
from clickseg.inference.case import CaseResult


def write_nifti(result: CaseResult, path: Path) -> str:
    """Writes a label map on the grid of the reference series.

    Args:
        result: The result. Voxels contain class numbers, in the order of the model package. If classes overlap, the
            file has a fourth axis, with one mask (0 or 1) for each class.
        path: The file to write.

    Returns:
        The file name.

    Raises:
        OutputError: The file cannot be written.
    """
    import SimpleITK  # takes 0.25 s, and most runs do not need it

    labels, volume = result.labels, result.case.reference_series.volume
    if labels.is_overlapping:
        masks = [to_sitk(volume.with_array(labels.mask(n).astype(np.uint8))) for n in range(1, labels.class_count + 1)]
        image = SimpleITK.JoinSeries(masks)
    else:
        image = to_sitk(volume.with_array(labels.array))
    try:
        SimpleITK.WriteImage(image, str(path))
    except RuntimeError as error:
        raise OutputError(f"{path.name}: cannot be written") from error
    return path.name
