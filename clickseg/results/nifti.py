"""The label map as NIfTI."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clickseg.core.errors import OutputError
from clickseg.core.sitk import to_sitk
from clickseg.inference.case import Result


def write_nifti(result: Result, path: Path) -> str:
    """Writes a label map on the grid of the reference series.

    Args:
        result: The result. Classes are numbered as in the model package; where they overlap, the fourth axis
            counts them and each is 0 or 1.
        path: Where to write it.

    Returns:
        The file's name.
    """
    import SimpleITK  # a quarter of a second that most runs do without

    labels, volume = result.labels, result.case.reference.volume
    if labels.overlapping:
        masks = [to_sitk(volume.with_array(labels.mask(n).astype(np.uint8))) for n in range(1, labels.count + 1)]
        image = SimpleITK.JoinSeries(masks)
    else:
        image = to_sitk(volume.with_array(labels.array))
    try:
        SimpleITK.WriteImage(image, str(path))
    except RuntimeError as error:
        raise OutputError(f"{path.name}: cannot be written") from error
    return path.name
