"""Runs the application: ``python -m app`` in the checkout, ``python PATH/app`` from any folder."""

import sys
from pathlib import Path

if not __package__:  # ``python app`` puts app/ on sys.path, not the checkout
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from app.main import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
