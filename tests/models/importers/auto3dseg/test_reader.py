"""Models of MONAIAuto3DSeg become sections with full codes; other models and hostile files are errors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clickseg.core.errors import ModelError, UsageError
from clickseg.models.importers.auto3dseg.reader import Auto3DSegReader
from clickseg.models.importers.registry import read_model
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers.auto3dseg_files import write_auto3dseg_zip

READER = Auto3DSegReader()
STATE = {"weight": torch.ones(3)}
SEQUENCES = ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")
COLUMNS = (*SEQUENCES, "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionSequence")
HEADER = ",".join(
    ["LabelValue", "Name"]
    + [f"{name}.{part}" for name in COLUMNS for part in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")]
)
CATEGORY, KIDNEY, RIGHT = "SCT,123037004,Anatomical Structure", "SCT,64033007,Kidney", "SCT,24028007,Right"
TABLE = f"{HEADER}\n1,right kidney,{CATEGORY},{KIDNEY},{RIGHT},,,\n2,tumour,{CATEGORY},,,,,,,{KIDNEY}\n"


def make_config(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "network": {"_target_": "SegResNetDS", "init_filters": 8, "in_channels": 1, "out_channels": 3},
        "modality": "ct",
        "normalize_mode": "range",
        "intensity_bounds": [-250, 250.0],
        "roi_size": [192, 192, 96],
        "resample_resolution": [1.5, 1.5, 3],
        "orientation_ras": True,
        "crop_foreground": True,
        "ckpt_path": "$@bundle_root + '/model'",
        "amp": True,
    }
    return {key: value for key, value in {**config, **changes}.items() if value is not ...}


def make_zip(path: Path, table: str = TABLE, *, folder: str = "", **changes: Any) -> Path:
    checkpoint = {"config": make_config(**changes), "state_dict": STATE, "best_metric": np.float64(0.9)}
    return write_auto3dseg_zip(path, checkpoint, table, folder=folder)


def network(images: Any, outputs: int = 3) -> dict[str, Any]:
    return {"_target_": "SegResNetDS", "init_filters": 8, "in_channels": images, "out_channels": outputs}


def read(path: Path, **options: Any) -> SourceModel:
    return READER.read(path, ImportOptions(**options))


@pytest.mark.parametrize("folder", ["", "kidney-v1.0.2/"])
def test_a_zip_file_becomes_a_section(tmp_path: Path, folder: str) -> None:
    path = make_zip(tmp_path / "kidney-v1.0.2.zip", folder=folder)

    model = read(path)

    assert READER.recognizes(path)
    assert READER.files(path) == (path,)
    assert (model.name, model.version) == ("kidney", "1.0.2")
    section = dict(model.section)
    classes = section.pop("classes")
    assert section == {
        "inputs": [
            {
                "name": "image",
                "modality": "CT",
                "unit": "HU",
                "scaling": [
                    {"kind": "range", "a_min": -250, "a_max": 250, "b_min": -1, "clip": False},
                    {"kind": "sigmoid"},
                ],
                "scale_before_resampling": True,
            }
        ],
        "grid": {"spacing_mm": [1.5, 1.5, 3], "spacing_tolerance": [0.75, 1.25], "orientation": "RAS"},
        "window": {"roi": [192, 192, 96], "overlap": 0.625},
        "activation": "softmax",
        "output_channels": 3,
        "crop": {"voxels": "positive", "values": "source", "grid": "source", "margin_vox": 10},
        "interpolation": "labels",
    }
    kidney = {"value": "64033007", "scheme": "SCT", "meaning": "Kidney"}
    assert classes[0]["type"] == kidney
    assert classes[0]["type_modifier"] == {"value": "24028007", "scheme": "SCT", "meaning": "Right"}
    assert classes[1] == {"name": "tumour", "channel": 2}  # the type is missing: found by the name
    assert model.load_state is not None
    assert torch.equal(model.load_state()["weight"], STATE["weight"])
    spec = ModelSpec.model_validate({key: value for key, value in model.section.items() if key != "crop"})
    assert [entry.type.meaning for entry in spec.classes] == ["Kidney", "Neoplasm"]


def test_a_folder_becomes_the_same_section(tmp_path: Path) -> None:
    folder = tmp_path / "kidney-v2"
    with zipfile.ZipFile(make_zip(tmp_path / "m.zip")) as archive:
        archive.extractall(folder)

    assert READER.recognizes(folder)
    assert READER.files(folder) == (folder / "model.pt", folder / "labels.csv")
    assert read(folder).section == read(tmp_path / "m.zip").section
    assert read(folder).version == "2"


@pytest.mark.parametrize(
    ("mode", "scaling"),
    [
        ("meanstd", {"kind": "zscore", "nonzero": True}),
        ("mri", {"kind": "zscore", "nonzero": True}),
        ("meanstdtanh", [{"kind": "zscore", "nonzero": True}, {"kind": "tanh", "factor": 3}]),
        ("pet", [{"kind": "zscore", "centre": "minimum"}, {"kind": "sigmoid"}]),
        ("none", {"kind": "range", "a_min": 0, "a_max": 1, "clip": False}),
    ],
)
def test_each_mode_has_its_scaling(tmp_path: Path, mode: str, scaling: object) -> None:
    section = read(make_zip(tmp_path / "m.zip", normalize_mode=mode, modality="MRI")).section

    assert section["inputs"][0]["scaling"] == scaling
    assert section["inputs"][0]["modality"] == "MR"


@pytest.mark.parametrize("mode", ["meanstd", "meanstdtanh", "pet"])
def test_modes_that_depend_on_all_values_take_those_of_the_volume(tmp_path: Path, mode: str) -> None:
    """As the script does: it normalizes before it crops."""
    section = read(make_zip(tmp_path / "m.zip", normalize_mode=mode, modality="pet"), unit="SUVbw").section

    assert section["crop"]["statistics"] == "volume"
    ModelSpec.model_validate(section)


def test_missing_keys_are_the_defaults_of_the_script(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "m.zip", orientation_ras=..., crop_foreground=..., resample_resolution=...)

    model = read(path)

    assert model.section["grid"] == {"spacing_mm": ["source"] * 3, "orientation": "source"}
    assert "crop" in model.section
    assert {note.key for note in model.notes if note.outcome is Outcome.ASSUMED} == {
        *("crop", "grid.orientation", "inputs.0.unit"),
    }
    assert read(path, stored_axes="LPS").section["grid"]["orientation"] == "LPS"
    assert "crop" not in read(make_zip(tmp_path / "n.zip", crop_foreground=False)).section


def test_keys_of_the_configuration_are_changed(tmp_path: Path) -> None:
    options = ImportOptions(changes={"config#roi_size": [32, 32, 64], "config::intensity_bounds#1": 100})

    model = read_model(make_zip(tmp_path / "m.zip"), READER, options)

    assert model.spec.window.roi == (32, 32, 64)
    assert model.source.section["inputs"][0]["scaling"][0]["a_max"] == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stored_axes": "LAS"}, "--stored-axes: has no effect on m "),
        ({"preset": "sw_fastedit"}, "--preset: has no effect on m"),
        ({"changes": {"windw.overlap": 0.3}}, "--set windw.overlap: has no effect on m"),
        ({"changes": {"config#amp": False}}, "--set config#amp: has no effect on m"),
        ({"changes": {"config": "inference"}}, "--set config: has no effect on m"),
    ],
)
def test_options_without_effect_are_errors(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_model(make_zip(tmp_path / "m.zip"), READER, ImportOptions(**options))


def test_bounds_have_no_effect_in_modes_that_take_statistics_of_the_image(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "m.zip", normalize_mode="meanstd")

    with pytest.raises(UsageError, match="--set config#intensity_bounds: has no effect"):
        read_model(path, READER, ImportOptions(changes={"config#intensity_bounds": [0, 1]}))


def test_every_key_of_the_configuration_has_a_note(tmp_path: Path) -> None:
    notes = read(make_zip(tmp_path / "m.zip")).notes

    noted = {key.removeprefix("config#") for note in notes for key in note.key.split(", ")}
    assert noted >= set(make_config())


def test_ignored_keys_are_those_that_the_script_does_not_use(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "m.zip", extra_modalities={}, normalize_mode="meanstd")

    ignored = {key for note in read(path).notes if note.outcome is Outcome.IGNORED for key in note.key.split(", ")}

    assert ignored == {"ckpt_path", "amp", "intensity_bounds"}


@pytest.mark.parametrize("crop", [True, ...])
def test_the_box_that_is_turned_is_a_difference_to_the_script(tmp_path: Path, crop: object) -> None:
    turned = read(make_zip(tmp_path / "a.zip", crop_foreground=crop)).notes
    not_turned = read(make_zip(tmp_path / "b.zip", crop_foreground=crop, orientation_ras=False)).notes

    (note,) = (note for note in turned if note.outcome is Outcome.DIFFERENT)
    assert "ClickSeg turns the box" in note.text
    assert Outcome.DIFFERENT not in {note.outcome for note in not_turned}


def test_columns_of_the_table_without_a_field_have_a_note(tmp_path: Path) -> None:
    table = "LabelValue,Name,AnatomicRegionModifierSequence.CodeValue,empty\n1,kidney,24028007,\n2,tumour,,\n"

    notes = read(make_zip(tmp_path / "m.zip", table)).notes

    ignored = {note.key for note in notes if note.outcome is Outcome.IGNORED}
    assert "labels.csv: AnatomicRegionModifierSequence.CodeValue" in ignored


def test_the_whole_head_model_keeps_two_components(tmp_path: Path) -> None:
    section = read(make_zip(tmp_path / "whole-head-v1.zip")).section

    assert section["postprocessing"] == {"keep": "largest", "keep_count": 2, "connectivity": "full"}


def test_channels_without_a_row_are_numbered(tmp_path: Path) -> None:
    model = read(make_zip(tmp_path / "m.zip", f"{HEADER}\n0,background\n2,tumour\n"))

    assert model.section["classes"] == [{"name": "class 1", "channel": 1}, {"name": "tumour", "channel": 2}]
    assert "no row for the labels 1" in model.notes[-1].text


BRATS = {
    "modality": "mri",
    "normalize_mode": "meanstd",
    "network": network(4),
    "extra_modalities": {"image2": "ct"},  # the script does not use it
    "sigmoid": True,
}
BRATS_TABLE = f"{HEADER}\n" + "".join(f"{n},{name},{CATEGORY},{KIDNEY}\n" for n, name in ((1, "a"), (2, "b"), (3, "c")))


def test_a_model_of_brats_has_four_described_inputs_and_classes_that_overwrite_each_other(tmp_path: Path) -> None:
    model = read(make_zip(tmp_path / "brats-gli-v1.0.0.zip", BRATS_TABLE, **BRATS))

    section = model.section
    assert [entry["name"] for entry in section["inputs"]] == ["T2F", "T1C", "T1N", "T2W"]
    assert all(entry["scaling"] == {"kind": "zscore", "nonzero": True} for entry in section["inputs"])
    assert not any("scale_before_resampling" in entry for entry in section["inputs"])
    assert (section["activation"], section["overwrite"], section["interpolation"]) == ("sigmoid", True, "labels")
    assert [(entry["name"], entry["channel"]) for entry in section["classes"]] == [("b", 0), ("a", 1), ("c", 2)]
    crop = {"voxels": "positive", "values": "source", "grid": "source", "margin_vox": 10, "inputs": "any"}
    assert section["crop"] == crop
    assert ("inputs", Outcome.ASSUMED) in {(note.key, note.outcome) for note in model.notes}
    assert Outcome.DIFFERENT not in {note.outcome for note in model.notes}  # it turns the images before the crop
    (ignored,) = (note.key for note in model.notes if note.outcome is Outcome.IGNORED)
    assert "extra_modalities" in ignored
    ModelSpec.model_validate({**section, "weights": {}})


def test_a_model_with_two_images_normalizes_each_and_crops_to_the_normalized_first(tmp_path: Path) -> None:
    changes = {"modality": "mri", "network": network(2), "extra_modalities": {"adc": "meanstd"}}

    model = read(make_zip(tmp_path / "m.zip", **changes))

    first, second = model.section["inputs"]
    assert (first["name"], "descriptions" in first, second["name"]) == ("image", False, "adc")
    assert [step["kind"] for step in first["scaling"]] == ["range", "sigmoid"]
    assert second["scaling"] == {"kind": "zscore", "nonzero": True}
    assert first["scale_before_resampling"] is second["scale_before_resampling"] is True
    assert model.section["crop"] == {"voxels": "positive", "values": "scaled", "grid": "source", "margin_vox": 10}
    assert "name their series with --input" in " ".join(note.text for note in model.notes)
    ModelSpec.model_validate({**model.section, "weights": {}})


def test_of_other_masks_the_only_channel_is_label_1(tmp_path: Path) -> None:
    model = read(make_zip(tmp_path / "m.zip", f"{HEADER}\n1,tumour\n", network=network(1, 1), sigmoid=True))

    assert model.section["classes"] == [{"name": "tumour", "channel": 0}]
    assert (model.section["activation"], "overwrite" in model.section) == ("sigmoid", False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmoid": False}, "config#sigmoid: expected true: the script of the extension merges masks of BraTS"),
        ({"network": network(4, 4)}, "config#sigmoid: expected 3 output channels, got 4"),
        ({"normalize_mode": "pet"}, "config#normalize_mode: pet of several images together is not supported"),
    ],
)
def test_a_model_of_brats_that_the_script_does_not_merge_is_an_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read(make_zip(tmp_path / "brats.zip", BRATS_TABLE, **BRATS | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmoid": True}, r"config#sigmoid: expected 1 output channels, got \d: of masks, the script .* uses three"),
        ({"extra_modalities": {"image2": "mri"}}, "extra_modalities: expected 0, as the network has 1 channels, got 1"),
        ({"network": network(4)}, "config#extra_modalities: expected 3, as the network has 4 channels, got 0"),
        ({"network": network("4")}, "config#network#in_channels: expected 1 to 8, got '4'"),
        ({"network": network(2), "extra_modalities": {"image2": "odd"}}, "config#normalize_mode: .* got 'odd'"),
        ({"network": {"_target_": "os.system", "command": "true"}}, "config#network: os.system"),
        ({"network": {"_target_": "SegResNetDS", "out_channels": "$__import__('os')"}}, "the expression"),
        ({"network": None}, "config#network: expected an object with _target_"),
        ({"normalize_mode": "minmax"}, "config#normalize_mode: .* got 'minmax'"),
        ({"intensity_bounds": [1]}, "config#intensity_bounds: expected two numbers"),
        ({"intensity_bounds": [5, 5]}, "config#intensity_bounds: expected a smaller and a larger number"),
        ({"roi_size": [96, 96, 0.5]}, "config#roi_size: expected three numbers of voxels"),
        ({"resample_resolution": [1, 1]}, "resample_resolution: expected a number or three numbers"),
        ({"modality": ...}, "config#modality: expected ct, mri or pet, got None"),
        ({"modality": "pet"}, "the unit of the PET images is not stated"),
        ({"orientation_ras": "maybe"}, "orientation_ras: expected true or false"),
    ],
)
def test_what_cannot_be_expressed_is_one_error(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(make_zip(tmp_path / "m.zip", **changes))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"labels\.csv: expected rows"),
        ("a,b\n1,2\n", r"labels\.csv: expected a LabelValue"),
        ("LabelValue,Name\n9,x\n", "LabelValue 9: expected at most 2"),
        ("LabelValue,Name\n1,x\n1,y\n", "LabelValue 1 is used twice"),
        ("LabelValue,Name\n1,\n", "and a Name"),
        ("LabelValue,Name\n" + "9" * 500 + ",x\n", "expected a LabelValue"),
        ("LabelValue,Name\n1," + "".join(map(str, range(40_000))) + "\n", "not a table"),
    ],
)
def test_tables_without_labels_are_errors(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(make_zip(tmp_path / "m.zip", table))


def test_a_member_that_expands_too_much_is_an_error_before_it_is_extracted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(path) as fine:
        archive.writestr("model.pt", b"\0" * (20 << 20))
        archive.writestr("labels.csv", fine.read("labels.csv"))

    with pytest.raises(ModelError, match=r"'model\.pt': expected at most .* 100 times its compressed size"):
        read(tmp_path / "bomb.zip")


@pytest.mark.parametrize("name", ["../model.pt", "a/b/model.pt", "model.pt.txt", "Model.pt"])
def test_zip_files_without_both_files_in_one_folder_are_not_recognized(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(name, b"")
        archive.writestr("labels.csv", b"")

    assert not READER.recognizes(tmp_path / "m.zip")


def test_damaged_and_missing_files_are_not_recognized_or_errors(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "m.zip")
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)
    (tmp_path / "text.zip").write_text("no zip")

    assert not READER.recognizes(tmp_path / "text.zip")
    assert not READER.recognizes(tmp_path / "missing.zip")
    assert not READER.recognizes(tmp_path)
    with pytest.raises(ModelError, match=r"m\.zip: cannot be read"):
        read(path)


def test_files_that_are_no_checkpoints_are_errors(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE}, tmp_path / "model.pt")
    (tmp_path / "labels.csv").write_text(TABLE)

    with pytest.raises(ModelError, match="expected a checkpoint with config and state_dict"):
        read(tmp_path)
