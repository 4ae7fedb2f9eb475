"""Where an application comes from, for the image's labels."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Provenance:
    """The source of an application.

    Attributes:
        revision: The commit, with ``-dirty`` where files differ from it; ``unknown`` outside of a repository.
        url: The repository; empty where it has no web address.
    """

    revision: str
    url: str


def provenance_of(folder: Path) -> Provenance:
    """Asks git about a folder."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return Provenance("unknown", "")
    changes = _git(folder, "status", "--porcelain")
    revision = f"{commit}-dirty" if changes else commit
    return Provenance(revision, web_address(_git(folder, "remote", "get-url", "origin")))


def web_address(remote: str) -> str:
    """Returns a remote that is a web address, without user and password; of any other nothing."""
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{parts.hostname}{port}", parts.path, "", ""))


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    asked = subprocess.run([git, "-C", folder, *arguments], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else ""
