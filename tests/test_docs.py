"""The documents agree with the code: links, file names, options, examples, and the site that is built from them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
from pydicom.datadict import keyword_dict

from clickseg import __version__
from clickseg.batch.description_patterns import match_specificity
from clickseg.cli.parser import parse_arguments
from clickseg.cli.run_options import OPTIONS
from clickseg.clicks.formats.clicks_json import parse_clicks_json
from clickseg.clicks.formats.slicer import slicer_markups_json
from clickseg.core.options import environment_variable
from clickseg.datasets.phantom import write_study
from clickseg.dicom.repairs import REPAIR_NAMES
from clickseg.inference.engines.network import build_from_definition
from clickseg.models.spec import AlternativeSpec, ClassSpec, CropSpec, InputSpec, ModelSpec, PostprocessingSpec
from tests.helpers import runs
from tests.helpers.doc_examples import PAGES, code_blocks, console_examples, every_page
from tests.helpers.example_models import write_example_models
from tests.helpers.example_nnunet import write_nnunet_folders
from tests.helpers.runs import REPOSITORY


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
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    for name, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {test}(" in text(name), test


@every_page
def test_a_page_has_one_title_and_is_in_the_index(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    index = REPOSITORY / "docs/index.md"
    listed = {(index.parent / name).resolve() for name in re.findall(r"\]\(([\w./-]+\.md)", index.read_text())}

    assert len(re.findall(r"^# ", prose, flags=re.MULTILINE)) == 1
    assert page in {*listed, index}


@every_page
def test_a_page_begins_with_an_example(page: Path) -> None:
    is_reference = page.name in ("CHANGELOG.md", "glossary.md") or "models" in page.parts  # lists, and model cards

    assert is_reference or "```" in "\n".join(page.read_text().splitlines()[:25])


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
    for example in console_examples(page):
        if example.is_clickseg and "--help" not in example.words:
            parse_arguments(example.words[1:])


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A folder with everything that the examples assume.

    The demo study, application and models of ``make demo``; a study with a missing slice; a click file of 3D Slicer.
    """
    write_study(tmp_path / "demo/study")
    shutil.copytree(tmp_path / "demo/study/CT", tmp_path / "study/CT", ignore=shutil.ignore_patterns("0021.dcm"))
    shutil.copytree(REPOSITORY / "models", tmp_path / "models")
    for name in ("app", "operators", "clickseg"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    clicks = json.loads((tmp_path / "demo/study/clicks.json").read_text())
    markups = slicer_markups_json(parse_clicks_json(clicks, "clicks.json"))
    (tmp_path / "lesion.mrk.json").write_text(json.dumps(markups))
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if page.name == "README.md" else pytest.mark.slow)
        for page in PAGES
        if any(example.is_clickseg and example.can_run for example in console_examples(page))
    ],
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)
def test_the_console_examples_of_a_page_run_in_order_and_print_what_the_page_shows(page: Path, demo: Path) -> None:
    write_models = {"own-model.md": write_example_models, "from-nnunet.md": write_nnunet_folders}.get(page.name)
    if write_models:
        write_models(demo)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    for example in filter(lambda example: example.can_run, console_examples(page)):
        if example.is_clickseg and example.words[1] != "exec":  # exec replaces the process
            words = [re.sub(r"^~", str(demo), word) for word in example.words]
            result = runs.run_clickseg(*words[1:], cwd=demo)
        else:
            result = runs.run_process(["sh", "-c", example.command], demo, PATH=path)

        assert result.returncode == 0, (example.command, result.stderr)
        assert without_seconds(example.output) <= without_seconds(result.stdout.splitlines()), example.command


def without_seconds(lines: list[str]) -> set[str]:
    return {re.sub(r"[\d.]+ s\b", "_ s", line.rstrip()) for line in lines}


@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "docs/sessions.md"])
@pytest.mark.slow
def test_the_python_examples_of_a_page_run_in_order(
    page: str, demo: Path, clean_environ: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)
    names: dict[str, Any] = {}

    for example in code_blocks(REPOSITORY / page, "python"):
        exec(example, names)  # noqa: S102 - an example of this repository

    if page == "docs/sessions.md":
        assert names["change"].windows_run > 0
        assert (demo / "session/session.json").is_file()
    else:
        assert {path.name for path in (demo / "results").glob("*.dcm")} == {
            path.name for result in names["results"] for path in result.files.values() if path.suffix == ".dcm"
        }
    if page == "docs/python.md":
        lesion_ml = names["result"].measurements["lesion"].volume_ml
        assert names["volume_ml"] == pytest.approx(lesion_ml)
        assert 5 < lesion_ml < 60  # the larger lesion of the phantom has 38 ml
        assert (demo / "result.dcm").is_file()


