"""The names of models of other tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from clickseg.inference.model_readers import source_name
from clickseg.inference.translation_cache import translate
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers import nnunet_models as nn


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Dataset007_Abdomen", "Dataset007_Abdomen"),
        (f"Dataset007_Abdomen/{nn.IDENTIFIER}", "Dataset007_Abdomen_3d_fullres"),
        (f"models/{nn.IDENTIFIER}", nn.IDENTIFIER),
        ("Dataset007_Abdomen/other", "other"),
    ],
)
def test_a_configuration_of_nnunet_has_the_name_of_its_dataset(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / path).mkdir(parents=True)

    assert source_name(tmp_path / path) == name


def test_a_translated_configuration_has_the_name_of_its_dataset(tmp_path: Path) -> None:
    folder = nn.write_model(tmp_path / "Dataset007_Abdomen" / nn.IDENTIFIER)

    package = translate(folder, ImportOptions(), tmp_path / "cache")

    assert package.name == "Dataset007_Abdomen_3d_fullres"
