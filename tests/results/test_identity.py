"""The same input gives the same UIDs; different contents never have the same UID."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import Dataset, dcmread

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.core.label_map import LabelMap
from clickseg.dicom.predecessor import Predecessor, predecessor_documents
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.measurements import SegmentMeasurements
from clickseg.results import identity
from clickseg.results.identity import Algorithm, Provenance, make_identity
from clickseg.results.segmentation import SegmentationType
from clickseg.results.structured_report import make_click_report, make_structured_report
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, MadeResult, hook_labels, make_results, spec

ALGORITHM = Algorithm("test", "1.2.3", "ab" * 32, "", "f32")
CLICK = Click("hook", Polarity.FOREGROUND, (1.0, 2.0, 3.0))
SHAPE = (2, 3, 4)


def patient_id_item(value: str) -> Dataset:
    """Returns an item of Other Patient IDs Sequence (0010,1002)."""
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = value, "TEXT"
    return item


COPIED_ATTRIBUTES: dict[str, object] = {
    "AccessionNumber": "A-2",
    "AdmittingDiagnosesDescription": "lymphoma",
    "ClinicalTrialSubjectID": "7",
    "DeviceSerialNumber": "11",
    "InstitutionName": "Elsewhere",
    "LossyImageCompression": "01",
    "OtherPatientIDsSequence": [patient_id_item("1")],
    "PatientAge": "044Y",
    "PatientBirthDate": "19710101",
    "PatientComments": "none",
    "PatientID": "PHANTOM-2",
    "PatientName": "Phantom^Other",
    "PatientSex": "F",
    "PatientSize": "1.71",
    "PatientWeight": "72.6",
    "PositionReferenceIndicator": "XY",
    "ReferringPhysicianName": "Doe^Jane",
    "SeriesNumber": 4,
    "SoftwareVersions": "VB20",
    "SpecificCharacterSet": "ISO_IR 100",
    "StudyDate": "20260103",
    "StudyDescription": "PET/CT",
    "StudyID": "2",
    "StudyTime": "090001",
}
"""Attributes that SEG and SR, or only the SEG, copy from the first source; the values differ from the phantom's."""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    folder = tmp_path_factory.mktemp("series")
    return phantoms.read(phantoms.write(folder, phantoms.distinct_volume(phantoms.oblique_geometry())))


@pytest.fixture(scope="module")
def made(series: SeriesVolume) -> MadeResult:
    return make_results(series)


def own_uids(made: MadeResult) -> tuple[str, ...]:
    """Returns the UIDs that were made for a result."""
    assert made.segmentation is not None
    datasets = (made.segmentation, made.report)
    return (
        *(str(dataset[keyword].value) for dataset in datasets for keyword in ("SOPInstanceUID", "SeriesInstanceUID")),
        *(str(item.DimensionOrganizationUID) for item in made.segmentation.DimensionOrganizationSequence),
        *(str(item.TrackingUID) for item in made.segmentation.SegmentSequence if "TrackingUID" in item),
    )


def masked_contents(made: MadeResult) -> tuple[str, ...]:
    """Returns SEG and SR as JSON, with their own UIDs masked."""
    own = re.compile("|".join(map(re.escape, own_uids(made))))
    return tuple(own.sub("own", dcmread(BytesIO(document.content)).to_json()) for document in made.documents)


def references_to_predecessor(series: SeriesVolume) -> tuple[Dataset, ...]:
    """Returns the references of a result that refines another one."""
    return predecessor_documents((Predecessor(make_results(series).report, "clicks"),), "other clicks")


def series_with_other_spacing(folder: Path) -> SeriesVolume:
    """Returns a series with the UIDs of the first, but with another slice spacing."""
    geometry = phantoms.oblique_geometry(slice_spacing=phantoms.SLICE_SPACING + 0.1)
    return phantoms.read(phantoms.write(folder, phantoms.distinct_volume(geometry)))


def series_with_other_uids(folder: Path) -> SeriesVolume:
    """Returns another series with the same voxels."""
    return phantoms.read(phantoms.write(folder, phantoms.distinct_volume(phantoms.oblique_geometry()), name="another"))


def labels_with_one_more_voxel(series: SeriesVolume) -> LabelMap:
    labels = hook_labels(series).copy()
    labels.array[-1, -1, -1] = 1
    return labels


