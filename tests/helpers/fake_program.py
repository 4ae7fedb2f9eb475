"""A docker or podman that does nothing but note how it was called, and what the build context held."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SCRIPT = f"""#!{sys.executable}
import json, os, pathlib, sys
notes = pathlib.Path(os.environ["FAKE_NOTES"])
words = sys.argv[1:]
note = {{"words": words}}
if words[0] == "build":
    folder = pathlib.Path(words[-1])
    note["files"] = {{str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}}
    note["dockerfile"] = (folder / "Dockerfile").read_text()
if words[0] == "save":
    pathlib.Path(words[words.index("--output") + 1]).write_bytes(b"image")
with notes.open("a") as file:
    file.write(json.dumps(note) + "\\n")
if words[:2] == ["image", "inspect"] and words[-1] in os.environ.get("FAKE_MISSING", "").split():
    sys.exit("Error: No such image: " + words[-1])
if words[0] in os.environ.get("FAKE_FAILURE", ""):
    sys.stderr.write("Cannot connect to the Docker daemon\\n")
    sys.exit(int(os.environ.get("FAKE_CODE", "1")))
"""


class FakeProgram:
    """An executable of a given name, in a folder of its own on PATH."""

    def __init__(self, folder: Path, name: str = "docker") -> None:
        self.notes = folder / "notes"
        self.folder = folder / "bin"
        self.folder.mkdir(parents=True)
        (self.folder / name).write_text(SCRIPT)
        (self.folder / name).chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """What a process that is to find it needs; other programs are not on its PATH, but git."""
        return {"PATH": f"{self.folder}{os.pathsep}/usr/lib/git-core", "FAKE_NOTES": str(self.notes)}

    def calls(self, command: str) -> list[dict[str, object]]:
        """The calls of one command, such as ``build``."""
        if not self.notes.exists():
            return []
        return [
            note for line in self.notes.read_text().splitlines() if (note := json.loads(line))["words"][0] == command
        ]
