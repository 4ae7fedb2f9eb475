"""What the README and the docs say is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clickseg import __version__
from clickseg.cli.parser import OPTIONS
from clickseg.clicks.formats.clicks_json import parse_clicks_json
from clickseg.core.options import variable
from clickseg.dicom.series import REMEDY_NAMES
from clickseg.models.spec import Alternative, InputSpec, ModelSpec

REPOSITORY = Path(__file__).parents[1]
PATTERNS = ("README.md", "docs/*.md", "benchmarks/*.md", "deploy/*/*.md")
PAGES = sorted(page for pattern in PATTERNS for page in REPOSITORY.glob(pattern))


def text(name: str) -> str:
    return (REPOSITORY / name).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_files_that_a_page_names_are_there(page: Path) -> None:
    for name in re.findall(r"`((?:app|clickseg|operators|scripts|tests)/[\w./-]*)`", page.read_text()):
        assert (REPOSITORY / name).exists(), name


def test_every_option_is_in_the_readme() -> None:
    readme = text("README.md")

    for name in OPTIONS:
        assert f"`--{name}`" in readme
        assert f"`{variable(name)}`" in readme


def test_every_remedy_is_in_the_docs() -> None:
    for name in REMEDY_NAMES:
        assert f"`{name}`" in text("docs/reading-dicom.md")


def test_every_field_of_a_model_package_is_in_the_docs() -> None:
    for name in {**ModelSpec.model_fields, **InputSpec.model_fields, **Alternative.model_fields}:
        assert f"`{name}`" in text("docs/model-packages.md")


def test_the_input_in_the_docs_is_one_that_a_model_package_may_have() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", text("docs/model-packages.md"), flags=re.DOTALL)

    assert InputSpec.model_validate(json.loads(example)).modalities == ("PT", "CT", "MR")


@pytest.mark.parametrize("page", ["README.md", "docs/clicks.md"])
def test_the_click_files_in_the_docs_are_read(page: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", text(page), flags=re.DOTALL)

    assert parse_clicks_json(json.loads(example), page).points


def test_the_pins_of_the_extras_are_those_of_the_requirements() -> None:
    pinned = dict(re.findall(r'^    "([\w.-]+)==([\w.]+)"', text("pyproject.toml"), flags=re.MULTILINE))
    required = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text("requirements-cpu.txt"), flags=re.MULTILINE))

    assert set(pinned) == {"holoscan-cli", "holoscan-cu13", "monai-deploy-app-sdk", "nvidia-cuda-runtime"}
    assert pinned.items() <= required.items()


def test_the_changelog_speaks_of_this_version_or_of_what_is_to_come() -> None:
    assert re.search(rf"^## \[(Unreleased|{re.escape(__version__)})\]", text("CHANGELOG.md"), flags=re.MULTILINE)
