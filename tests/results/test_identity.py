"""The same input has the same UIDs; one UID never names two contents."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
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
from clickseg.dicom.predecessor import EarlierResult, predecessors
from clickseg.dicom.volume import Series
from clickseg.inference.measurements import Measured
from clickseg.results import identity
from clickseg.results.identity import Algorithm, Provenance, make_identity
from clickseg.results.segmentation import SegmentationType
from clickseg.results.structured_report import make_click_report, make_report
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, Made, hook_labels, make_results, spec

ALGORITHM = Algorithm("test", "1.2.3", "ab" * 32, "", "f32")
CLICK = Click("hook", Polarity.FOREGROUND, (1.0, 2.0, 3.0))
SHAPE = (2, 3, 4)


def other_id(value: str) -> Dataset:
    """An item of Other Patient IDs Sequence (0010,1002)."""
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = value, "TEXT"
    return item


COPIED: dict[str, object] = {
    "AccessionNumber": "A-2",
    "AdmittingDiagnosesDescription": "lymphoma",
    "ClinicalTrialSubjectID": "7",
    "DeviceSerialNumber": "11",
    "InstitutionName": "Elsewhere",
    "LossyImageCompression": "01",
    "OtherPatientIDsSequence": [other_id("1")],
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
"""Attributes of the first source that SEG and SR, or SEG alone, copy, with other values than the phantom's."""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    folder = tmp_path_factory.mktemp("series")
    return phantoms.read(phantoms.write(folder, phantoms.distinct(phantoms.oblique_geometry())))


@pytest.fixture(scope="module")
def made(series: Series) -> Made:
    return make_results(series)


def uids(made: Made) -> tuple[str, ...]:
    """All UIDs of a result that are its own."""
    assert made.segmentation is not None
    datasets = (made.segmentation, made.report)
    return (
        *(str(dataset[keyword].value) for dataset in datasets for keyword in ("SOPInstanceUID", "SeriesInstanceUID")),
        *(str(item.DimensionOrganizationUID) for item in made.segmentation.DimensionOrganizationSequence),
        *(str(item.TrackingUID) for item in made.segmentation.SegmentSequence if "TrackingUID" in item),
    )


def content(made: Made) -> tuple[str, ...]:
    """What SEG and SR say but for their own UIDs."""
    own = re.compile("|".join(map(re.escape, uids(made))))
    return tuple(own.sub("own", dcmread(BytesIO(document.content)).to_json()) for document in made.documents)


def earlier(series: Series) -> tuple[Dataset, ...]:
    """What a result refers to that carries on another one."""
    return predecessors((EarlierResult(make_results(series).report, "clicks"),), "other clicks")


def elsewhere(folder: Path) -> Series:
    """A series with the UIDs of the first, but with other distances between its planes."""
    geometry = phantoms.oblique_geometry(slice_spacing=phantoms.SLICE_SPACING + 0.1)
    return phantoms.read(phantoms.write(folder, phantoms.distinct(geometry)))


def another(folder: Path) -> Series:
    """Another series of the same voxels."""
    return phantoms.read(phantoms.write(folder, phantoms.distinct(phantoms.oblique_geometry()), name="another"))


def one_voxel_more(series: Series) -> LabelMap:
    """The label map with one more voxel."""
    labels = hook_labels(series).copied()
    labels.array[-1, -1, -1] = 1
    return labels


DIFFERENCES: dict[str, Callable[[Series, Path], Made]] = {
    "clock": lambda series, _: make_results(series, clock=CLOCK + timedelta(seconds=1)),
    "clicks": lambda series, _: make_results(series, clicks=Clicks((CLICK,))),
    "voxel": lambda series, _: make_results(series, one_voxel_more(series)),
    "SEG type": lambda series, _: make_results(series, segmentation_type=SegmentationType.LABELMAP),
    "label": lambda series, _: make_results(series, model=spec(phantoms.organ("anchor", 1))),
    "colour": lambda series, _: make_results(series, model=spec(phantoms.organ("hook", 1, colour=[1, 2, 3]))),
    "model": lambda series, _: made_by(series, replace(ALGORITHM, model="other")),
    "model version": lambda series, _: made_by(series, replace(ALGORITHM, model_version="1.2.4")),
    "weights": lambda series, _: made_by(series, replace(ALGORITHM, weights_sha256="cd" * 32)),
    "precision": lambda series, _: made_by(series, replace(ALGORITHM, precision="f16")),
    "predecessor": lambda series, _: make_results(series, provenance=Provenance(ALGORITHM, CLOCK, earlier(series))),
    "geometry": lambda _, folder: make_results(elsewhere(folder)),
    "source": lambda _, folder: make_results(another(folder)),
}


def made_by(series: Series, algorithm: Algorithm) -> Made:
    """A result of another algorithm."""
    return make_results(series, provenance=Provenance(algorithm, CLOCK))


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES)
def test_no_uid_names_two_contents(
    series: Series, made: Made, tmp_path: Path, difference: Callable[[Series, Path], Made]
) -> None:
    other = difference(series, tmp_path)

    assert content(made)[0] != content(other)[0]
    assert set(uids(made)) & set(uids(other)) == set()


@pytest.mark.parametrize("keyword", COPIED)
def test_no_uid_names_two_patients_or_studies(series: Series, made: Made, keyword: str) -> None:
    header = deepcopy(series.sources[0])
    setattr(header, keyword, COPIED[keyword])

    other = make_results(replace(series, sources=(header, *series.sources[1:])))

    assert content(made)[0] != content(other)[0]
    assert set(uids(made)) & set(uids(other)) == set()


