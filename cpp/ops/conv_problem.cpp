// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <sstream>

#include "core/error.h"
#include "core/sizes.h"
#include "ops/conv.h"

namespace cnncore {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

void append(std::ostream& text, std::int64_t value) { text << value; }
void append(std::ostream& text, const Spatial& value) {
  text << value[0] << 'x' << value[1] << 'x' << value[2];
}

void mix(std::size_t& seed, std::int64_t value) {
  seed ^= std::hash<std::int64_t>{}(value) + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2);
}
void mix(std::size_t& seed, const Spatial& value) {
  for (const auto v : value) mix(seed, v);
}

Spatial spatial_from(const std::vector<std::int64_t>& values, std::size_t begin, std::size_t rank,
                     std::int64_t fill) {
  Spatial result{fill, fill, fill};
  const auto first = static_cast<std::size_t>(first_axis(static_cast<int>(rank)));
  for (std::size_t i = 0; i < rank; ++i) result[first + i] = values[begin + i];
  return result;
}

Spatial spatial_attr(const Attrs& attrs, const std::string& name, std::size_t rank, std::int64_t fill,
                     std::int64_t least) {
  if (!attrs.has(name)) return {fill, fill, fill};
  const auto& values = attrs.integers(name);
  require(values.size() == rank, name, ": expected ", rank, " numbers, got ", values.size());
  for (const auto v : values) {
    require(v >= least && v <= kLargestSetting, name, ": expected numbers from ", least, " to ",
            kLargestSetting, ", got ", shape_text(values));
  }
  return spatial_from(values, 0, rank, fill);
}

void read_pool(ConvProblem& p, const Attrs& attrs, std::size_t rank) {
  if (!attrs.has("pool_kernel")) return;
  require(rank > 0, "expected pooling of images, got an input without spatial axes");
  p.pool_kernel = spatial_attr(attrs, "pool_kernel", rank, 1, 1);
  p.pool_stride = spatial_attr(attrs, "pool_stride", rank, 1, 1);
  p.pool_padding_begin = spatial_attr(attrs, "pool_padding_begin", rank, 0, 0);
  p.pool_padding_end = spatial_attr(attrs, "pool_padding_end", rank, 0, 0);
  p.pool_dilation = spatial_attr(attrs, "pool_dilation", rank, 1, 1);
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t reach = kernel_reach(p.pool_kernel[a], p.pool_dilation[a]);
    const std::int64_t padded = checked_sum(p.output[a], p.pool_padding_begin[a] + p.pool_padding_end[a]);
    require(padded >= reach, "the pooling window covers ", reach, " pixels but the convolution's output has ",
            padded, " (padding included)");
  }
}

}  // namespace

ConvDirection conv_direction_from_name(const std::string& name) {
  if (name == "forward") return ConvDirection::forward;
  if (name == "backward_data") return ConvDirection::backward_data;
  if (name == "backward_weight") return ConvDirection::backward_weight;
  fail("expected direction forward, backward_data or backward_weight, got '", name, "'");
}

std::size_t ConvProblem::hash() const {
  std::size_t seed = 0;
  std::apply([&seed](const auto&... field) { (mix(seed, field), ...); }, fields());
  return seed;
}

std::string ConvProblem::text() const {
  std::ostringstream text;
  std::size_t i = 0;
  const std::size_t end = kFieldNames.size() - (pools() ? 0 : kPoolFields);
  const auto one = [&](const auto& field) {
    if (i >= end) return;
    text << (i != 0 ? " " : "") << kFieldNames[i] << '=';
    append(text, field);
    ++i;
  };
  std::apply([&one](const auto&... field) { (one(field), ...); }, fields());
  return text.str();
}

double ConvProblem::flops() const {
  return 2.0 * static_cast<double>(output_pixels()) * static_cast<double>(out_channels) *
         static_cast<double>(group_in() * taps());
}

Spatial ConvProblem::pooled() const {
  Spatial extents{};
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t reach = (pool_kernel[a] - 1) * pool_dilation[a] + 1;
    extents[a] = (output[a] + pool_padding_begin[a] + pool_padding_end[a] - reach) / pool_stride[a] + 1;
  }
  return extents;
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
  p.input = spatial_from(input_shape, 2, rank, 1);
  p.kernel = spatial_from(weight_shape, 2, rank, 1);
  p.stride = spatial_attr(attrs, "stride", rank, 1, 1);
  p.dilation = spatial_attr(attrs, "dilation", rank, 1, 1);
  p.padding_begin = spatial_attr(attrs, "padding_begin", rank, 0, 0);
  p.padding_end = spatial_attr(attrs, "padding_end", rank, 0, 0);
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t padded = checked_sum(p.input[a], p.padding_begin[a] + p.padding_end[a]);
    const std::int64_t reach = kernel_reach(p.kernel[a], p.dilation[a]);
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
