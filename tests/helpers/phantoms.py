"""Volumes, series and models for tests. Volumes are oblique, asymmetric, and have three different spacings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from clickseg.datasets.phantom import ct_header, make_slices, pet_header, series_header, study_header, write_series
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import SeriesGeometry, check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import SeriesVolume, load_volume
from clickseg.models.package import load_package
from clickseg.models.weights_files import write_weight_digests

SHAPE = (7, 11, 13)
ROW_SPACING, COLUMN_SPACING, SLICE_SPACING = 1.7, 0.9, 3.1


def rotation_matrix(about_x: float = 0.3, about_y: float = -0.2, about_z: float = 0.5) -> np.ndarray:
    """Returns a rotation matrix for three angles in radians."""
    cx, sx, cy, sy, cz, sz = (f(a) for a in (about_x, about_y, about_z) for f in (np.cos, np.sin))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x


def oblique_geometry(
    shape: Sequence[int] = SHAPE,
    *,
    axes: np.ndarray | None = None,
    pixel_spacing: tuple[float, float] = (ROW_SPACING, COLUMN_SPACING),
    slice_spacing: float = SLICE_SPACING,
) -> hd.VolumeGeometry:
    """Returns a grid [K, J, I] that is oblique to the patient."""
    axes = rotation_matrix() if axes is None else axes
    orientation = np.round(np.concatenate([axes[:, 0], axes[:, 1]]), 10)
    return hd.VolumeGeometry.from_attributes(
        image_position=(-31.5, 12.25, 77.125),
        image_orientation=orientation.tolist(),
        rows=shape[1],
        columns=shape[2],
        pixel_spacing=pixel_spacing,
        spacing_between_slices=slice_spacing,
        number_of_frames=shape[0],
        coordinate_system="PATIENT",
    )


def distinct_volume(geometry: hd.VolumeGeometry) -> hd.Volume:
    """Returns a volume in which each voxel has a different value: 1000 k + 30 j + i."""
    k, j, i = np.indices(geometry.spatial_shape)
    return geometry.with_array((1000 * k + 30 * j + i).astype(np.float32))


def hook_volume(geometry: hd.VolumeGeometry, inside: float = 1.0, outside: float = 0.0) -> hd.Volume:
    """Returns a volume with an asymmetric object: three arms of different lengths that start at one corner."""
    shape = geometry.spatial_shape
    array = np.full(shape, outside, dtype=np.float32)
    k, j, i = (max(count // 5, 1) for count in shape)
    array[k : 4 * shape[0] // 5, j : j + 2, i : i + 2] = inside
    array[k : k + 2, j : 3 * shape[1] // 4, i : i + 2] = inside
    array[k : k + 2, j : j + 2, i : shape[2] // 2] = inside
    return geometry.with_array(array)


def mr_header(study: Dataset) -> Dataset:
    """Returns the attributes of an MR series of a study."""
    header = series_header(study, "MR", MRImageStorage, 3, ["ORIGINAL", "PRIMARY", "M", "SE"])
    header.PatientPosition = "HFS"
    header.ScanningSequence = "SE"
    header.SequenceVariant = "NONE"
    header.ScanOptions = ""
    header.MRAcquisitionType = "3D"
    header.RepetitionTime = "500"
    header.EchoTime = "10"
    header.EchoTrainLength = 1
    return header


def header(modality: str, name: str = "test") -> Dataset:
    """Returns the attributes of a series."""
    make_header = {"CT": ct_header, "MR": mr_header, "PT": pet_header}[modality]
    return make_header(study_header(name))


def write(folder: Path, volume: hd.Volume, modality: str = "CT", name: str = "test") -> Path:
    """Writes a series, and returns its folder."""
    write_series(folder, volume, header(modality, name))
    return folder


def instances(volume: hd.Volume, modality: str = "CT", name: str = "test") -> list[Dataset]:
    """Returns the instances of a series, which a test can change before it saves them."""
    return make_slices(volume, header(modality, name))


def save(folder: Path, datasets: Sequence[Dataset]) -> Path:
    """Writes instances under file names that do not reveal their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        dataset.save_as(folder / f"image{(7919 * number) % 10007:05d}", enforce_file_format=True)
    return folder


def change(folder: Path, edit_dataset: Callable[[Dataset], None], *, selection: slice = slice(None)) -> Path:
    """Changes the selected instances of a folder in place."""
    for path in sorted(folder.iterdir())[selection]:
        dataset = dcmread(path)
        edit_dataset(dataset)
        dataset.save_as(path)
    return folder


def read_geometry(folder: Path, *repair_names: str) -> SeriesGeometry:
    """Reads the geometry of the only series of a folder."""
    (files,) = group_by_series(scan(folder).instances)
    return check_series(files, Repairs.parse(repair_names))