def nested(first: Sequence[Dataset], second: Sequence[Dataset]) -> list[Dataset]:
    """Two items, each with a sequence of its own."""
    made = [Dataset(), Dataset()]
    made[0].IssuerOfPatientIDQualifiersSequence, made[1].IssuerOfPatientIDQualifiersSequence = first, second
    return made


SIMILAR: dict[str, tuple[str, object, object]] = {
    "long text in a sequence": ("OtherPatientIDsSequence", [other_id("1" * 63 + "2")], [other_id("1" * 63 + "3")]),
    "names with commas": ("OtherPatientNames", ["Doe, Jane", "Roe"], ["Doe", "Jane, Roe"]),
    "empty items": ("OtherPatientIDsSequence", nested([Dataset()], []), nested([], [Dataset()])),
}


@pytest.mark.parametrize(("keyword", "one", "other"), SIMILAR.values(), ids=SIMILAR)
def test_no_uid_names_two_similar_contents(series: Series, keyword: str, one: object, other: object) -> None:
    made = []
    for value in (one, other):
        header = deepcopy(series.sources[0])
        setattr(header, keyword, value)
        made.append(make_results(replace(series, sources=(header, *series.sources[1:]))))

    assert content(made[0])[0] != content(made[1])[0]
    assert set(uids(made[0])) & set(uids(made[1])) == set()


def test_the_same_label_map_at_other_frames_has_other_uids(tmp_path: Path) -> None:
    datasets = phantoms.instances(phantoms.distinct(phantoms.oblique_geometry()))
    series = phantoms.read(phantoms.legacy_enhanced(tmp_path, datasets))
    turned = replace(series, stack=replace(series.stack, planes=series.stack.planes[::-1]))

    first, second = make_results(series), make_results(turned)

    assert first.segmentation.PixelData != second.segmentation.PixelData
    assert set(uids(first)) & set(uids(second)) == set()


def test_results_that_are_made_again_from_the_same_series_are_the_same_bytes(series: Series, made: Made) -> None:
    again = make_results(series)

    assert [each.content for each in made.documents] == [each.content for each in again.documents]


@pytest.mark.parametrize("versioned", ["clickseg", "highdicom", "pydicom"])
def test_another_version_that_writes_has_other_uids(
    series: Series, made: Made, versioned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = {"clickseg": identity, "highdicom": identity.hd, "pydicom": identity.pydicom}[versioned]
    monkeypatch.setattr(owner, "__version__", "99")

    assert set(uids(made)) & set(uids(make_results(series))) == set()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return phantoms.read(
        phantoms.write(tmp_path_factory.mktemp("small"), phantoms.distinct(phantoms.oblique_geometry(SHAPE)))
    )


masks = arrays(np.uint8, SHAPE, elements=st.integers(0, 1)).filter(np.any)


@given(first=masks, second=masks)
@settings(max_examples=15, deadline=None)
def test_label_maps_have_the_same_uids_exactly_where_they_are_the_same(
    small: Series, first: np.ndarray, second: np.ndarray
) -> None:
    one, two = (make_results(small, LabelMap(array, False, 1)) for array in (first, second))

    assert (uids(one) == uids(two)) == np.array_equal(first, second)
    assert (one.documents[0].content == two.documents[0].content) == np.array_equal(first, second)


Inputs = tuple[str, datetime, int, list[str | bytes]]
parts = st.lists(st.one_of(st.text(max_size=3), st.binary(max_size=3)), max_size=4)
clocks = st.datetimes(datetime(2025, 1, 1), datetime(2026, 1, 1))
inputs = st.tuples(st.sampled_from(["report", "clicks"]), clocks, st.integers(1, 2), parts)


@given(first=inputs, second=inputs)
@settings(max_examples=100, deadline=None)
def test_what_determines_an_object_determines_its_uids(small: Series, first: Inputs, second: Inputs) -> None:
    one, two = (
        make_identity(kind, clock, small.sources[:count], *others).uid("instance")
        for kind, clock, count, others in (first, second)
    )

    assert (one == two) == (as_bytes(first) == as_bytes(second))


def as_bytes(given: Inputs) -> tuple[object, ...]:
    """Inputs with their text as bytes: a text and its UTF-8 are the same input."""
    *others, mixed = given
    return (*others, [each.encode() if isinstance(each, str) else each for each in mixed])


def test_the_roles_of_an_object_have_different_uids(small: Series) -> None:
    of = make_identity("report", CLOCK, small.sources)

    assert len({of.uid(role) for role in ("instance", "series", "dimensions", "segment 1", "segment 2")}) == 5


def test_an_sr_of_clicks_alone_has_the_uids_of_its_clicks(series: Series) -> None:
    one, again, two = (
        make_click_report(series.sources, Clicks((click,)), clock=CLOCK)
        for click in (CLICK, CLICK, replace(CLICK, polarity=Polarity.BACKGROUND))
    )

    assert one.content == again.content
    assert one.uid != two.uid


def test_an_sr_of_other_measurements_has_other_uids(series: Series) -> None:
    model, provenance = spec(), Provenance(ALGORITHM, CLOCK)

    one, two = (
        make_report(series.sources, None, [Measured(volume_ml)], Clicks(), model, provenance)
        for volume_ml in (1.0, 1.0 + 1e-15)
    )

    assert one.uid != two.uid


def test_each_object_is_encoded_once(series: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = identity.dcmwrite

    def count(file: BytesIO, dataset: Dataset, **how: bool) -> None:
        written.append(dataset.Modality)
        write(file, dataset, **how)

    monkeypatch.setattr(identity, "dcmwrite", count)

    make_results(series)

    assert written == ["SEG", "SR"]
