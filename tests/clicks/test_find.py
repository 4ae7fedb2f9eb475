"""Click files as users and tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import find_clicks, read_clicks
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.clicks.names import split_name
from clickseg.core.errors import ClickError

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
NATIVE = {
    "version": 1,
    "frame_of_reference_uid": "1.2.3",
    "series_instance_uid": "1.2.4",
    "clicks": [
        {"label": "lesion", "polarity": "foreground", "position_mm": [-12.5, 40.0, 310.25]},
        {"polarity": "background", "position_mm": [8, 51.5, 300]},
    ],
}


def save(folder: Path, content: object, name: str = "clicks.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def slicer(points: list[dict[str, object]], **changes: object) -> dict[str, object]:
    """Returns a point list as 3D Slicer 5 writes it."""
    defaults = {
        "id": "1",
        "description": "",
        "associatedNodeID": "vtkMRMLScalarVolumeNode1",
        "orientation": [-1.0, -0.0, -0.0, -0.0, -1.0, -0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": [defaults | point for point in points],
        "measurements": [],
        "display": {"visibility": False, "opacity": 1.0},
    } | changes
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    return {"@schema": schema + "markups-schema-v1.0.3.json#", "markups": [markup]}


def test_the_native_format_is_read(tmp_path: Path) -> None:
    clicks = read_clicks(save(tmp_path, NATIVE))

    assert clicks == Clicks(
        (Click("lesion", FG, (-12.5, 40.0, 310.25)), Click("", BG, (8.0, 51.5, 300.0))), "1.2.3", "1.2.4", "clicks.json"
    )


def test_written_clicks_are_read_back(tmp_path: Path) -> None:
    clicks = Clicks((Click("a", FG, (0.1, -2.25, 1e-3)),), "1.2.3", None, "clicks.json")

    write_clicks_json(clicks, tmp_path / "clicks.json")

    assert read_clicks(tmp_path / "clicks.json") == clicks


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NATIVE | {"version": 2}, r"version: .*1, got 2"),
        (NATIVE | {"clicks": [{"polarity": "foreground"}]}, r"clicks\.0\.position_mm: missing"),
        (NATIVE | {"clicks": [{"polarity": "maybe", "position_mm": [1, 2, 3]}]}, r"clicks\.0\.polarity: .*got 'maybe'"),
        (NATIVE | {"clicks": [{"polarity": "foreground", "position_mm": [1, 2]}]}, r"clicks\.0\.position_mm"),
        (NATIVE | {"clicks": [{"polarity": "foreground", "position_mm": [1, 2, "3"]}]}, r"position_mm\.2: .*got '3'"),
        (NATIVE | {"clicks": [{"polarity": "foreground", "positon_mm": [1, 2, 3]}]}, "positon_mm|position_mm"),
        (NATIVE | {"click": []}, "click: unknown field"),
        (NATIVE | {"clicks": [{"polarity": "foreground", "position_mm": [0, 0, 0]}] * 10_001}, "at most 10000"),
        ('{"version": 1, "clicks": [{"polarity": "foreground", "position_mm": [NaN, 0, 0]}]}', "NaN is not a number"),
        ('{"version": 1, "clicks": [{"polarity": "foreground", "position_mm": [1e999, 0, 0]}]}', r"position_mm\.0"),
        ("not JSON", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1, 2], "unknown click file format"),
        ({"points": []}, "unknown click file format"),
    ],
)
def test_an_invalid_file_is_an_error_of_one_line(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ClickError, match=message) as caught:
        read_clicks(save(tmp_path, content))

    assert str(caught.value).startswith("clicks.json: ")
    assert "\n" not in str(caught.value)


def test_missing_and_huge_files_are_errors(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(17 << 20)

    with pytest.raises(ClickError, match=r"missing\.json: cannot be read: No such file"):
        read_clicks(tmp_path / "missing.json")
    with pytest.raises(ClickError, match=r"huge\.json: expected at most 16777216 bytes"):
        read_clicks(huge)


@pytest.mark.parametrize(
    ("changes", "sign", "scale"),
    [
        ({"coordinateSystem": "LPS"}, 1, 1),
        ({"coordinateSystem": "RAS"}, -1, 1),
        ({"coordinateSystem": None}, 1, 1),
        ({"coordinateUnits": "um"}, 1, 1e-3),
        ({"coordinateUnits": ["mm", "UCUM", "millimeter"]}, 1, 1),
        ({"coordinateSystem": "RAS", "coordinateUnits": "um"}, -1, 1e-3),
    ],
)
def test_slicer_points_are_converted_to_lps_mm(
    tmp_path: Path, changes: dict[str, object], sign: int, scale: float
) -> None:
    content = slicer([{"label": "F-1", "position": [-53.388, -73.335, 12.5]}], **changes)
    content["markups"] = [{k: v for k, v in content["markups"][0].items() if v is not None}]

    (click,) = read_clicks(save(tmp_path, content, "F.mrk.json")).points

    np.testing.assert_allclose(click.position_mm, np.array([-53.388 * sign, -73.335 * sign, 12.5]) * scale)


@pytest.mark.parametrize(
    ("list_name", "label", "description", "expected"),
    [
        ("F", "F-1", "", ("", FG)),
        ("PointList", "PointList-3", "", ("", FG)),
        ("lesion", "lesion-2", "", ("lesion", FG)),
        ("lesion_pos", "lesion_pos-1", "", ("lesion", FG)),
        ("lesion_neg", "lesion_neg-1", "", ("lesion", BG)),
        ("lesion-", "F-1", "", ("lesion", BG)),
        ("F", "background", "", ("", BG)),
        ("F", "liver_neg", "", ("liver", BG)),
        ("F", "F-1", "background", ("", BG)),
        ("lesion", "lesion-1", "negative", ("lesion", BG)),
        ("lesion_neg", "lesion_neg-1", "foreground", ("lesion", FG)),
        ("clicks", "tumour+", "", ("tumour", FG)),
        ("clicks", "tumour-", "seen on MR", ("tumour", BG)),
        ("lesion", "lesion-1", "bright on background", ("lesion", FG)),
        ("rib_left_3", "rib_left_3-1", "", ("rib_left_3", FG)),
        ("rib_left_3_neg", "rib_left_3_neg-2", "", ("rib_left_3", BG)),
        ("F", "vertebra-5", "", ("vertebra-5", FG)),
        ("lesion_neg (1)", "lesion-1", "", ("lesion-1", BG)),
        ("lesion_neg_2", "F-1", "", ("lesion", BG)),
        ("bg", "F-1", "", ("", BG)),
        ("hook_bg", "hook-1", "", ("hook-1", BG)),
        ("hook_fg", "hook-1", "", ("hook-1", FG)),
        ("lesionNeg", "lesion-1", "", ("lesion-1", BG)),
        ("lesion_negatives", "lesion-1", "", ("lesion-1", BG)),
        ("hook_neg", "F_1-1", "", ("hook", BG)),  # a second list of Slicer, renamed
        ("PointList_1", "PointList_1-2", "", ("", FG)),
        ("Bgroup", "F-1", "", ("Bgroup", FG)),
    ],
)
def test_label_and_polarity_are_read_from_the_names(
    tmp_path: Path, list_name: str, label: str, description: str, expected: tuple[str, Polarity]
) -> None:
    content = slicer([{"label": label, "description": description, "position": [0, 0, 0]}])

    (click,) = read_clicks(save(tmp_path, content, f"{list_name}.mrk.json")).points

    assert (click.label, click.polarity) == expected


@pytest.mark.parametrize(
    "name", ["neg_lesion", "lesion_neg_v2", "Background points", "lesion_negative_points", "bg lesion", "negLesion"]
)
def test_a_list_name_with_unclear_polarity_is_an_error(tmp_path: Path, name: str) -> None:
    content = slicer([{"label": "lesion-1", "position": [0, 0, 0]}])

    with pytest.raises(ClickError, match="a name contains neg or background, but not at its end"):
        read_clicks(save(tmp_path, content, f"{name}.mrk.json"))


def test_points_with_their_own_polarity_do_not_need_that_of_the_list(tmp_path: Path) -> None:
    points = [{"label": "lesion-1", "description": "negative", "position": [0, 0, 0]}]

    (click,) = read_clicks(save(tmp_path, slicer(points), "neg list.mrk.json")).points

    assert click.polarity is BG


@pytest.mark.parametrize("name", ["lesion_neg.json", "lesion_neg.mrk.json"])
def test_the_polarity_of_a_list_is_read_from_its_file_name(tmp_path: Path, name: str) -> None:
    content = slicer([{"label": "lesion-1", "position": [0, 0, 0]}])

    assert [click.polarity for click in read_clicks(save(tmp_path, content, name)).points] == [BG]


def test_lists_of_both_polarities_are_combined(tmp_path: Path) -> None:
    paths = [
        save(tmp_path, slicer([{"label": "F-1", "position": [n, 0, 0]}]), name)
        for n, name in enumerate(("lesion.mrk.json", "lesion_neg.mrk.json"))
    ]

    clicks = find_clicks([str(path) for path in paths], tmp_path, CoordinateSystem.VOXEL).clicks

    assert [(c.label, c.polarity, c.position_mm[0]) for c in clicks.points] == [("lesion", FG, 0), ("lesion", BG, 1)]
    assert clicks.source == "lesion.mrk.json, lesion_neg.mrk.json"


def test_files_of_different_series_are_not_combined(tmp_path: Path) -> None:
    paths = [save(tmp_path, NATIVE | {"series_instance_uid": uid}, f"{uid}.json") for uid in ("1.2", "1.3")]

    with pytest.raises(ClickError, match="expected one series and one frame of reference"):
        find_clicks([str(path) for path in paths], tmp_path, CoordinateSystem.VOXEL)


def test_no_click_file_is_searched_if_the_input_is_a_file(tmp_path: Path) -> None:
    save(tmp_path, NATIVE)
    (tmp_path / "image.dcm").touch()

    assert find_clicks((), tmp_path / "image.dcm", CoordinateSystem.VOXEL).clicks is None


def test_undefined_points_are_ignored(tmp_path: Path) -> None:
    points = [
        {"label": "F-1", "position": [1, 2, 3]},
        {"label": "F-2", "position": [0, 0, 0], "positionStatus": "undefined"},
        {"label": "F-3", "position": [0, 0, 0], "positionStatus": "preview"},
        {"label": "F-4", "positionStatus": "missing"},
    ]

    clicks = read_clicks(save(tmp_path, slicer(points), "F.mrk.json"))

    assert [click.position_mm for click in clicks.points] == [(1, 2, 3)]


def test_slicer_points_with_the_required_fields_only_are_read(tmp_path: Path) -> None:
    content = {"markups": [{"type": "Fiducial", "controlPoints": [{"label": "F-1", "position": [1, 2, 3]}]}]}

    assert len(read_clicks(save(tmp_path, content, "F.mrk.json")).points) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (slicer([], type="ROI"), "expected Fiducial .* got ROI"),
        (slicer([{"label": "F-1", "position": [1, 2, 3]}], coordinateUnits="inch"), "expected mm or um, got 'inch'"),
        (slicer([{"label": "F-1", "position": None}]), "control point 'F-1' is defined but has no position"),
        (slicer([{"label": "F-1", "position": [1, 2, 3]}], coordinateSystem="IJK"), "coordinateSystem"),
        ({"markups": []}, "markups: "),
    ],
)
def test_invalid_slicer_markups_are_errors(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ClickError, match=message):
        read_clicks(save(tmp_path, content, "F.mrk.json"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ("", None)),
        ("neg", ("", BG)),
        ("+", ("", FG)),
        ("lung-12", ("lung-12", None)),
        ("a_NEG", ("a", BG)),
    ],
)
def test_names_are_split_into_label_and_polarity(name: str, expected: tuple[str, Polarity | None]) -> None:
    assert split_name(name) == expected


def test_a_click_file_in_the_input_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub", NATIVE)

    found = find_clicks((), tmp_path, CoordinateSystem.VOXEL)

    assert len(found.clicks.points) == 2
    assert found.clicks.source == "sub/clicks.json"


def test_without_a_click_file_no_clicks_are_found(tmp_path: Path) -> None:
    save(tmp_path, {"other": 1}, "report.json")

    assert find_clicks((), tmp_path, CoordinateSystem.VOXEL).clicks is None


def test_two_click_files_are_an_error_that_names_both(tmp_path: Path) -> None:
    save(tmp_path, NATIVE)
    save(tmp_path, slicer([]), "lesion.mrk.json")

    with pytest.raises(
        ClickError, match=r"at most one click file in the input folder, got 2: clicks\.json, lesion\.mrk\.json"
    ) as caught:
        find_clicks((), tmp_path, CoordinateSystem.VOXEL)

    assert caught.value.hint == "select one or several with --clicks FILE"


def test_an_explicit_source_has_priority_and_the_other_is_listed_as_ignored(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    save(inside, NATIVE)
    explicit = save(outside, NATIVE | {"clicks": []}, "mine.json")

    found = find_clicks([str(explicit)], inside, CoordinateSystem.VOXEL)

    assert found.clicks.points == ()
    assert found.ignored == ("clicks.json",)
    assert find_clicks([str(inside / "clicks.json")], inside, CoordinateSystem.VOXEL).ignored == ()


def test_two_links_to_one_click_file_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    write_clicks_json(Clicks((Click("a", FG, (1, 2, 3)),)), tmp_path / "..data" / "clicks.json")
    (tmp_path / "clicks.json").symlink_to("..data/clicks.json")  # as Kubernetes mounts a ConfigMap

    assert len(find_clicks((), tmp_path, CoordinateSystem.VOXEL).clicks.points) == 1


def test_a_link_out_of_the_input_folder_is_not_followed(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret.json", tmp_path / "in"
    folder.mkdir()
    write_clicks_json(Clicks((Click("a", FG, (1, 2, 3)),)), secret)
    (folder / "clicks.json").symlink_to(secret)

    with pytest.raises(
        ClickError, match=r"clicks\.json: expected a file in the input folder, got a link to a file outside it"
    ):
        find_clicks((), folder, CoordinateSystem.VOXEL)
    assert len(find_clicks([str(secret)], folder, CoordinateSystem.VOXEL).clicks.points) == 1


def test_the_source_none_uses_no_clicks(tmp_path: Path) -> None:
    save(tmp_path, NATIVE)

    found = find_clicks(["none"], tmp_path, CoordinateSystem.VOXEL)

    assert found.clicks == Clicks()
    assert found.ignored == ("clicks.json",)


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31m", "\ud800", "a\x00"])
def test_a_label_that_is_not_printable_is_an_error(label: str) -> None:
    with pytest.raises(ClickError, match="expected a label of printable characters"):
        Click(label, FG, (0, 0, 0))


@pytest.mark.parametrize("position", [(float("nan"), 0, 0), (0, float("inf"), 0), (0, 0, 1e300)])
def test_a_position_that_is_not_finite_is_an_error(position: tuple[float, float, float]) -> None:
    with pytest.raises(ClickError, match="expected a position of three finite numbers in mm"):
        Click("lesion", FG, position)


def test_a_fiducial_table_with_a_huge_field_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "F.fcsv").write_text("# Markups fiducial file version = 4.11\n1,2,3,4," + "x" * 200_000)

    with pytest.raises(ClickError, match="not a fiducial table: field larger than field limit"):
        read_clicks(tmp_path / "F.fcsv")


def test_circular_links_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")

    with pytest.raises(ClickError, match=r"a\.json: cannot be read: Too many levels of symbolic links"):
        find_clicks([str(tmp_path / "a.json")], tmp_path, CoordinateSystem.VOXEL)


def test_parameters_that_are_not_points_are_ignored(tmp_path: Path) -> None:
    params = {"foreground": [[138.0, 2, 3]], "background": [], "roi": [0, 10, 0, 10], "device": ["cuda"]}
    padded = {"points": [[1, 2, 3], [-1, -1, -1]], "point_labels": [1, -1], "label_prompt": [3]}

    deepgrow, vista = (read_clicks(save(tmp_path, data, f"{n}.json")) for n, data in enumerate((params, padded)))

    assert [click.position for click in deepgrow.points] == [(138, 2, 3)]
    assert [click.position for click in vista.points] == [(1, 2, 3)]


@pytest.mark.parametrize("point", [[1.5, 2, 3], ["1", 2, 3], [True, 2, 3], [-1, 2, 3], [1, 2]])
def test_points_that_are_not_voxels_are_errors(tmp_path: Path, point: list[object]) -> None:
    with pytest.raises(ClickError, match="foreground"):
        read_clicks(save(tmp_path, {"foreground": [[1, 2, 3], point], "background": []}, "p.json"))


def test_the_digest_depends_on_label_polarity_position_and_number_of_clicks() -> None:
    base = Click("a", FG, (1.0, 2.0, 3.0))
    variants = [
        (base,),
        (Click("b", FG, (1.0, 2.0, 3.0)),),
        (Click("a", BG, (1.0, 2.0, 3.0)),),
        (Click("a", FG, (1.0, 2.0, 3.5)),),
        (base, base),
    ]

    digests = {Clicks(points).digest for points in variants}

    assert len(digests) == len(variants)
    assert Clicks().digest == ""
    assert Clicks((base,), source="x").digest == Clicks((base,), source="y").digest