DIFFERENCES: dict[str, Callable[[SeriesVolume, Path], MadeResult]] = {
    "clock": lambda series, _: make_results(series, clock=CLOCK + timedelta(seconds=1)),
    "clicks": lambda series, _: make_results(series, clicks=Clicks((CLICK,))),
    "voxel": lambda series, _: make_results(series, labels_with_one_more_voxel(series)),
    "SEG type": lambda series, _: make_results(series, segmentation_type=SegmentationType.LABELMAP),
    "label": lambda series, _: make_results(series, model=spec(phantoms.organ("anchor", 1))),
    "colour": lambda series, _: make_results(series, model=spec(phantoms.organ("hook", 1, colour=[1, 2, 3]))),
    "model": lambda series, _: make_with_algorithm(series, replace(ALGORITHM, model="other")),
    "model version": lambda series, _: make_with_algorithm(series, replace(ALGORITHM, model_version="1.2.4")),
    "weights": lambda series, _: make_with_algorithm(series, replace(ALGORITHM, weights_sha256="cd" * 32)),
    "precision": lambda series, _: make_with_algorithm(series, replace(ALGORITHM, precision="f16")),
    "predecessor": lambda series, _: make_results(
        series, provenance=Provenance(ALGORITHM, CLOCK, references_to_predecessor(series))
    ),
    "geometry": lambda _, folder: make_results(series_with_other_spacing(folder)),
    "source": lambda _, folder: make_results(series_with_other_uids(folder)),
}


def make_with_algorithm(series: SeriesVolume, algorithm: Algorithm) -> MadeResult:
    """Returns a result of another algorithm."""
    return make_results(series, provenance=Provenance(algorithm, CLOCK))


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES)
def test_different_contents_have_different_uids(
    series: SeriesVolume, made: MadeResult, tmp_path: Path, difference: Callable[[SeriesVolume, Path], MadeResult]
) -> None:
    other = difference(series, tmp_path)

    assert masked_contents(made)[0] != masked_contents(other)[0]
    assert set(own_uids(made)) & set(own_uids(other)) == set()


@pytest.mark.parametrize("keyword", COPIED_ATTRIBUTES)
def test_different_patients_or_studies_have_different_uids(
    series: SeriesVolume, made: MadeResult, keyword: str
) -> None:
    header = deepcopy(series.sources[0])
    setattr(header, keyword, COPIED_ATTRIBUTES[keyword])

    other = make_results(replace(series, sources=(header, *series.sources[1:])))

    assert masked_contents(made)[0] != masked_contents(other)[0]
    assert set(own_uids(made)) & set(own_uids(other)) == set()


def nested_items(first: Sequence[Dataset], second: Sequence[Dataset]) -> list[Dataset]:
    """Returns two items, each with its own nested sequence."""
    items = [Dataset(), Dataset()]
    items[0].IssuerOfPatientIDQualifiersSequence, items[1].IssuerOfPatientIDQualifiersSequence = first, second
    return items


SIMILAR_VALUES: dict[str, tuple[str, object, object]] = {
    "long text in a sequence": (
        "OtherPatientIDsSequence",
        [patient_id_item("1" * 63 + "2")],
        [patient_id_item("1" * 63 + "3")],
    ),
    "names with commas": ("OtherPatientNames", ["Doe, Jane", "Roe"], ["Doe", "Jane, Roe"]),
    "empty items": ("OtherPatientIDsSequence", nested_items([Dataset()], []), nested_items([], [Dataset()])),
}


@pytest.mark.parametrize(("keyword", "first", "second"), SIMILAR_VALUES.values(), ids=SIMILAR_VALUES)
def test_similar_contents_have_different_uids(
    series: SeriesVolume, keyword: str, first: object, second: object
) -> None:
    results = []
    for value in (first, second):
        header = deepcopy(series.sources[0])
        setattr(header, keyword, value)
        results.append(make_results(replace(series, sources=(header, *series.sources[1:]))))

    assert masked_contents(results[0])[0] != masked_contents(results[1])[0]
    assert set(own_uids(results[0])) & set(own_uids(results[1])) == set()


def test_a_label_map_on_frames_in_another_order_has_other_uids(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct_volume(phantoms.oblique_geometry()))
    series = phantoms.read(phantoms.write_legacy_enhanced(tmp_path, datasets))
    reversed_series = replace(series, stack=replace(series.stack, planes=series.stack.planes[::-1]))

    first, second = make_results(series), make_results(reversed_series)

    assert first.segmentation.PixelData != second.segmentation.PixelData
    assert set(own_uids(first)) & set(own_uids(second)) == set()


def test_repeated_results_of_a_series_have_the_same_bytes(series: SeriesVolume, made: MadeResult) -> None:
    again = make_results(series)

    assert [document.content for document in made.documents] == [document.content for document in again.documents]


