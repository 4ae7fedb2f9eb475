"""Jinja2 templates of a package: reports and model cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def make_environment(package: str, finalize: Callable[[Any], str] | None = None) -> Environment:
    """Returns the environment of the templates in the folder ``templates`` of a package. Values are escaped for HTML.

    Args:
        package: The package, such as ``clickseg.evaluation``.
        finalize: A function that is applied to each value before it is escaped, or None.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
