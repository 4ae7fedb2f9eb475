"""Runs the application in this folder: ``python /opt/holoscan/app``, as every MONAI Application Package does."""

import runpy
from pathlib import Path

_APPLICATION = Path(__file__).with_name("app")
_ENTRY_POINT = _APPLICATION if (_APPLICATION / "__main__.py").is_file() else _APPLICATION / "app.py"

if __name__ == "__main__":
    runpy.run_path(str(_ENTRY_POINT), run_name="__main__")
