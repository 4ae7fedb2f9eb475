"""The workflow of a bundle runs the parts that are translated; workflows with others are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.reader import BundleReader
from clickseg.models.importers.source_model import ImportOptions, SourceModel
from tests.helpers import foreign_bundles as fb

EVALUATOR = {
    "_target_": "SupervisedEvaluator",
    "network": "@network",
    "inferer": "@inferer",
    "postprocessing": "@postprocessing",
}
DATASET = {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"}


def read(folder: Path, config: dict[str, Any], **changes: Any) -> SourceModel:
    return BundleReader().read(fb.write_bundle(folder, config), ImportOptions(changes=changes))


def evaluator(**changes: Any) -> dict[str, Any]:
    return {"evaluator": EVALUATOR | changes, "dataset": DATASET}


@pytest.mark.parametrize(
    "changes",
    [
        evaluator(),
        evaluator(network="@network_def", amp=True, decollate=False, mode="eval"),
        evaluator(_target_="monai.engines.SupervisedEvaluator", mode="$monai.utils.ForwardMode.EVAL"),
        evaluator(inferer="@other") | {"other": "@inferer"},
        evaluator(inferer="$@inferer") | {"network": "$@network_def.to(torch.device('cuda:0')).eval()"},
    ],
)
def test_workflows_of_the_translated_parts_are_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read(tmp_path, fb.make_config(**changes)).section["activation"] == "softmax"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (evaluator(inferer="@fast"), "evaluator#inferer: expected @inferer"),
        (evaluator(inferer={"_target_": "SimpleInferer"}), "evaluator#inferer: expected @inferer"),
        (evaluator(postprocessing="@other_steps"), "evaluator#postprocessing: expected @postprocessing"),
        (evaluator(network="@ema"), "evaluator#network: expected @network"),
        (evaluator(prepare_batch="$lambda batch, *_: batch.flip(2)"), "evaluator#prepare_batch"),
        (evaluator(iteration_update="@update"), "evaluator#iteration_update"),
        (evaluator(mode="train"), "evaluator#mode: expected eval"),
        (evaluator(_target_="scripts.evaluator.Evaluator"), "evaluator: scripts.evaluator.Evaluator"),
        (evaluator(_target_="EnsembleEvaluator"), "expected SupervisedEvaluator"),
        (evaluator() | {"dataset": DATASET | {"transform": "@validation"}}, "dataset#transform: expected @prepro"),
        ({"network": "$torch.nn.Sequential(@network_def, @flip)"}, "network: expected network_def on a device"),
        ({"handlers": [{"_target_": "PostProcessing", "transform": "@other"}]}, "handlers#0: PostProcessing"),
    ],
)
def test_workflows_with_other_parts_are_errors(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, fb.make_config(**changes))


def test_a_user_can_state_that_a_part_is_the_translated_one(tmp_path: Path) -> None:
    config = fb.make_config(**evaluator(inferer="@fast"))
    changes = {"evaluator#inferer": "@inferer"}

    model = read(tmp_path, config, **changes)

    assert set(changes) <= model.used_options


@pytest.mark.parametrize("load_dict", [{"ema": "@network"}, {"step": "@step", "ema": "$@network_def"}])
def test_the_weights_are_those_under_the_key_that_the_loader_names(tmp_path: Path, load_dict: dict[str, str]) -> None:
    loader = {"_target_": "CheckpointLoader", "load_path": "models/model.pt", "load_dict": load_dict}
    model = read(tmp_path, fb.make_config(checkpointloader=loader))
    weights = {"weight": torch.zeros(2)}
    torch.save({"model": weights, "ema": {"weight": torch.ones(2)}}, tmp_path / "models" / "model.pt")

    assert model.load_state is not None
    assert torch.equal(model.load_state()["weight"], torch.ones(2))
