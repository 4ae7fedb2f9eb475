"""YAML has the values of PyYAML's safe loader; tags, bombs and deep nesting are errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from clickseg.core.errors import LibraryError, ModelError
from clickseg.models.importers.monai_bundle.yaml_files import read_yaml


def write(folder: Path, text: str) -> Path:
    path = folder / "inference.yaml"
    path.write_text(text)
    return path


def test_plain_values_are_those_of_pyyaml(tmp_path: Path) -> None:
    text = "a: 1\nb: [1.5, true, null, 'x']\nc: &c\n  d: $@a + 1\ne: *c\nf: {g: ''}\n"

    assert read_yaml(write(tmp_path, text)) == yaml.safe_load(text)


def test_dates_and_numbers_as_keys_are_texts(tmp_path: Path) -> None:
    assert read_yaml(write(tmp_path, "day: 2024-05-01\n0: background\n")) == {"day": "2024-05-01", "0": "background"}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']\n",
        "a: !!python/name:os.system\n",
        "!!binary aGFsbG8=\n",
        "a: !!set {x, y}\n",
        "a: !own {}\n",
        "a: &a [1, *a]\n",
        "a: [1, 2\n",
        "a: *unknown\n",
        "? [a, b]\n: 1\n",
        "[" * 5000,
        "a: " + "[" * 100 + "]" * 100 + "\n",
        "a: 1\n---\nb: 2\n",
        "\x00",
        f"a: {'9' * 5000}\n",
        "a: " + "x" * (600 << 10),
    ],
)
def test_other_values_are_errors(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match=r"^inference\.yaml: "):
        read_yaml(write(tmp_path, text))


@pytest.mark.parametrize("reference", ["[*{0}, *{0}]", "{{<<: [*{0}, *{0}]}}"])
def test_aliases_that_multiply_are_errors_before_they_fill_the_memory(tmp_path: Path, reference: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} " + reference.format(f"a{n - 1}") for n in range(1, 40)]

    with pytest.raises(ModelError):
        read_yaml(write(tmp_path, "\n".join(lines)))


def test_without_pyyaml_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(LibraryError, match="PyYAML") as caught:
        read_yaml(write(tmp_path, "a: 1\n"))
    assert caught.value.hint == "pip install 'clickseg[import]'"
