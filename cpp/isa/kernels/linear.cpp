// SPDX-License-Identifier: Apache-2.0
#include "isa/linear.h"

#include "isa/kernels/activations.h"
#include "isa/kernels/tiles.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// With fewer tiles `dot` waits for memory, and the CPU's own prefetching along rows does better.
constexpr int64_t kFetchTiles = 4;

/// Rows are split into tiles of nearly equal height.
struct Tiles {
  int64_t rows, count;
  int64_t height(int64_t tile) const { return rows / count + (tile < rows % count ? 1 : 0); }
};

// -- dot ---------------------------------------------------------------------------------------------

/// Lanes of four vectors added up: sums[i] (+)= all lanes of v[i].
CNNCORE_INLINE void store_sums(float* sums, bool accumulate, const Vec (&v)[kLinearColumns]) {
#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__AVX512F__)
  const Vec ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
  const Vec cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
  const Vec all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
#else
  const Vec ab = _mm256_add_ps(_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
  const Vec cd = _mm256_add_ps(_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
  const Vec half = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
#endif
  const __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  _mm_storeu_ps(sums, accumulate ? _mm_add_ps(_mm_loadu_ps(sums), sum) : sum);
#else
  Vec sum = zero();
  for (int i = 0; i < kWidth; ++i) sum = sum + Vec{v[0][i], v[1][i], v[2][i], v[3][i]};
  store(sums, accumulate ? load(sums) + sum : sum);
#endif
}

/// `input` is [vector of k][row][kWidth]. `fetch` are lines to be fetched, as many as the depth has.
template <int R>
void dot_tile(const LinearDotArgs& args, const float* input, float* sums,
              const float* const (&fetch)[kLinearColumns]) {
  Vec sum[kLinearColumns][R];
  const float* weight[kLinearColumns];
#pragma GCC unroll 4
  for (int c = 0; c < kLinearColumns; ++c) {
    weight[c] = args.weight + min_of(c, args.columns - 1) * args.weight_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[c][r] = zero();
  }
  const auto step = [&](int64_t k, auto read) __attribute__((always_inline)) {
    Vec x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = load(input + r * kWidth);
#pragma GCC unroll 4
    for (int c = 0; c < kLinearColumns; ++c) {
      const Vec w = read(weight[c] + k);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[c][r] = fmadd(w, x[r], sum[c][r]);
    }
    input += R * kWidth;
  };
  int64_t k = 0;
  while (k + kLineFloats <= args.depth) {
#pragma GCC unroll 4
    for (int c = 0; c < kLinearColumns; ++c) __builtin_prefetch(fetch[c] + k);
#pragma GCC unroll 4
    for (int i = 0; i < kLineFloats / kWidth; ++i, k += kWidth)
      step(k, [](const float* p) { return load(p); });
  }
  for (; k + kWidth <= args.depth; k += kWidth) step(k, [](const float* p) { return load(p); });
  if (k < args.depth) {
    const int64_t tail = args.depth - k;
    step(k, [tail](const float* p) { return load_partial(p, tail); });
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    store_sums(sums + r * args.sums_stride, args.accumulate, {sum[0][r], sum[1][r], sum[2][r], sum[3][r]});
  }
}

using DotFunction = void (*)(const LinearDotArgs&, const float*, float*,
                             const float* const (&)[kLinearColumns]);
template <int N>
constexpr DotFunction kDotOf = dot_tile<(N < kDotRows ? N : kDotRows)>;
constexpr DotFunction kDot[] = {nullptr, kDotOf<1>, kDotOf<2>, kDotOf<3>, kDotOf<4>, kDotOf<5>, kDotOf<6>};

Tiles dot_tiles(int64_t rows) { return {rows, (rows + kDotRows - 1) / kDotRows}; }

void dot(const LinearDotArgs& args) {
  const Tiles tiles = dot_tiles(args.rows);
  const int64_t pitch = (args.depth + kWidth - 1) / kWidth * kWidth;
  const bool fetches = args.next != nullptr && tiles.count >= kFetchTiles;
  int64_t row = 0;
  for (int64_t tile = 0; tile < tiles.count; ++tile) {
    // Each tile fetches its share of the next columns, and what it has itself in place of the others'.
    const float* fetch[kLinearColumns];
    for (int c = 0; c < kLinearColumns; ++c) {
      const bool own = fetches && c < args.columns && c * tiles.count / kLinearColumns == tile;
      fetch[c] = own ? args.next + c * args.weight_stride : args.weight;
    }
    const int64_t height = tiles.height(tile);
    kDot[height](args, args.input + row * pitch, args.sums + row * args.sums_stride, fetch);
    row += height;
  }
}

void pack_input(const float* input, int64_t stride, int64_t rows, int64_t depth, float* packed) {
  const Tiles tiles = dot_tiles(rows);
  for (int64_t tile = 0; tile < tiles.count; ++tile) {
    const int64_t height = tiles.height(tile);
    for (int64_t k = 0; k < depth; k += kWidth) {
      for (int64_t r = 0; r < height; ++r, packed += kWidth)
        store(packed, load_upto(input + r * stride + k, depth - k));
    }
    input += height * stride;
  }
}

// -- product -----------------------------------------------------------------------------------------

/// A tile of R rows by NV vectors. In a `kTail` tile only the first `tail` lanes of the last vector exist.
template <int R, int NV, bool kTail>
void product_tile(const LinearProductArgs& args, int64_t row, int64_t column, int64_t tail,
                  int64_t fetch_begin, int64_t fetch_end) {
  const auto read = [tail](const float* p, int j) __attribute__((always_inline)) {
    return kTail && j + 1 == NV ? load_partial(p + j * kWidth, tail) : load(p + j * kWidth);
  };
  const float* input[R];
  Vec sum[R][NV];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    input[r] = args.input + (row + r) * args.input_stride;
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[r][j] = zero();
  }
  const float* weight = args.weight + column;
  int64_t k = 0;
  const auto run_to = [&](int64_t end) __attribute__((always_inline)) {
    for (; k < end; ++k, weight += args.weight_stride) {
      Vec w[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) w[j] = read(weight, j);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec x = set1(input[r][k]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[r][j] = fmadd(x, w[j], sum[r][j]);
      }
    }
  };
  const int64_t fetches = fetch_end - fetch_begin;
  for (int64_t i = 0; i < fetches; ++i) {
    const float* line = args.next + (fetch_begin + i) * args.weight_stride;
#pragma GCC unroll 4
    for (int j = 0; j < kProductVectors * kWidth / kLineFloats; ++j)
      __builtin_prefetch(line + j * kLineFloats);
    run_to(args.depth * (i + 1) / fetches);
  }
  run_to(args.depth);
  const bool stream = args.stream && is_aligned(args.sums) && args.sums_stride % kWidth == 0;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* out = args.sums + (row + r) * args.sums_stride + column;
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const Vec value = args.accumulate ? read(out, j) + sum[r][j] : sum[r][j];
      if (kTail && j + 1 == NV) {
        store_partial(out + j * kWidth, value, tail);
      } else if (stream) {
        store_past_cache(out + j * kWidth, value);
      } else {
        store(out + j * kWidth, value);
      }
    }
  }
}

