"""The same physical points come out of every form, on an oblique series with three different spacings."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from clickseg.cli.clicks import FORMS, written
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import clicks_in, read_clicks
from clickseg.clicks.formats.grand_challenge import Frame
from clickseg.clicks.formats.structured_report import clicks_of_report
from clickseg.clicks.image_clicks import ImagePoint, Voxel, placed
from clickseg.core.errors import ClickError, UsageError
from clickseg.dicom.series import CheckedSeries
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, violations
from tests.helpers.reports import probe, report_of, save, seed_point

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
VOXELS = ((2, 3, 1), (11, 8, 5), (0, 10, 6))
"""Voxels i, j, k as DICOM stores the series: column, row, slice along the slice normal."""

POLARITIES = (FG, BG, FG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.write(tmp_path_factory.mktemp("series"), phantoms.distinct(phantoms.oblique_geometry()))


@pytest.fixture(scope="module")
def series(folder: Path) -> CheckedSeries:
    return phantoms.checked(folder)


@pytest.fixture(scope="module")
def points(folder: Path) -> np.ndarray:
    """Where the voxels lie, by the attributes of the files alone (PS3.3, C.7.6.2.1.1)."""
    datasets = [dcmread(path) for path in folder.iterdir()]

    def along_normal(dataset: Dataset) -> float:
        orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
        return float(np.array(dataset.ImagePositionPatient, float) @ np.cross(orientation[:3], orientation[3:]))

    datasets.sort(key=along_normal)
    found = []
    for i, j, k in VOXELS:
        plane = datasets[k]
        orientation = np.array(plane.ImageOrientationPatient, dtype=float)
        row_mm, column_mm = (float(value) for value in plane.PixelSpacing)
        position = np.array(plane.ImagePositionPatient, dtype=float)
        found.append(position + i * column_mm * orientation[:3] + j * row_mm * orientation[3:])
    return np.array(found)


def slicer(points: np.ndarray, system: str, unit: str = "mm") -> bytes:
    sign = np.array([-1, -1, 1] if system == "RAS" else [1, 1, 1]) * (1000 if unit == "um" else 1)
    control_points = [
        {
            "id": str(n),
            "label": f"F-{n}",
            "description": polarity.value,
            "associatedNodeID": "vtkMRMLScalarVolumeNode1",
            "position": list(point * sign),
            "orientation": [-1.0, -0.0, -0.0, -0.0, -1.0, -0.0, 0.0, 0.0, 1.0],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for n, (point, polarity) in enumerate(zip(points, POLARITIES, strict=True), 1)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": system,
        "coordinateUnits": unit,
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": 3,
        "controlPoints": control_points,
        "measurements": [],
        "display": {"visibility": False},
    }
    return json.dumps({"@schema": "markups-schema-v1.0.3.json#", "markups": [markup]}).encode()


def fcsv(points: np.ndarray, system: str) -> bytes:
    sign = [-1, -1, 1] if system in ("RAS", "0") else [1, 1, 1]
    lines = [
        "# Markups fiducial file version = 4.11",
        f"# CoordinateSystem = {system}",
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID",
    ]
    for n, (point, polarity) in enumerate(zip(points, POLARITIES, strict=True), 1):
        x, y, z = point * sign
        lines.append(f'vtkMRMLMarkupsFiducialNode_{n},{x},{y},{z},0,0,0,1,1,1,0,"F-{n}",{polarity.value},')
    return "\n".join(lines).encode()


def grand_challenge(points: np.ndarray) -> bytes:
    names = ["tumor", "background", "tumor"]
    content = [{"name": name, "point": list(voxel)} for name, voxel in zip(names, VOXELS, strict=True)]
    version = {"major": 1, "minor": 0}
    file = {"name": "Points of interest", "type": "Multiple points", "points": content, "version": version}
    return json.dumps(file).encode()


def of_polarity(polarity: Polarity) -> list[list[int]]:
    return [list(voxel) for voxel, each in zip(VOXELS, POLARITIES, strict=True) if each is polarity]


def npz(points: np.ndarray) -> bytes:
    file = io.BytesIO()
    clicks = [{"fg": [v[::-1] for v in of_polarity(FG)], "bg": [v[::-1] for v in of_polarity(BG)]}]
    order = np.empty(1, dtype=object)
    order[0] = ["fg", "bg", "fg"]
    images = np.zeros((7, 11, 13), np.uint8)
    np.savez_compressed(file, imgs=images, spacing=(1, 1, 1), clicks=np.array(clicks, object), clicks_order=order)
    return file.getvalue()


WRITTEN: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "Slicer LPS": ("F.mrk.json", lambda points: slicer(points, "LPS")),
    "Slicer RAS": ("F.mrk.json", lambda points: slicer(points, "RAS")),
    "Slicer um": ("F.mrk.json", lambda points: slicer(points, "LPS", "um")),
    "fcsv LPS": ("F.fcsv", lambda points: fcsv(points, "LPS")),
    "fcsv RAS": ("F.fcsv", lambda points: fcsv(points, "RAS")),
    "fcsv 0": ("F.fcsv", lambda points: fcsv(points, "0")),
    "Grand Challenge": ("lesion-clicks.json", grand_challenge),
    "CVPR": ("case.npz", npz),
    "Deepgrow": (
        "params.json",
        lambda _: json.dumps({"label": "a", "foreground": of_polarity(FG), "background": of_polarity(BG)}).encode(),
    ),
    "DeepEdit": (
        "params.json",
        lambda _: json.dumps({"a": of_polarity(FG), "background": of_polarity(BG), "label": "a"}).encode(),
    ),
    "SW-FastEdit": (
        "clicks.json",
        lambda _: json.dumps({"tumor": of_polarity(FG), "background": of_polarity(BG)}).encode(),
    ),
    "VISTA3D": (
        "params.json",
        lambda _: json.dumps({"points": VOXELS, "point_labels": [1, 0, 1], "label_prompt": [3]}).encode(),
    ),
}


def in_order(clicks: Clicks) -> list[tuple[Polarity, tuple[float, ...]]]:
    return sorted((click.polarity, tuple(np.round(click.position_mm, 2))) for click in clicks.points)


@pytest.mark.parametrize("form", WRITTEN)
def test_the_same_points_come_out_of_every_form(
    tmp_path: Path, series: CheckedSeries, points: np.ndarray, form: str
) -> None:
    name, write = WRITTEN[form]
    (tmp_path / name).write_bytes(write(points))

    found = placed(read_clicks(tmp_path / name), series)

    expected = Clicks(tuple(Click("", p, tuple(x)) for p, x in zip(POLARITIES, points, strict=True)))
    for (polarity, position), (wanted, place) in zip(in_order(found), in_order(expected), strict=True):
        assert polarity is wanted
        assert position == pytest.approx(place, abs=0.02)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_in_a_form_is_read_back(
    tmp_path: Path, series: CheckedSeries, points: np.ndarray, form: str
) -> None:
    candidate = series.candidate
    clicks = Clicks(
        tuple(Click("hook", p, tuple(x)) for p, x in zip(POLARITIES, points, strict=True)),
        candidate.frame_of_reference_uid,
        candidate.series_uid,
    )
    path = tmp_path / {"cvpr": "c.npz", "fcsv": "c.fcsv", "slicer": "c.mrk.json", "sr": "c.dcm"}.get(form, "c.json")

    path.write_bytes(written(clicks, form, series, CLOCK))

    found = placed(read_clicks(path), series)
    assert [p for p, _ in in_order(found)] == [p for p, _ in in_order(clicks)]
    np.testing.assert_allclose([x for _, x in in_order(found)], [x for _, x in in_order(clicks)], atol=0.02)
    if form in ("clickseg", "sr"):
        assert found.digest == clicks.digest
        assert found.series_instance_uid == clicks.series_instance_uid


def test_a_written_sr_has_no_violation(
    tmp_path: Path, series: CheckedSeries, points: np.ndarray, dciodvfy: str
) -> None:
    clicks = Clicks((Click("", FG, tuple(points[0])), Click("Läsion", BG, tuple(points[1]))))

    (tmp_path / "c.dcm").write_bytes(written(clicks, "sr", series, CLOCK))

    assert violations(tmp_path / "c.dcm", dciodvfy) == []


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("clickseg", "slicer", "fcsv")])
def test_a_form_of_voxels_needs_a_series(form: str) -> None:
    with pytest.raises(UsageError, match=f"the form {form} refers to a series"):
        written(Clicks((Click("", FG, (0, 0, 0)),)), form, None, CLOCK)


@pytest.mark.parametrize("form", ["deepgrow", "vista3d"])
def test_a_form_of_one_label_refuses_two(series: CheckedSeries, points: np.ndarray, form: str) -> None:
    clicks = Clicks(tuple(Click(label, FG, tuple(points[0])) for label in ("a", "b")))

    with pytest.raises(ClickError, match="this form has one label: the clicks have a, b"):
        written(clicks, form, series, CLOCK)


MISREAD = [
    ("fcsv", "liver_neg", FG),
    ("slicer", "lesion_neg", FG),
    ("deepedit", "background", FG),
    ("deepedit", "label", FG),
    ("grand-challenge", "background", FG),
    ("grand-challenge", "lesion_neg", FG),
]


@pytest.mark.parametrize(("form", "label", "polarity"), MISREAD)
def test_clicks_that_would_be_read_back_as_others_are_refused(
    series: CheckedSeries, points: np.ndarray, form: str, label: str, polarity: Polarity
) -> None:
    with pytest.raises(ClickError, match=f"the form {form} cannot hold them"):
        written(Clicks((Click(label, polarity, tuple(points[0])),)), form, series, CLOCK)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", ["liver, left", 'a "quoted" one', "leber größe", "rib_left_3"])
def test_labels_of_all_kinds_are_held(series: CheckedSeries, points: np.ndarray, form: str, label: str) -> None:
    clicks = Clicks((Click(label, BG, tuple(points[0])), Click(label, FG, tuple(points[1]))))

    content = written(clicks, form, series, CLOCK)

    found = placed(clicks_in(io.BytesIO(content), form), series)
    assert {click.label.removesuffix("-1").removesuffix("-2") for click in found.points} <= {label, ""}
    assert sorted(click.polarity for click in found.points) == [BG, FG]


@pytest.mark.parametrize("form", FORMS)
def test_no_clicks_are_held_by_every_form_but_an_sr(series: CheckedSeries, form: str) -> None:
    if form == "sr":
        with pytest.raises(ClickError, match="expected at least one click"):
            written(Clicks(), form, series, CLOCK)
    else:
        content = written(Clicks(), form, series, CLOCK)
        assert placed(clicks_in(io.BytesIO(content), "c.json"), series).points == ()


def test_a_click_at_the_very_edge_is_in_the_last_voxel(series: CheckedSeries) -> None:
    geometry = series.stack.geometry
    last = np.array(geometry.spatial_shape) - 1
    edge = geometry.map_indices_to_reference(np.array([[0, last[1] + 0.499999, last[2] + 0.499999]]))[0]
    just_over = geometry.map_indices_to_reference(np.array([[0, last[1] + 0.5, last[2] + 0.5]]))[0]

    for place in (edge, just_over):
        assert Voxel.at(tuple(place), series.stack) == (last[2], last[1], len(series.stack.planes) - 1)


def test_a_probe_of_ohif_in_the_patient_is_a_click(tmp_path: Path, series: CheckedSeries, points: np.ndarray) -> None:
    path = save(probe(series, points[1], in_image=False), tmp_path / "probe.dcm")

    (click,) = placed(read_clicks(path), series).points

    assert (click.label, click.polarity) == ("lesion", BG)
    assert click.position_mm == pytest.approx(points[1], abs=1e-3)


def test_a_probe_of_ohif_in_an_image_is_half_a_pixel_off_the_index(tmp_path: Path, series: CheckedSeries) -> None:
    path = save(probe(series, np.zeros(3), in_image=True), tmp_path / "probe.dcm")

    (click,) = placed(read_clicks(path), series).points

    expected = series.stack.geometry.map_indices_to_reference(np.array([[2, 7, 4]]))[0]
    assert click.position_mm == pytest.approx(expected, abs=1e-3)


def test_seed_points_of_others_are_read_with_label_polarity_and_all_their_points() -> None:
    group = seed_point("1.2.3", [1, 2, 3, 4, 5, 6], "MULTIPOINT", LongCodeValue="128139")

    (clicks,) = clicks_of_report(report_of(group), "sr")

    assert [(c.label, c.polarity, c.position_mm) for c in clicks.points] == [
        ("hook", BG, (1, 2, 3)),
        ("hook", BG, (4, 5, 6)),
    ]


def test_each_frame_of_reference_of_a_report_has_its_clicks() -> None:
    parts = clicks_of_report(report_of(seed_point("1.2.3", [1, 2, 3]), seed_point("1.2.4", [4, 5, 6])), "sr")

    assert [(part.frame_of_reference_uid, len(part.points)) for part in parts] == [("1.2.3", 1), ("1.2.4", 1)]


def test_a_group_without_a_seed_point_is_none_whatever_it_lacks() -> None:
    group = seed_point("1.2.3", [1, 2, 3])
    del group.ContentSequence[0].TextValue
    del group.ContentSequence[1]

    assert clicks_of_report(report_of(group), "sr") == ()


def test_a_seed_point_that_is_no_place_is_an_error() -> None:
    with pytest.raises(ClickError, match="expected a position in mm"):
        clicks_of_report(report_of(seed_point("1.2.3", [float("nan"), 2, 3])), "sr")


FG_BG = [{"fg": [[1, 2, 3]], "bg": [[4, 5, 6]]}]
ONE = [{"fg": [[1, 2, 3]], "bg": []}]
A, B = (FG, (3, 2, 1)), (BG, (6, 5, 4))


@pytest.mark.parametrize(
    ("clicks", "order", "found"),
    [
        (FG_BG, [["bg", "fg"]], [B, A]),  # an array of texts
        (ONE, [["fg"]], [A]),
        (ONE, [["fg", None]], [A]),  # objects of two dimensions
        (FG_BG * 2, [["fg", "bg"], ["bg", "fg"]], [A, B, B, A]),
        ([{"fg": [], "bg": []}], [[]], []),  # numbers, none of them
        (FG_BG, None, [A, B]),
    ],
)
def test_cases_are_read_as_the_code_of_the_challenge_saves_them(
    tmp_path: Path, clicks: object, order: object, found: list[object]
) -> None:
    """It hands plain lists to NumPy, which makes of each what array it can."""
    arrays = {"clicks": clicks} | ({} if order is None else {"clicks_order": order})
    np.savez_compressed(tmp_path / "case.npz", imgs=np.zeros((7, 11, 13), np.uint8), **arrays)

    read = read_clicks(tmp_path / "case.npz")

    assert [(click.polarity, tuple(click.place)) for click in read.points] == found


DAMAGED = ["(" * 3000, "'''abc", "-" * 9000 + "1", "{'descr': '|V0', 'fortran_order': False, 'shape': (1,)}"]


@pytest.mark.parametrize("header", DAMAGED, ids=range(len(DAMAGED)))
def test_a_case_with_a_damaged_array_is_an_error(tmp_path: Path, header: str) -> None:
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(tmp_path / "case.npz", "w") as archive:
        archive.writestr("clicks.npy", array)

    with pytest.raises(ClickError, match=r"case\.npz: clicks cannot be read"):
        read_clicks(tmp_path / "case.npz")


def test_a_point_in_an_image_of_another_series_is_an_error(series: CheckedSeries) -> None:
    with pytest.raises(ClickError, match=r"image 9\.9 is not in the series"):
        ImagePoint("9.9", 1.5, 1.5).position_mm(series.stack)


@pytest.mark.parametrize("voxel", [(13, 0, 0), (0, 11, 0), (0, 0, 7)])
def test_a_voxel_outside_is_an_error(tmp_path: Path, series: CheckedSeries, voxel: tuple[int, ...]) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"foreground": [[1, 1, 1], list(voxel)], "background": []}))

    with pytest.raises(ClickError, match=r"p\.json: click 2: voxel .* lies outside the series of \(13, 11, 7\) voxels"):
        placed(read_clicks(tmp_path / "p.json"), series)


@pytest.mark.parametrize("point", [[1.5, 2, 3], [-1, 2, 3]])
def test_numbers_that_are_no_voxel_are_an_error_that_names_the_other_frame(tmp_path: Path, point: list[float]) -> None:
    version = {"major": 1, "minor": 0}
    file = {"type": "Multiple points", "points": [{"point": point}], "version": version}
    (tmp_path / "p.json").write_text(json.dumps(file))

    with pytest.raises(ClickError, match="point 1: expected a voxel") as caught:
        read_clicks(tmp_path / "p.json")
    assert caught.value.hint == "--clicks-frame lps reads the numbers as LPS mm"
    (click,) = read_clicks(tmp_path / "p.json", Frame.LPS).points
    assert click.position_mm == tuple(point)
