"""Runs the application in this folder: ``python /opt/holoscan/app``, as in every MONAI Application Package."""

import runpy
from pathlib import Path

_APPLICATION = Path(__file__).with_name("app")
_ENTRY = _APPLICATION if (_APPLICATION / "__main__.py").is_file() else _APPLICATION / "app.py"

if __name__ == "__main__":
    runpy.run_path(str(_ENTRY), run_name="__main__")
