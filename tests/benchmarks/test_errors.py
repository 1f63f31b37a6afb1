# SPDX-License-Identifier: Apache-2.0
"""Rounding errors in units of direct convolution's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")


def test_a_known_error_is_found(module_of: Any) -> None:
    errors = module_of("errors")
    reference = np.array([3.0, 4.0])
    computed = {"float64": reference, "exact": reference + 0.1, "fast": reference - 0.2, "torch": reference}
    error = errors._error(True, "layer", "output", computed.__getitem__)
    assert error.exact_rms == pytest.approx(0.1 * 2**0.5 / 5)
    assert (error.fast, error.torch) == (pytest.approx(2.0), 0.0)


def test_of_several_arrays_the_median_counts(module_of: Any) -> None:
    reference = {name: np.ones(4) for name in "abc"}
    numbers = {name: np.full(4, 1 + error) for name, error in (("a", 0.1), ("b", 0.3), ("c", 9.0))}
    assert module_of("errors")._distance(numbers, reference) == pytest.approx(0.3)


def test_winograd_stays_below_the_limit(module_of: Any) -> None:
    found = list(module_of("errors").layers([("small", 32, 32, 3, 16)]))
    assert [error.result for error in found] == [
        *("output", "gradient by the input", "gradient by the weight"),
    ]
    for error in found:
        assert error.is_layer
        # Units of float32's rounding: sums of hundreds of products lie between 1 and 100 of them.
        assert 6e-8 < error.exact_rms < 6e-6
        assert 1.0 < error.fast <= module_of("results").ERROR_LIMIT


def test_layers_that_are_direct_in_both_modes_are_left_out(module_of: Any) -> None:
    assert list(module_of("errors").layers([("pointwise", 8, 8, 1, 9)])) == []


def test_networks_without_dropout_are_compared(module_of: Any) -> None:
    network = module_of("networks").NETWORKS["mnist_cnn"]
    output, gradients = module_of("errors").networks([network])
    assert (output.subject, output.result, output.is_layer) == ("mnist_cnn", "output", False)
    assert gradients.result == "gradients"
    for error in (output, gradients):
        assert error.exact_rms < 1e-5
        assert error.torch < 10


def test_an_error_over_the_limit_fails_the_run(
    module_of: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = module_of("errors")
    bad = errors.Error(True, "layer", "output", 1e-7, 2.6, 1.0)
    monkeypatch.setattr(errors, "layers", lambda listed: [bad])
    monkeypatch.setattr(errors, "networks", lambda listed: [])
    assert module_of("run").main(["--errors"]) == 1
    assert "OVER 2.5: layer, output: 2.60" in capsys.readouterr().out
