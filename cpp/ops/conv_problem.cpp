// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/sizes.h"
#include "ops/conv.h"

namespace cnncore {
namespace {

void append(std::ostream& text, const Window& window, const char* prefix) {
  std::size_t i = 0;
  const auto one = [&](const Spatial& field) {
    text << ' ' << prefix << Window::kFieldNames[i++] << '=' << field[0] << 'x' << field[1] << 'x'
         << field[2];
  };
  std::apply([&one](const auto&... field) { (one(field), ...); }, window.window_fields());
}

Spatial spatial_from(const std::vector<std::int64_t>& shape) {
  Spatial result{1, 1, 1};
  std::copy(shape.begin() + 2, shape.end(), result.end() - static_cast<std::ptrdiff_t>(shape.size() - 2));
  return result;
}

/// All but the kernel.
void read_window(Window& window, const Attrs& attrs, const std::string& prefix, std::size_t rank) {
  window.stride = spatial_setting(attrs, prefix + "stride", rank, 1, window.stride);
  window.padding_begin = spatial_setting(attrs, prefix + "padding_begin", rank, 0, window.padding_begin);
  window.padding_end = spatial_setting(attrs, prefix + "padding_end", rank, 0, window.padding_end);
  window.dilation = spatial_setting(attrs, prefix + "dilation", rank, 1, window.dilation);
}

void read_pool(ConvProblem& p, const Attrs& attrs, std::size_t rank) {
  if (!attrs.has("pool_kernel")) return;
  require(rank > 0, "expected pooling of images, got an input without spatial axes");
  Window& pool = p.pool.emplace();
  pool.kernel = spatial_setting(attrs, "pool_kernel", rank, 1, pool.kernel);
  read_window(pool, attrs, "pool_", rank);
  for (std::size_t a = 0; a < 3; ++a) {
    require(pool.padded(p.output, a) >= pool.reach(a), "the pooling window covers ", pool.reach(a),
            " pixels but the convolution's output has ", pool.padded(p.output, a), " (padding included)");
  }
}

}  // namespace

ConvDirection conv_direction_from_name(const std::string& name) {
  if (name == "forward") return ConvDirection::forward;
  if (name == "backward_data") return ConvDirection::backward_data;
  if (name == "backward_weight") return ConvDirection::backward_weight;
  fail("expected direction forward, backward_data or backward_weight, got '", name, "'");
}

std::string ConvProblem::text() const {
  std::ostringstream text;
  text << "batch=" << batch << " in_channels=" << in_channels << " out_channels=" << out_channels
       << " groups=" << groups << " input=" << input[0] << 'x' << input[1] << 'x' << input[2]
       << " output=" << output[0] << 'x' << output[1] << 'x' << output[2];
  append(text, *this, "");
  if (pool) append(text, *pool, "pool_");
  return text.str();
}

double ConvProblem::flops() const {
  return 2.0 * static_cast<double>(output_pixels()) * static_cast<double>(out_channels) *
         static_cast<double>(group_in() * taps());
}

ConvProblem conv_problem(const std::vector<std::int64_t>& input_shape,
                         const std::vector<std::int64_t>& weight_shape, const Attrs& attrs) {
  require(input_shape.size() >= 2 && input_shape.size() <= 5,
          "expected an input of 2 to 5 axes (batch, channels, spatial...), got ", shape_text(input_shape));
  require(weight_shape.size() == input_shape.size(), "expected a weight of ", input_shape.size(),
          " axes like the input, got ", shape_text(weight_shape));
  for (const auto n : input_shape)
    require(n > 0, "expected a non-empty input, got ", shape_text(input_shape));
  for (const auto n : weight_shape)
    require(n > 0, "expected a non-empty weight, got ", shape_text(weight_shape));

  const std::size_t rank = input_shape.size() - 2;
  ConvProblem p;
  p.batch = input_shape[0];
  p.in_channels = input_shape[1];
  p.out_channels = weight_shape[0];
  p.groups = attrs.has("groups") ? attrs.integer("groups") : 1;
  require(p.groups > 0 && p.in_channels % p.groups == 0 && p.out_channels % p.groups == 0,
          "expected groups to divide ", p.in_channels, " input and ", p.out_channels,
          " output channels, got groups=", p.groups);
  require(weight_shape[1] * p.groups == p.in_channels, "expected input with ", weight_shape[1] * p.groups,
          " channels (weight is ", shape_text(weight_shape), ", groups=", p.groups, "), got ",
          shape_text(input_shape));
  p.input = spatial_from(input_shape);
  p.kernel = spatial_from(weight_shape);
  read_window(p, attrs, "", rank);
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t padded = p.padded(p.input, a);
    const std::int64_t reach = p.reach(a);
    require(padded >= reach, "the kernel reaches over ", reach, " pixels (dilation included) but input ",
            shape_text(input_shape), " has only ", padded, " there (padding included)");
    // A longer stride than the input gives the same single output.
    p.stride[a] = std::min(p.stride[a], padded);
    p.output[a] = (padded - reach) / p.stride[a] + 1;
  }
  read_pool(p, attrs, rank);
  return p;
}

}  // namespace cnncore
