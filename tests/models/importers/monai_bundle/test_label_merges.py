"""Functions that merge masks are read, and all others are rejected; nothing is executed."""

from __future__ import annotations

import ast

import pytest

from clickseg.models.importers.monai_bundle.label_merges import LabelMerge, read_merge


def read(text: str) -> LabelMerge | None:
    tree = ast.parse(text, mode="eval").body
    assert isinstance(tree, ast.Lambda)
    return read_merge(tree)


@pytest.mark.parametrize(
    ("text", "channels", "values"),
    [
        (
            "lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))",
            (2, 0, 1),
            (4, 1, 2),
        ),
        ("lambda pred: np.where(pred[1] >= 0.5, 7, 0)", (1,), (7,)),
        ("lambda x: torch.where(x[0] == 1, 2, torch.where(x[1] > 0.5, 1, 0))", (0, 1), (2, 1)),
    ],
)
def test_the_first_mask_that_is_set_counts(text: str, channels: tuple[int, ...], values: tuple[int, ...]) -> None:
    assert read(text) == LabelMerge(channels, values)


@pytest.mark.parametrize(
    "text",
    [
        "lambda x: x",
        "lambda x: 0",
        "lambda: 0",
        "lambda x, y: torch.where(x[0] > 0, 1, 0)",
        "lambda x, *y: torch.where(x[0] > 0, 1, 0)",
        "lambda x: torch.where(y[0] > 0, 1, 0)",
        "lambda x: torch.where(x[0] < 0, 1, 0)",
        "lambda x: torch.where(x[0] > 2, 1, 0)",
        "lambda x: torch.where(x[0] > True, 1, 0)",
        "lambda x: torch.where(x[True] > 0, 1, 0)",
        "lambda x: torch.where(x[0, 1] > 0, 1, 0)",
        "lambda x: torch.where(x[[0, 1]] > 0, 1, 0)",
        "lambda x: torch.where(x[-1] > 0, 1, 0)",
        "lambda x: torch.where(0 < x[0] > 0, 1, 0)",
        "lambda x: torch.where(x[0] > 0, 0, 0)",
        "lambda x: torch.where(x[0] > 0, True, 0)",
        "lambda x: torch.where(x[0] > 0, 1, 2)",
        "lambda x: torch.where(x[0] > 0, 1, x)",
        "lambda x: torch.where(x[0] > 0, 1, 0, out=x)",
        "lambda x: torch.where(x[0] > 0, 1, torch.where(x[1] > 0, 1, 0))",
        "lambda x: torch.where(x[0] > 0, 1, torch.where(x[0] > 0, 2, 0))",
        "lambda x: __import__('os').where(x[0] > 0, 1, 0)",
        "lambda x: (torch.where)(x[f()] > 0, 1, 0)",
    ],
)
def test_a_function_of_another_form_is_not_a_merge(text: str) -> None:
    assert read(text) is None
