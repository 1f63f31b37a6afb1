# SPDX-License-Identifier: Apache-2.0
"""Detectors: torchvision's keys, detections and losses, and the parts that they are made of."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops, optim
from cnncore.models.detection import AnchorGenerator, DefaultBoxGenerator, matching

NAMES = ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"]
ANY_SCORE: dict[str, dict[str, Any]] = {NAMES[0]: {}, NAMES[1]: {"box_score_thresh": 0.0}}


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are made without initial values, which takes seconds for the large ones."""
    for name in ("uniform_", "normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def test_parameters(no_drawing: None) -> None:
    """As torchvision documents them; it does not count the 24,400 of frozen batch norms in Faster R-CNN."""
    count = {name: sum(p.size for p in models.get(name).parameters()) for name in NAMES}
    assert count == {NAMES[0]: 3_440_060, NAMES[1]: 19_386_354 + 24_400}


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_keys_and_detections_are_torchvisions(name: str, data_root: Path, no_drawing: None) -> None:
    folder = data_root / "torchvision"
    if not (folder / "outputs.npz").exists():
        pytest.skip("torchvision's keys and outputs are not among the data sets")
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    shapes = json.loads((folder / "keys.json").read_text())[f"detection.{name}"]
    network = models.get(name, **ANY_SCORE[name]).eval()
    assert [(k, list(v.shape)) for k, v in network.state_dict().items()] == list(shapes.items())
    network.load_state_dict(fill.fill(shapes))
    (found,) = network([np.random.default_rng(1).random((3, 320, 320)).astype(np.float32)])
    outputs = np.load(folder / "outputs.npz")
    wanted = {key: outputs[f"detection.{name}/{key}"] for key in found}
    np.testing.assert_allclose(found["scores"], wanted["scores"], rtol=1e-4)
    # Detections whose scores are within rounding of each other come in either order.
    left = list(range(len(wanted["labels"])))
    for box, label, score in zip(found["boxes"], found["labels"], found["scores"], strict=True):
        same = [
            place
            for place in left
            if wanted["labels"][place] == label
            and abs(wanted["scores"][place] - score) <= 1e-4 * score
            and np.abs(wanted["boxes"][place] - box).max() <= 1e-4 * 320
        ]
        assert same
        left.remove(same[0])


def objects() -> tuple[list[Any], list[dict[str, Any]]]:
    rng = np.random.default_rng(3)
    images = [rng.random((3, 60, 90)).astype(np.float32), (rng.random((3, 64, 64)) * 255).astype(np.uint8)]
    first = {
        "boxes": np.array([[5, 5, 40, 50], [50, 20, 80, 55], [1, 1, 9, 9.0]]),
        "labels": np.array([1, 2, 2]),
    }
    return images, [first, {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, np.int64)}]


def small(name: str) -> Any:
    cc.manual_seed(0)
    few = {"rpn_post_nms_top_n_train": 30, "box_batch_size_per_image": 8}
    network = models.get(name, num_classes=3, **(few if name == NAMES[1] else {}))
    if name == NAMES[0]:
        network.size = (128, 128)
    else:
        network.min_size = network.max_size = 96
    return network


@pytest.mark.parametrize("name", NAMES)
def test_detectors_learn_two_images(name: str) -> None:
    network = small(name)
    images, targets = objects()
    losses = network(images, targets)
    assert all(np.isfinite(value) and value >= 0 for value in losses.values())
    batch = network.batch(images, targets)
    assert batch[2].shape == (2, 4, 4)
    step = cc.train_step(
        lambda *inputs: sum(network(*inputs).values()), optim.Adam(network.parameters(), 1e-3)
    )
    values = [step(*batch) for _ in range(6)]
    assert np.isfinite(values).all()
    assert min(values[3:]) < values[0]
    found = network.eval()(images)
    assert [set(result) for result in found] == [{"boxes", "labels", "scores"}] * 2
    for result, image in zip(found, images, strict=True):
        height, width = image.shape[1:]
        assert (result["boxes"] >= 0).all()
        assert (result["boxes"] <= np.array([width, height, width, height]) + 1e-3).all()
        assert ((result["labels"] == 1) | (result["labels"] == 2)).all()
        assert (np.diff(result["scores"]) <= 0).all()