def read(folder: Path, *repair_names: str) -> SeriesVolume:
    """Reads the only series of a folder with its volume."""
    return load_volume(read_geometry(folder, *repair_names))


def write_legacy_enhanced(folder: Path, datasets: Sequence[Dataset]) -> Path:
    """Writes instances as one Legacy Converted Enhanced multi-frame instance."""
    folder.mkdir(parents=True, exist_ok=True)
    make_legacy_enhanced(datasets).save_as(folder / "enhanced.dcm")
    return folder


def write_one_frame_instances(folder: Path, datasets: Sequence[Dataset]) -> Path:
    """Writes each instance as a Legacy Converted Enhanced multi-frame instance with one frame, all in one series."""
    return save(folder, [make_legacy_enhanced([dataset], number) for number, dataset in enumerate(datasets, 1)])


def make_legacy_enhanced(datasets: Sequence[Dataset], number: int = 1) -> Dataset:
    """Returns instances as one Legacy Converted Enhanced multi-frame instance."""
    image_class = {
        "CT": hd.legacy.LegacyConvertedEnhancedCTImage,
        "MR": hd.legacy.LegacyConvertedEnhancedMRImage,
        "PT": hd.legacy.LegacyConvertedEnhancedPETImage,
    }[datasets[0].Modality]
    enhanced: Dataset = image_class(
        legacy_datasets=datasets,
        series_instance_uid="2.25.77",
        series_number=7,
        sop_instance_uid=f"2.25.{77 + number}",
        instance_number=number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    return enhanced


def metadata(**changes: object) -> dict[str, object]:
    """Returns the ``clickseg`` section of a small CT model with one class."""
    section: dict[str, object] = {
        "inputs": [{"name": "ct", "modality": "CT", "unit": "HU", "scaling": RANGE}],
        "grid": {"spacing_mm": [2.0, 2.5, 3.0], "orientation": "RAS"},
        "window": {"roi": [8, 8, 8], "overlap": 0.5},
        "activation": "softmax",
        "output_channels": 2,
        "classes": [organ("hook", 1)],
        "weights": {},
    }
    return section | changes


RANGE = {"kind": "range", "a_min": -1000, "a_max": 1000, "b_min": -1, "b_max": 1}
SUV_RANGE = {"kind": "range", "a_min": 0, "a_max": 10, "b_min": -1, "b_max": 1}
ANY_MODALITY = {
    "name": "image",
    "modality": "PT",
    "unit": "SUVbw",
    "scaling": SUV_RANGE,
    "alternatives": [
        {"modality": "CT", "unit": "HU", "scaling": RANGE | {"a_min": -600}},
        {"modality": "MR", "unit": "", "scaling": {"kind": "zscore"}, "min_value": 35},
    ],
}
"""A model input that accepts PET, CT or MR."""

GUIDANCE = {
    "kind": "ball",
    "radius_vox": 2,
    "channels": [{"takes": [["hook", "foreground"]]}, {"takes": [["hook", "background"]]}],
}


def organ(name: str, channel: int, **changes: object) -> dict[str, object]:
    """Returns the metadata of one class of a model."""
    return {
        "name": name,
        "channel": channel,
        "colour": [200, 40 * channel % 256, 30],
        "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
        "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
    } | changes


def write_package(folder: Path, section: dict[str, object], network_def: dict[str, object] | None = None) -> Path:
    """Writes a model package without weights."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "1.2.3", "clickseg": section}))
    if network_def is not None:
        (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": network_def}))
    return folder


def write_linear_model(
    folder: Path, section: dict[str, object], weights: Sequence[Sequence[float]], bias: Sequence[float]
) -> Path:
    """Writes a package whose network is linear in each voxel: logits = weights @ channels + bias.

    The output of a voxel can be computed by hand, and is the same in every window.
    """
    import openvino as ov
    from openvino import opset13 as ops

    kernel = np.array(weights, dtype=np.float32)[:, :, None, None, None]
    window = section["window"]
    channels = ops.parameter([1, kernel.shape[1], *window["roi"]], np.float32)
    logits = ops.convolution(channels, ops.constant(kernel), [1] * 3, [0] * 3, [0] * 3, [1] * 3)
    shifted = ops.add(logits, ops.constant(np.array(bias, dtype=np.float32).reshape(1, -1, 1, 1, 1)))
    write_package(folder, section)
    ov.save_model(ov.Model([shifted], [channels]), folder / "models" / "model.xml", compress_to_fp16=False)
    write_weight_digests(load_package(folder), ("model.xml", "model.bin"))
    return folder
