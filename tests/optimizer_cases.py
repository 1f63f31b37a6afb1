# SPDX-License-Identifier: Apache-2.0
"""Optimisers with their settings, and gradients to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim

SHAPES = [(3, 5), (7,), (2, 3, 3, 3), (1,)]
STEPS = 6

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd decay": ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "dampened": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam decay": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "adamw decay": ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3}),
    "sgd maximize": ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True}),
    "adam decoupled": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "adamw amsgrad": ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.01}),
    "nadam decay": ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1}),
    "nadam decoupled": ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.01}),
    "radam soon": ("RAdam", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "radam decoupled": ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamax": ("Adamax", {"lr": 0.01}),
    "adamax decay": ("Adamax", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    "rmsprop centered": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True}),
    "rmsprop all": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "centered": True, "momentum": 0.5, "maximize": True},
    ),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
    ),
    "adadelta": ("Adadelta", {}),
    "adadelta decay": ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    "adafactor": ("Adafactor", {}),
    "adafactor all": (
        "Adafactor",
        {
            "lr": 0.05,
            "beta2_decay": -0.6,
            "eps": (1e-4, 0.5),
            "d": 1.5,
            "weight_decay": 0.1,
            "maximize": True,
        },
    ),
    "rprop": ("Rprop", {"lr": 0.01}),
    "rprop limits": (
        "Rprop",
        {"lr": 0.01, "etas": (0.6, 1.5), "step_sizes": (0.005, 0.02), "maximize": True},
    ),
    "asgd": ("ASGD", {"lr": 0.1}),
    "asgd averaged": ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 2, "weight_decay": 0.1}),
}


def drawn_gradients() -> tuple[list[Any], list[list[Any]]]:
    rng = np.random.default_rng(0)
    draw = [[rng.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in range(STEPS + 1)]
    return draw[0], draw[1:]


def gradient_step(params: list[nn.Parameter], optimizer: optim.Optimizer) -> Any:
    """A step whose gradients are its inputs."""

    def loss(*grads: Any) -> Any:
        total = 0.0
        for parameter, grad in zip(params, grads, strict=True):
            total = total + ops.sum(parameter * grad)
        return total

    return cc.train_step(loss, optimizer)
