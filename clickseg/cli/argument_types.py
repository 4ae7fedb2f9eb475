"""Types of command-line arguments."""

from __future__ import annotations

import argparse
from pathlib import Path


def parse_path(text: str) -> Path:
    """Returns a path. An empty path is rejected: it is an unset shell variable, not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty string")
    return Path(text)
