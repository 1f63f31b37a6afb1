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
_NUMBER = "the loss of a step is a number already: leave it out"
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
    "save_weights": "cc.save(model, path)",
    "get_weights": "model.state_dict()",
    "set_weights": "model.load_state_dict(state)",
    "train_on_batch": _STEP,
    "predict_on_batch": "model.predict(x)",
    "layers": "model.children() has the parts, model.named_modules() all of them with their paths",
    "get_layer": "model.get_submodule(path)",
    "count_params": "cc.summary(model, input_shape).parameters",
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
    "functional": "cc.nn.functional, or cc.ops",
    "losses": "cc.nn has the losses: nn.CrossEntropyLoss()",
    "optimizers": "cc.optim has the optimisers: optim.Adam(model.parameters(), lr=1e-3)",
    "callbacks": "cc.train has the callbacks: cc.train.EarlyStopping(patience=3)",
    "metrics": "cc.train.metrics has the metrics; a Trainer takes their names",
    "save_model": "cc.save(model, path)",
    "Model": "cc.nn.Module",
    "GradientTape": _GRADIENTS,
    "Sequential": "cc.nn.Sequential",
    "Module": "cc.nn.Module",
}

_LOSS = {
    **dict.fromkeys(("item", "detach", "cpu", "numpy", "data"), _NUMBER),
    "backward": _STEP,
    "grad": _GRADIENTS,
}

_TRAINERS = {
    "compile": "it takes them when it is made: cc.Trainer(model, loss, optimizer, metrics)",
    **dict.fromkeys(("train", "fit_generator"), "trainer.fit(x, y, epochs)"),
    **dict.fromkeys(("test", "validate", "evaluate_generator", "test_on_batch"), "trainer.evaluate(x, y)"),
    **dict.fromkeys(("predict_generator", "predict_on_batch"), "trainer.predict(x)"),
    **dict.fromkeys(("train_step", "train_on_batch"), _STEP),
    "history": "trainer.fit returns the history",
    "callbacks": "trainer.fit(x, y, epochs, callbacks=[...])",
    **dict.fromkeys(("save_checkpoint", "save_state"), "trainer.save(path), then trainer.resume(path)"),
    **dict.fromkeys(("load", "load_checkpoint"), "trainer.resume(path)"),
    "save_weights": "trainer.save_model(path)",
    "load_weights": "cc.load_into(trainer.model, path)",
    "summary": "cc.summary(trainer.model, input_shape)",
    **dict.fromkeys(("to", "cuda"), _ONE_DEVICE),
}

_NN = {
    "Dense": "nn.Linear(in_features, out_features)",
    **{f"Conv{n}D": f"nn.Conv{n}d(in_channels, out_channels, kernel_size)" for n in (1, 2, 3)},
    **{f"MaxPooling{n}D": f"nn.MaxPool{n}d(kernel_size)" for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": f"nn.AvgPool{n}d(kernel_size)" for n in (1, 2, 3)},
    "GlobalAveragePooling2D": "nn.AdaptiveAvgPool2d(1), then nn.Flatten()",
    "BatchNormalization": "nn.BatchNorm2d(channels)",
    "Activation": "nn.ReLU() and others have names of their own",
    "Input": "a Module takes its input's shape from the first call",
    **dict.fromkeys(
        ("DataParallel", "DistributedDataParallel"),
        "one process uses all cores; several: cc.train_step(..., comm=MPI.COMM_WORLD)",
    ),
}

_UTILS = {
    **dict.fromkeys(
        ("clip_grad_norm_", "clip_grad_norm", "clip_grads_with_norm_", "get_total_norm"),
        "cc.train_step(fn, optimizer, clip_grad_norm=1.0) clips inside the step, as cc.Trainer does",
    ),
    "clip_grad_value_": (
        "cc.train_step(fn, optimizer, clip_grad_value=1.0) clips inside the step, as cc.Trainer does"
    ),
    **dict.fromkeys(
        ("fuse_conv_bn_eval", "fuse_linear_bn_eval"),
        "cc.compile(model, input_shape) folds batch norms itself",
    ),
}

HINTS = {
    "module": _MODULE,
    "tensor": _TENSOR,
    "parameter": _PARAMETER,
    "optimizer": _OPTIMIZER,
    "package": _PACKAGE,
    "loss": _LOSS,
    "trainer": _TRAINERS,
    "nn": _NN,
    "utils": _UTILS,
}
"""What to write instead, by the kind of object and the name; docs/from-torch-and-keras.md is made of it."""


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
