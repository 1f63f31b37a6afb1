# SPDX-License-Identifier: Apache-2.0
"""`dcgan.py` in PyTorch."""

from __future__ import annotations

import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

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
    torch.manual_seed(0)
    x = torch.from_numpy(mnist(quick)[0][0])
    make, judge = generator().apply(initialize), discriminator().apply(initialize)
    loss = F.binary_cross_entropy_with_logits
    epochs = 4 if quick else epochs
    of_judge, of_make = (optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (judge, make))
    schedules = [optim.lr_scheduler.LinearLR(o, 1.0, 0.05, total_iters=epochs) for o in (of_judge, of_make)]
    decay = get_ema_multi_avg_fn(0.99 if quick else 0.999)
    average = AveragedModel(make, multi_avg_fn=decay, use_buffers=True)
    for epoch in range(epochs):
        for real in DataLoader(2 * x - 1, batch_size=64, shuffle=True, drop_last=True):
            fake = make(torch.randn(64, NOISE, 1, 1))
            of_judge.zero_grad()
            for_real, for_fake = judge(real), judge(fake.detach())
            judge_loss = loss(for_real, torch.full_like(for_real, 0.9)) + loss(
                for_fake, torch.zeros_like(for_fake)
            )
            judge_loss.backward()
            of_judge.step()

            of_make.zero_grad()
            verdict = judge(fake)
            make_loss = loss(verdict, torch.ones_like(verdict))
            make_loss.backward()
            of_make.step()
            average.update_parameters(make)
        for schedule in schedules:
            schedule.step()
        print(f"epoch {epoch + 1}  discriminator {judge_loss.item():.3f}  generator {make_loss.item():.3f}")
    average.eval()
    judge.eval()
    with torch.no_grad():
        made = average(torch.randn(256, NOISE, 1, 1))
        made = made[judge(made)[:, 0].argsort(descending=True)[:64]]
    save_picture(picture, ((made + 1) / 2).numpy())
    return float(x.mean()), float((made.mean() + 1) / 2)


if __name__ == "__main__":
    main(**options(epochs=12))
