"""Enhanced images that contain several volumes, and volumes of which each Enhanced instance contains one frame."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import LegacyConvertedEnhancedCTImageStorage

from clickseg.core.errors import SeriesError
from clickseg.dicom.files import scan
from clickseg.dicom.series_files import group_by_series
from clickseg.results.identity import encode_dicom
from tests.helpers import phantoms
from tests.helpers.dicom_files import make_dataset
from tests.helpers.dicom_results import dciodvfy_errors, make_results

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter

SLICES = 7
DIRECTIONS = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.6, 0.8, 0.0]]


def write_volumes(folder: Path, volumes: Sequence[dict[str, object]], *, jumbled: bool = False) -> Path:
    """Writes a multi-frame MR image with several volumes, whose values are larger by 5 in each further volume.

    Args:
        folder: The folder of the image.
        volumes: For each volume, the attributes that are set in the functional groups of its frames.
        jumbled: Whether the order of the frames is random.
    """
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "MR")
    image = phantoms.make_legacy_enhanced(datasets)
    pixels, groups = image.pixel_array, list(image.PerFrameFunctionalGroupsSequence)
    frames = [(number, index) for number in range(len(volumes)) for index in range(SLICES)]
    if jumbled:
        random.Random(5).shuffle(frames)
    image.PixelData = np.stack([pixels[index] + 5 * number for number, index in frames]).astype("<i2").tobytes()
    image.NumberOfFrames = len(frames)
    image.PerFrameFunctionalGroupsSequence = [deepcopy(groups[index]) for _, index in frames]
    for (number, index), group in zip(frames, image.PerFrameFunctionalGroupsSequence, strict=True):
        group.FrameContentSequence[0].pop("DimensionIndexValues", None)
        for keyword, value in volumes[number].items():
            if keyword == "DimensionIndexValues":
                group.FrameContentSequence[0].DimensionIndexValues = [1, index + 1, *value]
            else:
                setattr(group, keyword, deepcopy(value))
    image.save_as(phantoms.save(folder, []) / "enhanced.dcm")
    return folder


def diffusion(b_value: float, direction: Sequence[float] | None = None, **attributes: object) -> dict[str, object]:
    """Returns MR Diffusion Sequence; the direction is two sequences deep (PS3.3, C.8.13.5.9)."""
    item = make_dataset(DiffusionBValue=b_value, **attributes)
    if direction is not None:
        item.DiffusionGradientDirectionSequence = [make_dataset(DiffusionGradientOrientation=list(direction))]
    return {"MRDiffusionSequence": [item]}


def b_matrix(xx: float, yy: float, zz: float) -> dict[str, object]:
    matrix = make_dataset(DiffusionBValueXX=xx, DiffusionBValueYY=yy, DiffusionBValueZZ=zz)
    return diffusion(1000.0, DiffusionBMatrixSequence=[matrix])


def nested(sequence: str, inner: str, **attributes: object) -> dict[str, object]:
    """Returns attributes that are two sequences deep."""
    return {sequence: [make_dataset(**{inner: [make_dataset(**attributes)]})]}


KINDS = {
    "directions": [diffusion(0.0), *(diffusion(1000.0, direction) for direction in DIRECTIONS)],
    "shells": [diffusion(0.0), *(diffusion(b, direction) for b in (1000.0, 2000.0) for direction in DIRECTIONS)],
    "b-matrix": [b_matrix(x, y, z) for x, y, z in [(9, 0, 0), (9, 9, 0), (0, 9, 0), (0, 9, 9), (9, 0, 9), (9, 9, 9)]],
    "b 0 twice": [
        diffusion(0.0) | {"DimensionIndexValues": (1, 1)},
        diffusion(0.0) | {"DimensionIndexValues": (1, 2)},
        diffusion(1000.0, DIRECTIONS[0]) | {"DimensionIndexValues": (2, 1)},
        diffusion(1000.0, DIRECTIONS[1]) | {"DimensionIndexValues": (2, 2)},
    ],
    "dimension": [{"DimensionIndexValues": (number,)} for number in (1, 2, 3)],
    "two dimensions": [{"DimensionIndexValues": (a, b)} for a in (1, 2) for b in (1, 2, 3)],
    "cardiac phases": [
        {"CardiacSynchronizationSequence": [make_dataset(NominalPercentageOfCardiacPhase=float(percent))]}
        for percent in (0, 40, 80)
    ],
    "velocity directions": [
        {"MRVelocityEncodingSequence": [make_dataset(VelocityEncodingDirection=direction)]} for direction in DIRECTIONS
    ],
    "arterial spin labelling": [
        nested("MRArterialSpinLabelingSequence", "ASLSlabSequence", ASLPulseTrainDuration=duration)
        for duration in (900, 1800)
    ],
    "kernels": [{"CTReconstructionSequence": [make_dataset(ConvolutionKernel=kernel)]} for kernel in ("A", "B")],
}
"""Volumes that differ in functional groups or dimensions, by kind."""


@pytest.mark.parametrize("jumbled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_volumes_of_a_multi_frame_image_are_found(tmp_path: Path, kind: str, jumbled: bool) -> None:
    volumes = KINDS[kind]
    folder = write_volumes(tmp_path, volumes, jumbled=jumbled)

    with pytest.raises(SeriesError, match=rf"{len(volumes)} volumes in one series \(.*\), 7 slices each") as caught:
        phantoms.read_geometry(folder, "resample")
    chosen = [phantoms.read(folder, f"volume={number + 1}").volume.array for number in range(len(volumes))]

    assert caught.value.hint == f"--repair volume=N uses the N-th of {len(volumes)} volumes"
    expected = phantoms.distinct_volume(phantoms.oblique_geometry()).array
    assert sorted(float(np.ptp(array - expected)) for array in chosen) == [0] * len(volumes)
    assert sorted(float((array - expected).mean()) for array in chosen) == [5 * n for n in range(len(volumes))]


@pytest.mark.parametrize("kind", ["directions", "shells"])
def test_the_first_volume_of_a_diffusion_image_is_that_without_direction(tmp_path: Path, kind: str) -> None:
    folder = write_volumes(tmp_path, list(reversed(KINDS[kind])), jumbled=True)
    last = len(KINDS[kind]) - 1

    array = phantoms.read(folder, "volume=1").volume.array

    assert array.min() == 5 * last  # the phantom starts at 0


def test_frames_at_one_position_that_no_attribute_distinguishes_have_a_hint_about_the_image(tmp_path: Path) -> None:
    folder = write_volumes(tmp_path, [diffusion(1000.0, DIRECTIONS[0])] * 2)

    with pytest.raises(SeriesError, match="7 duplicate slice positions: enhanced") as caught:
        phantoms.read_geometry(folder)
    assert caught.value.hint == "send each volume as its own image"


@pytest.mark.parametrize("jumbled", [False, True])
def test_the_segmentation_of_one_of_several_volumes_refers_to_its_frames(
    tmp_path: Path, dciodvfy: str, jumbled: bool
) -> None:
    folder = write_volumes(tmp_path, KINDS["directions"], jumbled=jumbled)
    series = phantoms.read(folder, "volume=3")
    results = make_results(series)

    seg, labels = results.segmentation, results.labels.array
    assert seg is not None
    source = dcmread(folder / "enhanced.dcm")
    numbers = [plane.frame_number for plane in series.stack.planes]
    for number, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        referenced = int(reference.ReferencedFrameNumber)
        group = source.PerFrameFunctionalGroupsSequence[referenced - 1]
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert (
            frame.PlanePositionSequence[0].ImagePositionPatient == group.PlanePositionSequence[0].ImagePositionPatient
        )
        np.testing.assert_array_equal(seg.pixel_array[number], labels[numbers.index(referenced)])
    for result in (seg, results.report):
        (tmp_path / "result.dcm").write_bytes(encode_dicom(result))
        assert dciodvfy_errors(tmp_path / "result.dcm", dciodvfy) == []


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_enhanced_instances_with_one_frame_each_are_one_volume(tmp_path: Path, modality: str, dciodvfy: str) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), modality)
    single = phantoms.read(phantoms.save(tmp_path / "single", datasets)).volume
    folder = phantoms.write_one_frame_instances(tmp_path / "multi", datasets)

    series = phantoms.read(folder)

    assert series.volume.geometry_equal(single, tol=1e-5)
    np.testing.assert_array_equal(series.volume.array, single.array)
    results = make_results(series)
    for result in (results.segmentation, results.report):
        (tmp_path / "result.dcm").write_bytes(encode_dicom(result))
        assert dciodvfy_errors(tmp_path / "result.dcm", dciodvfy) == []


def test_the_segmentation_of_one_frame_instances_refers_to_the_instance_of_each_plane(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "CT")
    series = phantoms.read(phantoms.write_one_frame_instances(tmp_path, datasets))
    results = make_results(series)

    seg, labels = results.segmentation, results.labels.array
    assert seg is not None
    uids = [plane.instance.text("SOPInstanceUID") for plane in series.stack.planes]
    (series_item,) = seg.ReferencedSeriesSequence
    assert {item.ReferencedSOPClassUID for item in series_item.ReferencedInstanceSequence} == {
        LegacyConvertedEnhancedCTImageStorage
    }
    for number, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        index = uids.index(source.ReferencedSOPInstanceUID)
        assert source.ReferencedSOPClassUID == LegacyConvertedEnhancedCTImageStorage
        np.testing.assert_array_equal(seg.pixel_array[number], labels[index])
        np.testing.assert_allclose(
            [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient],
            series.stack.planes[index].position_mm,
            atol=1e-5,
        )


def test_one_frame_instances_of_several_time_points_are_several_volumes(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "MR")
    repeated = [*datasets, *(deepcopy(dataset) for dataset in datasets)]
    folder = phantoms.write_one_frame_instances(tmp_path, repeated)
    for path in sorted(folder.iterdir()):
        image = dcmread(path)
        frame = image.PerFrameFunctionalGroupsSequence[0]
        frame.FrameContentSequence[0].TemporalPositionIndex = 1 + (int(image.InstanceNumber) > SLICES)
        image.save_as(path)

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(TemporalPositionIndex: 1, 2\), 7 slices each"):
        phantoms.read_geometry(folder)
    assert phantoms.read(folder, "volume=2").volume.spatial_shape == phantoms.SHAPE


def test_a_missing_one_frame_instance_is_named(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "CT")
    folder = phantoms.write_one_frame_instances(tmp_path, [*datasets[:3], *datasets[4:]])

    with pytest.raises(SeriesError, match="1 missing slice in 1 place"):
        phantoms.read_geometry(folder)


def test_a_multi_frame_image_next_to_one_frame_instances_is_a_group_of_its_own(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()), "CT")
    folder = phantoms.write_one_frame_instances(tmp_path, datasets)
    image: Dataset = phantoms.make_legacy_enhanced(datasets, 100)
    image.save_as(folder / "enhanced.dcm")

    groups = group_by_series(scan(folder).instances)

    assert sorted(len(files.instances) for files in groups) == [1, 7]
