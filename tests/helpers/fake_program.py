"""A fake docker or podman that only records its calls and the files of the build context."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

SCRIPT = f"""#!{sys.executable}
import json, os, pathlib, sys
log = pathlib.Path(os.environ["FAKE_LOG"])
arguments = sys.argv[1:]
call = {{"words": arguments}}
if arguments[0] == "build":
    folder = pathlib.Path(arguments[-1])
    call["files"] = {{str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}}
    call["dockerfile"] = (folder / "Dockerfile").read_text()
if arguments[0] == "save":
    pathlib.Path(arguments[arguments.index("--output") + 1]).write_bytes(b"image")
with log.open("a") as file:
    file.write(json.dumps(call) + "\\n")
if arguments[:2] == ["image", "inspect"] and arguments[-1] in os.environ.get("FAKE_MISSING", "").split():
    sys.exit("Error: No such image: " + arguments[-1])
if arguments[0] in os.environ.get("FAKE_FAILURE", ""):
    sys.stderr.write("Cannot connect to the Docker daemon\\n")
    sys.exit(int(os.environ.get("FAKE_CODE", "1")))
"""


class FakeProgram:
    """An executable with a given name, in a separate folder on PATH."""

    def __init__(self, folder: Path, name: str = "docker") -> None:
        self.log = folder / "log"
        self.folder = folder / "bin"
        self.folder.mkdir(parents=True)
        (self.folder / name).write_text(SCRIPT)
        (self.folder / name).chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a process that uses the program; of other programs only git is on its PATH."""
        return {"PATH": f"{self.folder}{os.pathsep}/usr/lib/git-core", "FAKE_LOG": str(self.log)}

    def calls(self, command: str) -> list[dict[str, object]]:
        """Returns the calls of one command, such as ``build``."""
        if not self.log.exists():
            return []
        return [call for line in self.log.read_text().splitlines() if (call := json.loads(line))["words"][0] == command]
