"""nnU-Net's networks, ``PlainConvUNet`` and ``ResidualEncoderUNet``, with the names of their weights in nnU-Net.

The package ``dynamic_network_architectures`` defines them, but needs timm and torchvision. Its state dicts contain some
weights under several names: here each has one, and none is named ``all_modules`` or ``decoder.encoder``. Dropout, which
does nothing after training, is left out, and only the logits at full resolution are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from clickseg.core.errors import ModelError
from clickseg.core.validation import validate_record
from clickseg.inference.engines.unet_arguments import (
    PlainConvUNetArguments,
    ResidualEncoderUNetArguments,
    UNetArguments,
)

_ThreeSizes = tuple[int, int, int]
_ONE = (1, 1, 1)


class PlainConvUNet(nn.Module):
    """A U-Net whose stages are stacks of convolutions."""

    def __init__(self, arguments: PlainConvUNetArguments) -> None:
        super().__init__()
        channels = (arguments.input_channels, *arguments.features_per_stage)
        shapes = zip(arguments.n_conv_per_stage, arguments.kernel_sizes, arguments.strides, strict=True)
        stages = [
            nn.Sequential(_ConvStack(arguments, (before, *[after] * count), kernel, stride))
            for (before, after), (count, kernel, stride) in zip(pairwise(channels), shapes, strict=True)
        ]
        self.encoder = _Encoder(stages)
        self.decoder = _Decoder(arguments)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        logits: torch.Tensor = self.decoder(self.encoder(windows))
        return logits


class ResidualEncoderUNet(nn.Module):
    """A U-Net whose encoder has residual blocks, after a stem of one convolution."""

    def __init__(self, arguments: ResidualEncoderUNetArguments) -> None:
        super().__init__()
        stem_channels = arguments.stem_channels or arguments.features_per_stage[0]
        stem = _ConvStack(arguments, (arguments.input_channels, stem_channels), arguments.kernel_sizes[0])
        channels = (stem_channels, *arguments.features_per_stage)
        shapes = zip(arguments.n_blocks_per_stage, arguments.kernel_sizes, arguments.strides, strict=True)
        stages = [
            _ResidualStack(arguments, (before, *[after] * count), kernel, stride)
            for (before, after), (count, kernel, stride) in zip(pairwise(channels), shapes, strict=True)
        ]
        self.encoder = _Encoder(stages, stem)
        self.decoder = _Decoder(arguments)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Returns logits [B, O, I, J, K] of windows [B, C, I, J, K]."""
        logits: torch.Tensor = self.decoder(self.encoder(windows))
        return logits


class _Encoder(nn.Module):
    """The stages, from full to lowest resolution."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)

    def forward(self, windows: torch.Tensor) -> list[torch.Tensor]:
        """Returns the features of each stage."""
        values = windows if self.stem is None else self.stem(windows)
        features = []
        for stage in self.stages:
            values = stage(values)
            features.append(values)
        return features


class _Decoder(nn.Module):
    """The stages from the lowest to full resolution; ``seg_layers`` but the last were used in training only."""

    def __init__(self, arguments: UNetArguments) -> None:
        super().__init__()
        changes = list(pairwise(arguments.features_per_stage[::-1]))
        strides, kernels = arguments.strides[:0:-1], arguments.kernel_sizes[-2::-1]
        shapes = zip(arguments.n_conv_per_stage_decoder, kernels, strict=True)
        self.transpconvs = nn.ModuleList(
            nn.ConvTranspose3d(below, skip, stride, stride, bias=arguments.conv_bias)
            for (below, skip), stride in zip(changes, strides, strict=True)
        )
        self.stages = nn.ModuleList(
            _ConvStack(arguments, (2 * skip, *[skip] * count), kernel)
            for (_, skip), (count, kernel) in zip(changes, shapes, strict=True)
        )
        self.seg_layers = nn.ModuleList(nn.Conv3d(skip, arguments.num_classes, 1) for _, skip in changes)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Returns the logits at full resolution."""
        values, *skips = reversed(features)
        for upsample, stage, skip in zip(self.transpconvs, self.stages, skips, strict=True):
            values = stage(torch.cat((upsample(values), skip), 1))
        logits: torch.Tensor = self.seg_layers[-1](values)
        return logits


