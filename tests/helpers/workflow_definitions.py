"""Loads the files of deploy/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.runs import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
DOCKER, ARGO, REVIEW = "docker-workflow", "argo-workflow", "argo-review-workflow"
WORKFLOWS = (DOCKER, ARGO, REVIEW)


def load_workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DEPLOY / "aide" / f"{name}.json").read_text())
    return content


def load_manifest(path: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / path).read_text())
    return content


def template_container() -> dict[str, Any]:
    (template,) = load_manifest("aide/workflow-template.yaml")["spec"]["templates"]
    container: dict[str, Any] = template["container"]
    return container


def job_pod() -> dict[str, Any]:
    pod: dict[str, Any] = load_manifest("kubernetes/one-study/job.yaml")["spec"]["template"]["spec"]
    return pod


def job_container() -> dict[str, Any]:
    container: dict[str, Any]
    (container,) = job_pod()["containers"]
    return container


def container_environment(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def apply_patch(base: Any, patch: Any) -> Any:
    """Applies a strategic merge patch to a manifest: items with a name are merged by name, null removes a value."""
    if isinstance(base, dict) and isinstance(patch, dict):
        unchanged = {key: value for key, value in base.items() if key not in patch}
        return unchanged | {key: apply_patch(base.get(key), value) for key, value in patch.items() if value is not None}
    if isinstance(base, list) and isinstance(patch, list) and all("name" in item for item in (*base, *patch)):
        base_items = {item["name"]: item for item in base}
        return [
            apply_patch(base_items.get(name), next((item for item in patch if item["name"] == name), {}))
            for name in dict.fromkeys([*base_items, *(item["name"] for item in patch)])
        ]
    return patch
