"""The Jobs for Kubernetes are valid by its schema, and each index of the indexed one is a study of its own."""

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
    return definitions.manifest("kubernetes/one-study/job.yaml")


def indexed_job() -> dict[str, Any]:
    found: dict[str, Any] = definitions.merged(job(), definitions.manifest("kubernetes/many-studies/indexed.yaml"))
    return found


@pytest.fixture(scope="module")
def rendered() -> dict[str, dict[str, Any]]:
    """What Kustomize makes of the folder of many studies, by kind."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders kustomizations, is not installed")
    told = subprocess.run(
        [kubectl, "kustomize", DEPLOY / "kubernetes" / "many-studies"], capture_output=True, text=True, check=True
    )
    return {each["kind"]: each for each in yaml.safe_load_all(told.stdout)}


def sorted_by_name(content: Any) -> Any:
    """The same in one order; Kustomize has its own."""
    if isinstance(content, dict):
        return {key: sorted_by_name(content[key]) for key in sorted(content)}
    return sorted(map(sorted_by_name, content), key=repr) if isinstance(content, list) else content


def test_kustomize_renders_a_valid_job_and_its_script(rendered: dict[str, dict[str, Any]]) -> None:
    assert [problem_of(rendered[kind], VERSIONS[0]) for kind in ("Job", "ConfigMap")] == [None, None]

    (volume,) = (each for each in rendered["Job"]["spec"]["template"]["spec"]["volumes"] if "configMap" in each)
    (container,) = rendered["Job"]["spec"]["template"]["spec"]["containers"]
    assert volume["configMap"]["name"] == rendered["ConfigMap"]["metadata"]["name"]
    assert rendered["ConfigMap"]["data"] == {SCRIPT.name: SCRIPT.read_text()}
    assert container["image"] == f"clickseg:{__version__}"


def test_kustomize_merges_as_these_tests_do(rendered: dict[str, dict[str, Any]]) -> None:
    expected, found = indexed_job()["spec"], rendered["Job"]["spec"]
    expected["template"]["spec"]["containers"][0]["image"] = f"clickseg:{__version__}"
    for each in expected["template"]["spec"]["volumes"]:
        if "configMap" in each:
            each["configMap"]["name"] = rendered["ConfigMap"]["metadata"]["name"]

    assert sorted_by_name(found) == sorted_by_name(expected)


def problem_of(manifest: dict[str, Any], version: str) -> str | None:
    """What the published schema finds wrong."""
    judge = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    try:
        judge.validate(manifest, version, strict=True)
    except judge.ValidationError as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", [job, indexed_job])
def test_a_job_is_valid_by_the_published_schema(make: Any, version: str) -> None:
    assert problem_of(make(), version) is None


@pytest.mark.parametrize("edit", [{"completionMode": "Indexed", "complitions": 3}, {"parallelism": "two"}])
def test_the_schema_refuses_what_is_none(edit: dict[str, object]) -> None:
    broken = job()
    broken["spec"].update(edit)

    assert re.search(r"complitions|two", problem_of(broken, VERSIONS[0]) or "")


def test_kustomizations_name_files_that_there_are() -> None:
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        content = definitions.manifest(path)
        files = [*content["resources"], *(patch["path"] for patch in content.get("patches", ()))]
        files += [name for each in content.get("configMapGenerator", ()) for name in each["files"]]
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
    assert {each["name"]: each.get("readOnly", False) for each in container["volumeMounts"]}.items() >= {
        ("input", True),
        ("output", False),
        ("tmp", False),
    }


@pytest.mark.parametrize(("make", "action"), [(job, "FailJob"), (indexed_job, "FailIndex")])
def test_a_drained_node_does_not_count_as_a_failed_study(make: Any, action: str) -> None:
    """The first rule that fits counts, and an application that is ended by SIGTERM exits with 1 too."""
    ignored, failed = make()["spec"]["podFailurePolicy"]["rules"]

    assert ignored["action"] == "Ignore"
    assert ignored["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert (failed["action"], failed["onExitCodes"]["values"]) == (action, [1, 2])


def test_the_indexed_job_does_not_give_up_after_a_failed_study() -> None:
    spec = indexed_job()["spec"]

    assert spec["completionMode"] == "Indexed"
    assert spec["backoffLimitPerIndex"] == 1
    assert not {"backoffLimit", "activeDeadlineSeconds", "maxFailedIndexes"} & set(spec)
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == job()["spec"]["activeDeadlineSeconds"]


def indexed_run(studies: Path, results: Path, index: int, *command: object) -> subprocess.CompletedProcess[str]:
    """Runs one index as the pod does: the container's own command and environment, this Python and this checkout."""
    (container,) = indexed_job()["spec"]["template"]["spec"]["containers"]
    shell, script, python, app = container["command"]
    assert (Path(script).name, python, app) == (SCRIPT.name, "python3", "/opt/holoscan/app")
    paths = {"HOLOSCAN_INPUT_PATH": str(studies), "HOLOSCAN_OUTPUT_PATH": str(results)}
    environ = {**definitions.environment_of(container), **paths, "JOB_COMPLETION_INDEX": str(index)}
    environ["CLICKSEG_CACHE"] = str(results.parent / "cache")
    return runs.process([shell, SCRIPT, *(command or ("python", runs.REPOSITORY / "app"))], **environ)


