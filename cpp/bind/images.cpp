// SPDX-License-Identifier: Apache-2.0
#include "images/images.h"

#include <cstdint>

#include "bind/bind.h"
#include "bind/unlocked.h"
#include "core/error.h"

namespace cnncore {
namespace {

template <class T>
using Dense = py::array_t<T, py::array::c_style>;

ImageShape image_shape(const py::array& images) {
  require(images.ndim() == 4 && images.size() > 0, "expected images (count, channels, height, width)");
  return {images.shape(0), images.shape(1), images.shape(2), images.shape(3)};
}

/// Raises unless `settings` has `wanted` elements for each image.
void require_settings(const py::array& settings, const ImageShape& shape, std::int64_t wanted) {
  require(settings.size() == shape.count * wanted, "expected ", wanted, " settings an image for ",
          shape.count, " images, got ", settings.size());
}

void require_rgb(const ImageShape& shape) {
  require(shape.channels == 3, "expected images of 3 channels, got ", shape.channels);
}

Between between_from(const std::string& name) {
  if (name == "nearest") return Between::nearest;
  if (name == "bilinear") return Between::linear;
  if (name == "bicubic") return Between::cubic;
  fail("expected 'nearest', 'bilinear' or 'bicubic', got '", name, "'");
}

/// Calls run(x, y) on the memory of images, uint8 or float32, and of the new ones of the given extents.
template <class Run>
py::array transformed(const py::array& images, std::int64_t height, std::int64_t width, const Run& run) {
  require(height > 0 && width > 0, "expected a size of at least 1 x 1");
  const ImageShape shape = image_shape(images);
  const auto call = [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto x = Dense<T>::ensure(images);
    Dense<T> y({shape.count, shape.channels, height, width});
    const T* from = x.data();
    T* to = y.mutable_data();
    const Unlocked unlocked;
    run(from, to);
    return std::move(y);
  };
  if (py::isinstance<py::array_t<std::uint8_t>>(images)) return call(std::uint8_t{});
  require(py::isinstance<py::array_t<float>>(images), "expected images of uint8 or float32");
  return call(float{});
}

template <class Run>
py::array recoloured(const py::array& images, const Run& run) {
  const ImageShape shape = image_shape(images);
  return transformed(images, shape.height, shape.width, run);
}

py::array warp_images(const py::array& images, const Dense<double>& matrices, std::int64_t height,
                      std::int64_t width, const std::string& mode, const Dense<float>& fill) {
  const ImageShape shape = image_shape(images);
  require_settings(matrices, shape, 9);
  require(fill.size() == shape.channels, "expected a fill of ", shape.channels, " channels");
  const Between between = between_from(mode);
  require(between != Between::cubic, "expected 'nearest' or 'bilinear'");
  const double* m = matrices.data();
  const float* outside = fill.data();
  return transformed(images, height, width,
                     [&](auto* x, auto* y) { warp(x, shape, m, between, outside, y, height, width); });
}

py::array remap_images(const py::array& images, const Dense<float>& places, const std::string& mode,
                       const Dense<float>& fill) {
  const ImageShape shape = image_shape(images);
  require(places.ndim() == 4 && places.shape(0) == shape.count && places.shape(1) == 2,
          "expected places (count, 2, height, width)");
  require(fill.size() == shape.channels, "expected a fill of ", shape.channels, " channels");
  const Between between = between_from(mode);
  require(between != Between::cubic, "expected 'nearest' or 'bilinear'");
  const std::int64_t height = places.shape(2), width = places.shape(3);
  const float* at = places.data();
  const float* outside = fill.data();
  return transformed(images, height, width,
                     [&](auto* x, auto* y) { remap(x, shape, at, between, outside, y, height, width); });
}

py::array resample_images(const py::array& images, const Dense<double>& boxes, std::int64_t height,
                          std::int64_t width, const std::string& mode, bool antialias) {
  const ImageShape shape = image_shape(images);
  require_settings(boxes, shape, 4);
  const Between between = between_from(mode);
  const double* box = boxes.data();
  for (std::int64_t i = 0; i < shape.count; ++i) {
    const double *b = box + 4 * i, h = static_cast<double>(shape.height),
                 w = static_cast<double>(shape.width);
    require(b[0] >= 0 && b[1] >= 0 && b[2] > 0 && b[3] > 0 && b[0] + b[2] <= h && b[1] + b[3] <= w,
            "expected boxes inside of images of ", shape.height, " x ", shape.width);
  }
  return transformed(images, height, width, [&](auto* x, auto* y) {
    resample(x, shape, box, between, antialias, y, height, width);
  });
}

}  // namespace

void bind_images(py::module_& module) {
  module.def("warp_images", &warp_images, py::arg("images"), py::arg("matrices"), py::arg("height"),
             py::arg("width"), py::arg("mode"), py::arg("fill"));
  module.def("remap_images", &remap_images, py::arg("images"), py::arg("places"), py::arg("mode"),
             py::arg("fill"));
  module.def("resample_images", &resample_images, py::arg("images"), py::arg("boxes"), py::arg("height"),
             py::arg("width"), py::arg("mode"), py::arg("antialias"));
  module.def("mix_colours", [](const py::array& images, const Dense<float>& matrices) {
    const ImageShape shape = image_shape(images);
    require_rgb(shape);
    require_settings(matrices, shape, 12);
    const float* m = matrices.data();
    return recoloured(images, [&](auto* x, auto* y) { mix_colours(x, shape, m, y); });
  });
  module.def("shift_hue", [](const py::array& images, const Dense<float>& shifts) {
    const ImageShape shape = image_shape(images);
    require_rgb(shape);
    require_settings(shifts, shape, 1);
    const float* s = shifts.data();
    return recoloured(images, [&](auto* x, auto* y) { shift_hue(x, shape, s, y); });
  });
  module.def("filter_images", [](const py::array& images, const Dense<float>& kernels) {
    const ImageShape shape = image_shape(images);
    require(kernels.ndim() == 2 && kernels.shape(1) % 2 == 1, "expected kernels (count, odd size)");
    const std::int64_t size = kernels.shape(1);
    require_settings(kernels, shape, size);
    const float* k = kernels.data();
    return recoloured(images, [&](auto* x, auto* y) { filter(x, shape, k, size, y); });
  });
  module.def("sharpen_images", [](const py::array& images, const Dense<float>& factors) {
    const ImageShape shape = image_shape(images);
    require_settings(factors, shape, 1);
    const float* f = factors.data();
    return recoloured(images, [&](auto* x, auto* y) { sharpen(x, shape, f, y); });
  });
  module.def("look_up", [](const Dense<std::uint8_t>& images, const Dense<std::uint8_t>& tables) {
    const ImageShape shape = image_shape(images);
    require_settings(tables, shape, shape.channels * 256);
    Dense<std::uint8_t> y({shape.count, shape.channels, shape.height, shape.width});
    const std::uint8_t *x = images.data(), *t = tables.data();
    std::uint8_t* to = y.mutable_data();
    const Unlocked unlocked;
    look_up(x, shape, t, to);
    return y;
  });
  module.def("look_up_floats", [](const Dense<std::uint8_t>& images, const Dense<float>& tables) {
    const ImageShape shape = image_shape(images);
    require(tables.size() == shape.channels * 256, "expected tables (", shape.channels, ", 256), got ",
            tables.size(), " values");
    Dense<float> y({shape.count, shape.channels, shape.height, shape.width});
    const std::uint8_t* x = images.data();
    const float* t = tables.data();
    float* to = y.mutable_data();
    const Unlocked unlocked;
    look_up_floats(x, shape, t, to);
    return y;
  });
  module.def("count_values", [](const Dense<std::uint8_t>& images) {
    const ImageShape shape = image_shape(images);
    Dense<std::int64_t> counts({shape.count, shape.channels, std::int64_t{256}});
    const std::uint8_t* x = images.data();
    std::int64_t* to = counts.mutable_data();
    const Unlocked unlocked;
    count_values(x, shape, to);
    return counts;
  });
}

}  // namespace cnncore
