# SPDX-License-Identifier: Apache-2.0
"""What to write instead of names that PyTorch and Keras have: a hint at the end of the AttributeError."""

from __future__ import annotations

_STEP = (
    "forward, backward and update are one call: "
    "step = cc.train_step(lambda x, y: loss(model(x), y), optimizer), then step(x, y)"
)
_GRADIENTS = "gradients exist inside a step only: cc.value_and_grad(fn, params) and cc.grad(fn) return them"
_NO_VALUE = "a symbolic tensor has no value while a function is being traced: return it to see it"
_ONE_DEVICE = "networks are computed on CPUs in float32: leave it out"
_MODE = "outside of cc.train_step nothing keeps gradients: leave it out"
_FIXED = "values do not change: x = x + y"
_ARRAYS = "numpy arrays are what goes in and out"
_ASSIGN = "parameter.assign(values) changes the contents, nn.init.* draws new ones"
_CAPTURE = "cc.capture(model, names, x) returns what layers inside a model return"
_TRAINER = "cc.Trainer(model, loss, optimizer, metrics) trains: .fit(x, y, epochs), .evaluate(x, y)"

_MODULE = {
    **dict.fromkeys(("cuda", "double", "half", "bfloat16", "type", "to_empty", "share_memory"), _ONE_DEVICE),
    "forward": "a Module needs a method forward(self, x) that returns its output",
    "zero_grad": _STEP,
    **dict.fromkeys(("register_forward_hook", "register_forward_pre_hook"), _CAPTURE),
    **dict.fromkeys(("register_full_backward_hook", "register_backward_hook"), _GRADIENTS),
    "compile": "cc.compile(model, input_shape) makes a predictor; a Trainer takes loss and optimizer",
    **dict.fromkeys(("fit", "evaluate"), _TRAINER),
    "summary": "cc.summary(model, input_shape)",
    "save": "cc.save(model, path)",
    "load_weights": "cc.load_into(model, path)",
    "predict_proba": "ops.softmax(model.predict(x), 1) are probabilities",
}

_TENSOR = {
    "backward": _STEP,
    **dict.fromkeys(("grad", "retain_grad", "requires_grad_", "register_hook"), _GRADIENTS),
    **dict.fromkeys(("item", "numpy", "tolist"), _NO_VALUE),
    **dict.fromkeys(("cuda", "device", "is_cuda"), _ONE_DEVICE),
    "astype": "x.to(dtype), x.float() or x.long()",
    **dict.fromkeys(("add_", "mul_", "sub_", "div_", "copy_", "fill_", "zero_"), _FIXED),
}

_PARAMETER = {
    "backward": _STEP,
    "grad": _GRADIENTS,
    **dict.fromkeys(("cuda", "device"), _ONE_DEVICE),
    **dict.fromkeys(
        ("add_", "mul_", "sub_", "div_", "copy_", "fill_", "zero_", "normal_", "uniform_", "clamp_"), _ASSIGN
    ),
    "requires_grad_": "parameter.requires_grad = False freezes it",
}

_OPTIMIZER = {
    **dict.fromkeys(("step", "zero_grad", "minimize", "apply_gradients"), _STEP),
    "learning_rate": "optimizer.lr",
}

_PACKAGE = {
    **dict.fromkeys(("tensor", "Tensor", "from_numpy", "as_tensor", "array"), _ARRAYS),
    **dict.fromkeys(("no_grad", "inference_mode", "enable_grad", "set_grad_enabled"), _MODE),
    **dict.fromkeys(("device", "cuda", "float32"), _ONE_DEVICE),
    "autograd": _GRADIENTS,
    "utils": "cc.data has Dataset and DataLoader",
    "layers": "cc.nn has the layers",
    "Sequential": "cc.nn.Sequential",
    "Module": "cc.nn.Module",
}

HINTS = {
    "module": _MODULE,
    "tensor": _TENSOR,
    "parameter": _PARAMETER,
    "optimizer": _OPTIMIZER,
    "package": _PACKAGE,
}


def missing(kind: str, owner: str, name: str) -> AttributeError:
    """Return the error for an attribute that does not exist.

    Args:
        kind: a key of `HINTS`.
        owner: whose attribute it would be, as the message names it.
        name: the attribute.

    >>> print(missing("optimizer", "SGD", "learning_rate"))
    SGD has no attribute 'learning_rate'; optimizer.lr
    """
    hint = HINTS[kind].get(name)
    return AttributeError(f"{owner} has no attribute {name!r}" + (f"; {hint}" if hint else ""))