def test_detectors_compile() -> None:
    network = small(NAMES[0]).eval()
    image = np.random.default_rng(0).random((3, 128, 128)).astype(np.float32)
    predictor = cc.compile(network, input_shape=(1, 3, 128, 128))
    found, (listed,) = predictor(image[None]), network([image])
    real = found["labels"][0] > 0
    for name, values in listed.items():
        np.testing.assert_array_equal(found[name][0][real], values)


def test_images_of_one_array_are_a_batch() -> None:
    network = small(NAMES[0])
    images = np.random.default_rng(0).random((2, 3, 40, 50)).astype(np.float32)
    for together, apart in zip(network.batch(images), network.batch(list(images)), strict=True):
        np.testing.assert_array_equal(together, apart)
    with pytest.raises(ValueError, match="expected images"):
        network.batch(images[:0])


def test_bad_targets() -> None:
    network = small(NAMES[0])
    images, targets = objects()
    for wrong, message in (
        (targets[:1], "targets of 2 images, got 1"),
        (
            [{**targets[0], "labels": np.array([0, 1, 2])}, targets[1]],
            r"labels from 1 \(0 is .*got 0 of image 0",
        ),
        ([{**targets[0], "labels": np.array([1, 2])}, targets[1]], "label for each of 3 boxes of image 0"),
        (
            [targets[0], {"boxes": [[3, np.nan, 7, 9]], "labels": [1]}],
            r"got \[3.0, nan, 7.0, 9.0\] of image 1",
        ),
        ([targets[0], {"boxes": [[3, 3, np.inf, 9]], "labels": [1]}], "inf, 9.0\\] of image 1"),
        ([targets[0], {"bbox": [[3, 3, 7, 9]], "labels": [1]}], r"image 1, got \['bbox', 'labels'\]"),
        ([targets[0], [[3, 3, 7, 9]]], "a dict of boxes and labels for image 1, got list"),
        ([{"boxes": [[3, 3, 3, 9.0]], "labels": [1]}, targets[1]], r"positive width and height, got \[3.0"),
        (None, "expected targets in training mode"),
    ):
        with pytest.raises(ValueError, match=message):
            network(images, wrong)
    with pytest.raises(ValueError, match=r"images \(channels, height, width\), got shapes \[\(60, 90\)\]"):
        network.eval()([images[0][0]])
    with pytest.raises(ValueError, match="images of 3 channels"):
        network.eval()([images[0][:1]])
    with pytest.raises(TypeError, match="unexpected argument 'rpn_size'"):
        models.get(NAMES[1], rpn_size=3)


def test_frozen_stages(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    cc.save(models.get(NAMES[1], num_classes=2), path)
    network = models.get(NAMES[1], num_classes=2, weights=path, trainable_backbone_layers=0)
    body = network.get_submodule("backbone.body")
    assert not any(parameter.requires_grad for parameter in body.parameters())
    assert all(layer.frozen for layer in body.modules() if isinstance(layer, nn.BatchNorm2d))
    assert all(parameter.requires_grad for parameter in network.roi_heads.parameters())
    with pytest.raises(ValueError, match="from 0 to 6, got 7"):
        models.get(NAMES[1], weights=path, num_classes=2, trainable_backbone_layers=7)


# -- parts ------------------------------------------------------------------------------------------


def test_anchors() -> None:
    generator = AnchorGenerator(((32, 64),), ((0.5, 1.0),))
    (anchors,) = generator((64, 96), [(2, 3)])
    assert generator.num_anchors_per_location() == [4]
    assert anchors.shape == (24, 4)
    np.testing.assert_array_equal(anchors[2], [-16, -16, 16, 16])
    np.testing.assert_array_equal(anchors[4 * 4 + 3], [0, 0, 64, 64])  # second row, second column
    with pytest.raises(ValueError, match="expected 1 feature maps, got 2"):
        generator((64, 64), [(2, 2), (1, 1)])
    with pytest.raises(ValueError, match="of as many maps, got 1 and 2"):
        AnchorGenerator(((32,),), ((1.0,), (1.0,)))


def test_default_boxes() -> None:
    generator = DefaultBoxGenerator([[2], [2]], min_ratio=0.2, max_ratio=0.5)
    boxes = generator((100, 200), [(1, 2), (1, 1)])
    assert generator.num_anchors_per_location() == [4, 4]
    assert boxes.shape == (12, 4)
    np.testing.assert_allclose(boxes[0], [30, 40, 70, 60], rtol=1e-6)  # 0.2 of the extents around (50, 50)
    wide = 0.5 * np.sqrt(2) / 2
    np.testing.assert_allclose(boxes[10, [0, 2]], [200 * (0.5 - wide), 200 * (0.5 + wide)], rtol=1e-5)


def test_codes_of_boxes_are_undone() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 20, 2))
    boxes, anchors = np.concatenate([corners, corners + rng.uniform(1, 50, (2, 20, 2))], axis=2).astype("f4")
    weights = (10.0, 10.0, 5.0, 5.0)
    codes = matching.encode(boxes, anchors, weights)
    np.testing.assert_allclose(matching.decode(codes, anchors, weights), boxes, rtol=1e-4, atol=1e-3)
    huge = matching.decode(np.full((1, 4), 1e9, np.float32), anchors[:1], weights)
    assert np.isfinite(huge).all()