class _ConvStack(nn.Module):
    """Convolutions in a row; the first has the stride."""

    def __init__(
        self, arguments: UNetArguments, channels: Sequence[int], kernel: _ThreeSizes, stride: _ThreeSizes = _ONE
    ) -> None:
        super().__init__()
        strides = (stride, *[_ONE] * (len(channels) - 2))
        self.convs = nn.Sequential(
            *(_Conv(arguments, change, kernel, each) for change, each in zip(pairwise(channels), strides, strict=True))
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.convs(values)
        return result


class _Conv(nn.Module):
    """A convolution, a normalization, and a nonlinearity."""

    def __init__(
        self, arguments: UNetArguments, channels: tuple[int, int], kernel: _ThreeSizes, stride: _ThreeSizes
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(*channels, kernel, stride, _padding(kernel), bias=arguments.conv_bias)
        self.norm = _normalization(arguments, channels[1])
        self.nonlin = _nonlinearity(arguments)
        self._is_nonlin_first = arguments.is_nonlin_first

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.conv(values)
        steps = (self.nonlin, self.norm) if self._is_nonlin_first else (self.norm, self.nonlin)
        for step in steps:
            values = step(values)
        return values


class _ConvNorm(nn.Module):
    """A convolution and a normalization."""

    def __init__(self, arguments: UNetArguments, channels: tuple[int, int], kernel: _ThreeSizes, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(*channels, kernel, padding=_padding(kernel), bias=bias)
        self.norm = _normalization(arguments, channels[1])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.norm(self.conv(values))
        return result


class _ResidualStack(nn.Module):
    """Residual blocks in a row; the first has the stride."""

    def __init__(
        self, arguments: UNetArguments, channels: Sequence[int], kernel: _ThreeSizes, stride: _ThreeSizes
    ) -> None:
        super().__init__()
        strides = (stride, *[_ONE] * (len(channels) - 2))
        blocks = zip(pairwise(channels), strides, strict=True)
        self.blocks = nn.Sequential(*(_ResidualBlock(arguments, change, kernel, each) for change, each in blocks))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.blocks(values)
        return result


class _ResidualBlock(nn.Module):
    """The block of ResNet-D: its skip is pooled by the mean, and then projected if the numbers of channels differ."""

    def __init__(
        self, arguments: UNetArguments, channels: tuple[int, int], kernel: _ThreeSizes, stride: _ThreeSizes
    ) -> None:
        super().__init__()
        before, after = channels
        self.conv1 = _Conv(arguments, channels, kernel, stride)
        self.conv2 = _ConvNorm(arguments, (after, after), kernel, bias=arguments.conv_bias)
        self.nonlin2 = _nonlinearity(arguments)
        pooling = [nn.AvgPool3d(stride, stride)] if stride != _ONE else []
        projection = [_ConvNorm(arguments, channels, _ONE, bias=False)] if before != after else []
        self.skip = nn.Sequential(*pooling, *projection)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.nonlin2(self.conv2(self.conv1(values)) + self.skip(values))
        return result


def _padding(kernel: _ThreeSizes) -> _ThreeSizes:
    first, second, third = ((size - 1) // 2 for size in kernel)
    return first, second, third


def _normalization(arguments: UNetArguments, channels: int) -> nn.Module:
    """Returns a normalization; the arguments contain the name of its class in ``torch.nn``, one of a list."""
    if arguments.norm_op is None:
        return nn.Identity()
    normalization: nn.Module = getattr(nn, arguments.norm_op)(channels, **arguments.norm_op_kwargs)
    return normalization


def _nonlinearity(arguments: UNetArguments) -> nn.Module:
    """Returns a nonlinearity; the arguments contain the name of its class in ``torch.nn``, one of a list."""
    if arguments.nonlin is None:
        return nn.Identity()
    nonlinearity: nn.Module = getattr(nn, arguments.nonlin)(**arguments.nonlin_kwargs)
    return nonlinearity


def make_plain_conv_unet(arguments: Mapping[str, Any], where: str) -> Callable[[], nn.Module]:
    """Returns the constructor of ``PlainConvUNet`` with some arguments.

    Raises:
        ModelError: An argument is missing, unknown or too large; the message names it after ``where``.
    """
    checked = validate_record(PlainConvUNetArguments, dict(arguments), where, ModelError)
    return lambda: PlainConvUNet(checked)


def make_residual_encoder_unet(arguments: Mapping[str, Any], where: str) -> Callable[[], nn.Module]:
    """Returns the constructor of ``ResidualEncoderUNet`` with some arguments.

    Raises:
        ModelError: As for ``make_plain_conv_unet``.
    """
    checked = validate_record(ResidualEncoderUNetArguments, dict(arguments), where, ModelError)
    return lambda: ResidualEncoderUNet(checked)
