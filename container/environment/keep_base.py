"""Keeps what a base image brings: its torch, and what its own pip constraints pin.

``select LOCKS FILE`` writes to FILE what has to be installed beside it; ``check`` looks at the finished environment.
Runs in the build stage with the base's Python, so it uses nothing but the standard library and what pip has inside.
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


def select(locks: Path, wanted: Path) -> None:
    """Writes what has to be installed, with its hashes; fails where the base's own would have to be replaced."""
    installed = installed_versions()
    kept = kept_names(installed)
    _check("clickseg", needs_of_clickseg(), {name: installed[name] for name in kept})
    names = ["gpu.txt"] if "torch" in installed else ["gpu.txt", "torch.txt"]
    entries = dict.fromkeys(entry for name in names for entry in entries_of((locks / name).read_text()))
    wanted.write_text("".join(entry for entry in entries if name_of(entry) not in kept))
    listed = ", ".join(f"{name} {installed[name]}" for name in sorted(kept))
    sys.stdout.write(f"kept from the base image: {listed or 'nothing'}\n")


def check() -> None:
    """Fails where something of the base is hidden by another version, or does not do for what was installed."""
    kept: dict[str, str] = {}
    for name in kept_names(installed_versions()):
        if _is_own(importlib.metadata.distribution(name)):
            sys.exit(f"error: pip replaced the base image's {name}")
        kept[name] = importlib.metadata.version(name)
    for distribution in importlib.metadata.distributions():
        if _is_own(distribution):
            _check(distribution.name, [Requirement(text) for text in distribution.requires or ()], kept)


def installed_versions() -> dict[str, str]:
    """Returns the versions of all that can be imported, by normalized name; of several the one that Python takes."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        found.setdefault(canonicalize_name(distribution.name), distribution.version)
    return found


def kept_names(installed: dict[str, str]) -> set[str]:
    """Returns what stays the base's: torch, and what its constraints pin."""
    pinned = {"torch"}
    for file in os.environ.get("PIP_CONSTRAINT", "").split():
        pinned |= {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)\s*===?", Path(file).read_text(), re.M)}
    return pinned & set(installed)


def needs_of_clickseg() -> list[Requirement]:
    """Returns the ranges of versions that ClickSeg works with on a GPU."""
    project = tomllib.loads((_HERE / "pyproject.toml").read_text())["project"]
    extras = [text for extra in _EXTRAS for text in project["optional-dependencies"][extra]]
    return [Requirement(text) for text in [*project["dependencies"], *extras]]


def entries_of(lock: str) -> list[str]:
    """Returns the entries of a lock file: each a pin and the lines with its hashes."""
    return re.findall(r"^[\w.-]+==.*\n(?:[ ]+--hash=.*\n)*", lock, flags=re.MULTILINE)


def name_of(entry: str) -> str:
    """Returns the normalized name in an entry of a lock file."""
    return canonicalize_name(entry.partition("==")[0])


def _check(what: str, needs: list[Requirement], kept: dict[str, str]) -> None:
    for need in needs:
        found = kept.get(canonicalize_name(need.name))
        if found is None or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        built = Version(found).base_version  # a base's own builds are versions such as 2.13.0a0+1b2c
        if not need.specifier.contains(built, prereleases=True):
            sys.exit(
                f"error: the base image has {need.name} {found}, and {what} needs {need.name}{need.specifier}: "
                "pip would replace it; choose another base image"
            )


def _is_own(distribution: importlib.metadata.Distribution) -> bool:
    """Whether a distribution lies in this environment, and not in the base's Python."""
    return Path(str(distribution.locate_file(""))).resolve().is_relative_to(Path(sys.prefix).resolve())


if __name__ == "__main__":
    if sys.argv[1] == "select":
        select(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        check()
