"""Bundles become sections; what cannot be expressed, and hostile paths, are errors."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clickseg.core.errors import LibraryError, ModelError
from clickseg.models.importers.monai_bundle.reader import BundleReader, describe_bundle
from clickseg.models.importers.source_model import ImportOptions, Outcome, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers import foreign_bundles as fb
from tests.helpers import runs

READER = BundleReader()
PREPROCESSING = [
    *fb.LOAD,
    *(fb.RAS, fb.SPACING, fb.RANGE, fb.transform("NormalizeIntensityd"), fb.transform("ScaleIntensityd")),
    *(
        fb.transform("CropForegroundd", source_key="@image_key", margin=1, allow_smaller=True),
        fb.transform("EnsureTyped"),
    ),
]
POSTPROCESSING = [
    *(fb.SOFTMAX, fb.ARGMAX, fb.invert(nearest=True)),
    fb.result_transform("KeepLargestConnectedComponentd", applied_labels=[1]),
]


def read(folder: Path, **options: Any) -> SourceModel:
    return READER.read(folder, ImportOptions(**options))


@pytest.mark.parametrize("name", ["inference.json", "inference.yaml", "inference.yml"])
def test_a_bundle_of_the_zoo_becomes_a_section(tmp_path: Path, name: str) -> None:
    folder = fb.write_bundle(tmp_path / "spleen", name=name)

    model = read(folder)

    assert READER.recognizes(folder)
    assert (model.name, model.version, model.licence) == ("spleen", "0.5.9", "Apache License")
    assert model.section == {
        "inputs": [
            {
                "name": "image",
                "modality": "CT",
                "unit": "HU",
                "scaling": {"kind": "range", "a_min": -57, "a_max": 164},
            }
        ],
        "grid": {"spacing_mm": [1.5, 1.5, 2.0], "orientation": "RAS"},
        "window": {"roi": [96, 96, 64], "mode": "constant"},
        "activation": "softmax",
        "output_channels": 2,
        "classes": [{"name": "spleen", "channel": 1}],
        "interpolation": "probabilities",
    }
    assert model.network_def == fb.make_config()["network_def"] | {"_target_": "monai.networks.nets.UNet"}
    assert model.load_state is not None
    assert torch.equal(model.load_state()["weight"], fb.STATE["weight"])
    assert ModelSpec.model_validate(model.section).classes[0].type.meaning == "Spleen"


def test_every_key_of_the_configuration_has_a_note_or_is_used(tmp_path: Path) -> None:
    model = read(fb.write_bundle(tmp_path))

    noted = {key.split("#")[0] for note in model.notes for key in note.key.split(", ")}
    assert set(fb.make_config()) - noted <= {"bundle_root", "image_key"}
    (weights,) = (note for note in model.notes if note.key == "checkpointloader#load_path")
    assert (weights.outcome, weights.text) == (Outcome.TRANSLATED, "weights: model.pt")


def test_a_bundle_in_json_is_described_without_torch_and_pyyaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fb.write_bundle(tmp_path)
    for library in ("torch", "yaml"):
        monkeypatch.setitem(sys.modules, library, None)

    assert READER.recognizes(folder)
    model = read(folder)

    assert model.load_state is not None
    with pytest.raises(LibraryError, match="torch"):
        model.load_state()


def test_model_packages_and_other_folders_are_not_recognized(tmp_path: Path) -> None:
    assert not READER.recognizes(runs.write_model(tmp_path / "native"))
    assert not READER.recognizes(tmp_path)
    assert not READER.recognizes(tmp_path / "missing")


def test_all_files_of_a_bundle_are_named(tmp_path: Path) -> None:
    folder = fb.write_bundle(tmp_path)
    (folder / "docs").mkdir()
    (folder / "docs" / "data_license.txt").write_text("of the data")

    names = {path.relative_to(folder).as_posix() for path in READER.files(folder)}

    assert names == {
        *("configs/metadata.json", "configs/inference.json", "models/model.pt", "LICENSE", "docs/data_license.txt"),
    }
    assert read(folder).licence == "LICENSE:\n\nApache License\n\ndata_license.txt:\n\nof the data"


def test_the_unit_of_ct_is_an_assumption_unless_it_is_stated(tmp_path: Path) -> None:
    stated = read(fb.write_bundle(tmp_path / "a"))
    unstated = fb.write_bundle(tmp_path / "b", None, fb.make_metadata(format="magnitude"))

    key = "inputs.0.unit"
    assert key not in [note.key for note in stated.notes]
    assert [note.outcome for note in read(unstated).notes if note.key == key] == [Outcome.ASSUMED]
    assert key not in [note.key for note in read(unstated, unit="HU").notes]


def test_a_disabled_loader_of_weights_is_not_used_and_an_unknown_state_is_an_assumption(tmp_path: Path) -> None:
    loader = {"_target_": "CheckpointLoader", "load_path": "models/other.pt"}
    configs = {state: fb.make_config(checkpointloader={**loader, "_disabled_": state}) for state in (True, "$os.x()")}
    folders = [fb.write_bundle(tmp_path / str(number), config) for number, config in enumerate(configs.values())]
    for folder in folders:
        torch.save({"other": torch.zeros(1)}, folder / "models" / "other.pt")

    disabled, unknown = (read(folder) for folder in folders)

    assert disabled.load_state is not None
    assert set(disabled.load_state()) == set(fb.STATE)
    assert unknown.load_state is not None
    assert set(unknown.load_state()) == {"other"}
    assumed = [[note.key for note in model.notes if note.outcome is Outcome.ASSUMED] for model in (disabled, unknown)]
    assert assumed == [["weights"], ["checkpointloader#load_path"]]


def test_one_of_several_configurations_is_selected(tmp_path: Path) -> None:
    for name, overlap in (("inference_a.json", 0.1), ("inference_b.yaml", 0.2)):
        inferer = {"_target_": "SlidingWindowInferer", "roi_size": 32, "overlap": overlap}
        fb.write_bundle(tmp_path, fb.make_config(inferer=inferer), name=name)

    with pytest.raises(ModelError, match=r"got inference_a\.json, inference_b\.yaml") as caught:
        read(tmp_path)
    assert "--set config=NAME" in str(caught.value.hint)
    assert read(tmp_path, changes={"config": "inference_b"}).section["window"]["overlap"] == 0.2
    with pytest.raises(ModelError, match="expected one configuration 'inference_c', got none"):
        read(tmp_path, changes={"config": "inference_c"})


def test_changes_of_source_keys_are_applied_before_the_translation(tmp_path: Path) -> None:
    config = fb.make_config(
        high=True,
        pixdim="$[1.5, 1.5, 2.0] if @high else [3.0, 3.0, 3.0]",
        preprocessing=[*fb.LOAD, fb.RAS, fb.transform("Spacingd", pixdim="@pixdim")],
    )
    folder = fb.write_bundle(tmp_path, config, fb.make_metadata(modality="none"))
    changes = {
        "high": False,
        "inferer#roi_size": [32, 32, 32],
        "network_data_format#inputs#image#modality": "MR",
        "window.overlap": 0.1,  # of the section: changed after the translation
    }

    section = read(folder, changes=changes).section

    assert section["grid"]["spacing_mm"] == [3.0, 3.0, 3.0]
    assert section["window"] == {"roi": [32, 32, 32], "mode": "constant"}
    assert section["inputs"][0]["modality"] == "MR"
    with pytest.raises(ModelError, match="lowres: the configuration of the bundle has no such key"):
        read(folder, changes={"lowres": True})
    with pytest.raises(ModelError, match=r"network_def\.norm: .* no such key") as caught:
        read(folder, changes={"network_def.norm": "batch"})
    assert caught.value.hint == "parts of keys of a bundle are separated by #: network_def#norm"


@pytest.mark.parametrize(
    ("handlers", "file"),
    [
        ([{"_target_": "StatsHandler"}, {"_target_": "CheckpointLoader", "load_path": "@ckpt"}], "fine.pt"),
        (
            [{"_target_": "CheckpointLoader", "load_path": "@ckpt", "_disabled_": "$not os.path.exists(@ckpt)"}],
            "fine.pt",
        ),
        ([], "model.pt"),
    ],
)
def test_weights_are_those_of_the_checkpoint_loader(tmp_path: Path, handlers: list[Any], file: str) -> None:
    config = fb.make_config(handlers=handlers, ckpt="$@bundle_root + '/models/fine.pt'")
    del config["checkpointloader"]
    folder = fb.write_bundle(tmp_path, config)
    torch.save({"model": {"name": torch.zeros(1)}}, folder / "models" / "fine.pt")

    model = read(folder)

    assert model.load_state is not None
    assert set(model.load_state()) == ({"name"} if file == "fine.pt" else set(fb.STATE))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside.pt",
        "models/../../outside.pt",
        "models\\..\\..\\outside.pt",
        "link.pt",
        "loop.pt",
        "folder/outside.pt",
        "C:/outside.pt",
        "models/missing.pt",
        "models",
        "a\0b",
        "x" * 5000,
        "$__import__('os').getcwd()",
        7,
    ],
)
def test_weights_outside_the_bundle_are_errors(tmp_path: Path, path: object) -> None:
    config = fb.make_config(checkpointloader={"_target_": "CheckpointLoader", "load_path": path})
    folder = fb.write_bundle(tmp_path / "bundle", config)
    (tmp_path / "outside.pt").write_bytes((folder / "models" / "model.pt").read_bytes())
    (folder / "link.pt").symlink_to(tmp_path / "outside.pt")
    (folder / "loop.pt").symlink_to(folder / "loop.pt")
    (folder / "folder").symlink_to(tmp_path)

    with pytest.raises(ModelError):
        read(folder)


def test_an_architecture_file_is_read_from_the_bundle(tmp_path: Path) -> None:
    space = {
        "_target_": "monai.networks.nets.TopologyInstance",
        "num_blocks": 2,
        "num_depths": 2,
        "arch_code": ["$@arch['arch_code_a']", "$@arch['arch_code_c']"],
        "device": "$torch.device('cuda')",
    }
    network = {
        "_target_": "DiNTS",
        "dints_space": "@space",
        "in_channels": 1,
        "num_classes": "@classes",
        "node_a": "$torch.from_numpy(@arch['node_a'])",
    }
    load = "$torch.load(@bundle_root + '/models/search.pt', map_location=torch.device('cuda'))"
    folder = fb.write_bundle(tmp_path, fb.make_config(classes=2, arch=load, space=space, network_def=network))
    arch = {"arch_code_a": np.ones((2, 4), dtype=np.int64), "arch_code_c": np.eye(2, 4), "node_a": np.ones((3, 2))}
    torch.save(arch, folder / "models" / "search.pt")

    definition = read(folder).network_def

    assert definition is not None
    assert definition["dints_space"]["arch_code"] == [[[1] * 4] * 2, [[1, 0, 0, 0], [0, 1, 0, 0]]]
    assert definition["node_a"] == [[1, 1]] * 3
    assert json.loads(json.dumps(definition)) == definition


def test_names_of_classes_may_be_in_the_configuration_or_missing(tmp_path: Path) -> None:
    metadata = fb.make_metadata()
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"] = {}
    labelled = fb.make_config(labels={"background": 0, "liver": 1})
    files = fb.make_config(labels="$list(glob.glob('*.nii.gz'))")

    named = read(fb.write_bundle(tmp_path / "a", labelled, metadata))
    unnamed = read(fb.write_bundle(tmp_path / "b", files, metadata))

    assert named.section["classes"] == [{"name": "liver", "channel": 1}]
    assert unnamed.section["classes"] == [{"name": "class 1", "channel": 1}]
    assert "classes" in [note.key for note in unnamed.notes if note.outcome is Outcome.ASSUMED]


@pytest.mark.parametrize(
    ("config", "metadata", "message"),
    [
        (
            {},
            {"num_channels": 4},
            "network_def#in_channels: expected 4, the number of channels in metadata.json, got 1",
        ),
        ({}, {"modality": "US"}, "expected the modality CT, MR or PET, got 'US'"),
        ({}, {"modality": 1}, "expected CT, MR or PET, got 1"),
        ({}, {"modality": "PT"}, "the unit of the PET images is not stated"),
        ({"network_def": {"_target_": "UNet", "in_channels": 3}}, {}, "network_def#in_channels: expected 1, .* got 3"),
        ({"network_def": "$monai.networks.nets.vista3d132(in_channels=1)"}, {}, "^network_def: the expression"),
        ({"network_def": {"_target_": "UNet", "out_channels": 1}}, {}, "argmax of one channel"),
        ({"network_def": {"_target_": "UNet", "out_channels": 10**9}}, {}, "expected the number of channels"),
        ({"inferer": "@network"}, {}, "^network: the expression"),
        ({"preprocessing": "@preprocessing"}, {}, "preprocessing: refers to itself"),
        ({"postprocessing": "@unknown"}, {}, "unknown: the configuration of the bundle has no such key"),
        ({"postprocessing": None}, {}, "postprocessing: expected an object with _target_, got None"),
    ],
)
def test_what_cannot_be_expressed_is_one_error(
    tmp_path: Path, config: dict[str, Any], metadata: dict[str, Any], message: str
) -> None:
    folder = fb.write_bundle(tmp_path, fb.make_config(**config), fb.make_metadata(**metadata))

    with pytest.raises(ModelError, match=message):
        read(folder)


@pytest.mark.parametrize("metadata", [[], {}, {"network_data_format": []}, {"network_data_format": {"inputs": 1}}])
def test_metadata_without_an_image_are_an_error(tmp_path: Path, metadata: object) -> None:
    folder = fb.write_bundle(tmp_path)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))

    with pytest.raises(ModelError, match=r"metadata\.json: .*expected"):
        read(folder)


def test_a_bundle_without_a_folder_is_described_without_weights() -> None:
    config = fb.make_config(network_def={"_target_": "scripts.networks.Own", "out_channels": 2})

    model = describe_bundle(config, fb.make_metadata(), ImportOptions(), "embedded")

    assert model.network_def is None
    assert model.load_state is None
    assert model.section["output_channels"] == 2
    assert "the TorchScript program is run" in next(note.text for note in model.notes if note.key == "network_def")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "True", "@image_key", "@inferer", "$@preprocessing", "$len(@run)", "Compose", "pred", "%x"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["_target_", "0", "keys"]), inner),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=25)
def test_a_bundle_with_any_value_is_described_or_is_an_error(data: st.DataObject) -> None:
    parts = {
        "config": fb.make_config(preprocessing=PREPROCESSING, postprocessing=POSTPROCESSING),
        "metadata": fb.make_metadata(),
    }
    parent: Any = parts
    key = data.draw(st.sampled_from(list(parts)))
    while isinstance(parent[key], dict | list) and parent[key] and data.draw(st.integers(0, 5)):
        parent = parent[key]
        key = data.draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
    parent[key] = data.draw(_JSON if parent is not parts else st.dictionaries(st.text(max_size=3), _JSON))

    with suppress(ModelError):
        model = describe_bundle(parts["config"], parts["metadata"], ImportOptions(), "model")
        assert json.loads(json.dumps([model.section, model.network_def], allow_nan=False))