using ProductFunction = void (*)(const LinearProductArgs&, int64_t, int64_t, int64_t, int64_t, int64_t);
template <int NV, bool kTail>
constexpr ProductFunction kProduct[] = {nullptr,
                                        product_tile<1, NV, kTail>,
                                        product_tile<2, NV, kTail>,
                                        product_tile<3, NV, kTail>,
                                        product_tile<4, NV, kTail>,
                                        product_tile<5, NV, kTail>,
                                        product_tile<6, NV, kTail>};

void product(const LinearProductArgs& args) {
  constexpr int64_t kPanel = kProductVectors * kWidth;
  const Tiles tiles = {args.rows, (args.rows + kProductRows - 1) / kProductRows};
  int64_t column = 0;
  while (column < args.columns) {
    const int64_t left = args.columns - column;
    const ProductFunction* function = kProduct<1, true>;
    if (left >= kWidth) function = kProduct<1, false>;
    if (left >= kPanel) function = kProduct<kProductVectors, false>;
    const bool fetch = args.next != nullptr && column == 0;
    int64_t row = 0;
    for (int64_t tile = 0; tile < tiles.count; ++tile) {
      const int64_t height = tiles.height(tile);
      const int64_t begin = fetch ? args.depth * tile / tiles.count : 0;
      const int64_t end = fetch ? args.depth * (tile + 1) / tiles.count : 0;
      function[height](args, row, column, left, begin, end);
      row += height;
    }
    column += left >= kPanel ? kPanel : kWidth;
  }
  if (args.stream) finish_streaming();
}

// -- finish ------------------------------------------------------------------------------------------

void finish(const LinearFinishArgs& args) {
  const Vec alpha = set1(args.alpha);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* sums = args.sums + row * args.sums_stride;
    float* output = args.output + row * args.output_stride;
    const float* residual = args.residual == nullptr ? nullptr : args.residual + row * args.output_stride;
    for (int64_t column = 0; column < args.columns; column += kWidth) {
      const int64_t left = args.columns - column;
      Vec value = load_upto(sums + column, left);
      if (args.bias != nullptr) value = value + load_upto(args.bias + column, left);
      if (residual != nullptr) value = value + load_upto(residual + column, left);
      store_upto(output + column, activate(value, args.activation, alpha), left);
    }
    if (in_registers(args.activation)) continue;
    float* activated = args.activated == nullptr ? output : args.activated + row * args.output_stride;
    activate_row(output, args.columns, args.activation, args.alpha, activated);
  }
}

}  // namespace

LinearKernels linear_kernels() {
  return {kProductVectors * kWidth, kProductRows, pack_input, dot, product, finish};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
