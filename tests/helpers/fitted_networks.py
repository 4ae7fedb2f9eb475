"""Networks whose labels follow intensities, after some seconds of training.

A network with random weights decides by noise: a difference in the last bit of its input changes many labels. After
``fit``, class k is the k-th band of the values of the image, and labels of two implementations can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_LEARNING_RATE = 4e-3
_NOISE = 0.01
_MAX_BANDS = 5


@dataclass(frozen=True, slots=True)
class FitSettings:
    """What a network is fitted to.

    Attributes:
        outputs: The number of logit channels; classes beyond the fifth stay empty.
        low: The smallest value of the scaled image.
        high: The largest value of the scaled image.
        roi: The size of the windows.
        clicks: Whether the channels after the image are balls of clicks: the first sets class 1, the second class 0.
        overlapping: Whether each logit channel has a threshold of its own, instead of a band.
        inputs: The number of images. Bands follow their weighted mean, the last has the largest weight; thresholds
            are those of different images.
        steps: The number of steps.
    """

    outputs: int
    low: float = 0.0
    high: float = 1.0
    roi: tuple[int, int, int] = (24, 24, 24)
    clicks: bool = False
    overlapping: bool = False
    inputs: int = 1
    steps: int = 40


def fit(network: torch.nn.Module, settings: FitSettings) -> torch.nn.Module:
    """Trains a network in place, and returns it in evaluation mode."""
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    network.train()
    with _one_thread():
        for _ in range(settings.steps):
            levels = torch.stack([_smooth_values(settings.roi) for _ in range(settings.inputs)])
            level = _level_of_classes(levels, settings)
            balls = torch.stack([_ball(settings.roi), _ball(settings.roi)]) if settings.clicks else None
            images = (settings.low + (settings.high - settings.low) * levels)[None]
            channels = images if balls is None else torch.cat([images, balls[None]], 1)
            logits = network(channels)
            loss = _loss(logits[0] if isinstance(logits, Sequence) else logits, level, balls, settings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs torch in one thread: on a busy machine, threads that wait for each other take most of the time."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _loss(logits: torch.Tensor, level: torch.Tensor, balls: torch.Tensor | None, settings: FitSettings) -> torch.Tensor:
    if settings.overlapping:
        thresholds = (torch.arange(settings.outputs) + 1) / (settings.outputs + 1)
        target = (level > thresholds[:, None, None, None]).float()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits[0], target)
    bands = min(settings.outputs, _MAX_BANDS)
    classes = (level * bands).long().clamp(max=bands - 1)
    if balls is not None:
        classes[balls[0] > 0] = 1
        classes[balls[1] > 0] = 0
    return torch.nn.functional.cross_entropy(logits, classes[None])


def _level_of_classes(levels: torch.Tensor, settings: FitSettings) -> torch.Tensor:
    """Returns the values that classes follow [I, J, K], or [C, I, J, K] if they overlap."""
    if settings.overlapping:
        return torch.stack([levels[channel % settings.inputs] for channel in range(settings.outputs)])
    if settings.inputs == 1:
        return levels[0]
    mean = (levels * torch.arange(1, settings.inputs + 1).reshape(-1, 1, 1, 1)).sum(0)
    return (mean - mean.min()) / (mean.max() - mean.min())


def _smooth_values(roi: tuple[int, int, int]) -> torch.Tensor:
    """Returns smooth random values from 0 to 1, with noise."""
    coarse = torch.rand(1, 1, *(max(size // 6, 3) for size in roi))
    values = torch.nn.functional.interpolate(coarse, roi, mode="trilinear", align_corners=True)[0, 0]
    values = (values - values.min()) / (values.max() - values.min())
    return (values + _NOISE * torch.randn(roi)).clamp(0, 1)


def _ball(roi: tuple[int, int, int], radius: int = 2) -> torch.Tensor:
    """Returns a ball at a random position."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(size) for size in roi), indexing="ij"))
    centre = torch.tensor([int(torch.randint(size, ())) for size in roi])
    distance = (grid - centre[:, None, None, None]).square().sum(0)
    return (distance <= radius**2).float()
