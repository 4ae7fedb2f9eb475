"""Classes without codes get those of their name."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes

from clickseg.models import class_codes
from clickseg.models.class_codes import find_class_codes
from clickseg.models.spec import ClassSpec
from tests.helpers import phantoms, runs
from tests.helpers.dicom_results import dciodvfy_errors

ANATOMICAL, ABNORMAL = "123037004", "49755003"
LEFT, RIGHT = "7771000", "24028007"


@pytest.mark.parametrize(
    ("name", "category", "type_value", "modifier", "region"),
    [
        ("spleen", ANATOMICAL, "78961009", None, None),
        ("kidney_left", ANATOMICAL, "64033007", LEFT, None),
        ("Right Kidney", ANATOMICAL, "64033007", RIGHT, None),
        ("LEFT_KIDNEY", ANATOMICAL, "64033007", LEFT, None),
        ("lung_upper_lobe_left", ANATOMICAL, "45653009", LEFT, None),
        ("left lung upper lobe", ANATOMICAL, "45653009", LEFT, None),
        ("rib_left_1", ANATOMICAL, "48535007", LEFT, None),
        ("rib_right_11", ANATOMICAL, "58830002", RIGHT, None),
        ("vertebrae_L5", ANATOMICAL, "49668003", None, None),
        ("heart_atrium_left", ANATOMICAL, "82471001", None, None),  # the code contains the side
        ("right ventricle", ANATOMICAL, "53085002", None, None),
        ("subclavian_artery_left", ANATOMICAL, "36765005", LEFT, None),
        ("liver tumour", ABNORMAL, "108369006", None, "10200004"),
        ("Left-Hippocampus", ANATOMICAL, "5366008", LEFT, None),
        ("something else", ANATOMICAL, "91723000", None, None),
        ("left something", ANATOMICAL, "91723000", LEFT, None),
    ],
)
def test_a_name_of_another_tool_has_the_codes_of_the_structure(
    name: str, category: str, type_value: str, modifier: str | None, region: str | None
) -> None:
    found = find_class_codes(name, 1)

    assert (found.category[0], found.type[0]) == (category, type_value)
    assert (found.type_modifier or (None,))[0] == modifier
    assert (found.anatomic_region or (None,))[0] == region


def test_the_codes_of_the_table_have_the_meanings_of_pydicom() -> None:
    meanings: dict[str, set[str]] = {}
    for name in dir(codes.SCT):
        code = getattr(codes.SCT, name)
        if hasattr(code, "value"):
            meanings.setdefault(code.value, set()).add(code.meaning.casefold())
    with Path(class_codes.__file__).with_name("class_codes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    known = [
        (row[column], row[f"{column} meaning"])
        for row in rows
        for column in ("type", "region")
        if row[column] in meanings
    ]

    assert len(known) > 150
    assert [(value, meaning) for value, meaning in known if not _is_one_of(meaning, meanings[value])] == []


def _is_one_of(meaning: str, expected: set[str]) -> bool:
    return any(other.partition(" (")[0] == meaning.casefold() for other in expected)


def test_colours_of_unknown_structures_differ_between_neighbouring_channels() -> None:
    colours = [find_class_codes(f"category {number}", number).colour for number in range(1, 6)]

    assert len(set(colours)) == 5


def test_codes_that_a_package_defines_are_not_changed() -> None:
    code = {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"}

    spec = ClassSpec.model_validate(
        {"name": "left kidney", "channel": 1, "colour": [1, 2, 3], "category": code, "type": code}
    )

    assert (spec.type.value, spec.type_modifier, spec.colour) == ("52988006", None, (1, 2, 3))
    assert "type_modifier" not in spec.model_dump_json()  # the UIDs of results depend on this text


def test_the_side_of_a_structure_is_in_seg_and_sr(tmp_path: Path, dciodvfy: str) -> None:
    study = runs.write_input(tmp_path / "in")
    classes = [{"name": "kidney_left", "channel": 1}]
    channels = [{"takes": [["kidney_left", polarity]]} for polarity in ("foreground", "background")]
    guidance = phantoms.GUIDANCE | {"channels": channels}
    models = runs.write_model(tmp_path / "models", classes=classes, guidance=guidance)

    result = runs.run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models)

    assert result.returncode == 0, result.stderr
    results = {str(dcmread(path).Modality): path for path in (tmp_path / "out").glob("*.dcm")}
    (segment,) = dcmread(results["SEG"]).SegmentSequence
    (property_type,) = segment.SegmentedPropertyTypeCodeSequence
    assert (segment.SegmentLabel, property_type.CodeMeaning) == ("kidney_left", "Kidney")
    assert property_type.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert "Left" in str(dcmread(results["SR"]))
    assert [dciodvfy_errors(path, dciodvfy) for path in results.values()] == [[], []]
