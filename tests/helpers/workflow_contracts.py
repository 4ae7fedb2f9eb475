"""What MONAI Deploy's services require of a workflow definition, by their source.

The Workflow Manager's WorkflowValidator refuses definitions; the task plug-ins' Keys and ValidateEvent refuse tasks
(Project-MONAI/monai-deploy-workflow-manager, develop branch of 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Object: TypeAlias = Mapping[str, Any]

_TYPES = {"argo", "aide_clinical_review", "router", "export", "docker", "email", "remote_app_execution", "export_hl7"}
_REQUIRED_ARGS = {
    "docker": {"server_url", "entrypoint", "command", "container_image", "temp_storage_container_path"},
    "argo": {"workflow_template_name"},
    "aide_clinical_review": {
        "reviewed_task_id",
        "application_name",
        "application_version",
        "mode",
        "notifications",
    },
}
_ARGO_ARGS = {"workflow_template_name", "priority", "cpu", "memory_gb", "gpu_required"}
_REVIEWABLE = {"argo", "remote_app_execution"}
_REFERENCE = re.compile(r"\{\{\s*context\.executions\.([\w-]+)\.artifacts\.([\w-]+)\s*\}\}")
INPUT = "{{ context.input.dicom }}"


def problems(workflow: Object) -> list[str]:
    """What a Workflow Manager and its task plug-ins would refuse in a definition, or fail at."""
    return [*_of_workflow(workflow), *(each for task in workflow["tasks"] for each in _of_task(task, workflow))]


def tasks_of(workflow: Object, kind: str) -> list[Object]:
    return [task for task in workflow["tasks"] if task["type"] == kind]


def docker_environment(args: Object) -> dict[str, str]:
    """The environment that the docker plug-in gives a container: what begins with ``env_``."""
    return {name.replace("env_", ""): value for name, value in args.items() if name.startswith("env_")}


def docker_command(args: Object) -> list[str]:
    """The words that the docker plug-in starts: entrypoint and command, split at every comma."""
    return [*args["entrypoint"].split(","), *args["command"].split(",")]


def _of_workflow(workflow: Object) -> Iterator[str]:
    gateway, tasks = workflow["informatics_gateway"], workflow["tasks"]
    if not workflow["name"].strip() or not workflow["version"].strip():
        yield "a workflow has a name and a version"
    if not 0 < len(gateway["ae_title"].strip()) <= 15:
        yield "an AE title has at most 15 characters"
    ids = [task["id"] for task in tasks]
    if len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-zA-Z0-9_-]+", each) for each in ids):
        yield "task ids differ, and are letters, digits, - and _"
    destinations = [each["name"] for task in tasks for each in task.get("task_destinations", ())]
    if sorted(destinations) != sorted(ids[1:]):
        yield "every task but the first is the destination of exactly one other"


def _of_task(task: Object, workflow: Object) -> Iterator[str]:
    name, args = task["id"], task.get("args", {})
    if task["type"] not in _TYPES:
        yield f"{name}: a type that there is not"
        return
    if not all(isinstance(value, str) for value in args.values()):
        yield f"{name}: arguments are strings"
    if missing := _REQUIRED_ARGS.get(task["type"], set()) - set(args):
        yield f"{name}: arguments are missing: {missing}"
        return
    yield from _of_artifacts(task, workflow)
    yield from {"docker": _of_docker, "argo": _of_argo, "export": _of_export, "aide_clinical_review": _of_review}[
        task["type"]
    ](task, workflow)


def _of_artifacts(task: Object, workflow: Object) -> Iterator[str]:
    inputs, outputs = task["artifacts"]["input"], task["artifacts"].get("output", [])
    if not inputs or not all(each.get("name") and each.get("value") for each in inputs):
        yield f"{task['id']}: inputs have names and values"
    if len({each["name"] for each in outputs}) < len(outputs):
        yield f"{task['id']}: outputs have different names"
    made = {(each["id"], out["name"]) for each in workflow["tasks"] for out in each["artifacts"].get("output", [])}
    for each in inputs:
        found = _REFERENCE.fullmatch(each["value"])
        if each["value"] != INPUT and (found is None or (found[1], found[2]) not in made):
            yield f"{task['id']}: no task makes {each['value']}"


def _of_docker(task: Object, _: Object) -> Iterator[str]:
    args, artifacts = task["args"], task["artifacts"]
    for each in [*artifacts["input"], *artifacts["output"]]:
        if not args.get(each["name"], "").startswith("/"):
            yield f"{task['id']}: artifact {each['name']} is no argument with a mount point"
    if not urlsplit(args["server_url"]).scheme:
        yield f"{task['id']}: server_url is a URL"
    if not args.get("task_timeout_minutes", "").isdecimal():
        yield f"{task['id']}: the plug-in's own limit of 5 minutes is too short"
    if "user" not in args:
        yield f"{task['id']}: without a user its folders belong to root, and the image's user cannot write there"


def _of_argo(task: Object, _: Object) -> Iterator[str]:
    if unknown := set(task["args"]) - _ARGO_ARGS:
        yield f"{task['id']}: arguments that are refused: {unknown}"


def _of_export(task: Object, workflow: Object) -> Iterator[str]:
    names = [each["name"] for each in task["export_destinations"]]
    known = workflow["informatics_gateway"]["export_destinations"]
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        yield f"{task['id']}: destinations are those of the informatics gateway"
    if task["artifacts"].get("output"):
        yield f"{task['id']}: an export has no output"


def _of_review(task: Object, workflow: Object) -> Iterator[str]:
    args = task["args"]
    reviewed = [each for each in workflow["tasks"] if each["id"] == args["reviewed_task_id"]]
    if not reviewed or reviewed[0]["type"] not in _REVIEWABLE:
        yield f"{task['id']}: only an Argo task can be reviewed"
    if args["mode"].lower() not in ("qa", "research", "clinical") or args["notifications"] not in ("true", "false"):
        yield f"{task['id']}: mode or notifications"
    for each in task["artifacts"]["input"]:
        found = _REFERENCE.fullmatch(each["value"])
        if found is not None and found[1] != args["reviewed_task_id"]:
            yield f"{task['id']}: it is given artifacts of a task that it does not review"


def argo_templates(template: Object) -> Sequence[Object]:
    """The templates that the Argo plug-in copies: the entrypoint, and here it has no steps that would name others."""
    (entry,) = [each for each in template["spec"]["templates"] if each["name"] == template["spec"]["entrypoint"]]
    assert "steps" not in entry
    assert "dag" not in entry
    return [entry]
