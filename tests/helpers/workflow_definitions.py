"""The files of deploy/, loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.runs import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
DOCKER, ARGO, REVIEW = "docker-workflow", "argo-workflow", "argo-review-workflow"
WORKFLOWS = (DOCKER, ARGO, REVIEW)


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "aide" / f"{name}.json").read_text())
    return found


def manifest(path: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / path).read_text())
    return found


def template_container() -> dict[str, Any]:
    (template,) = manifest("aide/workflow-template.yaml")["spec"]["templates"]
    found: dict[str, Any] = template["container"]
    return found


def job_pod() -> dict[str, Any]:
    found: dict[str, Any] = manifest("kubernetes/one-study/job.yaml")["spec"]["template"]["spec"]
    return found


def job_container() -> dict[str, Any]:
    (container,) = job_pod()["containers"]
    found: dict[str, Any] = container
    return found


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def merged(base: Any, patch: Any) -> Any:
    """What a strategic merge patch makes of a manifest: named things are merged by name, null removes."""
    if isinstance(base, dict) and isinstance(patch, dict):
        kept = {key: value for key, value in base.items() if key not in patch}
        return kept | {key: merged(base.get(key), value) for key, value in patch.items() if value is not None}
    if isinstance(base, list) and isinstance(patch, list) and all("name" in each for each in (*base, *patch)):
        names = {each["name"]: each for each in base}
        return [
            merged(names.get(name), next((each for each in patch if each["name"] == name), {}))
            for name in dict.fromkeys([*names, *(each["name"] for each in patch)])
        ]
    return patch
