"""Checkpoints: what is found must be the network and the settings that the checkpoint was made with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.registry import read_model
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from clickseg.models.importers.weights.checkpoint import CheckpointReader
from clickseg.models.importers.weights.description import used_options
from clickseg.models.importers.weights.preset_list import load_presets
from clickseg.models.spec import ModelSpec
from tests.helpers.doc_examples import code_blocks
from tests.helpers.oracles import nets, torch
from tests.helpers.runs import REPOSITORY
from tests.helpers.source_models import check_same_logits, texts_of_notes

SECTION: dict[str, Any] = {
    "inputs": [
        {"name": "image", "modality": "CT", "unit": "HU", "scaling": {"kind": "range", "a_min": -57, "a_max": 164}}
    ],
    "grid": {"spacing_mm": [1.5, 1.5, 2.0], "orientation": "LPS"},
    "window": {"roi": [32, 32, 16], "overlap": 0.25},
    "activation": "softmax",
}


def sw_fastedit() -> torch.nn.Module:
    """Returns the network of SW-FastEdit, with fewer filters."""
    torch.manual_seed(2)
    strides = [1, 2, 2, 2, 2, [2, 2, 1]]
    return nets.DynUNet(
        3,
        3,
        2,
        [3] * 6,
        strides,
        strides[1:],
        filters=[4, 4, 8, 8, 8, 8],
        norm_name="instance",
        res_block=True,
    ).eval()


def unet(outputs: int = 2) -> torch.nn.Module:
    torch.manual_seed(3)
    return nets.UNet(3, 1, outputs, [4, 8], [2], num_res_units=1, norm="batch").eval()


def read(path: Path, **options: Any) -> SourceModel:
    return CheckpointReader(build_from_definition).read(path, ImportOptions(**options))


def test_a_checkpoint_of_sw_fastedit_with_its_preset_is_a_complete_model(tmp_path: Path) -> None:
    path = tmp_path / "151_best_0.8534.pt"
    trainer = {"epoch_length": 401, "iteration": 401 * 580, "rng_states": None}
    torch.save({"trainer": trainer, "net": sw_fastedit().state_dict()}, path)

    model = read(path, preset="sw_fastedit")

    check_same_logits(model, sw_fastedit(), torch.rand(1, 3, 32, 32, 32))
    spec = ModelSpec.model_validate(model.section)
    assert spec.inputs[0].modality == "PT"
    assert spec.inputs[0].unit == "SUVbw"
    assert spec.input_channels == 3
    assert spec.grid.spacing_mm == (2.03642011, 2.03642011, 3.0)
    assert texts_of_notes(model, Outcome.IGNORED) == {
        "trainer": "not a weight of the network: the state of the training"
    }
    assert set(texts_of_notes(model, Outcome.ASSUMED)) == {
        "network_def.strides",
        "network_def.norm_name",
        "network_def.act_name",
        "inputs",
        "guidance",
    }
    assert (model.name, model.version) == ("151_best_0.8534", "0")


@pytest.mark.parametrize("key", ["", "model", "net", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "network.", "model."])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_weights_are_found_under_usual_keys_and_prefixes(
    tmp_path: Path, key: str, prefix: str, legacy: bool
) -> None:
    state = {prefix + name: values for name, values in unet().state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({key: state} if key else state, path, _use_new_zipfile_serialization=not legacy)

    model = read(path, preset="deploy_spleen")

    assert CheckpointReader(build_from_definition).recognizes(path)
    check_same_logits(model, unet(), torch.rand(1, 1, 16, 16, 16))


def test_weights_of_a_loss_next_to_those_of_the_network_are_ignored(tmp_path: Path) -> None:
    state = {f"network.{name}": values for name, values in unet().state_dict().items()}
    path = tmp_path / "epoch=9.ckpt"
    torch.save({"epoch": 9, "state_dict": state | {"loss.weight": torch.ones(2)}}, path)

    model = read(path, preset="deploy_spleen")

    check_same_logits(model, unet(), torch.rand(1, 1, 16, 16, 16))
    assert set(texts_of_notes(model, Outcome.IGNORED)) == {"epoch", "loss.weight"}


def test_other_weights_of_the_same_network_are_an_assumption(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    mean = {name: values * 0 for name, values in unet().state_dict().items()}
    torch.save({"ema": mean, "state_dict": unet().state_dict(), "epoch": 3}, path)

    model = read(path, preset="deploy_spleen")

    check_same_logits(model, unet(), torch.rand(1, 1, 16, 16, 16))
    assert "also contains these weights" in texts_of_notes(model, Outcome.ASSUMED)["ema"]
    assert set(texts_of_notes(model, Outcome.IGNORED)) == {"epoch"}


def test_a_preset_of_another_network_is_an_assumption(tmp_path: Path) -> None:
    paths = [tmp_path / "unet.pt", tmp_path / "segresnet.pt"]
    torch.save(unet().state_dict(), paths[0])
    torch.save(nets.SegResNet(3, init_filters=8, out_channels=2).state_dict(), paths[1])

    same, other = (read(path, preset="deploy_spleen") for path in paths)

    assert "preset" not in texts_of_notes(same, Outcome.ASSUMED)
    assert texts_of_notes(other, Outcome.ASSUMED)["preset"] == (
        "deploy_spleen describes a model with UNet, but the file contains SegResNet"
    )


def test_a_json_file_next_to_the_weights_describes_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet(3).state_dict(), path)
    (tmp_path / "weights.json").write_text(json.dumps(SECTION))

    model = read(path)

    spec = ModelSpec.model_validate(model.section)
    assert spec.grid.orientation == "LPS"
    assert spec.output_channels == 3
    assert [(each.name, each.channel) for each in spec.classes] == [("class 1", 1), ("class 2", 2)]
    assert "classes" in texts_of_notes(model, Outcome.ASSUMED)
    assert CheckpointReader(build_from_definition).files(path) == (path, tmp_path / "weights.json")


def test_a_json_file_can_change_fields_of_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    changes = {"preset": "deploy_spleen", "window": {"roi": [64, 64, 32]}, "classes": [{"name": "liver", "channel": 1}]}
    (tmp_path / "weights.json").write_text(json.dumps(changes))

    spec = ModelSpec.model_validate(read(path).section)

    assert spec.window.roi == (64, 64, 32)
    assert spec.window.overlap == 0.6
    assert [each.name for each in spec.classes] == ["liver"]


def test_a_network_that_the_weights_do_not_show_can_be_stated(tmp_path: Path) -> None:
    definition = {"_target_": "AttentionUnet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    definition |= {"channels": [4, 8], "strides": [2]}
    network = build_from_definition(definition, "network").eval()
    path = tmp_path / "weights.pt"
    torch.save({f"module.{name}": values for name, values in network.state_dict().items()}, path)

    with pytest.raises(ModelError, match=r"weights\.pt: the weights are those of no network that is found") as error:
        read(path, preset="deploy_spleen")
    assert "state the network as network_def" in error.value.hint
    (tmp_path / "weights.json").write_text(json.dumps({"preset": "deploy_spleen", "network_def": definition}))
    check_same_logits(read(path), network, torch.rand(1, 1, 16, 16, 16))


def test_what_the_weights_do_not_show_can_be_changed(tmp_path: Path) -> None:
    norm = ["group", {"num_groups": 4}]
    torch.manual_seed(0)
    network = nets.SegResNet(init_filters=8, blocks_down=[1, 1], blocks_up=[1], norm=norm).eval()
    path = tmp_path / "weights.ckpt"
    torch.save(network.state_dict(), path)

    model = read(path, preset="deploy_spleen", changes={"network_def.norm": norm, "window.overlap": 0.1})

    check_same_logits(model, network, torch.rand(1, 1, 16, 16, 16))
    assert set(texts_of_notes(model, Outcome.ASSUMED)) == {"network_def.act", "preset"}


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (unet, "network_def.adn_ordering"),
        (lambda: nets.SegResNetDS(init_filters=8, blocks_down=[1, 1], norm="batch"), "network_def.preprocess"),
    ],
)
def test_arguments_that_shapes_do_not_show_are_assumptions(tmp_path: Path, make: Any, key: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(make().state_dict(), path)

    assert key in texts_of_notes(read(path, preset="deploy_spleen"), Outcome.ASSUMED)


def test_weights_without_a_description_are_an_error_that_shows_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)

    with pytest.raises(ModelError, match=r"only the weights of UNet with 1 input and 2 output channels") as error:
        read(path)

    assert "(presets with these channels: deploy_spleen, monailabel_segmentation_spleen)" in error.value.hint
    example = error.value.hint.partition("for example ")[2]
    (tmp_path / "weights.json").write_text(example)
    ModelSpec.model_validate(read(path).section)


def test_a_json_file_without_axes_and_unit_has_assumptions(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    ct = {key: value for key, value in SECTION["inputs"][0].items() if key != "unit"}
    (tmp_path / "weights.json").write_text(json.dumps(SECTION | {"inputs": [ct], "grid": {"spacing_mm": [1, 1, 2]}}))

    model = read(path)

    assert {"grid.orientation", "inputs.0.unit"} <= set(texts_of_notes(model, Outcome.ASSUMED))
    assert model.section["grid"]["orientation"] == "RAS"
    assert model.section["inputs"][0]["unit"] == "HU"


def test_the_axes_of_the_series_are_an_assumption_unless_they_are_stated(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet(3).state_dict(), path)

    assumed, stated = read(path, preset="deploy_livertumor"), read(path, preset="deploy_livertumor", stored_axes="LAS")

    assert "--stored-axes" in texts_of_notes(assumed, Outcome.ASSUMED)["grid.orientation"]
    assert "grid.orientation" not in texts_of_notes(stated, Outcome.ASSUMED)
    assert stated.section["grid"]["orientation"] == "LAS"


def test_with_a_preset_a_json_file_of_another_program_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    (tmp_path / "weights.json").write_text(json.dumps({"epochs": 100}))

    assert "weights.json" in texts_of_notes(read(path, preset="deploy_spleen"), Outcome.IGNORED)
    with pytest.raises(ModelError, match=r"weights\.json: epochs: unknown field: expected one of"):
        read(path)


def test_classes_can_be_a_list_of_names(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    (tmp_path / "weights.json").write_text(json.dumps(SECTION | {"classes": ["spleen"]}))

    spec = ModelSpec.model_validate(read(path).section)

    assert [(each.name, each.channel) for each in spec.classes] == [("spleen", 1)]


def test_the_examples_of_files_next_to_weights_name_the_classes_in_the_order_of_the_channels(tmp_path: Path) -> None:
    objects, names = code_blocks(REPOSITORY / "docs/own-model.md", "json")
    named = {}
    for name, example, outputs in (("objects", objects, 2), ("names", names, 4)):
        torch.save(unet(outputs).state_dict(), tmp_path / f"{name}.pt")
        (tmp_path / f"{name}.json").write_text(example)
        spec = ModelSpec.model_validate(read(tmp_path / f"{name}.pt").section)
        named[name] = [(each.name, each.channel) for each in spec.classes]

    assert named == {"objects": [("liver", 1)], "names": [("liver", 1), ("spleen", 2), ("pancreas", 3)]}


def test_with_sigmoid_the_first_name_is_that_of_channel_0_and_a_repeated_name_gets_its_number(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet(3).state_dict(), path)
    names = {"activation": "sigmoid", "classes": ["spleen", "", "Spleen"]}
    (tmp_path / "weights.json").write_text(json.dumps(SECTION | names))

    spec = ModelSpec.model_validate(read(path).section)

    assert [(each.name, each.channel) for each in spec.classes] == [("spleen", 0), ("class 1", 1), ("Spleen 2", 2)]


@pytest.mark.parametrize(("names", "got"), [(["liver"], 1), (["liver", "spleen", "pancreas"], 3)])
def test_a_number_of_names_that_is_not_that_of_the_channels_is_an_error(
    tmp_path: Path, names: list[str], got: int
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet(3).state_dict(), path)
    (tmp_path / "weights.json").write_text(json.dumps(SECTION | {"classes": names}))

    with pytest.raises(ModelError, match=rf"classes: expected a name for each of the 2 channels after .*, got {got}"):
        read(path)


def test_a_preset_that_does_not_exist_is_reported_before_torch_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ModelError, match="preset: expected one of deploy_livertumor"):
        read(path, preset="deploy_spelen")


@pytest.mark.parametrize(("unit", "message"), [("SUVbw", "CT with the unit HU, got SUVbw"), ("", "HU, got none")])
def test_a_unit_that_the_modality_does_not_have_is_an_error(tmp_path: Path, unit: str, message: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    options = ImportOptions(preset="deploy_spleen", unit=unit)

    with pytest.raises(ModelError, match=rf"^--unit: expected .*{message}"):
        read_model(path, CheckpointReader(build_from_definition), options)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({}, {"preset": "sw_fastedit"}),
        ({"preset": "sw_fastedit"}, {}),
        (SECTION | {"inputs": [{"name": "pet", "modality": "PET", "scaling": {"kind": "zscore"}}]}, {}),
    ],
)
def test_a_unit_that_pet_does_not_have_is_reported_before_torch_is_loaded(
    tmp_path: Path, content: dict[str, Any], options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    if content:
        (tmp_path / "weights.json").write_text(json.dumps(content))
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ModelError, match=r"^--unit: expected PT with the unit SUVbw, got HU"):
        read(path, unit="HU", **options)


def test_a_unit_is_that_of_the_changed_modality(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    options = ImportOptions(preset="deploy_spleen", unit="SUVbw", changes={"inputs.0.modality": "PT"})

    image = read_model(path, CheckpointReader(build_from_definition), options).spec.inputs[0]

    assert (image.modality, image.unit) == ("PT", "SUVbw")


def test_a_pet_model_without_a_unit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    pet = {"name": "pet", "modality": "PT", "scaling": {"kind": "zscore"}}
    (tmp_path / "weights.json").write_text(json.dumps(SECTION | {"inputs": [pet]}))

    with pytest.raises(ModelError, match=r"weights\.json: inputs\.0\.modality: the unit of the PET images") as error:
        read(path)

    assert "--unit SUVbw" in error.value.hint
    assert read(path, unit="SUVbw").section["inputs"][0]["unit"] == "SUVbw"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"preset": "spleen"}, "preset: expected one of deploy_livertumor"),
        ({"preset": "sw_fastedit"}, "preset sw_fastedit: expected 1 input channels, as UNet in the file has, got 3"),
        (
            {"preset": "deploy_unetr"},
            "preset deploy_unetr: expected 2 output channels, as UNet in the file",
        ),
        ({"windows": {}}, r"weights\.json: windows: unknown field: expected one of activation"),
        ({"window": {}}, r"weights\.json: expected preset, or also inputs, grid, activation"),
        ([], r"weights\.json: expected an object"),
        (SECTION | {"inputs": {}}, r"weights\.json: inputs: expected a list of objects"),
        (SECTION | {"network_def": []}, "network_def: expected an object with _target_"),
        (SECTION | {"network_def": {"_target_": "os.system"}}, r"network_def\._target_: expected"),
    ],
)
def test_a_description_that_does_not_fit_is_an_error(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    (tmp_path / "weights.json").write_text(json.dumps(content))

    with pytest.raises(ModelError, match=message):
        read(path)


WRONG = [None, True, 7, -1.5, "x", "", [], {}, [7], ["x", "x", "x"], [None], {"x": 7}, [[]], [{}]]
WRONG_VALUES: dict[str, list[Any]] = {
    "preset": [each for each in WRONG if each != ""],
    "network_def": [*WRONG, {"_target_": 7}],
    "inputs": [*WRONG, [{"modality": 7}], [{"modality": ["CT"]}], [{"modality": "CT", "unit": {}}]],
    "grid": WRONG,
    "window": WRONG,
    "activation": WRONG,
    "overwrite": [each for each in WRONG if each is not True],
    "heads": [*(each for each in WRONG if each != []), [True], ["x"], [{}]],
    "output_channels": [each for each in WRONG if each != 7],
    "classes": [*WRONG, ["x", 7]],
    "guidance": [*(each for each in WRONG if each is not None), {"channels": 7}, {"channels": {}, "previous_mask": 7}],
    "crop": [each for each in WRONG if each is not None],
    "mirror_axes": [each for each in WRONG if each != []],
    "interpolation": WRONG,
    "postprocessing": [each for each in WRONG if each != {}],
}


def test_all_keys_of_a_description_are_checked() -> None:
    assert {*WRONG_VALUES, "default", "weights"} == {*ModelSpec.model_fields, "preset", "network_def"}


@pytest.mark.parametrize("key", WRONG_VALUES)
def test_a_key_with_a_value_of_another_type_is_one_error_that_names_it(tmp_path: Path, key: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)

    for value in WRONG_VALUES[key]:
        (tmp_path / "weights.json").write_text(json.dumps(SECTION | {key: value}))
        with pytest.raises(ModelError) as caught:
            read_model(path, CheckpointReader(build_from_definition), ImportOptions())
        assert key in str(caught.value), (value, str(caught.value))


@pytest.mark.parametrize("key", ["network.norm", "network_def", "grids.spacing_mm", "network_def.norms"])
def test_a_change_of_an_unknown_key_is_an_error(tmp_path: Path, key: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)

    with pytest.raises(ModelError, match=r"expected a field of the clickseg section|cannot be built"):
        read(path, preset="deploy_spleen", changes={key: "batch"})


def test_weights_of_a_network_with_other_layers_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict() | {"extra.weight": torch.zeros(3)}, path)

    with pytest.raises(ModelError, match=r'the weights do not fit UNet: Unexpected key\(s\) in state_dict: "extra'):
        read(path, preset="deploy_spleen")


def test_weights_that_claim_a_larger_shape_are_an_error(tmp_path: Path) -> None:
    state = unet().state_dict()
    state["model.1.submodule.conv.unit0.conv.weight"] = torch.zeros(1).expand(10**5, 10**5, 3, 3, 3)
    path = tmp_path / "weights.pt"
    torch.save(state, path)

    with pytest.raises(ModelError, match=r"unit0\.conv\.weight: expected 1080000000000 bytes for .*, got 4$"):
        read(path, preset="deploy_spleen")


def test_a_model_of_monai_label_with_other_labels_has_numbered_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nets.SegResNet(init_filters=8, out_channels=4)
    path = tmp_path / "segmentation.pt"
    torch.save({"model": network.state_dict()}, path)

    model = read(path, preset="monailabel_segmentation")

    assert [each["name"] for each in model.section["classes"]] == ["class 1", "class 2", "class 3"]
    assert model.section["output_channels"] == 4


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: preset.name)
def test_a_preset_is_a_valid_section(preset: Any) -> None:
    spec = ModelSpec.model_validate(preset.section)

    assert spec.output_channels == len(spec.classes) + 1
    assert spec.input_channels == preset.input_channels


@pytest.mark.parametrize("name", ["weights.txt", "missing.pt", "text.pt", "folder.pt"])
def test_other_paths_are_not_checkpoints(tmp_path: Path, name: str) -> None:
    torch.save({}, tmp_path / "weights.txt")
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "folder.pt").mkdir()

    assert not CheckpointReader(build_from_definition).recognizes(tmp_path / name)


def test_a_checkpoint_is_recognized_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pt"
    torch.save(unet().state_dict(), path)
    monkeypatch.setitem(sys.modules, "torch", None)

    assert CheckpointReader(build_from_definition).recognizes(path)


def test_a_grid_that_is_no_object_uses_no_axes() -> None:
    assert used_options({"grid": [1, 2]}, ImportOptions(stored_axes="LAS")) == {"preset", "unit"}
