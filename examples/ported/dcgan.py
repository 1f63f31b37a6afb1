# SPDX-License-Identifier: Apache-2.0
"""DCGAN (Radford et al., 2015): two networks, two optimisers, two steps that share both.

Digits are drawn by the moving average of the generator, whose strokes are steadier than the last step's; of
four times as many, those stay that the discriminator finds most real (after Azadi et al., 2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.nn import functional as F  # noqa: N812
from example_data import mnist, options, save_picture

NOISE = 32


def generator(width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(NOISE, 4 * width, 4, bias=False), nn.BatchNorm2d(4 * width), nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width),
        nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def discriminator(width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(4 * width * 16, 1),
    )  # fmt: skip


def initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)


def main(quick: bool = False, epochs: int = 12, picture: str | None = None) -> tuple[float, float]:
    """Return the mean brightness of real and of generated images, from 0 to 1."""
    cc.manual_seed(0)
    (x, _), _ = mnist(quick)
    real_images = 2 * x - 1
    make, judge = generator().apply(initialize), discriminator().apply(initialize)
    loss = F.binary_cross_entropy_with_logits

    def judge_loss(real: Any, noise: Any) -> Any:
        fake = make(noise).detach()
        for_real, for_fake = judge(real), judge(fake)
        nearly, zeros = cc.ops.full_like(for_real, 0.9), cc.ops.zeros_like(for_fake)
        return loss(for_real, nearly) + loss(for_fake, zeros)

    def make_loss(noise: Any) -> Any:
        verdict = judge(make(noise))
        return loss(verdict, cc.ops.ones_like(verdict))

    epochs = 4 if quick else epochs
    optimizers = [optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (judge, make)]
    schedules = [optim.lr_scheduler.LinearLR(o, 1.0, 0.05, total_iters=epochs) for o in optimizers]
    judge_step, make_step = cc.train_step(judge_loss, optimizers[0]), cc.train_step(make_loss, optimizers[1])
    average = optim.swa_utils.EMA(make, decay=0.99 if quick else 0.999)
    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        for (real,) in data.DataLoader((real_images,), 64, shuffle=True, seed=epoch, drop_last=True):
            noise = rng.standard_normal((64, NOISE, 1, 1)).astype(np.float32)
            of_judge, of_make = judge_step(real, noise), make_step(noise)
            average.update_parameters(make)
        for schedule in schedules:
            schedule.step()
        print(f"epoch {epoch + 1}  discriminator {of_judge:.3f}  generator {of_make:.3f}")
    noise = rng.standard_normal((256, NOISE, 1, 1)).astype(np.float32)
    made = average.module.predict(noise, batch_size=64)
    made = made[judge.predict(made, batch_size=64)[:, 0].argsort()[::-1][:64]]
    for row in ((made[0, 0, ::2] + 1) * 4.99).astype(int):
        print("".join(" .:-=+*#%@"[value] for value in row))
    save_picture(picture, (made + 1) / 2)
    return float(x.mean()), float((made.mean() + 1) / 2)


if __name__ == "__main__":
    main(**options(epochs=12))
