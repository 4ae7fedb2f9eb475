"""Click files that Windows programs saved: byte order marks, UTF-16, CRLF, and spreadsheets with decimal commas."""

from __future__ import annotations

import codecs
import io
import json
from pathlib import Path

import pytest

from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import find_clicks, parse_click_file, read_clicks
from clickseg.clicks.formats.grand_challenge import CoordinateSystem
from clickseg.clicks.formats.registry import MM_WRITERS, VOXEL_WRITERS
from clickseg.clicks.image_clicks import AnyClicks, Voxel, VoxelClick
from clickseg.core.errors import ClickError

FG, BG = Polarity.FOREGROUND, Polarity.BACKGROUND
IN_MM = Clicks((Click("Läsion", FG, (34.0, -22.5, 14.25)), Click("Läsion", BG, (-1.0, 2.0, 3.0))))
IN_VOXELS = (VoxelClick("Läsion", FG, Voxel(3, 4, 5)), VoxelClick("Läsion", BG, Voxel(1, 2, 3)))

TEXTS = {
    "clicks.json": MM_WRITERS["clickseg"](IN_MM),
    "F.mrk.json": MM_WRITERS["slicer"](IN_MM),
    "F.fcsv": MM_WRITERS["fcsv"](IN_MM),
    "grand-challenge.json": VOXEL_WRITERS["grand-challenge"](IN_VOXELS),
    "deepgrow.json": VOXEL_WRITERS["deepgrow"](IN_VOXELS),
    "deepedit.json": VOXEL_WRITERS["deepedit"](IN_VOXELS),
    "vista3d.json": VOXEL_WRITERS["vista3d"](IN_VOXELS),
}
"""The content of a file in each text format, as ClickSeg writes it: UTF-8 without byte order mark."""

ENCODINGS = {
    "UTF-8": ("utf-8", b""),
    "UTF-8 with BOM": ("utf-8", codecs.BOM_UTF8),
    "UTF-16 LE with BOM": ("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16 BE with BOM": ("utf-16-be", codecs.BOM_UTF16_BE),
    "UTF-16 LE": ("utf-16-le", b""),
    "UTF-16 BE": ("utf-16-be", b""),
    "UTF-32 LE with BOM": ("utf-32-le", codecs.BOM_UTF32_LE),
}


def read_points(path: Path) -> tuple[object, ...]:
    clicks: AnyClicks = read_clicks(path, CoordinateSystem.VOXEL)
    return tuple(clicks.points)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_is_read_in_every_unicode_encoding(
    tmp_path: Path, name: str, encoding: str, line_end: str
) -> None:
    codec, mark = ENCODINGS[encoding]
    plain, encoded = tmp_path / "plain" / name, tmp_path / name
    plain.parent.mkdir()
    plain.write_bytes(TEXTS[name])
    encoded.write_bytes(mark + TEXTS[name].decode().replace("\n", line_end).encode(codec))

    assert read_points(encoded) == read_points(plain)
    assert len(read_points(encoded)) == 2


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_in_utf_16_is_found_in_the_input_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TEXTS[name].decode().encode("utf-16"))

    found = find_clicks((), tmp_path, CoordinateSystem.VOXEL)

    assert found.clicks is not None
    assert len(found.clicks.points) == 2


@pytest.mark.parametrize("end", ["\x1a", "\r\n\x1a", "\0\0", "\n\n \n"])
@pytest.mark.parametrize("start", ["", "\r\n\r\n"])
@pytest.mark.parametrize("name", TEXTS)
def test_empty_lines_and_marks_around_a_text_are_ignored(tmp_path: Path, name: str, start: str, end: str) -> None:
    (tmp_path / name).write_bytes(start.encode() + TEXTS[name] + end.encode())

    assert len(read_points(tmp_path / name)) == 2


@pytest.mark.parametrize("name", ["CLICKS.JSON", "F.MRK.JSON", "F_NEG.FCSV", "POINTS.JSON"])
def test_a_file_name_in_capital_letters_is_found(tmp_path: Path, name: str) -> None:
    content = {"CLICKS.JSON": "clicks.json", "F.MRK.JSON": "F.mrk.json", "F_NEG.FCSV": "F.fcsv"}
    (tmp_path / name).write_bytes(TEXTS[content.get(name, "grand-challenge.json")])

    found = find_clicks((), tmp_path, CoordinateSystem.VOXEL)

    assert found.clicks is not None
    assert len(found.clicks.points) == 2


def test_the_suffix_in_capital_letters_is_no_part_of_the_name_of_a_list() -> None:
    text = (HEADER + COLUMNS + ROW.replace("lesion-1", "")).encode()

    clicks = parse_click_file(io.BytesIO(text), "TUMOUR_NEG.FCSV")

    assert [(click.label, click.polarity) for click in clicks.points] == [("TUMOUR", BG)]


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "F.fcsv"])
def test_a_damaged_click_file_in_the_input_folder_is_an_error_and_never_a_run_without_clicks(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(TEXTS[name].rstrip()[:-1] + b",}")

    with pytest.raises(ClickError, match=rf"{name}: not JSON: .* line \d+ column \d+"):
        find_clicks((), tmp_path, CoordinateSystem.VOXEL)


def test_a_damaged_json_file_with_other_content_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"patient": "a",}')

    assert find_clicks((), tmp_path, CoordinateSystem.VOXEL).clicks is None


