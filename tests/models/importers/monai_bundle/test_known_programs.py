"""Transforms of a bundle's own program are translated if its text is known, and else rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.reader import BundleReader
from clickseg.models.importers.source_model import ImportOptions, SourceModel
from clickseg.models.spec import ModelSpec
from tests.helpers import foreign_bundles as fb
from tests.helpers.fitted_bundles import JOINING, RECIPES_OF_SEVERAL_IMAGES


def write_bundle(folder: Path, program: str = JOINING, **join: Any) -> Path:
    """Writes a bundle with three images, and a program that joins them and merges its masks."""
    recipe = RECIPES_OF_SEVERAL_IMAGES["cect"]
    transforms = [
        {**item, **join} if item["_target_"].startswith("scripts") else dict(item)
        for item in (*recipe.loading, *recipe.preprocessing)
    ]
    config = fb.make_config(
        network_def=dict(recipe.network), preprocessing=transforms, postprocessing=list(recipe.postprocessing)
    )
    metadata = fb.make_metadata(num_channels=3)
    names = {str(number): name for number, name in enumerate(recipe.names)}
    metadata["network_data_format"]["outputs"]["pred"] |= {"num_channels": 4, "channel_def": names}
    fb.write_bundle(folder, config, metadata)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "joining.py").write_text(program)
    return folder


def read(folder: Path) -> SourceModel:
    return BundleReader().read(folder, ImportOptions())


def test_the_images_are_inputs_and_the_first_channel_after_the_background_wins(tmp_path: Path) -> None:
    model = read(write_bundle(tmp_path))

    spec = ModelSpec.model_validate(model.section)
    assert [entry.name for entry in spec.inputs] == ["artery", "vein", "excret"]
    assert all(entry.descriptions for entry in spec.inputs)
    assert (spec.activation, spec.overwrite, spec.interpolation) == ("sigmoid", True, "logits")
    assert [(entry.name, entry.channel) for entry in spec.classes] == [("neoplasm", 3), ("vein", 2), ("artery", 1)]
    texts = [note.text for note in model.notes if "its program is known" in note.text]
    assert [text.partition(":")[0] for text in texts] == ["scripts.joining.Join", "scripts.joining.FirstWins"]


def test_spaces_at_ends_of_lines_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    assert read(write_bundle(tmp_path, JOINING.replace("\n", "  \r\n\n"))).section["overwrite"]


@pytest.mark.parametrize(
    ("program", "join"),
    [
        (JOINING.replace("range(pred", "range(0, pred"), {}),
        (JOINING + "\nFirstWins = Join\n", {}),
        ("", {}),
        (JOINING, {"keys_out": "image", "other": 1}),
        (JOINING, {"_target_": "scripts.joining.FirstWin"}),
        (JOINING, {"_target_": "scripts.other.Join"}),
    ],
)
def test_a_program_that_is_not_known_is_an_error(tmp_path: Path, program: str, join: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"the bundle's own code, which is not executed"):
        read(write_bundle(tmp_path, program, **join))


def test_a_program_outside_the_bundle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "joining.py").write_text(JOINING)
    folder = write_bundle(tmp_path / "bundle")
    (folder / "scripts" / "joining.py").unlink()
    (folder / "scripts" / "joining.py").symlink_to(tmp_path / "joining.py")

    with pytest.raises(ModelError, match="expected a path inside the bundle"):
        read(folder)


def test_a_translation_depends_on_the_program(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)

    assert folder / "scripts" / "joining.py" in BundleReader().files(folder)
    assert "scripts.joining.Join" in json.dumps(json.loads((folder / "configs" / "inference.json").read_text()))
