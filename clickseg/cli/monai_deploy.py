"""The ``monai-deploy`` command: ``exec`` is ``clickseg exec``; holoscan-cli handles all other commands."""

from __future__ import annotations

import importlib.util
import os
import sys

from clickseg.cli.main import main as clickseg
from clickseg.cli.terminal import report_errors
from clickseg.core.errors import UsageError


def main() -> int:
    """Runs a command.

    Returns:
        The exit code.
    """
    if sys.argv[1:2] == ["exec"]:
        return clickseg(sys.argv[1:])
    if importlib.util.find_spec("holoscan_cli") is None:
        missing = UsageError(
            "monai-deploy requires holoscan-cli for commands other than exec", hint="pip install 'clickseg[deploy]'"
        )
        return report_errors([missing], None, os.environ)
    from holoscan_cli.__main__ import main as holoscan_main

    holoscan_main()
    return 0
