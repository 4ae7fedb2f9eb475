"""Enhanced images that contain several volumes, and volumes of which each Enhanced instance contains one frame."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import highdicom as hd
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


ORIENTATIONS = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]]
"""Axial, sagittal and coronal directions of rows and columns, before the rotation of the oblique phantom."""


def write_orientations(folder: Path, slice_counts: Sequence[int], *, jumbled: bool = False) -> list[hd.VolumeGeometry]:
    """Writes a multi-frame MR image whose stacks have several orientations; returns the geometry of each stack.

    The values of the n-th stack are larger by 1000 n than those of the phantom.
    """
    geometries = [
        stack_geometry(ORIENTATIONS[number % 3], count, angle=number // 3) for number, count in enumerate(slice_counts)
    ]
    stacks = []
    for number, geometry in enumerate(geometries):
        volume = phantoms.distinct_volume(geometry)
        stacks.append(phantoms.instances(volume.with_array(volume.array + 1000 * number), "MR"))
    frames = [dataset for stack in stacks for dataset in stack]
    if jumbled:
        random.Random(5).shuffle(frames)
    for number, dataset in enumerate(frames):
        dataset.SOPInstanceUID = f"2.25.{900 + number}"
        dataset.InstanceNumber = number + 1
    phantoms.write_legacy_enhanced(folder, frames)
    return geometries


def stack_geometry(orientation: Sequence[int], slice_count: int, angle: int = 0) -> hd.VolumeGeometry:
    """Returns an oblique grid with three different spacings, in LPS mm."""
    rotation = phantoms.rotation_matrix(about_z=0.5 + angle)
    row, column = rotation @ orientation[:3], rotation @ orientation[3:]
    return hd.VolumeGeometry.from_attributes(
        image_position=[10.0, -20.0, 30.0],
        image_orientation=[*row, *column],
        rows=11,
        columns=13,
        pixel_spacing=[1.5, 1.25],
        spacing_between_slices=3.5,
        number_of_frames=slice_count,
        coordinate_system="PATIENT",
        frame_of_reference_uid="2.25.1",
    )


@pytest.mark.parametrize("jumbled", [False, True])
def test_one_of_several_orientations_of_a_multi_frame_image_is_selected(tmp_path: Path, jumbled: bool) -> None:
    geometries = write_orientations(tmp_path, [7, 5, 9], jumbled=jumbled)

    with pytest.raises(
        SeriesError, match=r"3 volumes in one series \(ImageOrientationPatient \(0020,0037\): "
    ) as caught:
        phantoms.read_geometry(tmp_path)
    chosen = [phantoms.read(tmp_path, f"volume={number}").volume for number in (1, 2, 3)]

    assert caught.value.hint == "--repair volume=N uses the N-th of 3 volumes"
    assert "5, 7, 9 slices each" in str(caught.value)
    for volume in chosen:
        number = int(volume.array.min() // 1000)
        assert volume.geometry_equal(geometries[number], tol=1e-4)
        np.testing.assert_array_equal(
            volume.array - 1000 * number, phantoms.distinct_volume(geometries[number]).array.astype(np.float32)
        )
    assert sorted(volume.spatial_shape[0] for volume in chosen) == [5, 7, 9]


def test_the_volumes_of_one_orientation_are_numbered_with_the_other_orientations(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(stack_geometry(ORIENTATIONS[0], 6)), "MR")
    second = [deepcopy(dataset) for dataset in datasets]
    for dataset in second:
        dataset.EchoTime = "90"
    others = phantoms.instances(phantoms.distinct_volume(stack_geometry(ORIENTATIONS[1], 4)), "MR")
    frames = [*datasets, *second, *others]
    for number, dataset in enumerate(frames):
        dataset.SOPInstanceUID = f"2.25.{900 + number}"
    phantoms.write_legacy_enhanced(tmp_path, frames)

    with pytest.raises(SeriesError, match="3 volumes in one series"):
        phantoms.read_geometry(tmp_path)
    shapes = [phantoms.read_geometry(tmp_path, f"volume={n}").stack.geometry.spatial_shape[0] for n in (1, 2, 3)]

    assert shapes == [6, 6, 4]


def test_frames_that_each_have_their_own_orientation_are_rejected(tmp_path: Path) -> None:
    write_orientations(tmp_path, [1] * 6)

    with pytest.raises(SeriesError, match="6 orientations in one series"):
        phantoms.read_geometry(tmp_path, "volume=1")


def test_frames_at_one_position_that_no_attribute_distinguishes_have_a_hint_about_the_image(tmp_path: Path) -> None:
    folder = write_volumes(tmp_path, [diffusion(1000.0, DIRECTIONS[0])] * 2)

    with pytest.raises(SeriesError, match="7 duplicate slice positions: enhanced") as caught:
        phantoms.read_geometry(folder)
    assert caught.value.hint == "send each volume as its own image"


@pytest.mark.parametrize("jumbled", [False, True])
@pytest.mark.parametrize("are_orientations", [False, True])
def test_the_segmentation_of_one_of_several_volumes_refers_to_its_frames(
    tmp_path: Path, dciodvfy: str, jumbled: bool, are_orientations: bool
) -> None:
    if are_orientations:
        write_orientations(tmp_path, [7, 5, 9], jumbled=jumbled)
    else:
        write_volumes(tmp_path, KINDS["directions"], jumbled=jumbled)
    folder, series = tmp_path, phantoms.read(tmp_path, "volume=3")
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
    (orientation,) = {str(plane.get("ImageOrientationPatient")) for plane in series.stack.planes}
    assert str(seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient) == orientation
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

    with pytest.raises(
        SeriesError, match=r"2 volumes in one series \(TemporalPositionIndex \(0020,9128\): 1, 2\), 7 slices each"
    ):
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
