"""Options about a model of another tool either have an effect, or are one error that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet

from clickseg.core.errors import ModelError, UsageError
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.monai_bundle.reader import BundleReader, describe_bundle
from clickseg.models.importers.registry import ImportedModel, read_model
from clickseg.models.importers.source_model import ImportOptions
from clickseg.models.importers.used_options import similar_keys
from clickseg.models.importers.weights.checkpoint import CheckpointReader
from tests.helpers import foreign_bundles as fb
from tests.helpers.foreign_programs import DESCRIPTION


def import_bundle(folder: Path, config: dict[str, Any] | None = None, **options: Any) -> ImportedModel:
    return read_model(fb.write_bundle(folder / "spleen", config), BundleReader(), ImportOptions(**options))


def import_checkpoint(folder: Path, orientation: str, **options: Any) -> ImportedModel:
    """Returns the model of a checkpoint with a JSON file next to it."""
    network = UNet(3, 1, 2, (4, 8), (2,), norm="batch", act="relu")
    torch.save(network.state_dict(), folder / "weights.pt")
    description = {**DESCRIPTION, "grid": {"spacing_mm": [1.5, 1.5, 1.5], "orientation": orientation}}
    (folder / "weights.json").write_text(json.dumps(description))
    return read_model(folder / "weights.pt", CheckpointReader(build_from_definition), ImportOptions(**options))


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"stored_axes": "LAS"}, r"--stored-axes: has no effect on spleen \(MONAI Bundle\)", "--set grid.orientation"),
        ({"preset": "sw_fastedit"}, "--preset: has no effect on spleen", "only weights"),
        ({"changes": {"output_dir": "x"}}, "--set output_dir: has no effect on spleen", ""),
        ({"changes": {"bundle_root": "/x"}}, "--set bundle_root: has no effect on spleen", ""),
        ({"changes": {"authors": "x"}}, "--set authors: has no effect on spleen", ""),
    ],
)
def test_options_without_effect_on_a_bundle_are_errors(
    tmp_path: Path, options: dict[str, Any], message: str, hint: str
) -> None:
    metadata = fb.make_metadata() | {"authors": "someone"}
    folder = fb.write_bundle(tmp_path / "spleen", None, metadata)

    with pytest.raises(UsageError, match=message) as caught:
        read_model(folder, BundleReader(), ImportOptions(**options))

    assert hint in str(caught.value.hint)


def test_options_with_an_effect_on_a_bundle_are_used(tmp_path: Path) -> None:
    changes = {
        "config": "inference",
        "inferer#roi_size": 32,
        "network_data_format::inputs::image::modality": "MR",
        "checkpointloader#load_path": "models/model.pt",
        "window.overlap": 0.125,
    }
    config = fb.with_transforms(fb.SPACING, fb.RANGE)

    model = import_bundle(tmp_path, config, stored_axes="LAS", unit="", changes=changes)

    assert (model.spec.grid.orientation, model.spec.inputs[0].modality, model.spec.inputs[0].unit) == ("LAS", "MR", "")
    assert (model.spec.window.roi, model.spec.window.overlap) == ((32, 32, 32), 0.125)


def test_the_configuration_of_a_program_is_not_selected() -> None:
    options = ImportOptions(changes={"config": "inference", "inferer#roi_size": 32})

    model = describe_bundle(fb.make_config(), fb.make_metadata(), options, "model")

    assert model.used_options == {"unit", "inferer#roi_size"}


def test_a_key_that_a_bundle_does_not_have_is_an_error_with_the_similar_field(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"windw\.overlap: .* no such key") as caught:
        import_bundle(tmp_path, changes={"windw.overlap": 0.3})

    assert caught.value.hint == "did you mean window.overlap?"


def test_options_of_a_checkpoint_are_used_or_errors(tmp_path: Path) -> None:
    used = import_checkpoint(tmp_path, "source", stored_axes="LAS", changes={"network_def.act": "leakyrelu"})

    assert used.spec.grid.orientation == "LAS"
    assert used.source.network_def is not None
    assert used.source.network_def["act"] == "leakyrelu"
    with pytest.raises(UsageError, match="--stored-axes: has no effect on weights"):
        import_checkpoint(tmp_path, "RAS", stored_axes="LAS")


def test_similar_keys_are_fields_of_the_description() -> None:
    assert similar_keys("inputs.unit") == "did you mean inputs.0.unit?"
    assert similar_keys("xyz") is None
    assert similar_keys("x" * 10**6, ["x" * 10**6]) is None
