"""The Jobs for Kubernetes are valid by its schema, and each index of the indexed Job is one study."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from clickseg import __version__
from tests.helpers import phantoms, runs
from tests.helpers import workflow_definitions as definitions
from tests.helpers.workflow_definitions import DEPLOY

SCRIPT = DEPLOY / "kubernetes" / "many-studies" / "one-of-many.sh"
VERSIONS = ("1.31", "1.33")


def job() -> dict[str, Any]:
    return definitions.load_manifest("kubernetes/one-study/job.yaml")


def indexed_job() -> dict[str, Any]:
    merged: dict[str, Any] = definitions.apply_patch(
        job(), definitions.load_manifest("kubernetes/many-studies/indexed.yaml")
    )
    return merged


@pytest.fixture(scope="module")
def rendered() -> dict[str, dict[str, Any]]:
    """The manifests that Kustomize renders of the folder of many studies, by kind."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders kustomizations, is not installed")
    completed = subprocess.run(
        [kubectl, "kustomize", DEPLOY / "kubernetes" / "many-studies"], capture_output=True, text=True, check=True
    )
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(completed.stdout)}


def sort_content(content: Any) -> Any:
    """Sorts all keys and lists, because Kustomize uses another order."""
    if isinstance(content, dict):
        return {key: sort_content(content[key]) for key in sorted(content)}
    return sorted(map(sort_content, content), key=repr) if isinstance(content, list) else content


def test_kustomize_renders_a_valid_job_and_its_script(rendered: dict[str, dict[str, Any]]) -> None:
    assert [validation_error(rendered[kind], VERSIONS[0]) for kind in ("Job", "ConfigMap")] == [None, None]

    (volume,) = (item for item in rendered["Job"]["spec"]["template"]["spec"]["volumes"] if "configMap" in item)
    (container,) = rendered["Job"]["spec"]["template"]["spec"]["containers"]
    assert volume["configMap"]["name"] == rendered["ConfigMap"]["metadata"]["name"]
    assert rendered["ConfigMap"]["data"] == {SCRIPT.name: SCRIPT.read_text()}
    assert container["image"] == f"clickseg:{__version__}"


