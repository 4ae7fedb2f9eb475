"""The report of a translation shows what the user should check."""

from __future__ import annotations

from clickseg.models.importers.registry import ImportedModel
from clickseg.models.importers.report import import_report, summary_lines
from clickseg.models.importers.source_model import ImportNote, Outcome, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms


def test_deliberate_differences_are_printed_and_have_a_heading() -> None:
    notes = (ImportNote("crop", Outcome.DIFFERENT, "the box is turned"), ImportNote("amp", Outcome.IGNORED, "unused"))
    source = SourceModel("organs", "1", {}, None, None, notes=notes)
    model = ImportedModel(source, ModelSpec.model_validate(phantoms.metadata()), "MONAIAuto3DSeg", "0" * 64)

    page = import_report(model, notes)

    assert "different: crop: the box is turned" in summary_lines(model, notes)
    assert "## Deliberately different from the original tool\n\n| key | |\n|---|---|\n| crop |" in page