@pytest.mark.parametrize("library", ["clickseg", "highdicom", "pydicom"])
def test_another_version_of_a_library_gives_other_uids(
    series: SeriesVolume, made: MadeResult, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = {"clickseg": identity, "highdicom": identity.hd, "pydicom": identity.pydicom}[library]
    monkeypatch.setattr(owner, "__version__", "99")

    assert set(own_uids(made)) & set(own_uids(make_results(series))) == set()


@pytest.fixture(scope="module")
def small_series(tmp_path_factory: pytest.TempPathFactory) -> SeriesVolume:
    return phantoms.read(
        phantoms.write(tmp_path_factory.mktemp("small"), phantoms.distinct_volume(phantoms.oblique_geometry(SHAPE)))
    )


masks = arrays(np.uint8, SHAPE, elements=st.integers(0, 1)).filter(np.any)


@given(first=masks, second=masks)
@settings(max_examples=15, deadline=None)
def test_label_maps_have_the_same_uids_if_and_only_if_they_are_equal(
    small_series: SeriesVolume, first: np.ndarray, second: np.ndarray
) -> None:
    results = [make_results(small_series, LabelMap(array, False, 1)) for array in (first, second)]

    assert (own_uids(results[0]) == own_uids(results[1])) == np.array_equal(first, second)
    assert (results[0].documents[0].content == results[1].documents[0].content) == np.array_equal(first, second)


IdentityInputs = tuple[str, datetime, int, list[str | bytes]]
values = st.lists(st.one_of(st.text(max_size=3), st.binary(max_size=3)), max_size=4)
clocks = st.datetimes(datetime(2025, 1, 1), datetime(2026, 1, 1))
identity_inputs = st.tuples(st.sampled_from(["report", "clicks"]), clocks, st.integers(1, 2), values)


@given(first=identity_inputs, second=identity_inputs)
@settings(max_examples=100, deadline=None)
def test_uids_are_equal_if_and_only_if_all_inputs_are_equal(
    small_series: SeriesVolume, first: IdentityInputs, second: IdentityInputs
) -> None:
    uid, other_uid = (
        make_identity(kind, clock, small_series.sources[:count], *others).uid("instance")
        for kind, clock, count, others in (first, second)
    )

    assert (uid == other_uid) == (encode_text(first) == encode_text(second))


def encode_text(inputs: IdentityInputs) -> tuple[object, ...]:
    """Returns inputs with text as bytes: a text and its UTF-8 are the same input."""
    *others, mixed = inputs
    return (*others, [value.encode() if isinstance(value, str) else value for value in mixed])


def test_the_roles_of_an_object_have_different_uids(small_series: SeriesVolume) -> None:
    report_identity = make_identity("report", CLOCK, small_series.sources)

    assert (
        len({report_identity.uid(role) for role in ("instance", "series", "dimensions", "segment 1", "segment 2")}) == 5
    )


def test_the_uids_of_an_sr_with_only_clicks_depend_on_the_clicks(series: SeriesVolume) -> None:
    report, again, other = (
        make_click_report(series.sources, Clicks((click,)), clock=CLOCK)
        for click in (CLICK, CLICK, replace(CLICK, polarity=Polarity.BACKGROUND))
    )

    assert report.content == again.content
    assert report.uid != other.uid


def test_an_sr_with_other_measurements_has_other_uids(series: SeriesVolume) -> None:
    model, provenance = spec(), Provenance(ALGORITHM, CLOCK)

    report, other = (
        make_structured_report(series.sources, None, [SegmentMeasurements(volume_ml)], Clicks(), model, provenance)
        for volume_ml in (1.0, 1.0 + 1e-15)
    )

    assert report.uid != other.uid


def test_the_uids_of_an_sr_depend_on_values_and_not_on_names_in_the_code(series: SeriesVolume) -> None:
    @dataclass(frozen=True)
    class RenamedMeasurements:
        renamed_volume: float
        uptake: None = None

        @property
        def volume_ml(self) -> float:
            return self.renamed_volume

    model, provenance = spec(), Provenance(ALGORITHM, CLOCK)

    report, same = (
        make_structured_report(series.sources, None, [measurements], Clicks(), model, provenance)
        for measurements in (SegmentMeasurements(1.5), RenamedMeasurements(1.5))
    )

    assert report.uid == same.uid


def test_each_object_is_encoded_once(series: SeriesVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    modalities: list[str] = []
    write = identity.dcmwrite

    def record_modality(file: BytesIO, dataset: Dataset, **options: bool) -> None:
        modalities.append(dataset.Modality)
        write(file, dataset, **options)

    monkeypatch.setattr(identity, "dcmwrite", record_modality)

    make_results(series)

    assert modalities == ["SEG", "SR"]