QUALITY = np.array([[0.8, 0.4, 0.1, 0.0], [0.3, 0.45, 0.2, 0.0], [-1, -1, -1, -1]], np.float32)


def test_matches() -> None:
    chosen, matched = matching.match(QUALITY, 0.3, 0.7, False)
    assert chosen.tolist()[:3] == [0, 1, 1]
    assert matched.tolist() == [1, -1, 0, 0]
    assert matching.match(QUALITY, 0.3, 0.7, True)[1].tolist() == [1, 1, 0, 0]
    chosen, matched = matching.match_each(QUALITY, 0.5)
    assert matched.tolist() == [1, 1, 0, 0]
    # Two objects whose best box is the same: the last one has it.
    chosen, matched = matching.match_each(np.array([[0.9, 0.1], [0.6, 0.2]], np.float32), 0.5)
    assert (chosen[0], matched.tolist()) == (1, [1, 0])


def test_samples() -> None:
    cc.manual_seed(0)
    matched = np.array([1.0] * 10 + [0.0] * 30 + [-1.0] * 5, np.float32)
    seen = np.zeros(45)
    for _ in range(20):
        positive, negative = matching.sample(matched, 16, 0.25)
        assert positive.sum() == 4
        assert negative.sum() == 12
        assert not positive[10:].any()
        assert not negative[:10].any()
        assert not negative[40:].any()
        seen += positive
    assert (seen[:10] > 0).all()
    positive, negative = matching.sample(matched, 100, 0.5)
    assert (positive.sum(), negative.sum()) == (10, 30)


def test_best_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6], [9, 9, 10, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.3, -1], np.float32)
    found, kept, groups = matching.best(boxes, scores, np.array([1, 1, 2, 3]), 0.5, 4)
    np.testing.assert_array_equal(found, [boxes[1], boxes[2], [0] * 4, [0] * 4])
    np.testing.assert_array_equal(kept, np.float32([0.9, 0.3, 0, 0]))
    assert groups.tolist() == [1, 2, 0, 0]


def test_regions_come_from_the_map_of_their_size() -> None:
    from cnncore.models.detection.faster_rcnn import multi_scale_roi_align

    maps = [
        np.full((1, 1, extent, extent), value, np.float32) for extent, value in ((64, 1), (32, 2), (16, 3))
    ]
    rois = np.array([[0, 0, 0, 20, 20], [0, 0, 0, 120, 120], [0, 0, 0, 250, 250]], np.float32)
    result = multi_scale_roi_align(maps, rois, (256, 256), 2, 2)
    # 4 + log2(extent / 224) is 0.5, 3.1 and 4.2: strides 4, 8 and 16.
    np.testing.assert_array_equal(result[:, 0, 0, 0], [1, 2, 3])
    assert ops.roi_align(maps[0], rois, 2, 0.25, 2).shape == result.shape
