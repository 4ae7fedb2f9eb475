"""The requirements of MONAI Deploy's services for a workflow definition, from their source code.

WorkflowValidator of the Workflow Manager rejects definitions. Keys and ValidateEvent of the task plug-ins reject tasks
(Project-MONAI/monai-deploy-workflow-manager, develop branch of 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

JsonObject: TypeAlias = Mapping[str, Any]

_TASK_TYPES = {
    "argo",
    "aide_clinical_review",
    "router",
    "export",
    "docker",
    "email",
    "remote_app_execution",
    "export_hl7",
}
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
_REVIEWABLE_TASK_TYPES = {"argo", "remote_app_execution"}
_ARTIFACT_REFERENCE = re.compile(r"\{\{\s*context\.executions\.([\w-]+)\.artifacts\.([\w-]+)\s*\}\}")
_STUDY_INPUT = "{{ context.input.dicom }}"


def find_problems(workflow: JsonObject) -> list[str]:
    """Returns the reasons for which the Workflow Manager or a task plug-in would reject a definition, or fail."""
    return [
        *_check_workflow(workflow),
        *(problem for task in workflow["tasks"] for problem in _check_task(task, workflow)),
    ]


def tasks_of(workflow: JsonObject, kind: str) -> list[JsonObject]:
    return [task for task in workflow["tasks"] if task["type"] == kind]


def docker_environment(args: JsonObject) -> dict[str, str]:
    """Returns the environment variables that the docker plug-in sets: those of arguments that begin with ``env_``."""
    return {name.replace("env_", ""): value for name, value in args.items() if name.startswith("env_")}


def docker_command(args: JsonObject) -> list[str]:
    """Returns the command that the docker plug-in runs: entrypoint and command, split at each comma."""
    return [*args["entrypoint"].split(","), *args["command"].split(",")]


def _check_workflow(workflow: JsonObject) -> Iterator[str]:
    gateway, tasks = workflow["informatics_gateway"], workflow["tasks"]
    if not workflow["name"].strip() or not workflow["version"].strip():
        yield "expected a name and a version"
    if not 0 < len(gateway["ae_title"].strip()) <= 15:
        yield "expected an AE title of 1 to 15 characters"
    ids = [task["id"] for task in tasks]
    if len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-zA-Z0-9_-]+", task_id) for task_id in ids):
        yield "expected different task ids of letters, digits, - and _"
    destinations = [destination["name"] for task in tasks for destination in task.get("task_destinations", ())]
    if sorted(destinations) != sorted(ids[1:]):
        yield "expected each task except the first as the destination of exactly one other task"


def _check_task(task: JsonObject, workflow: JsonObject) -> Iterator[str]:
    name, args = task["id"], task.get("args", {})
    if task["type"] not in _TASK_TYPES:
        yield f"{name}: unknown type"
        return
    if not all(isinstance(value, str) for value in args.values()):
        yield f"{name}: expected strings as arguments"
    if missing := _REQUIRED_ARGS.get(task["type"], set()) - set(args):
        yield f"{name}: missing arguments: {missing}"
        return
    yield from _check_artifacts(task, workflow)
    yield from {
        "docker": _check_docker_task,
        "argo": _check_argo_task,
        "export": _check_export_task,
        "aide_clinical_review": _check_review_task,
    }[task["type"]](task, workflow)


def _check_artifacts(task: JsonObject, workflow: JsonObject) -> Iterator[str]:
    inputs, outputs = task["artifacts"]["input"], task["artifacts"].get("output", [])
    if not inputs or not all(artifact.get("name") and artifact.get("value") for artifact in inputs):
        yield f"{task['id']}: expected inputs with names and values"
    if len({artifact["name"] for artifact in outputs}) < len(outputs):
        yield f"{task['id']}: expected outputs with different names"
    known = {
        (other["id"], artifact["name"])
        for other in workflow["tasks"]
        for artifact in other["artifacts"].get("output", [])
    }
    for artifact in inputs:
        match = _ARTIFACT_REFERENCE.fullmatch(artifact["value"])
        if artifact["value"] != _STUDY_INPUT and (match is None or (match[1], match[2]) not in known):
            yield f"{task['id']}: no task has the output {artifact['value']}"


def _check_docker_task(task: JsonObject, _: JsonObject) -> Iterator[str]:
    args, artifacts = task["args"], task["artifacts"]
    for artifact in [*artifacts["input"], *artifacts["output"]]:
        if not args.get(artifact["name"], "").startswith("/"):
            yield f"{task['id']}: expected an argument with the mount point of artifact {artifact['name']}"
    if not urlsplit(args["server_url"]).scheme:
        yield f"{task['id']}: expected a URL as server_url"
    if not args.get("task_timeout_minutes", "").isdecimal():
        yield f"{task['id']}: expected task_timeout_minutes: the default of the plug-in, 5 minutes, is too short"
    if "user" not in args:
        yield f"{task['id']}: expected user: without it root owns the folders, and the image cannot write to them"


def _check_argo_task(task: JsonObject, _: JsonObject) -> Iterator[str]:
    if unknown := set(task["args"]) - _ARGO_ARGS:
        yield f"{task['id']}: unknown arguments: {unknown}"


def _check_export_task(task: JsonObject, workflow: JsonObject) -> Iterator[str]:
    names = [destination["name"] for destination in task["export_destinations"]]
    known = workflow["informatics_gateway"]["export_destinations"]
    if not names or len(set(names)) < len(names) or not set(names) <= set(known):
        yield f"{task['id']}: expected different destinations of the informatics gateway"
    if task["artifacts"].get("output"):
        yield f"{task['id']}: expected no output of an export"


def _check_review_task(task: JsonObject, workflow: JsonObject) -> Iterator[str]:
    args = task["args"]
    reviewed = [other for other in workflow["tasks"] if other["id"] == args["reviewed_task_id"]]
    if not reviewed or reviewed[0]["type"] not in _REVIEWABLE_TASK_TYPES:
        yield f"{task['id']}: only an Argo task can be reviewed"
    if args["mode"].lower() not in ("qa", "research", "clinical") or args["notifications"] not in ("true", "false"):
        yield f"{task['id']}: invalid mode or notifications"
    for artifact in task["artifacts"]["input"]:
        match = _ARTIFACT_REFERENCE.fullmatch(artifact["value"])
        if match is not None and match[1] != args["reviewed_task_id"]:
            yield f"{task['id']}: its input is an artifact of a task that it does not review"


def argo_templates(template: JsonObject) -> Sequence[JsonObject]:
    """Returns the templates that the Argo plug-in copies: only the entrypoint, which must not refer to others."""
    templates, name = template["spec"]["templates"], template["spec"]["entrypoint"]
    (entrypoint,) = [candidate for candidate in templates if candidate["name"] == name]
    assert "steps" not in entrypoint
    assert "dag" not in entrypoint
    return [entrypoint]
