"""Generated datasets: bright boxes in noise, on oblique grids with three different spacings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SPACING_MM = (3.0, 4.0, 5.0)
DIRECTION = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def write_dataset(folder: Path, count: int = 3) -> Path:
    """Writes cases as ``imagesTr/X.nii.gz`` and ``labelsTr/X.nii.gz``; the last case has no foreground."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        truth = np.zeros((18, 22, 26), np.uint8)
        if number < count - 1:
            truth[4:11, 5 + number : 13, 8:20] = 1
            truth[11:13, 6:9, 9:12] = 1
        image = (rng.random(truth.shape) * 0.8 + truth * 6).astype(np.float32)
        _write(image, folder / "imagesTr" / f"case{number}.nii.gz")
        _write(truth, folder / "labelsTr" / f"case{number}.nii.gz")
    return folder


def _write(array: np.ndarray, path: Path) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    image.SetDirection(DIRECTION)
    image.SetOrigin((11.0, -7.0, 30.0))
    SimpleITK.WriteImage(image, str(path))


SMALL = (  # a tiny network and a few steps, as values of --set
    "patch_size=[16,16,16]",
    "epochs=2",
    "steps_per_epoch=2",
    "network.filters=[4,8,8]",
    "network.kernel_size=[3,3,3]",
    "network.strides=[1,2,2]",
    "network.upsample_kernel_size=[2,2]",
    "model.window.roi=[16,16,16]",
    "clicking.max_rounds=2",
    "clicking.patch_size=[8,8,8]",
    "optimization.precision=f32",
)
