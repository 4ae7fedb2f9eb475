"""Keeps the packages of a base image: its torch, and the packages that its pip constraints pin.

``select LOCKS FILE`` writes the packages that must be installed in addition to FILE. ``check`` checks the finished
environment. Both run in the build stage with the Python of the base image, so this module uses only the standard
library and the packages that pip contains.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.packaging.version import Version

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib

_HERE = Path(__file__).parent
_EXTRAS = ("deploy", "gpu")


def select(locks: Path, output: Path) -> None:
    """Writes the packages to install, with their hashes; fails if pip would have to replace a kept package."""
    installed = installed_versions()
    kept = kept_names(installed)
    _check_requirements("clickseg", clickseg_requirements(), {name: installed[name] for name in kept})
    lock_files = ["gpu.txt"] if "torch" in installed else ["gpu.txt", "torch.txt"]
    entries = dict.fromkeys(entry for file in lock_files for entry in split_lock((locks / file).read_text()))
    output.write_text("".join(entry for entry in entries if package_name(entry) not in kept))
    listing = ", ".join(f"{name} {installed[name]}" for name in sorted(kept))
    sys.stdout.write(f"kept from the base image: {listing or 'no packages'}\n")


def check() -> None:
    """Fails if another version hides a package of the base image, or an installed package needs another version."""
    kept: dict[str, str] = {}
    for name in kept_names(installed_versions()):
        if _is_in_environment(importlib.metadata.distribution(name)):
            sys.exit(f"error: pip replaced the base image's {name}")
        kept[name] = importlib.metadata.version(name)
    for distribution in importlib.metadata.distributions():
        if _is_in_environment(distribution):
            _check_requirements(distribution.name, [Requirement(text) for text in distribution.requires or ()], kept)


def installed_versions() -> dict[str, str]:
    """Returns the version of each package by normalized name; of several versions the one that Python imports."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        versions.setdefault(canonicalize_name(distribution.name), distribution.version)
    return versions


def kept_names(installed: dict[str, str]) -> set[str]:
    """Returns the packages of the base image that must stay: torch, and those that its constraints pin."""
    pinned = {"torch"}
    for file in os.environ.get("PIP_CONSTRAINT", "").split():
        pinned |= {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)\s*===?", Path(file).read_text(), re.M)}
    return pinned & set(installed)


def clickseg_requirements() -> list[Requirement]:
    """Returns the version ranges that ClickSeg needs on a GPU."""
    project = tomllib.loads((_HERE / "pyproject.toml").read_text())["project"]
    extras = [text for extra in _EXTRAS for text in project["optional-dependencies"][extra]]
    return [Requirement(text) for text in [*project["dependencies"], *extras]]


def split_lock(lock: str) -> list[str]:
    """Returns the entries of a lock file: each is a pin and the lines with its hashes."""
    return re.findall(r"^[\w.-]+==.*\n(?:[ ]+--hash=.*\n)*", lock, flags=re.MULTILINE)


def package_name(entry: str) -> str:
    """Returns the normalized name of the package in an entry of a lock file."""
    return canonicalize_name(entry.partition("==")[0])


def _check_requirements(package: str, requirements: list[Requirement], kept: dict[str, str]) -> None:
    for requirement in requirements:
        version = kept.get(canonicalize_name(requirement.name))
        if version is None or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        base_version = Version(version).base_version  # NVIDIA's builds have versions such as 2.13.0a0+1b2c
        if not requirement.specifier.contains(base_version, prereleases=True):
            sys.exit(
                f"error: the base image has {requirement.name} {version}, and {package} needs "
                f"{requirement.name}{requirement.specifier}: pip would replace it; choose another base image"
            )


def _is_in_environment(distribution: importlib.metadata.Distribution) -> bool:
    """Returns whether a distribution is installed in this environment, not in the Python of the base image."""
    return Path(str(distribution.locate_file(""))).resolve().is_relative_to(Path(sys.prefix).resolve())


if __name__ == "__main__":
    if sys.argv[1] == "select":
        select(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        check()
