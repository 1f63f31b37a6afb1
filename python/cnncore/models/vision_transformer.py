# SPDX-License-Identifier: Apache-2.0
"""Vision transformers, by Dosovitskiy et al. (2021), "An image is worth 16x16 words"."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from .. import nn, ops
from ..graph.arrays import aligned_empty
from .arguments import published
from .blocks import Layer, truncated_normal
from .checking import checked

__all__ = [
    "VisionTransformer",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
]

_OLD_NAMES = ((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."))
"""Published weights have the names of an early version."""


class EncoderBlock(nn.Module):
    """Self-attention and two linear layers, each behind a layer norm and beside a shortcut."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer,
    ) -> None:
        super().__init__()
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, hidden_dim),
            nn.Dropout(dropout),
        )
        for number in (0, 3):
            nn.init.xavier_uniform_(self.mlp[number].weight)
            nn.init.normal_(self.mlp[number].bias, std=1e-6)

    def forward(self, x: Any) -> Any:
        y = self.ln_1(x)
        x = self.dropout(self.self_attention(y, y, y, need_weights=False)[0]) + x
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Learnt positions, blocks and a layer norm, for sequences (batch, seq_length, hidden_dim)."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(aligned_empty((1, seq_length, hidden_dim)))
        nn.init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential()
        for number in range(num_layers):
            block = EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
            self.layers.add_module(f"encoder_layer_{number}", block)
        self.ln = norm_layer(hidden_dim)

    def forward(self, x: Any) -> Any:
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """A transformer on the patches of an image and a class token, which the linear layer reads.

    Args:
        image_size: height and width of the images, a multiple of `patch_size`.
        patch_size: height and width of a patch.
        num_layers, num_heads, hidden_dim, mlp_dim: blocks, heads of attention, features, and features inside
            the two linear layers of a block.
        dropout, attention_dropout: probabilities of dropout behind layers and inside attention.
        classes: number of outputs.
        in_channels: channels of the images.
        representation_size: features of a linear layer with tanh before the last; None leaves it out.
        norm_layer: makes the norms; None: `nn.LayerNorm` with eps 1e-6.

    Called with (batch, in_channels, image_size, image_size); returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        classes: int = 1000,
        in_channels: int = 3,
        representation_size: int | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"expected image_size as a multiple of patch_size={patch_size}, got {image_size}"
            )
        self.image_size = image_size
        self.class_token = nn.Parameter(aligned_empty((1, 1, hidden_dim)))
        nn.init.zeros_(self.class_token)
        self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, patch_size)
        self.encoder = Encoder(
            (image_size // patch_size) ** 2 + 1,
            num_layers,
            num_heads,
            hidden_dim,
            mlp_dim,
            dropout,
            attention_dropout,
            norm_layer or partial(nn.LayerNorm, eps=1e-6),
        )
        self.heads = nn.Sequential()
        features = hidden_dim
        if representation_size is not None:
            inner = nn.Linear(hidden_dim, representation_size)
            truncated_normal(math.sqrt(1 / hidden_dim))(inner.weight)
            nn.init.zeros_(inner.bias)
            self.heads.add_module("pre_logits", inner)
            self.heads.add_module("act", nn.Tanh())
            features = representation_size
        head = nn.Linear(features, classes)
        self.heads.add_module("head", head)
        truncated_normal(math.sqrt(1 / (in_channels * patch_size**2)))(self.conv_proj.weight)
        for parameter in (self.conv_proj.bias, head.weight, head.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: Any) -> Any:
        if tuple(x.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f"expected images of {self.image_size}x{self.image_size}, got shape {tuple(x.shape)}; "
                "make the network with image_size= for others"
            )
        x = ops.permute(ops.flatten(self.conv_proj(x), 2), (0, 2, 1))
        token = ops.expand(self.class_token, (x.shape[0], -1, -1))
        x = self.encoder(ops.concat([token, x], dim=1))
        return self.heads(x[:, 0])


def _transformer(
    patch: int, layers: int, heads: int, dim: int, classes: int, in_channels: int, options: Any
) -> VisionTransformer:
    settings = {
        "image_size": 224,
        "patch_size": patch,
        "num_layers": layers,
        "num_heads": heads,
        "hidden_dim": dim,
        "mlp_dim": 4 * dim,
    }
    return VisionTransformer(classes=classes, in_channels=in_channels, **{**settings, **options})


@published(rename=_OLD_NAMES)
def vit_b_16(classes: int = 1000, in_channels: int = 3, **options: Any) -> VisionTransformer:
    """Return the base transformer on patches of 16x16 (86.6 million parameters).

    Arguments as those of `VisionTransformer`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _transformer(16, 12, 12, 768, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def vit_b_32(classes: int = 1000, in_channels: int = 3, **options: Any) -> VisionTransformer:
    """Return the base transformer on patches of 32x32 (88.2 million parameters).

    Arguments as those of `VisionTransformer`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _transformer(32, 12, 12, 768, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def vit_l_16(classes: int = 1000, in_channels: int = 3, **options: Any) -> VisionTransformer:
    """Return the large transformer on patches of 16x16 (304 million parameters).

    Arguments as those of `VisionTransformer`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _transformer(16, 24, 16, 1024, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def vit_l_32(classes: int = 1000, in_channels: int = 3, **options: Any) -> VisionTransformer:
    """Return the large transformer on patches of 32x32 (307 million parameters).

    Arguments as those of `VisionTransformer`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _transformer(32, 24, 16, 1024, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def vit_h_14(classes: int = 1000, in_channels: int = 3, **options: Any) -> VisionTransformer:
    """Return the huge transformer on patches of 14x14 (632 million parameters).

    Arguments as those of `VisionTransformer`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _transformer(14, 32, 16, 1280, classes, in_channels, options)