@pytest.mark.slow
def test_each_index_is_a_study_and_a_failed_one_stops_no_other(tmp_path: Path) -> None:
    studies, results, models = tmp_path / "studies", tmp_path / "results", runs.write_model(tmp_path / "models")
    names = ["first study", "broken", "third"]
    for name in names:
        runs.write_input(studies / name, name=name)
    phantoms.change(studies / "broken" / "CT", lambda dataset: dataset.__delattr__("RescaleSlope"))
    (studies / "studies.txt").write_text("".join(f"{name}\n" for name in names))
    app = ("python", runs.REPOSITORY / "app", "-m", models)

    codes = [indexed_run(studies, results, index, *app).returncode for index in range(3)]

    assert codes == [0, 1, 0]
    status = {name: json.loads((results / name / "metadata.json").read_text())["status"] for name in names}
    assert status == {"first study": "success", "broken": "failure", "third": "success"}
    assert {name: len(list((results / name).glob("*.dcm"))) for name in names} == dict.fromkeys(names, 2) | {
        "broken": 0
    }


def test_a_study_that_succeeded_before_is_not_run_again_and_one_that_failed_is(tmp_path: Path) -> None:
    studies, results = tmp_path / "studies", tmp_path / "results"
    for name, status in (("done", "success"), ("half", "partial"), ("failed", "failure")):
        (studies / name).mkdir(parents=True)
        (results / name).mkdir(parents=True)
        (results / name / "metadata.json").write_text(json.dumps({"clickseg": "0.1.0", "status": status}, indent=2))
    (studies / "studies.txt").write_text("done\nhalf\nfailed\nnew\n")

    told = [indexed_run(studies, results, index, "printenv", "HOLOSCAN_OUTPUT_PATH").stdout for index in range(4)]

    assert told == ["done: done before\n", *(f"{results / name}\n" for name in ("half", "failed", "new"))]


@pytest.mark.parametrize("line", ["", "..", "../../etc", "a/../..", "."])
def test_a_line_that_names_no_folder_below_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "studies.txt").write_text(line + "\n")

    ended = indexed_run(tmp_path, tmp_path / "out", 0, "false")

    assert ended.returncode == 2
    assert "names no folder below it" in ended.stderr


def test_a_line_beyond_the_last_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies.txt").write_text("a\n")

    assert indexed_run(tmp_path, tmp_path / "out", 1, "true").returncode == 2


def test_the_script_hands_signals_and_exit_codes_to_the_application(tmp_path: Path) -> None:
    (tmp_path / "studies.txt").write_text("a\n")

    ended = indexed_run(tmp_path, tmp_path / "out", 0, "sh", "-c", "exit 7")

    assert ended.returncode == 7
    assert "exec " in SCRIPT.read_text().splitlines()[-1]
    assert os.access(SCRIPT, os.R_OK)
