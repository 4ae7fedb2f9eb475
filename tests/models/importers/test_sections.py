"""Assumptions that all readers state alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.sections import unit_notes
from clickseg.models.importers.source_model import ImportOptions, Outcome
from clickseg.models.importers.weights.checkpoint import CheckpointReader
from tests.helpers.foreign_programs import DESCRIPTION, INPUT


@pytest.mark.parametrize(("modality", "is_assumed"), [("CT", True), ("MR", False), ("PT", False)])
def test_only_the_unit_of_ct_is_assumed(modality: str, is_assumed: bool) -> None:
    notes = unit_notes({"modality": modality}, ImportOptions(), 1)

    assert [note.key for note in notes] == ["inputs.1.unit"] * is_assumed
    assert unit_notes({"modality": modality}, ImportOptions(unit="HU")) == ()


def test_a_file_next_to_weights_that_states_no_unit_has_an_assumption(tmp_path: Path) -> None:
    torch.save(UNet(3, 1, 2, (4, 8), (2,), norm="batch", act="relu").state_dict(), tmp_path / "a.pt")
    image = {key: value for key, value in INPUT.items() if key != "unit"}
    (tmp_path / "a.json").write_text(json.dumps({**DESCRIPTION, "inputs": [image]}))

    model = CheckpointReader(build_from_definition).read(tmp_path / "a.pt", ImportOptions())

    assert model.section["inputs"][0]["unit"] == "HU"
    assert "inputs.0.unit" in [note.key for note in model.notes if note.outcome is Outcome.ASSUMED]
