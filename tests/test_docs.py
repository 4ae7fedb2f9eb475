"""The documents agree with the code: links, file names, options, examples, and the site that is built from them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from clickseg import __version__
from clickseg.cli.parser import OPTIONS, parse_arguments
from clickseg.clicks.formats.clicks_json import parse_clicks_json
from clickseg.core.options import environment_variable
from clickseg.datasets.phantom import write_study
from clickseg.dicom.series import REPAIR_NAMES
from clickseg.models.spec import AlternativeSpec, InputSpec, ModelSpec
from tests.helpers import runs
from tests.helpers.doc_examples import PAGES, code_blocks, console_commands, every_page, program
from tests.helpers.runs import REPOSITORY

EXTERNAL_PROGRAMS = {"curl", "docker", "git", "kubectl", "make", "pip", "podman", "scripts/train-default-models"}
"""Programs of examples that need a network, a registry, a cluster or hours."""

LONG_COMMANDS = ("package", "run", "train", "evaluate")
"""Commands of examples that need a container program, or hours."""


def text(name: str) -> str:
    return (REPOSITORY / name).read_text()


@every_page
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@every_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in re.findall(r"`((?:app|clickseg|operators|scripts|tests)/[\w./-]*)`", page.read_text()):
        assert (REPOSITORY / name).exists(), name


@every_page
def test_a_page_has_one_title_and_is_in_the_index(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    index = REPOSITORY / "docs/index.md"
    listed = {(index.parent / name).resolve() for name in re.findall(r"\]\(([\w./-]+\.md)\)", index.read_text())}

    assert len(re.findall(r"^# ", prose, flags=re.MULTILINE)) == 1
    assert page in {*listed, index}


class Anchors(HTMLParser):
    """The links and the anchors of a page of the site."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.update(value for name, value in attrs if name == "id" and value)
        self.links += [value for value in (values.get("href"), values.get("src")) if value]


def test_the_site_builds_without_warnings_and_all_its_links_lead_to_pages_and_headings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "-c", "docs", "."]

    built = subprocess.run([*command, tmp_path], cwd=REPOSITORY, env=runs.environment(), capture_output=True, text=True)

    assert (built.returncode, built.stderr) == (0, "")
    pages = {path: Anchors(path.read_text()) for path in tmp_path.rglob("*.html")}
    assert len(pages) > len(PAGES)
    for path, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(link)
            if not re.match(r"[a-z]+:", target):
                linked = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
                assert linked.exists(), (path.name, link)
                assert not anchor or linked not in pages or anchor in pages[linked].ids, (path.name, link)


@every_page
def test_the_examples_of_the_command_are_accepted_by_its_parser(page: Path) -> None:
    for command in console_commands(page):
        words = shlex.split(command)
        if words[0] == "clickseg":
            parse_arguments(words[1:])


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page.name == "README.md" else pytest.mark.slow)
        for page in PAGES
        if any(program(command) == "clickseg" for command in console_commands(page))
    ],
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
def test_the_console_examples_of_a_page_run_one_after_another(page: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "demo/study")
    for name in ("app", "models", "operators", "clickseg"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    for command in console_commands(page):
        words = shlex.split(command)
        if program(command) in EXTERNAL_PROGRAMS or "tensorrt" in words or words[1] in LONG_COMMANDS:
            continue
        if words[0] == "clickseg":
            result = runs.run_clickseg(*words[1:], cwd=tmp_path)
        else:
            result = runs.run_process(["sh", "-c", command], tmp_path, PATH=path)
        assert result.returncode == 0 or "--help" in words, (command, result.stderr)


def test_every_option_is_documented() -> None:
    page = text("docs/command-line.md")

    for name in OPTIONS:
        assert f"`--{name}`" in page
        assert f"`{environment_variable(name)}`" in page


def test_every_remedy_is_in_the_docs() -> None:
    for name in REPAIR_NAMES:
        assert f"`{name}`" in text("docs/reading-dicom.md")


def test_every_field_of_a_model_package_is_in_the_docs() -> None:
    for name in {**ModelSpec.model_fields, **InputSpec.model_fields, **AlternativeSpec.model_fields}:
        assert f"`{name}`" in text("docs/model-packages.md")


def test_the_input_in_the_docs_is_one_that_a_model_package_may_have() -> None:
    (example,) = code_blocks(REPOSITORY / "docs/model-packages.md", "json")

    assert InputSpec.model_validate(json.loads(example)).modalities == ("PT", "CT", "MR")


@pytest.mark.parametrize("page", ["README.md", "docs/clicks.md"])
def test_the_click_files_in_the_docs_are_read(page: str) -> None:
    (example,) = code_blocks(REPOSITORY / page, "json")

    assert parse_clicks_json(json.loads(example), page).points


def test_the_pins_of_the_extras_are_those_of_the_requirements() -> None:
    pinned = dict(re.findall(r'^    "([\w.-]+)==([\w.]+)"', text("pyproject.toml"), flags=re.MULTILINE))
    required = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text("requirements-cpu.txt"), flags=re.MULTILINE))

    assert set(pinned) == {"holoscan-cli", "holoscan-cu13", "monai-deploy-app-sdk", "nvidia-cuda-runtime"}
    assert pinned.items() <= required.items()


def test_the_changelog_has_a_section_for_this_version_or_the_next() -> None:
    assert re.search(rf"^## \[(Unreleased|{re.escape(__version__)})\]", text("CHANGELOG.md"), flags=re.MULTILINE)
