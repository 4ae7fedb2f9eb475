"""The definitions for MONAI Deploy Workflow Manager and Argo are what these take, and agree with each other."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from clickseg import __version__
from clickseg.batch.metadata import VARIABLE, run_metadata
from clickseg.cli.parser import OPTIONS
from clickseg.core.options import variable
from clickseg.dicom.codes import IMAGES, SEGMENTATIONS
from tests.helpers import workflow_contracts as contracts
from tests.helpers import workflow_definitions as definitions
from tests.helpers.runs import REPOSITORY
from tests.helpers.workflow_definitions import ARGO, DEPLOY, DOCKER, REVIEW, WORKFLOWS

HOLOSCAN = {"HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH", "HOLOSCAN_MODEL_PATH", "HOLOSCAN_WORKDIR"}
READ = {variable(name) for name in OPTIONS} | HOLOSCAN | {VARIABLE, "CLICKSEG_MODELS", "SOURCE_DATE_EPOCH"}


def environments() -> dict[str, dict[str, str]]:
    (segment,) = contracts.tasks_of(definitions.workflow(DOCKER), "docker")
    return {
        "docker": contracts.docker_environment(segment["args"]),
        "argo": definitions.environment_of(definitions.template_container()),
        "kubernetes": definitions.environment_of(definitions.job_container()),
    }


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_manager_takes_each_definition(name: str) -> None:
    assert contracts.problems(definitions.workflow(name)) == []


def broken(workflow: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    """A definition with one value changed, or removed where it is None."""
    changed = copy.deepcopy(workflow)
    *parents, last = path
    place: Any = changed
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        (DOCKER, ("informatics_gateway", "ae_title"), "SIXTEEN-LETTERS-"),
        (DOCKER, ("tasks", 0, "args", "entrypoint"), None),
        (DOCKER, ("tasks", 0, "args", "env_HOLOSCAN_INPUT_PATH"), None),
        (DOCKER, ("tasks", 0, "args", "user"), None),
        (DOCKER, ("tasks", 0, "args", "always_pull"), False),
        (DOCKER, ("tasks", 0, "task_destinations"), []),
        (DOCKER, ("tasks", 1, "artifacts", "input", 0, "value"), "{{ context.executions.segment.artifacts.other }}"),
        (DOCKER, ("tasks", 1, "export_destinations", 0, "name"), "ELSEWHERE"),
        (DOCKER, ("tasks", 1, "type"), "exprot"),
        (ARGO, ("tasks", 0, "args", "namespace"), "argo"),
        (ARGO, ("tasks", 0, "id"), "seg ment"),
        (REVIEW, ("tasks", 1, "args", "reviewed_task_id"), "export"),
        (REVIEW, ("tasks", 1, "args", "mode"), "Production"),
    ],
)
def test_the_checker_sees_what_would_be_refused(name: str, path: tuple[str | int, ...], value: object) -> None:
    assert contracts.problems(broken(definitions.workflow(name), *path, value=value))


def test_no_argument_of_the_docker_plug_in_needs_a_comma() -> None:
    """It splits entrypoint and command at commas, so each word must be one that a shell would have given."""
    (segment,) = contracts.tasks_of(definitions.workflow(DOCKER), "docker")

    words = contracts.docker_command(segment["args"])

    assert words == ["timeout", "--signal=TERM", "--kill-after=20", "1500", "python3", "/opt/holoscan/app"]


def test_the_application_ends_itself_before_the_plug_ins_do() -> None:
    """The docker plug-in kills without a warning, so that nothing could be said any more."""
    (segment,) = contracts.tasks_of(definitions.workflow(DOCKER), "docker")
    own_s = int(contracts.docker_command(segment["args"])[3])
    template_s = definitions.manifest("aide/workflow-template.yaml")["spec"]["activeDeadlineSeconds"]

    assert own_s + 60 <= int(segment["args"]["task_timeout_minutes"]) * 60 <= segment["timeout_minutes"] * 60
    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.workflow(name), "argo")
        assert template_s + 60 <= task["timeout_minutes"] * 60


def test_every_variable_that_is_set_is_one_that_the_application_reads() -> None:
    for name, environ in environments().items():
        assert set(environ) <= READ, name


def test_paths_and_metadata_are_the_same_everywhere() -> None:
    for environ in environments().values():
        assert environ["HOLOSCAN_INPUT_PATH"] == "/var/holoscan/input"
        assert environ["HOLOSCAN_OUTPUT_PATH"] == "/var/holoscan/output"
        assert environ[VARIABLE] == "1"


def test_the_argo_template_is_the_one_that_the_workflows_name() -> None:
    template = definitions.manifest("aide/workflow-template.yaml")
    (entry,) = contracts.argo_templates(template)
    paths = {each["name"]: each["path"] for each in (*entry["inputs"]["artifacts"], *entry["outputs"]["artifacts"])}
    environ = definitions.environment_of(entry["container"])

    assert paths == {"input": environ["HOLOSCAN_INPUT_PATH"], "output": environ["HOLOSCAN_OUTPUT_PATH"]}
    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.workflow(name), "argo")
        assert task["args"]["workflow_template_name"] == template["metadata"]["name"]
        assert {each["name"] for kind in ("input", "output") for each in task["artifacts"][kind]} == set(paths)


def test_what_argo_stores_and_caches_lies_on_volumes_since_the_root_is_read_only() -> None:
    container = definitions.template_container()
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"] for each in definitions.manifest("aide/workflow-template.yaml")["spec"]["volumes"]}

    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert set(mounts) == {"/var/holoscan/output", "/tmp"}  # noqa: S108
    assert set(mounts.values()) == volumes
    assert definitions.environment_of(container)["CLICKSEG_CACHE"].startswith("/tmp/")  # noqa: S108


def test_argo_takes_the_template() -> None:
    models = pytest.importorskip("hera.workflows.models", reason="hera is not installed (requirements-dev.txt)")
    content = definitions.manifest("aide/workflow-template.yaml")

    read = models.WorkflowTemplate.model_validate(content)

    written = json.loads(read.model_dump_json(exclude_none=True, by_alias=True))
    assert names_of(content) <= names_of(written)  # a key that Argo does not know would have been dropped


def names_of(content: object) -> set[str]:
    """All keys of a document; models may name them in their own way."""
    if isinstance(content, dict):
        found = {re.sub("_", "", key).lower() for key in content}
        return found.union(*(names_of(value) for value in content.values()))
    return set().union(*(names_of(each) for each in content)) if isinstance(content, list) else set()


def test_two_workflows_do_not_listen_to_one_ae_title_at_a_site_with_argo() -> None:
    titles = [definitions.workflow(name)["informatics_gateway"]["ae_title"] for name in (ARGO, REVIEW)]

    assert len(set(titles)) == 2


def test_conditions_ask_for_what_metadata_says() -> None:
    entry = {"series_instance_uid": "1.2", "modality": "PT", "files": {"sr": "a.dcm"}, "segments": []}
    known = run_metadata([entry])

    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.workflow(name), "argo")
        (condition,) = task["task_destinations"][0]["conditions"]
        found = re.fullmatch(r"\{\{ context\.executions\.(\w+)\.result\.(\w+) \}\} == '(\w+)'", condition)
        assert found is not None
        assert found[1] == task["id"]
        assert known[found[2]] == found[3]


def test_the_gateway_lets_in_what_the_application_reads_and_reports_with_clicks() -> None:
    entity = definitions.workflow("application-entity")
    reports = {
        f"1.2.840.10008.5.1.4.1.1.88.{each}" for each in (22, 33, 34)
    }  # Enhanced, Comprehensive, Comprehensive 3D

    assert entity["aeTitle"] == definitions.workflow(ARGO)["informatics_gateway"]["ae_title"]
    assert entity["grouping"] == "0020,000D"
    assert set(entity["allowedSopClasses"]) == {str(uid) for uid in IMAGES | SEGMENTATIONS} | reports


def test_every_version_is_that_of_the_application() -> None:
    (segment,) = contracts.tasks_of(definitions.workflow(DOCKER), "docker")
    (review,) = contracts.tasks_of(definitions.workflow(REVIEW), "aide_clinical_review")
    (image,) = definitions.manifest("kubernetes/one-study/kustomization.yaml")["images"]

    assert {definitions.workflow(name)["version"] for name in WORKFLOWS} == {__version__}
    assert review["args"]["application_version"] == __version__
    assert segment["args"]["container_image"] == f"clickseg:{__version__}"
    assert definitions.template_container()["image"] == f"clickseg:{__version__}"
    assert (image["name"], image["newTag"]) == ("clickseg", __version__)
    assert definitions.job_container()["image"] == "clickseg"


def gibibytes(quantity: str) -> float:
    found = re.fullmatch(r"(\d+)(Gi|Mi|G)", quantity)
    assert found is not None
    return int(found[1]) * {"Gi": 1.0, "Mi": 1 / 1024, "G": 1.0}[found[2]]


def test_resources_are_enough_for_what_was_measured() -> None:
    """The largest peak of memory_growth in benchmarks/README.md fits into the request."""
    table = (REPOSITORY / "benchmarks" / "README.md").read_text().split("## `memory_growth`")[1].split("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| \d+ \|", line)]
    peak_gb = max(float(row[4]) for row in rows)

    assert len(rows) >= 7
    for container in (definitions.template_container(), definitions.job_container()):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert peak_gb * 1e9 / 2**30 <= gibibytes(requests["memory"]) <= gibibytes(limits["memory"])
        assert int(requests["cpu"]) <= int(limits["cpu"])
    assert gibibytes(environments()["docker"]["CLICKSEG_MEMORY_LIMIT"]) <= gibibytes(limits["memory"])


def test_every_file_of_deploy_is_named_in_a_readme() -> None:
    pages = {page.parent: page.read_text() for page in DEPLOY.rglob("README.md")}

    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name not in ("README.md", "kustomization.yaml"):
            page = next(pages[folder] for folder in path.parents if folder in pages)
            assert path.name in page or f"{path.parent.name}/" in page, path