def test_the_code_that_contributing_quotes_is_in_the_named_files() -> None:
    page = text("CONTRIBUTING.md")
    files = list(re.findall(r"\[\w+\.py\]\(([\w/.]+)\)", page.partition("## Example")[2]))
    sources = ["\n".join(map(str.strip, text(file).splitlines())) for file in files]

    quoted = code_blocks(REPOSITORY / "CONTRIBUTING.md", "python")

    assert len(quoted) == 4
    for block in quoted:
        code = "\n".join(map(str.strip, block.splitlines()))
        assert any(code in source for source in sources), block


def test_the_picture_of_the_layers_agrees_with_the_contract() -> None:
    (contract,) = re.findall(r"^layers = \[(.*?)\]", text("pyproject.toml"), flags=re.DOTALL | re.MULTILINE)
    layers = re.findall(r'"(\w+)"', contract)

    assert re.findall(r'font-weight="bold"[^>]*>([^<]+)<', text("docs/layers.svg")) == ["app, operators", *layers]


def test_every_option_is_documented() -> None:
    page = text("docs/command-line.md")

    for name in OPTIONS:
        assert f"`--{name}`" in page
        assert f"`{environment_variable(name)}`" in page


def test_every_repair_is_documented() -> None:
    for name in REPAIR_NAMES:
        assert f"`{name}`" in text("docs/reading-dicom.md")


def test_the_messages_in_the_table_of_rejected_series_are_those_of_the_code() -> None:
    section = text("docs/reading-dicom.md").partition("## Why was my series rejected?")[2].partition("## Repairs")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    modules = "".join(path.read_text() for path in (REPOSITORY / "clickseg/dicom").glob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", modules)  # a text over several lines

    fragments = [
        fragment.strip(" :,")
        for message in messages
        if "missing slice" not in message  # composed of counts; the example at the top of the page shows it
        for fragment in re.split(r"…|\([0-9A-Fx]{4},[0-9A-F]{4}\)", message)
        if not keyword_dict.get(fragment.strip(" :"))
    ]

    assert len(fragments) > 80
    assert [fragment for fragment in fragments if fragment not in code] == []


def test_every_field_of_a_model_package_is_documented() -> None:
    for name in {**ModelSpec.model_fields, **InputSpec.model_fields, **AlternativeSpec.model_fields}:
        assert f"`{name}`" in text("docs/model-packages.md")


def test_the_examples_of_a_crop_a_model_input_and_a_network_are_valid() -> None:
    crop, image, described, network = code_blocks(REPOSITORY / "docs/model-packages.md", "json")

    assert CropSpec.model_validate(json.loads(crop)).margin_vox == 10
    assert InputSpec.model_validate(json.loads(image)).modalities == ("PT", "CT", "MR")
    lengths = [match_specificity(entry["descriptions"], "Ax T1 MPRAGE POST") for entry in json.loads(described)]
    assert [InputSpec.model_validate(entry).name for entry in json.loads(described)] == ["T1c", "T1"]
    assert lengths == [10, 6]
    assert build_from_definition(json.loads(network), "network_def").num_depths == 2


def test_every_field_of_crop_and_postprocessing_is_documented() -> None:
    for name in {**CropSpec.model_fields, **PostprocessingSpec.model_fields}:
        assert f"| `{name}` |" in text("docs/model-packages.md")


def test_the_example_of_a_class_with_codes_is_valid() -> None:
    (example,) = code_blocks(REPOSITORY / "docs/from-nnunet.md", "json")

    assert ClassSpec.model_validate(json.loads(example)).name == "Splenic lesion"


@pytest.mark.parametrize("page", ["README.md", "docs/clicks.md"])
def test_the_examples_of_click_files_are_valid(page: str) -> None:
    (example,) = code_blocks(REPOSITORY / page, "json")

    assert parse_clicks_json(json.loads(example), page).points


def test_extras_and_requirements_have_the_same_pins() -> None:
    pinned = dict(re.findall(r'^    "([\w.-]+)==([\w.]+)"', text("pyproject.toml"), flags=re.MULTILINE))
    required = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text("requirements-cpu.txt"), flags=re.MULTILINE))

    assert set(pinned) == {"holoscan-cli", "holoscan-cu13", "monai-deploy-app-sdk", "nvidia-cuda-runtime"}
    assert pinned.items() <= required.items()


def test_the_changelog_has_a_section_for_this_version_or_the_next() -> None:
    assert re.search(rf"^## \[(Unreleased|{re.escape(__version__)})\]", text("CHANGELOG.md"), flags=re.MULTILINE)