def test_json_in_another_encoding_is_an_error_that_names_unicode(tmp_path: Path) -> None:
    (tmp_path / "clicks.json").write_bytes(TEXTS["clicks.json"].decode().replace("\\u00e4", "ä").encode("cp1252"))

    with pytest.raises(ClickError, match=r"clicks.json: not JSON: expected UTF-8 or UTF-16 text, got b'\\xe4' at byte"):
        read_clicks(tmp_path / "clicks.json")


def test_a_fiducial_table_in_another_encoding_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "F.fcsv").write_bytes(TEXTS["F.fcsv"].decode().encode("cp1252"))

    clicks = read_clicks(tmp_path / "F.fcsv")

    assert [click.position_mm for click in clicks.points] == [click.position_mm for click in IN_MM.points]  # type: ignore[union-attr]
    assert "F.fcsv: expected UTF-8 or UTF-16 text: other characters are replaced" in caplog.text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"version": 1,\n "clicks": [],}', 2),
        ('// my clicks\n{"version": 1, "clicks": []}', 1),
        ('{"version": 1,\n "clicks": [{"label": "a", "position_mm": [34,0.5.1, 2]}]}', 2),
    ],
)
def test_an_error_in_the_syntax_of_json_is_reported_with_its_line_and_a_hint(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "clicks.json").write_text(text)

    with pytest.raises(ClickError, match=f"clicks.json: not JSON: .*line {line} column") as caught:
        read_clicks(tmp_path / "clicks.json")

    assert caught.value.hint == "JSON has no comments, no comma after the last value, and a decimal point in numbers"


@pytest.mark.parametrize("key", ["label", "polarity"])
def test_half_of_a_surrogate_pair_is_an_error(tmp_path: Path, key: str) -> None:
    point = {"label": "a", "polarity": "foreground", "position_mm": [1, 2, 3]} | {key: "\ud800"}
    (tmp_path / "clicks.json").write_text(json.dumps({"version": 1, "clicks": [point]}))

    with pytest.raises(ClickError, match="a text contains half of a surrogate pair"):
        read_clicks(tmp_path / "clicks.json")


def test_a_character_outside_the_basic_plane_is_read(tmp_path: Path) -> None:
    point = {"label": "\U0001f9e0", "polarity": "foreground", "position_mm": [1, 2, 3]}
    (tmp_path / "clicks.json").write_text(json.dumps({"version": 1, "clicks": [point]}))

    assert read_clicks(tmp_path / "clicks.json").points[0].label == "\U0001f9e0"


HEADER = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
COLUMNS = "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
ROW = "1,34.5,-22.0,14.0,0.0,0.0,0.0,1.0,1,1,0,lesion-1,,\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + COLUMNS.replace(",", ";") + ROW.replace(",", ";").replace(".", ","),
        HEADER + COLUMNS + ROW.replace(",", ";").replace(".", ","),
        HEADER + COLUMNS + ROW.replace(",", ";"),
        HEADER + COLUMNS.replace(",", "\t") + ROW.replace(",", "\t"),
        HEADER + COLUMNS + ROW.replace("34.5", "34,5"),
        HEADER + COLUMNS + ROW.replace("34.5,-22.0", "34,5,-22,0"),
        HEADER + COLUMNS + ROW.replace("34.5,-22.0,14.0", "34,5,-22,0,14,0"),
        HEADER + COLUMNS + ROW.replace(".", ","),
        HEADER + COLUMNS + ROW.replace("34.5", '"34,5"'),
        HEADER + COLUMNS + ROW.replace("34.5,-22.0", "34,5,-22,0").replace(",,\n", ",,,2,0\n"),
    ],
)
def test_decimal_commas_and_other_separators_are_an_error_and_never_another_position(tmp_path: Path, text: str) -> None:
    (tmp_path / "F.fcsv").write_text(text)

    with pytest.raises(ClickError, match=r"F\.fcsv: (columns|point 1)(: x)?: expected "):
        read_clicks(tmp_path / "F.fcsv")


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW.replace(",,\n", ",,,2,0\n"),  # 3D Slicer 5
        ROW.replace("lesion-1,,", "1,,vtkMRMLScalarVolumeNode1,2,0"),
        ROW.replace("lesion-1,,", "1,,"),
        ROW.replace("lesion-1,,", "lesion, left,,"),
        "1,34.5,-22.0,14.0\n",
    ],
)
def test_rows_of_other_lengths_have_the_same_position(tmp_path: Path, row: str) -> None:
    (tmp_path / "F.fcsv").write_text(HEADER + COLUMNS + row)

    clicks = read_clicks(tmp_path / "F.fcsv")

    assert [click.position_mm for click in clicks.points] == [(34.5, -22.0, 14.0)]  # type: ignore[union-attr]


def test_a_table_with_padded_comments_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    padded = "".join(f"{line}{',' * 13}\n" for line in HEADER.splitlines())
    (tmp_path / "F.fcsv").write_text(padded + COLUMNS + ROW)

    assert read_clicks(tmp_path / "F.fcsv").points[0].position_mm == (34.5, -22.0, 14.0)  # type: ignore[union-attr]


def test_the_label_of_a_list_whose_file_name_is_not_utf_8_can_be_encoded() -> None:
    text = (HEADER + COLUMNS + ROW.replace("lesion-1", "")).encode()

    clicks = parse_click_file(io.BytesIO(text), "L\udce4sion_neg.fcsv")

    assert [(click.label, click.polarity) for click in clicks.points] == [("L\\xe4sion", BG)]
