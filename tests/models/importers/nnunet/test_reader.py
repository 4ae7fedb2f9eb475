"""Trained models of nnU-Net become sections and networks; what cannot be expressed is one error that names the key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from clickseg.core.errors import ModelError, UsageError
from clickseg.inference.engines.network import build_from_definition
from clickseg.inference.model_readers import find_reader
from clickseg.models.importers.nnunet.reader import NnUNetReader
from clickseg.models.importers.registry import read_model
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from tests.helpers import nnunet_models as nn

READER = NnUNetReader(build_from_definition)


def read(path: Path, **options: Any) -> SourceModel:
    return READER.read(path, ImportOptions(**options))


def read_plans(folder: Path, configuration: dict[str, Any] | None = None, **changes: Any) -> SourceModel:
    """Returns the model with changed plans, and weights for the plans before the changes."""
    definition = nn.network_of(nn.make_plans(), 1, 3)
    plans = nn.make_plans(nn.make_configuration(**(configuration or {})), **changes)
    return read(nn.write_model(folder / "m", plans, folds={"0": nn.make_checkpoint(nn.make_state(definition))}))


def test_a_model_becomes_a_section(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / nn.IDENTIFIER)

    model = read(folder)

    assert find_reader(folder) is not None
    assert READER.recognizes(folder)
    assert READER.files(folder) == tuple(
        folder / name for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth")
    )
    assert (model.name, model.version) == ("Dataset007_Abdomen", "0")
    assert model.section == {
        "inputs": [
            {
                "name": "CT",
                "modality": "CT",
                "unit": "HU",
                "scaling": {"kind": "range", "a_min": -150, "a_max": 250, "b_min": -2, "b_max": 2},
                "scale_before_resampling": True,
            }
        ],
        "grid": {
            "spacing_mm": [3, 1.5, 1.25],
            "orientation": "SPL",
            "alignment": "edges",
            "image_order": 3,
            "separate_axis_above": 3,
        },
        "window": {"roi": [8, 16, 16], "overlap": 0.5, "placement": "even", "mode": "nnunet"},
        "activation": "softmax",
        "output_channels": 3,
        "classes": [{"name": "spleen", "channel": 1}, {"name": "liver", "channel": 2}],
        "crop": {"voxels": "nonzero", "values": "source", "grid": "source"},
        "mirror_axes": [0, 1, 2],
    }
    assert model.network_def == nn.network_of(nn.make_plans(), 1, 3)


def test_the_licence_is_that_in_the_folder(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / nn.IDENTIFIER)
    (folder / "LICENSE").write_text("CC BY-NC-SA 4.0\n")

    assert read(folder).licence == "CC BY-NC-SA 4.0"
    assert folder / "LICENSE" in READER.files(folder)


def test_the_weights_are_those_of_the_checkpoint_without_the_names_that_repeat_them(tmp_path: Path) -> None:
    definition = nn.network_of(nn.make_plans(), 1, 3)
    state = nn.make_state(definition, seed=4)
    folder = nn.write_model(tmp_path / "m", folds={"0": nn.make_checkpoint(state)})

    model = read(folder)

    assert model.load_state is not None
    loaded = model.load_state()
    network = build_from_definition(definition, "test")
    network.load_state_dict(loaded, strict=True)
    assert all(torch.equal(values, state[name]) for name, values in loaded.items())
    assert len(state) > len(loaded)


@pytest.mark.parametrize("kind", nn.KINDS)
@pytest.mark.parametrize("count", [1, 3])
def test_folds_become_the_mean_of_networks(tmp_path: Path, kind: str, count: int) -> None:
    plans = nn.make_plans(nn.make_configuration(architecture=nn.make_architecture(kind)))
    definition = nn.network_of(plans, 1, 3)
    states = [nn.make_state(definition, seed) for seed in range(count)]
    folds = {str(number): nn.make_checkpoint(state) for number, state in enumerate(states)}
    windows = torch.randn(1, 1, 8, 8, 8)
    members = []
    for state in states:
        member = build_from_definition(definition, "test").eval()
        member.load_state_dict({name: values for name, values in state.items() if name in member.state_dict()})
        members.append(member)

    model = read(nn.write_model(tmp_path / "m", plans, folds=folds))

    assert model.load_state is not None
    network = build_from_definition(model.network_def, "test").eval()
    network.load_state_dict(model.load_state(), strict=True)
    with torch.no_grad():
        expected = torch.stack([member(windows) for member in members]).mean(0)
        torch.testing.assert_close(network(windows), expected)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, ["0", "2", "10"]),
        ("0,2", ["0", "2"]),
        ([10], ["10"]),
        (2, ["2"]),
        ("all", ["all"]),
        ("2, 2", ["2"]),
    ],
)
def test_folds_are_chosen_as_in_nnunet(tmp_path: Path, stated: Any, expected: list[str]) -> None:
    """All but ``fold_all``, or the stated ones; the folder may lack some."""
    definition = nn.network_of(nn.make_plans(), 1, 3)
    states = {fold: nn.make_state(definition, seed) for seed, fold in enumerate(("0", "2", "10", "all"))}
    folder = nn.write_model(tmp_path / "m", folds={fold: nn.make_checkpoint(state) for fold, state in states.items()})

    model = read_model(folder, READER, ImportOptions(changes={} if stated is None else {"folds": stated})).source

    assert model.load_state is not None
    first = [
        values for name, values in model.load_state().items() if name.endswith("encoder.stages.0.0.convs.0.conv.weight")
    ]
    assert len(first) == len(expected)
    for values, fold in zip(first, expected, strict=True):
        assert torch.equal(values, states[fold]["encoder.stages.0.0.convs.0.conv.weight"])


def test_only_fold_all_is_used_if_there_is_no_other(tmp_path: Path) -> None:
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3))

    model = read(nn.write_model(tmp_path / "m", folds={"all": nn.make_checkpoint(state)}))

    assert model.network_def is not None
    assert model.network_def["_target_"] == "PlainConvUNet"


def test_another_checkpoint_is_chosen_by_its_name(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m")
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "fold_0" / "checkpoint_best.pth")

    with pytest.raises(ModelError, match=r"m: expected checkpoint_final\.pth in fold_0") as caught:
        read(folder)
    assert "checkpoint_best.pth" in str(caught.value.hint)
    assert read(folder, changes={"checkpoint": "checkpoint_best.pth"}).section == read_section(tmp_path)


def read_section(folder: Path) -> Any:
    return read(nn.write_model(folder / "other")).section


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": "3"}, r"expected checkpoint_final\.pth in fold_3; got it in the folds 0"),
        ({"folds": "../x"}, "folds: expected numbers such as 0,1, or all"),
        ({"folds": []}, "folds: expected numbers"),
        ({"folds": {"a": 1}}, "folds: expected numbers"),
        ({"checkpoint": "../../x.pth"}, r"expected \.\./\.\./x\.pth in fold_0; got it in the folds none"),
        ({"checkpoint": 1}, "checkpoint: expected a name"),
        ({"configuration": "2d"}, "expected one trained model, got 0"),
    ],
)
def test_choices_that_the_model_does_not_have_are_errors(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(nn.write_model(tmp_path / nn.IDENTIFIER), changes=changes)


def test_the_folder_of_the_dataset_stands_for_its_only_model(tmp_path: Path) -> None:
    dataset = tmp_path / "Dataset007_Abdomen"
    folder = nn.write_model(dataset / nn.IDENTIFIER)

    assert READER.recognizes(dataset)
    assert not READER.recognizes(tmp_path)
    assert read(dataset).section == read(folder).section


def test_of_several_models_of_a_dataset_one_is_chosen(tmp_path: Path) -> None:
    dataset = tmp_path / "Dataset007_Abdomen"
    nn.write_model(dataset / nn.IDENTIFIER)
    plans = nn.make_plans(configurations={"3d_lowres": nn.make_configuration(spacing=[6.0, 3.0, 2.5])})
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3))
    checkpoint = nn.make_checkpoint(state, init_args={"configuration": "3d_lowres"})
    nn.write_model(dataset / "nnUNetTrainer__nnUNetPlans__3d_lowres", plans, folds={"0": checkpoint})

    with pytest.raises(ModelError, match="expected one trained model, got 2: nnUNetTrainer__nnUNetPlans__3d_fullres, "):
        read(dataset)
    assert read(dataset, changes={"configuration": "3d_lowres"}).section["grid"]["spacing_mm"] == [6, 3, 2.5]


def test_an_exported_zip_file_is_the_same_model(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "Dataset007_Abdomen" / nn.IDENTIFIER)
    path = nn.zip_model(tmp_path / "x.zip", folder)

    model = read(path)

    assert READER.recognizes(path)
    assert READER.files(path) == (path,)
    assert (model.section, model.network_def) == (read(folder).section, read(folder).network_def)
    ours, theirs = (each.load_state() for each in (model, read(folder)) if each.load_state)
    assert all(torch.equal(values, theirs[name]) for name, values in ours.items())


def test_the_configuration_is_that_in_the_name_of_the_folder_if_the_checkpoint_has_none(tmp_path: Path) -> None:
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3))
    checkpoint = nn.make_checkpoint(state, init_args=..., inference_allowed_mirroring_axes=...)

    model = read(nn.write_model(tmp_path / nn.IDENTIFIER, folds={"0": checkpoint}))

    assert "mirror_axes" not in model.section


def test_a_configuration_inherits_the_entries_of_another(tmp_path: Path) -> None:
    own = {"inherits_from": "3d_base", "spacing": [2.0, 1.0, 1.0]}
    model = read_plans(tmp_path, configurations={"3d_base": nn.make_configuration(), "3d_fullres": own})

    assert model.section["grid"]["spacing_mm"] == [2, 1, 1]
    assert model.section["window"]["roi"] == [8, 16, 16]


@pytest.mark.parametrize("kind", nn.KINDS)
def test_plans_before_version_2_3_have_the_same_network(tmp_path: Path, kind: str) -> None:
    new = nn.make_plans(nn.make_configuration(architecture=nn.make_architecture(kind, features_per_stage=[4, 8])))
    definition = nn.network_of(new, 1, 3)
    old = nn.make_configuration(
        architecture=...,
        UNet_class_name=kind,
        UNet_base_num_features=4,
        unet_max_num_features=320,
        n_conv_per_stage_encoder=[1, 1],
        n_conv_per_stage_decoder=[1],
        num_pool_per_axis=[1, 1, 1],
        pool_op_kernel_sizes=[[1, 1, 1], [2, 2, 2]],
        conv_kernel_sizes=[[3, 3, 3], [3, 3, 3]],
    )
    folds = {"0": nn.make_checkpoint(nn.make_state(definition))}

    model = read(nn.write_model(tmp_path / "m", nn.make_plans(old), folds=folds))

    assert model.network_def == definition


@pytest.mark.parametrize(
    ("reader", "transpose", "stored_axes", "orientation"),
    [
        ("SimpleITKIO", [0, 1, 2], "", "SPL"),
        ("SimpleITKIO", [0, 1, 2], "RAS", "SAR"),
        ("SimpleITKIO", [1, 0, 2], "RAS", "ASR"),
        ("NibabelIO", [0, 1, 2], "LAS", "SAL"),
        ("NibabelIO", [2, 0, 1], "LAS", "LSA"),
        ("NibabelIOWithReorient", [0, 1, 2], "", "SAR"),
        ("NibabelIOWithReorient", [2, 1, 0], "", "RAS"),
    ],
)
def test_the_axes_of_the_grid_are_those_of_the_arrays(
    tmp_path: Path, reader: str, transpose: list[int], stored_axes: str, orientation: str
) -> None:
    """Arrays have the axes of the file in the opposite order, then that of transpose_forward."""
    folder = nn.write_model(tmp_path / "m", nn.make_plans(image_reader_writer=reader, transpose_forward=transpose))

    model = read(folder, stored_axes=stored_axes)

    assert model.section["grid"]["orientation"] == orientation
    assumed = {note.key for note in model.notes if note.outcome is Outcome.ASSUMED}
    assert ("grid.orientation" in assumed) == (reader != "NibabelIOWithReorient" and not stored_axes)


def test_stored_axes_have_no_effect_if_images_are_turned(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m", nn.make_plans(image_reader_writer="NibabelIOWithReorient"))

    with pytest.raises(UsageError, match="--stored-axes: has no effect"):
        read_model(folder, READER, ImportOptions(stored_axes="LPS"))


@pytest.mark.parametrize(
    ("scheme", "mask", "scaling"),
    [
        ("ZScoreNormalization", False, {"kind": "zscore"}),
        ("ZScoreNormalization", True, {"kind": "zscore", "foreground": True}),
        ("RescaleTo01Normalization", True, {"kind": "percentile", "lower": 0, "upper": 100}),
        ("NoNormalization", False, {"kind": "range", "a_min": 0, "a_max": 1, "clip": False}),
    ],
)
def test_each_normalization_has_its_scaling(tmp_path: Path, scheme: str, mask: bool, scaling: Any) -> None:
    model = read_plans(tmp_path, {"normalization_schemes": [scheme], "use_mask_for_norm": [mask]})

    assert model.section["inputs"][0]["scaling"] == scaling


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"force_separate_z": False}, {"image_order": 3}),
        ({"order": 1}, {"separate_axis_above": 3}),
        ({"separate_z_anisotropy_threshold": 2}, {"image_order": 3, "separate_axis_above": 2}),
    ],
)
def test_the_arguments_of_resampling_are_translated(tmp_path: Path, changes: Any, expected: Any) -> None:
    arguments = nn.RESAMPLING | changes

    grid = read_plans(
        tmp_path,
        {"resampling_fn_data_kwargs": arguments, "resampling_fn_probabilities_kwargs": arguments | {"order": 1}},
    ).section["grid"]

    fixed = {"spacing_mm": [3, 1.5, 1.25], "orientation": "SPL", "alignment": "edges"}
    assert grid == fixed | expected


def test_the_resampling_by_torch_is_linear(tmp_path: Path) -> None:
    arguments = {"is_seg": False, "force_separate_z": None, "memefficient_seg_resampling": False}
    functions = {f"resampling_fn_{name}": "resample_torch_fornnunet" for name in ("data", "probabilities")}
    entries = functions | {f"{name}_kwargs": arguments for name in functions}

    grid = read_plans(tmp_path, entries).section["grid"]

    assert grid["separate_axis_above"] == 3
    assert "image_order" not in grid


def test_regions_overwrite_each_other(tmp_path: Path) -> None:
    dataset = nn.make_dataset(labels=nn.REGIONS, regions_class_order=[1, 2])

    model = read(nn.write_model(tmp_path / "m", dataset=dataset))

    assert (model.section["activation"], model.section["overwrite"], model.section["output_channels"]) == (
        *("sigmoid", True, 2),
    )
    assert model.section["classes"] == [{"name": "whole tumour", "channel": 0}, {"name": "core", "channel": 1}]


def test_the_label_to_ignore_has_no_channel(tmp_path: Path) -> None:
    dataset = nn.make_dataset(labels={"liver": 2, "ignore": 3, "background": 0, "spleen": [1]})
    folds = {"0": nn.make_checkpoint(nn.make_state(nn.network_of(nn.make_plans(), 1, 3)))}

    model = read(nn.write_model(tmp_path / "m", dataset=dataset, folds=folds))

    assert model.section["classes"] == [{"name": "spleen", "channel": 1}, {"name": "liver", "channel": 2}]


@pytest.mark.parametrize(
    ("names", "scheme", "options", "expected"),
    [
        (["ct"], "ZScoreNormalization", {}, [("CT", "HU")]),
        (["T1"], "ZScoreNormalization", {}, [("MR", "")]),
        (["PET"], "ZScoreNormalization", {}, [("PT", "SUVbw")]),
        (["SUV"], "CTNormalization", {"unit": "SUVbw"}, [("PT", "SUVbw")]),
        (["noNorm"], "NoNormalization", {}, [("MR", "")]),
        (["noNorm"], "NoNormalization", {"unit": "HU"}, [("CT", "HU")]),
        (["image"], "CTNormalization", {}, [("CT", "HU")]),
        (
            ["CT", "FDG-PET", "T2w", "FLAIR"],
            "ZScoreNormalization",
            {},
            [("CT", "HU"), ("PT", "SUVbw")] + [("MR", "")] * 2,
        ),
    ],
)
def test_modality_and_unit_are_found_by_the_names_of_channels(
    tmp_path: Path, names: list[str], scheme: str, options: Any, expected: list[tuple[str, str]]
) -> None:
    inputs = len(names)
    plans = nn.make_plans(nn.make_configuration(inputs, normalization_schemes=[scheme] * inputs), inputs)

    model = read(nn.write_model(tmp_path / "m", plans, nn.make_dataset(names)), **options)

    assert [(image["modality"], image["unit"]) for image in model.section["inputs"]] == expected
    assert ("inputs" in model.section["crop"]) == (inputs > 1)


def test_images_of_one_modality_are_told_apart_by_their_names(tmp_path: Path) -> None:
    names = ["T1", "FLAIR", "CT", "image"]
    plans = nn.make_plans(nn.make_configuration(4, normalization_schemes=["ZScoreNormalization"] * 4), 4)

    inputs = read(nn.write_model(tmp_path / "m", plans, nn.make_dataset(names))).section["inputs"]

    assert ["descriptions" in image for image in inputs] == [True, True, False, False]
    assert "*{flair,dark fluid,darkfluid}*" in inputs[1]["descriptions"]


def test_the_names_of_channels_are_changed(tmp_path: Path) -> None:
    plans = nn.make_plans(nn.make_configuration(2, normalization_schemes=["ZScoreNormalization"] * 2), 2)
    folder = nn.write_model(tmp_path / "m", plans, nn.make_dataset(["CT", "CT"]))

    model = read(folder, changes={"channel_names#1": "PET"})

    assert [image["name"] for image in read(folder).section["inputs"]] == ["CT", "CT 1"]
    assert [image["modality"] for image in model.section["inputs"]] == ["CT", "PT"]


def test_modality_is_the_old_name_of_channel_names(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m")
    dataset = nn.make_dataset(channel_names=..., modality={"0": "MRI"})
    (folder / "dataset.json").write_text(json.dumps(dataset))

    assert read(folder).section["inputs"][0]["name"] == "MRI"
    assert read(folder, changes={"channel_names#0": "CT"}).section["inputs"][0]["modality"] == "CT"


def test_the_trainer_with_batch_normalization_changes_the_network(tmp_path: Path) -> None:
    norm = {"norm_op": "BatchNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": True}}
    definition = nn.network_of(nn.make_plans(), 1, 3) | norm
    checkpoint = nn.make_checkpoint(nn.make_state(definition), trainer_name="nnUNetTrainerBN")

    assert read(nn.write_model(tmp_path / "m", folds={"0": checkpoint})).network_def == definition


def test_a_trainer_with_another_network_is_named_where_the_weights_do_not_fit(tmp_path: Path) -> None:
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3) | {"features_per_stage": [4, 8]})
    folds = {"0": nn.make_checkpoint(state, trainer_name="nnUNetTrainerUmamba")}

    with pytest.raises(ModelError, match="the weights do not fit PlainConvUNet of the plans") as caught:
        read(nn.write_model(tmp_path / "m", folds=folds))
    assert "nnUNetTrainerUmamba may build another network" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("trainer", "outcome"),
    [
        ("nnUNetTrainer", Outcome.TRANSLATED),
        ("nnUNetTrainer_250epochs_NoMirroring", Outcome.TRANSLATED),
        ("nnUNetTrainerDA5Segord0", Outcome.TRANSLATED),
        ("nnUNetTrainer_onlyMirror01_1500ep", Outcome.TRANSLATED),
        ("nnUNetTrainerUmamba", Outcome.ASSUMED),
    ],
)
def test_trainers_of_others_are_an_assumption(tmp_path: Path, trainer: str, outcome: Outcome) -> None:
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3))
    folds = {"0": nn.make_checkpoint(state, trainer_name=trainer)}

    notes = read(nn.write_model(tmp_path / "m", folds=folds)).notes

    assert [note.outcome for note in notes if note.key == "trainer_name"] == [outcome]


def test_every_key_has_a_note(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m", dataset=nn.make_dataset(licence="CC BY 4.0"))
    (folder / "crossval_results_folds_0").mkdir()
    (folder / "crossval_results_folds_0" / "postprocessing.pkl").write_bytes(b"never read")

    notes = " ".join(note.key for note in read(folder).notes)

    plans, dataset = nn.make_plans(), nn.make_dataset(licence="")
    configuration = plans.pop("configurations")["3d_fullres"]
    for key in (*plans, *configuration, *dataset, *nn.make_checkpoint({})):
        assert key in notes or key in ("dataset_name", "network_weights", "init_args"), key
    assert "postprocessing.pkl" in notes


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"previous_stage": "3d_lowres"}, "previous_stage: cascades are not supported"),
        (
            {"patch_size": [64, 64], "spacing": [1.0, 1.0]},
            r"patch_size: networks for slices \(2d\) are not yet supported",
        ),
        ({"patch_size": [64, 64, 0]}, "patch_size"),
        ({"normalization_schemes": ["RGBTo01Normalization"]}, "normalization_schemes#0: 'RGBTo01Normalization' is not"),
        ({"normalization_schemes": []}, "normalization_schemes"),
        ({"preprocessor_name": "MyPreprocessor"}, "preprocessor_name: 'MyPreprocessor' is not supported"),
        ({"resampling_fn_data": "no_resampling_hack"}, "resampling_fn_data: 'no_resampling_hack' is not supported"),
        ({"resampling_fn_probabilities": "mine"}, "resampling_fn_probabilities: 'mine' is not supported"),
        ({"resampling_fn_data_kwargs": nn.RESAMPLING | {"order": 2}}, "order: expected 1 or 3, got 2"),
        ({"resampling_fn_data_kwargs": nn.RESAMPLING | {"order_z": 1}}, "order_z: expected 0, got 1"),
        (
            {"resampling_fn_data_kwargs": nn.RESAMPLING | {"force_separate_z": True}},
            "force_separate_z: expected null or",
        ),
        ({"resampling_fn_data_kwargs": {"colour": 1}}, "the argument 'colour' is not supported"),
        ({"resampling_fn_probabilities_kwargs": nn.RESAMPLING}, "resampling_fn_probabilities_kwargs: expected order 1"),
        ({"inherits_from": "3d_fullres"}, "inherits_from: expected at most 16 parents"),
        ({"inherits_from": "missing"}, "configurations: expected one of 3d_fullres; got 'missing'"),
        ({"architecture": nn.make_architecture("a.b.Primus")}, r"the network 'a\.b\.Primus' is not supported"),
        ({"architecture": nn.make_architecture("os.PlainConvUNet")}, "the network 'os.PlainConvUNet' is not supported"),
        (
            {"architecture": nn.make_architecture(conv_op="torch.nn.Conv2d")},
            r"conv_op: expected torch\.nn\.Conv3d; got",
        ),
        ({"architecture": nn.make_architecture(nonlin="os.system")}, "nonlin: expected .*; got 'os.system'"),
        ({"architecture": nn.make_architecture(norm_op="torch.nn.Module")}, "norm_op: expected"),
        ({"architecture": nn.make_architecture(block="x.BottleneckD")}, "the argument 'block' is not supported"),
        ({"architecture": nn.make_architecture(n_stages=10**9)}, "n_stages"),
        ({"architecture": nn.make_architecture(features_per_stage=[8, 8])}, "the weights do not fit PlainConvUNet"),
        ({"architecture": ...}, "UNet_class_name: missing"),
    ],
)
def test_configurations_that_cannot_be_expressed_are_one_error(tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_plans(tmp_path, entries)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_reader_writer": "Tiff3DIO"}, "image_reader_writer: 'Tiff3DIO' is not supported"),
        ({"transpose_forward": [0, 0, 1]}, "transpose_forward: expected each axis once"),
        ({"transpose_forward": [0, 1]}, "transpose_forward"),
        ({"label_manager": "MyManager"}, "label_manager: 'MyManager' is not supported"),
        ({"configurations": {}}, "configurations: expected one of"),
        ({"configurations": 3}, "configurations: expected one of"),
        ({"foreground_intensity_properties_per_channel": {}}, "foreground_intensity_properties_per_channel#0"),
        (
            {"foreground_intensity_properties_per_channel": {"0": nn.INTENSITIES | {"percentile_99_5": -150}}},
            "expected percentile_00_5 below percentile_99_5",
        ),
    ],
)
def test_plans_that_cannot_be_expressed_are_one_error(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_plans(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"spleen": 1, "liver": 2}}, "labels: expected background: 0"),
        ({"labels": {"background": 0, "spleen": 2, "liver": 3}}, "labels: expected the numbers 0 to 2"),
        ({"labels": {"background": 0, "spleen": 1, "liver": 1}}, "labels: expected the numbers 0 to 2"),
        ({"labels": {"background": 0, "ignore": 1}}, "labels: expected labels besides background"),
        ({"labels": {"background": 0, "spleen": 1, "liver": 2, "ignore": 9}}, "ignore: expected the largest label"),
        ({"labels": {"0": "background", "1": "spleen"}}, "labels"),
        ({"labels": nn.REGIONS}, "regions_class_order: expected 2 different labels"),
        ({"labels": nn.REGIONS, "regions_class_order": [1, 1]}, "regions_class_order: expected 2 different labels"),
        ({"channel_names": {"1": "CT"}}, "channel_names: expected the keys 0 to 0"),
        ({"channel_names": {}}, "channel_names"),
        ({"channel_names": ["CT"]}, "channel_names"),
    ],
)
def test_datasets_that_cannot_be_expressed_are_one_error(tmp_path: Path, changes: Any, message: str) -> None:
    folds = {"0": nn.make_checkpoint(nn.make_state(nn.network_of(nn.make_plans(), 1, 3)))}

    with pytest.raises(ModelError, match=message):
        read(nn.write_model(tmp_path / "m", dataset=nn.make_dataset(**changes), folds=folds))


def test_pet_without_a_unit_is_an_error_if_the_normalization_depends_on_it(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m", dataset=nn.make_dataset(["PET"]))

    with pytest.raises(ModelError, match="channel_names#0: the unit of the PET images is not stated"):
        read(folder)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ({"network_weights": {}}, "network_weights: expected a state dict"),
        ({"weights": {}}, "expected a checkpoint of nnU-Net, with network_weights"),
        ([1], "expected a checkpoint of nnU-Net"),
        (nn.make_checkpoint({"x": torch.ones(1)}), "the weights do not fit PlainConvUNet of the plans"),
    ],
)
def test_checkpoints_without_the_weights_of_the_network_are_one_error(
    tmp_path: Path, checkpoint: Any, message: str
) -> None:
    folder = nn.write_model(tmp_path / "m")
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")

    with pytest.raises(ModelError, match=rf"fold_0/checkpoint_final\.pth: {message}"):
        read(folder)


@pytest.mark.parametrize("axes", [(0, 3), "012", (True,), {"a": 1}])
def test_axes_of_mirroring_that_do_not_exist_are_an_error(tmp_path: Path, axes: Any) -> None:
    state = nn.make_state(nn.network_of(nn.make_plans(), 1, 3))
    folds = {"0": nn.make_checkpoint(state, inference_allowed_mirroring_axes=axes)}

    with pytest.raises(ModelError, match="inference_allowed_mirroring_axes: expected axes from 0 to 2"):
        read(nn.write_model(tmp_path / "m", folds=folds))


def test_models_of_nninteractive_are_one_error(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "m")
    (folder / "inference_session_class.json").write_text('"nnInteractiveInferenceSession"')

    with pytest.raises(ModelError, match="models of nnInteractive are not yet supported"):
        read(folder)


@pytest.mark.parametrize("file", ["plans.json", "fold_0/checkpoint_final.pth"])
def test_links_to_outside_the_model_are_errors(tmp_path: Path, file: str) -> None:
    folder = nn.write_model(tmp_path / "m")
    shutil.move(folder / file, tmp_path / "outside")
    (folder / file).symlink_to(tmp_path / "outside")

    with pytest.raises(ModelError, match=f"{file}: expected a file in m, got a link to another folder"):
        read(folder)


@pytest.mark.parametrize("missing", ["plans.json", "dataset.json", "fold_0"])
def test_folders_without_all_files_are_not_recognized(tmp_path: Path, missing: str) -> None:
    folder = nn.write_model(tmp_path / "m")
    (folder / missing).rename(tmp_path / "elsewhere")

    assert not READER.recognizes(folder)
    assert not READER.recognizes(tmp_path / "nothing")
