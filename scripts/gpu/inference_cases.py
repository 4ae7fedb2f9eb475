"""The volumes and models that inference is measured with, made in memory: no time is spent on DICOM files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import DynUNet, SegResNet
from scipy.ndimage import zoom

from benchmarks.networks import SW_FASTEDIT
from benchmarks.stub_engine import ct_spec
from clickseg.clicks.click import Click, Polarity
from clickseg.core.arrays import Float32Array, Triple
from clickseg.dicom.volume import SeriesVolume
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.weights_files import write_weight_digests
from tests.helpers import phantoms

CT_CLASSES = 14
CT_MODEL_MM = 1.5
CT_OVERLAP = 0.25
CT_RANGE = {"a_min": -1000.0, "a_max": 1000.0, "b_min": -1.0, "b_max": 1.0}
SEGRESNET = {"init_filters": 8, "in_channels": 1, "out_channels": CT_CLASSES}


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of volumes and windows.

    Attributes:
        pet: The PET [K, J, I].
        pet_window: The window of the model of the PET.
        ct: The CT [K, J, I].
        ct_window: The window of the model of the CT.
        repeats: The number of measurements.
        clicks: The number of clicks.
    """

    pet: Triple = (326, 400, 400)
    pet_window: Triple = (128, 128, 128)
    ct: Triple = (300, 512, 512)
    ct_window: Triple = (96, 96, 96)
    repeats: int = 3
    clicks: int = 20


DRY_SIZES = Sizes((40, 48, 56), (32, 32, 32), (20, 48, 56), (16, 16, 16), 1, 2)
"""Sizes to test the measurements on a CPU."""


def make_series(shape: Triple, spacing_mm: tuple[float, float, float], folder: Path, seed: int) -> SeriesVolume:
    """Returns a CT that is as smooth as a body and does not repeat itself.

    Its headers are those of a short series, since inference reads only modality, unit and volume.

    Args:
        shape: The size [K, J, I].
        spacing_mm: The spacing along K, J and I.
        folder: An empty folder for the short series.
        seed: The seed of the values.
    """
    geometry = phantoms.oblique_geometry(
        shape, axes=np.eye(3), pixel_spacing=spacing_mm[1:], slice_spacing=spacing_mm[0]
    )
    phantoms.write(folder, phantoms.hook_volume(phantoms.oblique_geometry((3, 4, 5))), "CT", "short")
    coarse = np.random.default_rng(seed).normal(0, 400, [max(2, size // 15) for size in shape]).astype(np.float32)
    values = zoom(coarse, [size / length for size, length in zip(shape, coarse.shape, strict=True)], order=1)
    return replace(phantoms.read(folder), volume=geometry.with_array(np.clip(values, -1000, 1000)))


def make_sw_fastedit(folder: Path, sizes: Sizes, spacing_mm: tuple[float, float, float]) -> ModelPackage:
    """Returns the model of SW-FastEdit with random weights, whose model grid is that of the series.

    Args:
        folder: The folder of the package.
        sizes: The sizes.
        spacing_mm: The spacing along K, J and I.
    """
    channels = [{"takes": [["hook", polarity]]} for polarity in ("foreground", "background")]
    section = phantoms.metadata(
        window={"roi": list(sizes.pet_window), "overlap": 0.25},
        grid={"spacing_mm": list(reversed(spacing_mm)), "orientation": "LPS"},
        guidance=phantoms.GUIDANCE | {"channels": channels},
    )
    return _write_package(folder, section, "DynUNet", SW_FASTEDIT, DynUNet(**SW_FASTEDIT))


def make_segresnet(folder: Path, sizes: Sizes) -> tuple[ModelPackage, torch.nn.Module]:
    """Returns a CT model with random weights, and its network."""
    torch.manual_seed(0)
    network: torch.nn.Module = SegResNet(**SEGRESNET)
    section = ct_spec(CT_CLASSES, sizes.ct_window, CT_MODEL_MM).model_dump(mode="json")
    section["inputs"][0]["scaling"] = {"kind": "range", **CT_RANGE}
    section["window"]["overlap"] = CT_OVERLAP
    return _write_package(folder, section, "SegResNet", SEGRESNET, network), network.eval()


def _write_package(
    folder: Path, section: dict[str, object], name: str, arguments: Mapping[str, object], network: torch.nn.Module
) -> ModelPackage:
    phantoms.write_package(folder, section, {"_target_": f"monai.networks.nets.{name}", **arguments})
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    write_weight_digests(load_package(folder), ("model.pt",))
    return load_package(folder)


def random_clicks(series: SeriesVolume, count: int) -> list[Click]:
    """Returns clicks at random positions, with random polarities."""
    rng = np.random.default_rng(3)
    last = np.array(series.volume.spatial_shape) - 1
    positions: Float32Array = series.volume.map_indices_to_reference(rng.uniform(0, last, (count, 3)))
    return [Click("hook", list(Polarity)[rng.integers(2)], (float(x), float(y), float(z))) for x, y, z in positions]
