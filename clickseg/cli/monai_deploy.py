"""The ``monai-deploy`` command: ``exec`` is ours again, all else is holoscan-cli's."""

from __future__ import annotations

import importlib.util
import os
import sys

from clickseg.cli.main import main as clickseg
from clickseg.cli.terminal import fail
from clickseg.core.errors import UsageError


def main() -> int:
    """Runs the command.

    Returns:
        The exit code.
    """
    if sys.argv[1:2] == ["exec"]:
        return clickseg(sys.argv[1:])
    if importlib.util.find_spec("holoscan_cli") is None:
        missing = UsageError("monai-deploy needs holoscan-cli for all but exec", hint="pip install 'clickseg[deploy]'")
        return fail([missing], None, os.environ)
    from holoscan_cli.__main__ import main as holoscan_main

    holoscan_main()
    return 0
