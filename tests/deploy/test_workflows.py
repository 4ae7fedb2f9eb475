"""The definitions for MONAI Deploy Workflow Manager and Argo are valid, and agree with each other."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from clickseg import __version__
from clickseg.batch.metadata import METADATA_VARIABLE, run_metadata
from clickseg.cli.run_options import OPTIONS
from clickseg.core.options import environment_variable
from clickseg.dicom.codes import IMAGE_SOP_CLASSES, SEGMENTATION_SOP_CLASSES
from tests.helpers import workflow_contracts as contracts
from tests.helpers import workflow_definitions as definitions
from tests.helpers.runs import REPOSITORY
from tests.helpers.workflow_definitions import ARGO, DEPLOY, DOCKER, REVIEW, WORKFLOWS

HOLOSCAN_VARIABLES = {"HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH", "HOLOSCAN_MODEL_PATH", "HOLOSCAN_WORKDIR"}
APPLICATION_VARIABLES = (
    {environment_variable(name) for name in OPTIONS}
    | HOLOSCAN_VARIABLES
    | {METADATA_VARIABLE, "CLICKSEG_MODELS", "SOURCE_DATE_EPOCH"}
)


def environments() -> dict[str, dict[str, str]]:
    (segment,) = contracts.tasks_of(definitions.load_workflow(DOCKER), "docker")
    return {
        "docker": contracts.docker_environment(segment["args"]),
        "argo": definitions.container_environment(definitions.template_container()),
        "kubernetes": definitions.container_environment(definitions.job_container()),
    }


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflow_manager_accepts_each_definition(name: str) -> None:
    assert contracts.find_problems(definitions.load_workflow(name)) == []


def change_value(workflow: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    """Returns a definition with one changed value; None removes the value."""
    changed = copy.deepcopy(workflow)
    *parents, last = path
    parent: Any = changed
    for key in parents:
        parent = parent[key]
    if value is None:
        del parent[last]
    else:
        parent[last] = value
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
def test_invalid_definitions_are_detected(name: str, path: tuple[str | int, ...], value: object) -> None:
    assert contracts.find_problems(change_value(definitions.load_workflow(name), *path, value=value))


def test_no_argument_for_the_docker_plug_in_contains_a_comma() -> None:
    """The plug-in splits entrypoint and command at commas, so each part must be one argument."""
    (segment,) = contracts.tasks_of(definitions.load_workflow(DOCKER), "docker")

    command = contracts.docker_command(segment["args"])

    assert command == ["timeout", "--signal=TERM", "--kill-after=20", "1500", "python3", "/opt/holoscan/app"]


def test_the_time_limit_of_the_application_is_below_those_of_the_plug_ins() -> None:
    """The docker plug-in kills without a warning, so the application could not report an error."""
    (segment,) = contracts.tasks_of(definitions.load_workflow(DOCKER), "docker")
    application_s = int(contracts.docker_command(segment["args"])[3])
    template_s = definitions.load_manifest("aide/workflow-template.yaml")["spec"]["activeDeadlineSeconds"]

    assert application_s + 60 <= int(segment["args"]["task_timeout_minutes"]) * 60 <= segment["timeout_minutes"] * 60
    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.load_workflow(name), "argo")
        assert template_s + 60 <= task["timeout_minutes"] * 60


def test_the_application_reads_each_variable_that_is_set() -> None:
    for name, environ in environments().items():
        assert set(environ) <= APPLICATION_VARIABLES, name


def test_paths_and_metadata_are_the_same_everywhere() -> None:
    for environ in environments().values():
        assert environ["HOLOSCAN_INPUT_PATH"] == "/var/holoscan/input"
        assert environ["HOLOSCAN_OUTPUT_PATH"] == "/var/holoscan/output"
        assert environ[METADATA_VARIABLE] == "1"


def test_the_workflows_name_the_argo_template() -> None:
    template = definitions.load_manifest("aide/workflow-template.yaml")
    (entry,) = contracts.argo_templates(template)
    paths = {
        artifact["name"]: artifact["path"]
        for artifact in (*entry["inputs"]["artifacts"], *entry["outputs"]["artifacts"])
    }
    environ = definitions.container_environment(entry["container"])

    assert paths == {"input": environ["HOLOSCAN_INPUT_PATH"], "output": environ["HOLOSCAN_OUTPUT_PATH"]}
    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.load_workflow(name), "argo")
        assert task["args"]["workflow_template_name"] == template["metadata"]["name"]
        names = {artifact["name"] for kind in ("input", "output") for artifact in task["artifacts"][kind]}
        assert names == set(paths)


def test_output_and_cache_of_argo_are_on_volumes_because_the_root_is_read_only() -> None:
    container = definitions.template_container()
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in definitions.load_manifest("aide/workflow-template.yaml")["spec"]["volumes"]}

    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert set(mounts) == {"/var/holoscan/output", "/tmp"}  # noqa: S108
    assert set(mounts.values()) == volumes
    assert definitions.container_environment(container)["CLICKSEG_CACHE"].startswith("/tmp/")  # noqa: S108


def test_the_types_of_argo_accept_the_template() -> None:
    models = pytest.importorskip("hera.workflows.models", reason="hera is not installed (requirements-dev.txt)")
    content = definitions.load_manifest("aide/workflow-template.yaml")

    template = models.WorkflowTemplate.model_validate(content)

    dumped = json.loads(template.model_dump_json(exclude_none=True, by_alias=True))
    assert collect_keys(content) <= collect_keys(dumped)  # the types drop unknown keys


def collect_keys(content: object) -> set[str]:
    """Returns all keys of a document, normalized, because the types spell them differently."""
    if isinstance(content, dict):
        keys = {re.sub("_", "", key).lower() for key in content}
        return keys.union(*(collect_keys(value) for value in content.values()))
    return set().union(*(collect_keys(item) for item in content)) if isinstance(content, list) else set()


def test_the_workflows_for_argo_have_different_ae_titles() -> None:
    titles = [definitions.load_workflow(name)["informatics_gateway"]["ae_title"] for name in (ARGO, REVIEW)]

    assert len(set(titles)) == 2


def test_conditions_use_keys_and_values_of_metadata() -> None:
    entry = {"series_instance_uid": "1.2", "modality": "PT", "files": {"sr": "a.dcm"}, "segments": []}
    metadata = run_metadata([entry])

    for name in (ARGO, REVIEW):
        (task,) = contracts.tasks_of(definitions.load_workflow(name), "argo")
        (condition,) = task["task_destinations"][0]["conditions"]
        match = re.fullmatch(r"\{\{ context\.executions\.(\w+)\.result\.(\w+) \}\} == '(\w+)'", condition)
        assert match is not None
        assert match[1] == task["id"]
        assert metadata[match[2]] == match[3]


def test_the_gateway_accepts_images_segmentations_and_reports() -> None:
    entity = definitions.load_workflow("application-entity")
    reports = {
        f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (22, 33, 34)
    }  # Enhanced, Comprehensive, Comprehensive 3D

    assert entity["aeTitle"] == definitions.load_workflow(ARGO)["informatics_gateway"]["ae_title"]
    assert entity["grouping"] == "0020,000D"
    assert (
        set(entity["allowedSopClasses"]) == {str(uid) for uid in IMAGE_SOP_CLASSES | SEGMENTATION_SOP_CLASSES} | reports
    )


def test_all_versions_are_that_of_the_application() -> None:
    (segment,) = contracts.tasks_of(definitions.load_workflow(DOCKER), "docker")
    (review,) = contracts.tasks_of(definitions.load_workflow(REVIEW), "aide_clinical_review")
    (image,) = definitions.load_manifest("kubernetes/one-study/kustomization.yaml")["images"]

    assert {definitions.load_workflow(name)["version"] for name in WORKFLOWS} == {__version__}
    assert review["args"]["application_version"] == __version__
    assert segment["args"]["container_image"] == f"clickseg:{__version__}"
    assert definitions.template_container()["image"] == f"clickseg:{__version__}"
    assert (image["name"], image["newTag"]) == ("clickseg", __version__)
    assert definitions.job_container()["image"] == "clickseg"


def gibibytes(quantity: str) -> float:
    match = re.fullmatch(r"(\d+)(Gi|Mi|G)", quantity)
    assert match is not None
    return int(match[1]) * {"Gi": 1.0, "Mi": 1 / 1024, "G": 1.0}[match[2]]


def test_the_requested_memory_is_above_the_measured_peak() -> None:
    """The largest peak of memory_growth in benchmarks/README.md is below the request."""
    table = (REPOSITORY / "benchmarks" / "README.md").read_text().split("## `memory_growth`")[1].split("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| \d+ \|", line)]
    peak_gb = max(float(row[4]) for row in rows)

    assert len(rows) >= 7
    for container in (definitions.template_container(), definitions.job_container()):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert peak_gb * 1e9 / 2**30 <= gibibytes(requests["memory"]) <= gibibytes(limits["memory"])
        assert int(requests["cpu"]) <= int(limits["cpu"])
    assert gibibytes(environments()["docker"]["CLICKSEG_MEMORY_LIMIT"]) <= gibibytes(limits["memory"])


def test_a_readme_names_each_file_of_deploy() -> None:
    pages = {page.parent: page.read_text() for page in DEPLOY.rglob("README.md")}

    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name not in ("README.md", "kustomization.yaml"):
            page = next(pages[folder] for folder in path.parents if folder in pages)
            assert path.name in page or f"{path.parent.name}/" in page, path
