"""Text of a model: no character of it controls a terminal, changes the direction of text, or is Markdown or HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.inference.model_sources import find_models
from clickseg.models.find import model_paths
from clickseg.models.importers.registry import ImportedModel
from clickseg.models.importers.report import import_report, summary_lines
from clickseg.models.importers.source_model import ImportNote, ImportOptions, Outcome, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers import foreign_bundles as fb
from tests.helpers import foreign_programs, phantoms, runs

CONTROLS = "\x1b[31m\x07\x7f\x9b\u202e\u2066\u200b"
MARKDOWN = "![x](http://example.org/a.png) [y](javascript:z) `c` <script> a|b \\| *d* ~e~ $f$"


def unprintable(text: str) -> list[str]:
    return [character for character in text if not character.isprintable() and character not in "\n\t\f"]


def import_hostile_bundle(tmp_path: Path) -> Path:
    """Translates a bundle whose texts contain control characters; returns the package."""
    bundle = fb.write_runnable_bundle(tmp_path / f"x{CONTROLS}")
    metadata: dict[str, Any] = fb.make_metadata()
    metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["1"] = f"spl{CONTROLS}een"
    metadata["authors"] = f"{CONTROLS}{MARKDOWN}"
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    config[f"key{CONTROLS}{MARKDOWN}"] = 1
    (bundle / "configs" / "inference.json").write_text(json.dumps(config))
    (bundle / "LICENSE").write_text(f"Apache{CONTROLS}\r\nLicense\fpage\t2\u00a0end\n")
    imported = runs.run_clickseg("models", "import", bundle, "-o", tmp_path / "package")
    assert imported.returncode == 0, imported.stderr
    assert unprintable(imported.stdout + imported.stderr) == []
    return tmp_path / "package"


def test_no_file_of_the_package_has_control_characters(tmp_path: Path) -> None:
    package = import_hostile_bundle(tmp_path)

    metadata = json.loads((package / "configs" / "metadata.json").read_text())
    texts = [(package / name).read_text() for name in ("LICENSE", "docs/README.md", "configs/metadata.json")]
    assert [unprintable(text) for text in texts] == [[], [], []]
    assert (package / "LICENSE").read_bytes() == b"Apache[31m\nLicense\x0cpage\t2 end\n"
    assert metadata["clickseg"]["classes"][0]["name"] == "spl [31m een"
    assert metadata["name"] == "x [31m"


def test_the_report_has_no_markdown_or_html_of_the_model() -> None:
    notes = (ImportNote(MARKDOWN, Outcome.IGNORED, f"{MARKDOWN}\n# heading\n| row |"),)
    source = SourceModel(MARKDOWN, "0", {}, None, None, notes=notes)
    model = ImportedModel(source, ModelSpec.model_validate(phantoms.metadata()), "MONAI Bundle", "0" * 64)

    page = import_report(model, notes)

    unescaped = page.replace("\\\\", "").replace("\\|", "").replace("\\[", "").replace("\\]", "").replace("\\`", "")
    rows = [line for line in unescaped.splitlines() if "script" in line]
    assert [row.count("|") for row in rows] == [0, 3]
    assert not [character for row in rows for character in "[]`<" if character in row]
    assert "# heading" not in [line.strip() for line in page.splitlines()]
    assert len(summary_lines(model, notes)) == 6


def test_the_name_of_a_translation_is_a_name_of_a_folder(tmp_path: Path) -> None:
    program = foreign_programs.write_shifter(tmp_path / "in", f"..{CONTROLS};$(touch x)&|'\"")

    (package,) = find_models(model_paths(program, {}), None, ImportOptions(), tmp_path / "cache")

    assert package.path.parent.parent == tmp_path / "cache" / "models"
    assert package.path.name.isprintable()
    assert set(package.path.name) <= set("_.-[31mtouchx")


@pytest.mark.parametrize("variable", ["CLICKSEG_MODELS", "HOLOSCAN_MODEL_PATH"])
def test_a_program_in_a_folder_of_the_environment_is_not_loaded(tmp_path: Path, variable: str) -> None:
    foreign_programs.write_shifter(tmp_path / "models")
    paths = model_paths(None, {variable: str(tmp_path / "models")})[:1]

    with pytest.raises(ModelError, match="contains only a TorchScript program"):
        find_models(paths, None, ImportOptions(), tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


def test_a_translated_program_in_a_package_runs_only_on_request(tmp_path: Path) -> None:
    program, study = foreign_programs.write_shifter(tmp_path / "in"), runs.write_input(tmp_path / "study")
    package = tmp_path / "package"
    runs.run_clickseg("models", "import", program, "-o", package)
    for name in ("model.xml", "model.bin"):
        (package / "models" / name).unlink(missing_ok=True)

    refused = runs.run_clickseg("segment", study, "-m", package, "-o", tmp_path / "a")
    accepted = runs.run_clickseg("segment", study, "-m", package, "-o", tmp_path / "b", "--engine", "torch")

    assert [refused.returncode, accepted.returncode] == [1, 0]
    assert "--engine torch" in refused.stderr
