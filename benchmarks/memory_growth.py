"""Peak memory by series length and number of classes: ClickSeg compared with MONAI's transforms and inferer."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import highdicom as hd
import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import Spacing

from benchmarks.memory import peak_growth_bytes
from benchmarks.stub_engine import StubEngine, ct_spec
from benchmarks.table import Row, publish
from clickseg.core.arrays import Float32Array, Triple
from clickseg.core.progress import no_progress
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.label_assignment import LabelAssigner
from clickseg.inference.model_grid import ModelGrid
from clickseg.inference.model_input import ModelInput
from clickseg.inference.resample import ResampledImage, model_geometry
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching import DiskStitching, SlabStitching, StitchingFactory
from clickseg.inference.windows import WindowGrid

_ROI = (96, 96, 96)
_MODEL_MM = 1.5
_SOURCE_MM = (1.5, 0.8, 0.8)
_MACHINE_BYTES = 16 << 30
_CHANNELS_AND_SLICES = ((14, 128), (14, 256), (14, 512), (14, 1024), (105, 128), (105, 256), (105, 512), (105, 1024))


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    publish(
        "memory_growth",
        f"Peak memory: resampling to {_MODEL_MM} mm, sliding window (ROI 96, overlap 0.5), argmax on the source grid",
        [_row(channels, slices) for channels, slices in _CHANNELS_AND_SLICES],
    )


def _row(channels: int, slices: int) -> Row:
    voxels = slices * 512 * 512
    clickseg_bytes = peak_growth_bytes(make_clickseg, channels, slices)
    fits = 2.2 * channels * 4 * math.prod(_model_shape(slices)) + channels * 4 * voxels < _MACHINE_BYTES
    monai = f"{peak_growth_bytes(make_monai, channels, slices) / 1e9:.2f}" if fits else "does not fit"
    on_disk_bytes = peak_growth_bytes(make_clickseg_on_disk, channels, slices)
    slab_bytes = (channels + 1) * 4 * _slab_voxels(_model_shape(slices))  # logits and blending weights
    return {
        "classes": channels,
        "slices": slices,
        "MONAI GB": monai,
        "ClickSeg GB": round(clickseg_bytes / 1e9, 2),
        "ClickSeg with logits on disk GB": round(on_disk_bytes / 1e9, 2),
        "slab GB": round(slab_bytes / 1e9, 2),
        "ClickSeg without slab, bytes per source voxel": round((clickseg_bytes - slab_bytes) / voxels, 2),
    }


def make_clickseg(channels: int, slices: int) -> Callable[[], object]:
    """Returns the computation with ClickSeg, which also makes the image, so that the image is measured."""
    return _make_clickseg(channels, slices, SlabStitching)


def make_clickseg_on_disk(channels: int, slices: int) -> Callable[[], object]:
    """Returns the computation with ClickSeg under a memory limit: logits on disk, one plane at a time."""
    return _make_clickseg(channels, slices, partial(DiskStitching, folder=Path(tempfile.gettempdir()), planes=1))


def _make_clickseg(channels: int, slices: int, stitching: StitchingFactory) -> Callable[[], object]:
    spec, engine = ct_spec(channels, _ROI, _MODEL_MM), StubEngine.random(channels, _ROI)
    kernels = KernelChoice()(1 << 40)

    def segment() -> None:
        volume = hd.Volume(_image(slices), _affine(), "PATIENT")
        window = SlidingWindow(ModelInput((ResampledImage(volume, spec.grid),), ()), spec)
        source = volume.get_geometry()
        grid = ModelGrid.between(source, model_geometry(source, spec.grid))
        assigner = LabelAssigner(grid, spec, window.grid.axis, kernels)
        for planes in window.blended_planes(engine, kernels, no_progress, stitching):
            assigner.update(planes)
        assigner.label_map()

    return segment


def make_monai(channels: int, slices: int) -> Callable[[], object]:
    """Returns the computation with MONAI: on the complete volume; resampled to the source grid one class at a time."""
    engine = StubEngine.random(channels, _ROI)

    def segment() -> None:
        image = MetaTensor(torch.from_numpy(_image(slices))[None], affine=torch.diag(torch.tensor([*_SOURCE_MM, 1.0])))
        model = Spacing(pixdim=(_MODEL_MM,) * 3, mode="bilinear")(image)[None].as_tensor()
        with torch.inference_mode():
            logits = sliding_window_inference(
                model, _ROI, 1, lambda x: torch.from_numpy(engine.infer(x.numpy())), overlap=0.5, mode="gaussian"
            )
            size = image.shape[1:]
            resampled = torch.empty((channels, *size))
            for channel in range(channels):
                resampled[channel] = torch.nn.functional.interpolate(
                    logits[:, channel : channel + 1], size, mode="trilinear", align_corners=True
                )[0, 0]
            resampled.argmax(0).to(torch.uint8)

    return segment


def _image(slices: int) -> Float32Array:
    plane = np.random.default_rng(2).integers(0, 1000, (512, 512)).astype(np.float32)
    return np.repeat(plane[np.newaxis], slices, axis=0)


def _affine() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    slice_mm, row_mm, column_mm = _SOURCE_MM
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = slice_mm, row_mm, column_mm, 1
    return affine


def _slab_voxels(shape: Triple) -> int:
    axis = WindowGrid.cover(shape, ct_spec(2, _ROI, _MODEL_MM).window).axis
    return math.prod(shape) * min(_ROI[axis], shape[axis]) // shape[axis]


def _model_shape(slices: int) -> Triple:
    side = round(511 * _SOURCE_MM[1] / _MODEL_MM + 1)
    return side, side, round((slices - 1) * _SOURCE_MM[0] / _MODEL_MM + 1)
