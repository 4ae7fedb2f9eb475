"""The arguments of ``clickseg train``."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_train(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="dataset: a folder or a datalist (docs/datasets.md)")
    add("-o", "--output", dest="run_folder", type=Path, required=True, metavar="RUN", help="folder of the run")
    add("-c", "--config", action="append", metavar="CONFIG", help="YAML file or preset; later ones count (pet_lesion)")
    add("--set", action="append", default=[], metavar="PATH=VALUE", help="such as optimization.learning_rate=0.01")
    add("--fold", type=int, metavar="N", help="hold out this part of the cases, from 0")
    add("--folds", type=int, default=5, metavar="K", help="how many parts there are (default: 5)")
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--print-config", action="store_true", help="print the whole configuration, and train nothing")
