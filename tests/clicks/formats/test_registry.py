"""All formats give the same points in the patient, on an oblique series with three different spacings."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from clickseg.cli.clicks import FORMATS, encode_clicks
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import parse_click_file, read_clicks
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.clicks.formats.structured_report import read_report_clicks
from clickseg.clicks.image_clicks import ImagePoint, Voxel, resolve_positions
from clickseg.core.errors import ClickError, UsageError
from clickseg.dicom.series import SeriesGeometry
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, dciodvfy_errors
from tests.helpers.reports import make_ohif_sr, make_seed_point_group, make_sr, save_sr

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
VOXELS = ((2, 3, 1), (11, 8, 5), (0, 10, 6))
"""Voxels i, j, k as DICOM stores the series: column, row, and slice along the slice normal."""

POLARITIES = (FG, BG, FG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantoms.write(tmp_path_factory.mktemp("series"), phantoms.distinct_volume(phantoms.oblique_geometry()))


@pytest.fixture(scope="module")
def series(folder: Path) -> SeriesGeometry:
    return phantoms.read_geometry(folder)


@pytest.fixture(scope="module")
def points(folder: Path) -> np.ndarray:
    """Returns the positions of the voxels, computed from the attributes of the files (PS3.3, C.7.6.2.1.1)."""
    datasets = [dcmread(path) for path in folder.iterdir()]

    def along_normal(dataset: Dataset) -> float:
        orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
        return float(np.array(dataset.ImagePositionPatient, float) @ np.cross(orientation[:3], orientation[3:]))

    datasets.sort(key=along_normal)
    positions = []
    for i, j, k in VOXELS:
        plane = datasets[k]
        orientation = np.array(plane.ImageOrientationPatient, dtype=float)
        row_mm, column_mm = (float(value) for value in plane.PixelSpacing)
        position = np.array(plane.ImagePositionPatient, dtype=float)
        positions.append(position + i * column_mm * orientation[:3] + j * row_mm * orientation[3:])
    return np.array(positions)


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


def voxels_of_polarity(polarity: Polarity) -> list[list[int]]:
    return [list(voxel) for voxel, other in zip(VOXELS, POLARITIES, strict=True) if other is polarity]


def npz(points: np.ndarray) -> bytes:
    file = io.BytesIO()
    clicks = [{"fg": [v[::-1] for v in voxels_of_polarity(FG)], "bg": [v[::-1] for v in voxels_of_polarity(BG)]}]
    order = np.empty(1, dtype=object)
    order[0] = ["fg", "bg", "fg"]
    images = np.zeros((7, 11, 13), np.uint8)
    np.savez_compressed(file, imgs=images, spacing=(1, 1, 1), clicks=np.array(clicks, object), clicks_order=order)
    return file.getvalue()


CONTENTS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
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
        lambda _: json.dumps(
            {"label": "a", "foreground": voxels_of_polarity(FG), "background": voxels_of_polarity(BG)}
        ).encode(),
    ),
    "DeepEdit": (
        "params.json",
        lambda _: json.dumps(
            {"a": voxels_of_polarity(FG), "background": voxels_of_polarity(BG), "label": "a"}
        ).encode(),
    ),
    "SW-FastEdit": (
        "clicks.json",
        lambda _: json.dumps({"tumor": voxels_of_polarity(FG), "background": voxels_of_polarity(BG)}).encode(),
    ),
    "VISTA3D": (
        "params.json",
        lambda _: json.dumps({"points": VOXELS, "point_labels": [1, 0, 1], "label_prompt": [3]}).encode(),
    ),
}


def sort_clicks(clicks: Clicks) -> list[tuple[Polarity, tuple[float, ...]]]:
    return sorted((click.polarity, tuple(np.round(click.position_mm, 2))) for click in clicks.points)


@pytest.mark.parametrize("form", CONTENTS)
def test_all_formats_give_the_same_points(
    tmp_path: Path, series: SeriesGeometry, points: np.ndarray, form: str
) -> None:
    name, write = CONTENTS[form]
    (tmp_path / name).write_bytes(write(points))

    found = resolve_positions(read_clicks(tmp_path / name), series)

    expected = Clicks(tuple(Click("", p, tuple(x)) for p, x in zip(POLARITIES, points, strict=True)))
    for (polarity, position), (wanted, place) in zip(sort_clicks(found), sort_clicks(expected), strict=True):
        assert polarity is wanted
        assert position == pytest.approx(place, abs=0.02)


@pytest.mark.parametrize("form", FORMATS)
def test_written_clicks_are_read_back(tmp_path: Path, series: SeriesGeometry, points: np.ndarray, form: str) -> None:
    candidate = series.files
    clicks = Clicks(
        tuple(Click("hook", p, tuple(x)) for p, x in zip(POLARITIES, points, strict=True)),
        candidate.frame_of_reference_uid,
        candidate.series_uid,
    )
    path = tmp_path / {"cvpr": "c.npz", "fcsv": "c.fcsv", "slicer": "c.mrk.json", "sr": "c.dcm"}.get(form, "c.json")

    path.write_bytes(encode_clicks(clicks, form, series, CLOCK))

    found = resolve_positions(read_clicks(path), series)
    assert [p for p, _ in sort_clicks(found)] == [p for p, _ in sort_clicks(clicks)]
    np.testing.assert_allclose([x for _, x in sort_clicks(found)], [x for _, x in sort_clicks(clicks)], atol=0.02)
    if form in ("clickseg", "sr"):
        assert found.digest == clicks.digest
        assert found.series_instance_uid == clicks.series_instance_uid


def test_a_written_sr_has_no_violation(
    tmp_path: Path, series: SeriesGeometry, points: np.ndarray, dciodvfy: str
) -> None:
    clicks = Clicks((Click("", FG, tuple(points[0])), Click("Läsion", BG, tuple(points[1]))))

    (tmp_path / "c.dcm").write_bytes(encode_clicks(clicks, "sr", series, CLOCK))

    assert dciodvfy_errors(tmp_path / "c.dcm", dciodvfy) == []


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("clickseg", "slicer", "fcsv")])
def test_a_voxel_format_needs_a_series(form: str) -> None:
    with pytest.raises(UsageError, match=f"the format {form} requires the DICOM series"):
        encode_clicks(Clicks((Click("", FG, (0, 0, 0)),)), form, None, CLOCK)


@pytest.mark.parametrize("form", ["deepgrow", "vista3d"])
def test_a_format_with_one_label_rejects_two(series: SeriesGeometry, points: np.ndarray, form: str) -> None:
    clicks = Clicks(tuple(Click(label, FG, tuple(points[0])) for label in ("a", "b")))

    with pytest.raises(ClickError, match="the format stores only one label, but the clicks have 2: a, b"):
        encode_clicks(clicks, form, series, CLOCK)


AMBIGUOUS = [
    ("fcsv", "liver_neg", FG),
    ("slicer", "lesion_neg", FG),
    ("deepedit", "background", FG),
    ("deepedit", "label", FG),
    ("grand-challenge", "background", FG),
    ("grand-challenge", "lesion_neg", FG),
]


@pytest.mark.parametrize(("form", "label", "polarity"), AMBIGUOUS)
def test_clicks_that_a_format_cannot_represent_are_rejected(
    series: SeriesGeometry, points: np.ndarray, form: str, label: str, polarity: Polarity
) -> None:
    with pytest.raises(ClickError, match=f"the format {form} cannot store these clicks"):
        encode_clicks(Clicks((Click(label, polarity, tuple(points[0])),)), form, series, CLOCK)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("label", ["liver, left", 'a "quoted" one', "leber größe", "rib_left_3"])
def test_labels_of_all_kinds_are_represented(series: SeriesGeometry, points: np.ndarray, form: str, label: str) -> None:
    clicks = Clicks((Click(label, BG, tuple(points[0])), Click(label, FG, tuple(points[1]))))

    content = encode_clicks(clicks, form, series, CLOCK)

    found = resolve_positions(parse_click_file(io.BytesIO(content), form), series)
    assert {click.label.removesuffix("-1").removesuffix("-2") for click in found.points} <= {label, ""}
    assert sorted(click.polarity for click in found.points) == [BG, FG]


@pytest.mark.parametrize("form", FORMATS)
def test_all_formats_but_sr_can_have_no_clicks(series: SeriesGeometry, form: str) -> None:
    if form == "sr":
        with pytest.raises(ClickError, match="expected at least one click"):
            encode_clicks(Clicks(), form, series, CLOCK)
    else:
        content = encode_clicks(Clicks(), form, series, CLOCK)
        assert resolve_positions(parse_click_file(io.BytesIO(content), "c.json"), series).points == ()


def test_a_click_at_the_outer_edge_is_in_the_last_voxel(series: SeriesGeometry) -> None:
    geometry = series.stack.geometry
    last = np.array(geometry.spatial_shape) - 1
    edge = geometry.map_indices_to_reference(np.array([[0, last[1] + 0.499999, last[2] + 0.499999]]))[0]
    just_over = geometry.map_indices_to_reference(np.array([[0, last[1] + 0.5, last[2] + 0.5]]))[0]

    for position in (edge, just_over):
        assert Voxel.from_position(tuple(position), series.stack) == (last[2], last[1], len(series.stack.planes) - 1)


def test_a_probe_of_ohif_in_the_patient_is_a_click(tmp_path: Path, series: SeriesGeometry, points: np.ndarray) -> None:
    path = save_sr(make_ohif_sr(series, points[1], in_image=False), tmp_path / "probe.dcm")

    (click,) = resolve_positions(read_clicks(path), series).points

    assert (click.label, click.polarity) == ("lesion", BG)
    assert click.position_mm == pytest.approx(points[1], abs=1e-3)


def test_a_probe_of_ohif_in_an_image_has_the_pixel_centre_at_one_half(tmp_path: Path, series: SeriesGeometry) -> None:
    path = save_sr(make_ohif_sr(series, np.zeros(3), in_image=True), tmp_path / "probe.dcm")

    (click,) = resolve_positions(read_clicks(path), series).points

    expected = series.stack.geometry.map_indices_to_reference(np.array([[2, 7, 4]]))[0]
    assert click.position_mm == pytest.approx(expected, abs=1e-3)


def test_seed_points_of_other_tools_are_read_with_label_polarity_and_all_points() -> None:
    group = make_seed_point_group("1.2.3", [1, 2, 3, 4, 5, 6], "MULTIPOINT", LongCodeValue="128139")

    (clicks,) = read_report_clicks(make_sr(group), "sr")

    assert [(c.label, c.polarity, c.position_mm) for c in clicks.points] == [
        ("hook", BG, (1, 2, 3)),
        ("hook", BG, (4, 5, 6)),
    ]


def test_a_report_has_one_part_for_each_frame_of_reference() -> None:
    parts = read_report_clicks(
        make_sr(make_seed_point_group("1.2.3", [1, 2, 3]), make_seed_point_group("1.2.4", [4, 5, 6])), "sr"
    )

    assert [(part.frame_of_reference_uid, len(part.points)) for part in parts] == [("1.2.3", 1), ("1.2.4", 1)]


def test_a_group_without_a_seed_point_is_ignored_even_if_incomplete() -> None:
    group = make_seed_point_group("1.2.3", [1, 2, 3])
    del group.ContentSequence[0].TextValue
    del group.ContentSequence[1]

    assert read_report_clicks(make_sr(group), "sr") == ()


def test_a_seed_point_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ClickError, match="expected a position of three finite numbers in mm"):
        read_report_clicks(make_sr(make_seed_point_group("1.2.3", [float("nan"), 2, 3])), "sr")


FG_BG = [{"fg": [[1, 2, 3]], "bg": [[4, 5, 6]]}]
ONE = [{"fg": [[1, 2, 3]], "bg": []}]
A, B = (FG, (3, 2, 1)), (BG, (6, 5, 4))


@pytest.mark.parametrize(
    ("clicks", "order", "found"),
    [
        (FG_BG, [["bg", "fg"]], [B, A]),  # an array of strings
        (ONE, [["fg"]], [A]),
        (ONE, [["fg", None]], [A]),  # a two-dimensional array of objects
        (FG_BG * 2, [["fg", "bg"], ["bg", "fg"]], [A, B, B, A]),
        ([{"fg": [], "bg": []}], [[]], []),  # an empty array of numbers
        (FG_BG, None, [A, B]),
    ],
)
def test_cases_of_the_cvpr_challenge_are_read(
    tmp_path: Path, clicks: object, order: object, found: list[object]
) -> None:
    """The code of the challenge saves plain lists, which NumPy converts to different kinds of arrays."""
    arrays = {"clicks": clicks} | ({} if order is None else {"clicks_order": order})
    np.savez_compressed(tmp_path / "case.npz", imgs=np.zeros((7, 11, 13), np.uint8), **arrays)

    read = read_clicks(tmp_path / "case.npz")

    assert [(click.polarity, tuple(click.position)) for click in read.points] == found


DAMAGED = ["(" * 3000, "'''abc", "-" * 9000 + "1", "{'descr': '|V0', 'fortran_order': False, 'shape': (1,)}"]


@pytest.mark.parametrize("header", DAMAGED, ids=range(len(DAMAGED)))
def test_a_case_with_a_damaged_array_is_an_error(tmp_path: Path, header: str) -> None:
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(tmp_path / "case.npz", "w") as archive:
        archive.writestr("clicks.npy", array)

    with pytest.raises(ClickError, match=r"case\.npz: clicks cannot be read"):
        read_clicks(tmp_path / "case.npz")


def test_a_point_in_an_image_of_another_series_is_an_error(series: SeriesGeometry) -> None:
    with pytest.raises(ClickError, match=r"image 9\.9 is not in the series"):
        ImagePoint("9.9", 1.5, 1.5).position_mm(series.stack)


@pytest.mark.parametrize("voxel", [(13, 0, 0), (0, 11, 0), (0, 0, 7)])
def test_a_voxel_outside_the_series_is_an_error(tmp_path: Path, series: SeriesGeometry, voxel: tuple[int, ...]) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"foreground": [[1, 1, 1], list(voxel)], "background": []}))

    with pytest.raises(
        ClickError, match=r"p\.json: click 2: voxel .* is outside the series, which has \(13, 11, 7\) voxels"
    ):
        resolve_positions(read_clicks(tmp_path / "p.json"), series)


@pytest.mark.parametrize("point", [[1.5, 2, 3], [-1, 2, 3]])
def test_points_that_are_not_voxels_are_an_error_that_names_the_other_coordinates(
    tmp_path: Path, point: list[float]
) -> None:
    version = {"major": 1, "minor": 0}
    file = {"type": "Multiple points", "points": [{"point": point}], "version": version}
    (tmp_path / "p.json").write_text(json.dumps(file))

    with pytest.raises(ClickError, match="point 1: expected a voxel") as caught:
        read_clicks(tmp_path / "p.json")
    assert caught.value.hint == "if the points are in LPS mm, pass --clicks-frame lps"
    (click,) = read_clicks(tmp_path / "p.json", CoordinateSystem.LPS).points
    assert click.position_mm == tuple(point)
