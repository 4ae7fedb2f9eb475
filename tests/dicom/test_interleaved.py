"""Two acquisitions or reconstructions in one series, whose slices interleave, are two volumes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from clickseg.core.errors import SeriesError
from tests.helpers import phantoms

PARAMETERS = {
    "ConvolutionKernel": ("SOFT", "BONE"),
    "SliceThickness": ("5", "1"),
    "EchoTime": ("15", "30"),
    "EchoNumbers": (1, 2),
    "RepetitionTime": ("500", "2000"),
    "InversionTime": ("150", "900"),
    "FlipAngle": ("5", "20"),
    "DiffusionBValue": (0.0, 800.0),
    "ContrastBolusAgent": (None, "agent"),
    "TemporalPositionIdentifier": (1, 2),
    "ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]),
}
"""The acquisition parameters, each with the values of two volumes."""


def make_slices(offsets_mm: Sequence[float], value: float, name: str = "test") -> list[Dataset]:
    """Returns slices with a constant value, at offsets along the normal of one grid."""
    geometry = phantoms.oblique_geometry((2, 11, 13))
    volume = geometry.with_array(np.full(geometry.spatial_shape, value, dtype=np.float32))
    first, second = phantoms.instances(volume, "MR", name)
    start, end = (np.array(dataset.ImagePositionPatient, dtype=float) for dataset in (first, second))
    normal = (end - start) / np.linalg.norm(end - start)
    datasets = []
    for offset_mm in offsets_mm:
        (dataset,) = phantoms.instances(volume, "MR", name)[:1]
        dataset.ImagePositionPatient = [f"{component:.8g}" for component in start + offset_mm * normal]
        dataset.SOPInstanceUID = f"2.25.{1000 * (1 + int(value)) + round(100 * offset_mm)}"
        datasets.append(dataset)
    return datasets


def set_attributes(datasets: Sequence[Dataset], **attributes: object) -> Sequence[Dataset]:
    for dataset in datasets:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
    return datasets


@pytest.mark.parametrize("distance_mm", [4, 1.2, 0.4])
@pytest.mark.parametrize("keyword", PARAMETERS)
def test_interleaved_volumes_with_another_parameter_are_never_mixed(
    tmp_path: Path, keyword: str, distance_mm: float
) -> None:
    offsets_mm = 8 * np.arange(6)
    first = set_attributes(make_slices(offsets_mm, 10), **{keyword: PARAMETERS[keyword][0]})
    second = set_attributes(make_slices(offsets_mm + distance_mm, 20), **{keyword: PARAMETERS[keyword][1]})
    folder = phantoms.save(tmp_path, [*first, *second])

    for repairs in ((), ("resample",)):
        with pytest.raises(
            SeriesError, match=rf"2 volumes in one series \({keyword} \(.*\): .*\), 6 slices each"
        ) as caught:
            phantoms.read_geometry(folder, *repairs)
        assert caught.value.hint == "--repair volume=N uses the N-th of 2 volumes"
    volumes = [phantoms.read(folder, f"volume={number}") for number in (1, 2)]

    assert sorted(np.unique(series.volume.array).tolist() for series in volumes) == [[10], [20]]
    assert all(series.volume.spacing[0] == pytest.approx(8, abs=1e-3) for series in volumes)
    assert volumes[0].files.applied_repairs == ("used volume 1 of 2",)


def test_volumes_of_different_size_and_spacing_are_found(tmp_path: Path) -> None:
    thick = set_attributes(make_slices(5.0 * np.arange(8), 10), SliceThickness="5")
    thin = set_attributes(make_slices(0.5 + np.arange(36), 20), SliceThickness="1")
    folder = phantoms.save(tmp_path, [*thick, *thin])

    with pytest.raises(
        SeriesError, match=r"2 volumes in one series \(SliceThickness \(0018,0050\): 1.*, 5.*\), 8, 36 slices each"
    ):
        phantoms.read_geometry(folder)

    assert phantoms.read(folder, "volume=1").volume.spatial_shape == (36, 11, 13)
    assert phantoms.read(folder, "volume=2").volume.spatial_shape == (8, 11, 13)


def test_volumes_that_share_some_positions_are_found(tmp_path: Path) -> None:
    thick = set_attributes(make_slices(5.0 * np.arange(8), 10), ConvolutionKernel="SOFT")
    thin = set_attributes(make_slices(1.0 * np.arange(36), 20), ConvolutionKernel="BONE")
    folder = phantoms.save(tmp_path, [*thick, *thin])

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(ConvolutionKernel \(0018,1210\): BONE, SOFT\)"):
        phantoms.read_geometry(folder, "resample")
    assert phantoms.read(folder, "volume=2").volume.array.max() == 10


def test_volumes_that_overlap_in_a_part_of_their_range_are_found(tmp_path: Path) -> None:
    head = set_attributes(make_slices(4.0 * np.arange(12), 10), RepetitionTime="500")
    neck = set_attributes(make_slices(34 + 4.0 * np.arange(12), 20), RepetitionTime="900")

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(RepetitionTime \(0018,0080\): 500.*, 900.*\)"):
        phantoms.read_geometry(phantoms.save(tmp_path, [*head, *neck]), "resample")


def test_interleaved_volumes_of_two_echoes_each_are_four_volumes(tmp_path: Path) -> None:
    datasets = [
        dataset
        for number, (kernel, echo) in enumerate([("A", "5"), ("A", "10"), ("B", "5"), ("B", "10")])
        for dataset in set_attributes(
            make_slices(8.0 * np.arange(5) + 4 * (number // 2), 10 * number), ConvolutionKernel=kernel, EchoTime=echo
        )
    ]
    folder = phantoms.save(tmp_path, datasets)

    with pytest.raises(
        SeriesError, match=r"4 volumes in one series \(EchoTime \(0018,0081\), ConvolutionKernel \(0018,1210\): "
    ):
        phantoms.read_geometry(folder)
    values = [np.unique(phantoms.read(folder, f"volume={number}").volume.array).tolist() for number in (1, 2, 3, 4)]

    assert sorted(values) == [[0], [10], [20], [30]]


def test_three_interleaved_volumes_are_found(tmp_path: Path) -> None:
    datasets = [
        dataset
        for number in range(3)
        for dataset in set_attributes(make_slices(9.0 * np.arange(5) + 3 * number, number), FlipAngle=str(5 + number))
    ]

    with pytest.raises(
        SeriesError, match=r"3 volumes in one series \(FlipAngle \(0018,1314\): 5.*, 6.*, 7.*\), 5 slices each"
    ):
        phantoms.read_geometry(phantoms.save(tmp_path, datasets))


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (3, 2), (5, 2), (10, 1)])
@pytest.mark.parametrize("distance_mm", [4, 1.5])
def test_volumes_of_few_slices_are_found(tmp_path: Path, sizes: tuple[int, int], distance_mm: float) -> None:
    first = set_attributes(make_slices(8.0 * np.arange(sizes[0]), 10), EchoTime="15")
    second = set_attributes(make_slices(distance_mm + 8.0 * np.arange(sizes[1]), 20), EchoTime="30")
    folder = phantoms.save(tmp_path, [*first, *second])

    for repairs in ((), ("resample",)):
        with pytest.raises(
            SeriesError, match=r"2 volumes in one series \(EchoTime \(0018,0081\): 15.*, 30.*\)"
        ) as caught:
            phantoms.read_geometry(folder, *repairs)
        assert caught.value.hint == "--repair volume=N uses the N-th of 2 volumes"
    assert np.unique(phantoms.read(folder, "volume=1").volume.array).tolist() == [10]


@pytest.mark.parametrize("order", ["AB", "ABA", "AAB", "AABB", "ABBA", "ABAA", "AAABB", "ABABCC", "ABCABCDD"])
def test_few_slices_with_another_parameter_that_are_not_two_stacks_are_one_volume(tmp_path: Path, order: str) -> None:
    datasets = make_slices(4.0 * np.arange(len(order)), 10)
    for dataset, group in zip(datasets, order, strict=True):
        dataset.InversionTime = str(250 + 10 * "ABCD".index(group))

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, datasets)).stack.planes) == len(order)


@pytest.mark.parametrize("distance_mm", [4, 1.2])
def test_an_interleaved_volume_with_missing_slices_is_not_mixed_with_the_other(
    tmp_path: Path, distance_mm: float
) -> None:
    complete = set_attributes(make_slices(8.0 * np.arange(10), 10), ConvolutionKernel="B30f")
    gaps = set_attributes(make_slices(distance_mm + 8.0 * np.array([0, 2, 3, 5, 6, 9]), 20), ConvolutionKernel="B70f")

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(ConvolutionKernel \(0018,1210\): B30f, B70f\)"):
        phantoms.read_geometry(phantoms.save(tmp_path, [*complete, *gaps]), "resample")


def test_numbers_of_volumes_are_compared_exactly(tmp_path: Path) -> None:
    first = set_attributes(make_slices(8.0 * np.arange(6), 10), TemporalPositionIdentifier=200)
    second = set_attributes(make_slices(4 + 8.0 * np.arange(6), 20), TemporalPositionIdentifier=201)

    with pytest.raises(
        SeriesError, match=r"2 volumes in one series \(TemporalPositionIdentifier \(0020,0100\): 200, 201\)"
    ):
        phantoms.read_geometry(phantoms.save(tmp_path, [*first, *second]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
def test_interleaved_frames_of_a_multi_frame_image_are_two_volumes(tmp_path: Path) -> None:
    first = set_attributes(make_slices(8.0 * np.arange(6), 10), EchoTime="15")
    second = set_attributes(make_slices(4 + 8.0 * np.arange(6), 20), EchoTime="30")
    folder = phantoms.write_legacy_enhanced(tmp_path, [*first, *second])

    with pytest.raises(SeriesError, match=r"2 volumes in one series \(E.*: 15.*, 30.*\), 6 slices each"):
        phantoms.read_geometry(folder)
    assert phantoms.read(folder, "volume=2").volume.array.min() == 20


FUNCTIONAL_GROUPS = {
    "EffectiveEchoTime": ("MREchoSequence", 5.0, 10.0),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence", 500.0, 2000.0),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence", 5.0, 20.0),
    "InversionTimes": ("MRModifierSequence", [150.0], [900.0]),
    "DiffusionBValue": ("MRDiffusionSequence", 0.0, 800.0),
    "ContrastBolusAgentAdministered": ("ContrastBolusUsageSequence", "NO", "YES"),
    "ContrastBolusAgentNumber": ("ContrastBolusUsageSequence", 1, 2),
    "TemporalPositionIndex": ("FrameContentSequence", 1, 2),
    "TemporalPositionTimeOffset": ("TemporalPositionSequence", 0.0, 20.0),
    "StackID": ("FrameContentSequence", "1", "2"),
    "ComplexImageComponent": ("MRImageFrameTypeSequence", "MAGNITUDE", "PHASE"),
    "ConvolutionKernel": ("CTReconstructionSequence", "B30f", "B70f"),
    "SliceThickness": ("PixelMeasuresSequence", "5", "2"),
}
"""Acquisition parameters of frames: the functional group macro, and the values of two volumes."""


@pytest.mark.filterwarnings("ignore::UserWarning")  # highdicom's legacy converter
@pytest.mark.parametrize("keyword", FUNCTIONAL_GROUPS)
def test_interleaved_frames_with_another_functional_group_are_two_volumes(tmp_path: Path, keyword: str) -> None:
    sequence, *values = FUNCTIONAL_GROUPS[keyword]
    offsets_mm = 8 * np.arange(6)
    image = phantoms.make_legacy_enhanced([*make_slices(offsets_mm, 10), *make_slices(offsets_mm + 4, 20)])
    shared = image.SharedFunctionalGroupsSequence[0].get(sequence, [Dataset()])
    for number, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        item = deepcopy(group.get(sequence, shared)[0])
        setattr(item, keyword, values[int(image.pixel_array[number, 0, 0] == 20)])
        setattr(group, sequence, [item])
    image.save_as(phantoms.save(tmp_path, []) / "enhanced.dcm")

    with pytest.raises(SeriesError, match=rf"2 volumes in one series \({keyword} \(.*\): .*\), 6 slices each"):
        phantoms.read_geometry(tmp_path, "resample")
    assert len(np.unique(phantoms.read(tmp_path, "volume=2").volume.array)) == 1


PRIVATE_B_VALUES = {
    "Siemens": ((0x0019, "SIEMENS MR HEADER"), (0x0C, "IS"), "0", "1000"),
    "GE": ((0x0043, "GEMS_PARM_01"), (0x39, "IS"), ["0", "8", "0", "0"], ["1000000800", "8", "0", "0"]),
    "Philips": ((0x2001, "Philips Imaging DD 001"), (0x03, "FL"), 0.0, 800.0),
}


@pytest.mark.parametrize("vendor", PRIVATE_B_VALUES)
def test_interleaved_volumes_with_another_private_b_value_are_two_volumes(tmp_path: Path, vendor: str) -> None:
    block, attribute, *values = PRIVATE_B_VALUES[vendor]
    groups = make_slices(8.0 * np.arange(6), 10), make_slices(4 + 8.0 * np.arange(6), 20)
    for datasets, value in zip(groups, values, strict=True):
        for dataset in datasets:
            dataset.private_block(*block, create=True).add_new(*attribute, value)

    with pytest.raises(
        SeriesError, match=r"2 volumes in one series \(DiffusionBValue \(0018,9087\): 0.*, (800|1000).*\)"
    ):
        phantoms.read_geometry(phantoms.save(tmp_path, [*groups[0], *groups[1]]))


@pytest.mark.parametrize(
    "attributes",
    [
        [{"AcquisitionNumber": 1, "AcquisitionTime": "100000"}, {"AcquisitionNumber": 2, "AcquisitionTime": "100200"}],
        [{"XRayTubeCurrent": "100", "Exposure": "20"}, {"XRayTubeCurrent": "150", "Exposure": "30"}],
        [{"WindowCenter": "40", "WindowWidth": "400"}, {"WindowCenter": "60", "WindowWidth": "300"}],
        [{"EchoTime": "15.001"}, {"EchoTime": "14.998"}],
        [{"SliceThickness": "8"}, {"SliceThickness": "8.0"}],
    ],
    ids=lambda attributes: "-".join(attributes[0]),
)
def test_odd_and_even_slices_of_one_acquisition_are_one_volume(
    tmp_path: Path, attributes: list[dict[str, object]]
) -> None:
    odd = set_attributes(make_slices(8.0 * np.arange(6), 10), **attributes[0])
    even = set_attributes(make_slices(4 + 8.0 * np.arange(6), 20), **attributes[1])

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, [*odd, *even])).stack.planes) == 12


@pytest.mark.parametrize("keyword", PARAMETERS)
@pytest.mark.parametrize("order", ["AAAAAABBBBBB", "AAAABBBBAAAA", "AAAAABAAAAAA", "ABBABAAABABB", "AAABAAAABAAA"])
def test_slices_with_another_parameter_that_follow_each_other_or_fill_gaps_are_one_volume(
    tmp_path: Path, keyword: str, order: str
) -> None:
    datasets = make_slices(4.0 * np.arange(12), 10)
    for dataset, group in zip(datasets, order, strict=True):
        setattr(dataset, keyword, PARAMETERS[keyword][group == "B"])

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, datasets)).stack.planes) == 12


def test_a_parameter_that_the_scanner_adapts_to_each_slice_does_not_separate_volumes(tmp_path: Path) -> None:
    datasets = make_slices(4.0 * np.arange(12), 10)
    for dataset, inversion_time in zip(
        datasets, [250, 260, 270, 250, 280, 260, 270, 250, 290, 280, 260, 270], strict=True
    ):
        dataset.InversionTime = str(inversion_time)

    assert len(phantoms.read_geometry(phantoms.save(tmp_path, datasets)).stack.planes) == 12


def test_stacks_with_two_slice_thicknesses_that_follow_each_other_are_not_two_volumes(tmp_path: Path) -> None:
    thin = set_attributes(make_slices(2.5 * np.arange(8), 10), SliceThickness="2.5")
    thick = set_attributes(make_slices(20 + 5.0 * np.arange(8), 20), SliceThickness="5")
    folder = phantoms.save(tmp_path, [*thin, *thick])

    with pytest.raises(SeriesError, match=r"slice spacing varies|missing slice"):
        phantoms.read_geometry(folder)
    assert len(phantoms.read_geometry(folder, "resample").stack.planes) == 16


def test_an_invalid_parameter_does_not_reject_a_series(tmp_path: Path) -> None:
    datasets = make_slices(4.0 * np.arange(6), 10)
    folder = phantoms.save(tmp_path, set_attributes(datasets, FlipAngle="15"))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\x18\x00\x14\x13DS\x02\x0015", b"\x18\x00\x14\x13DS\x02\x001x"))

    assert len(phantoms.read_geometry(folder).stack.planes) == 6
