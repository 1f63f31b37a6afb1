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
    assert list(module_of("errors").layers([("pointwise", 32, 32, 1, 9)])) == []


def test_networks_are_compared_by_their_outputs(module_of: Any) -> None:
    (error,) = module_of("errors").networks([module_of("networks").NETWORKS["mnist_cnn"]])
    assert (error.subject, error.result, error.is_layer) == ("mnist_cnn", "output", False)
    assert 1e-8 < error.exact_rms < 1e-5
    assert error.fast <= module_of("results").ERROR_LIMIT
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