def test_kustomize_merges_like_these_tests(rendered: dict[str, dict[str, Any]]) -> None:
    expected, spec = indexed_job()["spec"], rendered["Job"]["spec"]
    expected["template"]["spec"]["containers"][0]["image"] = f"clickseg:{__version__}"
    for volume in expected["template"]["spec"]["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = rendered["ConfigMap"]["metadata"]["name"]

    assert sort_content(spec) == sort_content(expected)


def validation_error(manifest: dict[str, Any], version: str) -> str | None:
    """Returns the error that the published schema reports; None if the manifest is valid."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    try:
        validator.validate(manifest, version, strict=True)
    except validator.ValidationError as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [job, indexed_job])
def test_a_job_is_valid_by_the_published_schema(make: Any, version: str) -> None:
    assert validation_error(make(), version) is None


@pytest.mark.parametrize("edit", [{"completionMode": "Indexed", "complitions": 3}, {"parallelism": "two"}])
def test_the_schema_rejects_invalid_jobs(edit: dict[str, object]) -> None:
    invalid = job()
    invalid["spec"].update(edit)

    assert re.search(r"complitions|two", validation_error(invalid, VERSIONS[0]) or "")


def test_kustomizations_name_existing_files() -> None:
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        content = definitions.load_manifest(path)
        files = [*content["resources"], *(patch["path"] for patch in content.get("patches", ()))]
        files += [name for generator in content.get("configMapGenerator", ()) for name in generator["files"]]
        for name in files:
            assert (path.parent / name).exists(), (path, name)


@pytest.mark.parametrize("make", [job, indexed_job])
def test_a_pod_has_few_rights(make: Any) -> None:
    pod = make()["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}.items() >= {
        ("input", True),
        ("output", False),
        ("tmp", False),
    }


@pytest.mark.parametrize(("make", "action"), [(job, "FailJob"), (indexed_job, "FailIndex")])
def test_a_drained_node_is_not_a_failed_study(make: Any, action: str) -> None:
    """Kubernetes applies the first rule that matches, and an application that SIGTERM ends also exits with 1."""
    ignore_rule, fail_rule = make()["spec"]["podFailurePolicy"]["rules"]

    assert ignore_rule["action"] == "Ignore"
    assert ignore_rule["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert (fail_rule["action"], fail_rule["onExitCodes"]["values"]) == (action, [1, 2])


def test_the_indexed_job_continues_after_a_failed_study() -> None:
    spec = indexed_job()["spec"]

    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimitPerIndex"] == 1
    assert not {"backoffLimit", "activeDeadlineSeconds", "maxFailedIndexes"} & set(spec)
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == job()["spec"]["activeDeadlineSeconds"]


def run_index(studies: Path, results: Path, index: int, *command: object) -> subprocess.CompletedProcess[str]:
    """Runs one index as the pod does: with the command and environment of the container, this Python and checkout."""
    (container,) = indexed_job()["spec"]["template"]["spec"]["containers"]
    shell, script, python, app = container["command"]
    assert (Path(script).name, python, app) == (SCRIPT.name, "python3", "/opt/holoscan/app")
    paths = {"HOLOSCAN_INPUT_PATH": str(studies), "HOLOSCAN_OUTPUT_PATH": str(results)}
    environ = {**definitions.container_environment(container), **paths, "JOB_COMPLETION_INDEX": str(index)}
    environ["CLICKSEG_CACHE"] = str(results.parent / "cache")
    return runs.run_process([shell, SCRIPT, *(command or ("python", runs.REPOSITORY / "app"))], **environ)


@pytest.mark.slow
def test_each_index_is_a_study_and_a_failed_study_does_not_stop_the_others(tmp_path: Path) -> None:
    studies, results, models = tmp_path / "studies", tmp_path / "results", runs.write_model(tmp_path / "models")
    names = ["first study", "broken", "third"]
    for name in names:
        runs.write_input(studies / name, name=name)
    phantoms.change(studies / "broken" / "CT", lambda dataset: dataset.__delattr__("RescaleSlope"))
    (studies / "studies.txt").write_text("".join(f"{name}\n" for name in names))
    app = ("python", runs.REPOSITORY / "app", "-m", models)

    codes = [run_index(studies, results, index, *app).returncode for index in range(3)]

    assert codes == [0, 1, 0]
    status = {name: json.loads((results / name / "metadata.json").read_text())["status"] for name in names}
    assert status == {"first study": "success", "broken": "failure", "third": "success"}
    assert {name: len(list((results / name).glob("*.dcm"))) for name in names} == dict.fromkeys(names, 2) | {
        "broken": 0
    }


def test_studies_that_succeeded_are_skipped_and_failed_studies_run_again(tmp_path: Path) -> None:
    studies, results = tmp_path / "studies", tmp_path / "results"
    for name, status in (("done", "success"), ("half", "partial"), ("failed", "failure")):
        (studies / name).mkdir(parents=True)
        (results / name).mkdir(parents=True)
        (results / name / "metadata.json").write_text(json.dumps({"clickseg": "0.1.0", "status": status}, indent=2))
    (studies / "studies.txt").write_text("done\nhalf\nfailed\nnew\n")

    outputs = [run_index(studies, results, index, "printenv", "HOLOSCAN_OUTPUT_PATH").stdout for index in range(4)]

    assert outputs == [
        "done: skipped, already segmented\n",
        *(f"{results / name}\n" for name in ("half", "failed", "new")),
    ]


@pytest.mark.parametrize("line", ["", "..", "../../etc", "a/../..", "."])
def test_a_line_without_the_name_of_a_folder_below_is_rejected(tmp_path: Path, line: str) -> None:
    (tmp_path / "studies.txt").write_text(line + "\n")

    ended = run_index(tmp_path, tmp_path / "out", 0, "false")

    assert ended.returncode == 2
    assert "is not the name of a folder below" in ended.stderr


def test_an_index_beyond_the_last_line_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "studies.txt").write_text("a\n")

    assert run_index(tmp_path, tmp_path / "out", 1, "true").returncode == 2


def test_the_script_is_replaced_by_the_application(tmp_path: Path) -> None:
    (tmp_path / "studies.txt").write_text("a\n")

    ended = run_index(tmp_path, tmp_path / "out", 0, "sh", "-c", "exit 7")

    assert ended.returncode == 7
    assert "exec " in SCRIPT.read_text().splitlines()[-1]
    assert os.access(SCRIPT, os.R_OK)
