"""Checks of what a reader returns for a model of another tool."""

from __future__ import annotations

import json

from clickseg.inference.engines.network import build_from_definition
from clickseg.models.importers.source_model import Outcome, SourceModel
from tests.helpers.oracles import torch


def check_same_logits(model: SourceModel, network: torch.nn.Module, windows: torch.Tensor) -> None:
    """Checks that the network of a model, with its weights, gives the logits of the original network."""
    assert model.script is None
    assert model.network_def is not None
    assert model.load_state is not None
    same = build_from_definition(json.loads(json.dumps(model.network_def)), "network_def").eval()
    same.load_state_dict(model.load_state(), strict=True)
    with torch.no_grad():
        assert torch.equal(same(windows), network(windows))


def texts_of_notes(model: SourceModel, outcome: Outcome) -> dict[str, str]:
    """Returns the texts of the notes with an outcome, by their key."""
    return {note.key: note.text for note in model.notes if note.outcome is outcome}
