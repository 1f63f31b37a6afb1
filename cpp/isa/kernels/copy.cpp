// SPDX-License-Identifier: Apache-2.0
#include "isa/copy.h"

#include "isa/convert.h"
#include "isa/kernels/channel_runs.h"
#include "isa/kernels/transpose.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kVectorBytes = kWidth * kFloat;

/// Bytes move as float vectors: loads and stores do not look at what they carry.
CNNCORE_INLINE Vec load_bytes(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
CNNCORE_INLINE void store_bytes(std::byte* p, Vec v) { store(reinterpret_cast<float*>(p), v); }

void copy_bytes(const std::byte* src, std::byte* dst, int64_t bytes) {
  int64_t i = 0;
  for (; i + 4 * kVectorBytes <= bytes; i += 4 * kVectorBytes) {
    const Vec a = load_bytes(src + i), b = load_bytes(src + i + kVectorBytes);
    const Vec c = load_bytes(src + i + 2 * kVectorBytes), d = load_bytes(src + i + 3 * kVectorBytes);
    store_bytes(dst + i, a);
    store_bytes(dst + i + kVectorBytes, b);
    store_bytes(dst + i + 2 * kVectorBytes, c);
    store_bytes(dst + i + 3 * kVectorBytes, d);
  }
  for (; i + kVectorBytes <= bytes; i += kVectorBytes) store_bytes(dst + i, load_bytes(src + i));
  for (; i + 4 <= bytes; i += 4) __builtin_memcpy(dst + i, src + i, 4);
  for (; i < bytes; ++i) dst[i] = src[i];
}

void copy_rows(const StridedRows& run, size_t size) {
  const auto step = static_cast<int64_t>(size);
  const bool dense = run.src_step == step && run.dst_step == step;
  if (dense && run.n * step >= kShortRow) {
    for (int64_t row = 0; row < run.rows; ++row) {
      copy_bytes(run.src + row * run.src_row, run.dst + row * run.dst_row, run.n * step);
    }
  } else if (size == 4) {
    convert<std::uint32_t, std::uint32_t, true>(run);
  } else if (size == 8) {
    convert<std::uint64_t, std::uint64_t, true>(run);
  } else if (size == 2) {
    convert<std::uint16_t, std::uint16_t, true>(run);
  } else {
    convert<std::uint8_t, std::uint8_t, true>(run);
  }
}

/// Part of a transposition, element by element: rows [row_begin, row_end), columns [column_begin,
/// column_end).
template <class T>
void transpose_part(const Transposition& run, int64_t row_begin, int64_t row_end, int64_t column_begin,
                    int64_t column_end) {
  using Stored = typename Element<T>::Stored;
  for (int64_t i = row_begin; i < row_end; ++i) {
    Stored* dst = reinterpret_cast<Stored*>(run.dst + i * run.dst_row);
    const std::byte* src = run.src + i * static_cast<int64_t>(sizeof(T));
    for (int64_t j = column_begin; j < column_end; ++j) {
      dst[j] = *reinterpret_cast<const Stored*>(src + j * run.src_row);
    }
  }
}

template <class T>
void transpose_elements(const Transposition& run) {
  // Squares of 16 rows keep a cache line of each source row in use until it is read to its end.
  constexpr int64_t kSquare = 16;
  for (int64_t i = 0; i < run.rows; i += kSquare) {
    for (int64_t j = 0; j < run.columns; j += kSquare) {
      transpose_part<T>(run, i, min_of(i + kSquare, run.rows), j, min_of(j + kSquare, run.columns));
    }
  }
}

template <int kCount>
void join_planes_of(const TuplePlanes& tuples, const std::byte* src, std::byte* dst) {
  const Interleave<kCount> interleave;
  const float* plane[kCount];
  for (int64_t i = 0; i < tuples.repeats; ++i) {
    for (int c = 0; c < kCount; ++c) {
      plane[c] = reinterpret_cast<const float*>(src + i * tuples.plane_repeat + tuples.plane[c]);
    }
    interleave.run(tuples.n, plane, reinterpret_cast<float*>(dst + i * tuples.tuple_repeat));
  }
}

template <int kCount>
void split_tuples_of(const TuplePlanes& tuples, const std::byte* src, std::byte* dst) {
  const Deinterleave<kCount> deinterleave;
  float* plane[kCount];
  for (int64_t i = 0; i < tuples.repeats; ++i) {
    for (int c = 0; c < kCount; ++c) {
      plane[c] = reinterpret_cast<float*>(dst + i * tuples.plane_repeat + tuples.plane[c]);
    }
    deinterleave.run(tuples.n, reinterpret_cast<const float*>(src + i * tuples.tuple_repeat), plane);
  }
}

void join_planes(const TuplePlanes& tuples, const std::byte* src, std::byte* dst) {
  if (tuples.count == 2) join_planes_of<2>(tuples, src, dst);
  if (tuples.count == 3) join_planes_of<3>(tuples, src, dst);
  if (tuples.count == 4) join_planes_of<4>(tuples, src, dst);
}

void split_tuples(const TuplePlanes& tuples, const std::byte* src, std::byte* dst) {
  if (tuples.count == 2) split_tuples_of<2>(tuples, src, dst);
  if (tuples.count == 3) split_tuples_of<3>(tuples, src, dst);
  if (tuples.count == 4) split_tuples_of<4>(tuples, src, dst);
}

/// Images: a few planes from or into short tuples without gaps. False when `run` is something else.
bool transpose_tuples(const Transposition& run) {
  const bool joins = run.dst_row == run.columns * kFloat && run.columns >= 2 && run.columns <= 4;
  const bool splits = run.src_row == run.rows * kFloat && run.rows >= 2 && run.rows <= 4;
  if (!joins && !splits) return false;
  TuplePlanes tuples{};
  tuples.count = joins ? run.columns : run.rows;
  tuples.n = joins ? run.rows : run.columns;
  tuples.repeats = 1;
  for (int64_t c = 0; c < tuples.count; ++c) tuples.plane[c] = c * (joins ? run.src_row : run.dst_row);
  (joins ? join_planes : split_tuples)(tuples, run.src, run.dst);
  return true;
}

/// Columns from `begin` on, fewer than a vector has lanes, of rows that fill vectors.
void transpose_last_columns(const Transposition& run, int64_t rows, int64_t begin) {
#if defined(__AVX512F__)
  for (int64_t i = 0; i < rows; i += kWidth) {
    transpose_columns(reinterpret_cast<const float*>(run.src + begin * run.src_row + i * kFloat),
                      run.src_row / kFloat,
                      reinterpret_cast<float*>(run.dst + i * run.dst_row + begin * kFloat),
                      run.dst_row / kFloat, run.columns - begin);
  }
#else
  transpose_part<std::uint32_t>(run, 0, rows, begin, run.columns);
#endif
}

void transpose_words(const Transposition& run) {
  const int64_t rows = run.rows / kWidth * kWidth;
  const int64_t columns = run.columns / kWidth * kWidth;
  const auto square = [&run](int64_t i, int64_t j) {
    transpose_square(reinterpret_cast<const float*>(run.src + j * run.src_row + i * kFloat),
                     run.src_row / kFloat, reinterpret_cast<float*>(run.dst + i * run.dst_row + j * kFloat),
                     run.dst_row / kFloat);
  };
  // The longer axis runs inside: few long streams on the side that is consecutive along it.
  if (run.rows > run.columns) {
    for (int64_t j = 0; j < columns; j += kWidth) {
      for (int64_t i = 0; i < rows; i += kWidth) square(i, j);
    }
  } else {
    for (int64_t i = 0; i < rows; i += kWidth) {
      for (int64_t j = 0; j < columns; j += kWidth) square(i, j);
    }
  }
  if (columns < run.columns) transpose_last_columns(run, rows, columns);
  if (rows < run.rows) transpose_part<std::uint32_t>(run, rows, run.rows, 0, run.columns);
}

void transpose(const Transposition& run, size_t size) {
  const bool whole_words = run.src_row % kFloat == 0 && run.dst_row % kFloat == 0;
  if (size == sizeof(float) && whole_words) {
    if (!transpose_tuples(run)) transpose_words(run);
  } else if (size == 4) {
    transpose_elements<std::uint32_t>(run);
  } else if (size == 8) {
    transpose_elements<std::uint64_t>(run);
  } else if (size == 2) {
    transpose_elements<std::uint16_t>(run);
  } else {
    transpose_elements<std::uint8_t>(run);
  }
}

void past_cache(const float* src, int64_t n, float* dst) {
  int64_t i = 0;
  for (; i < n && !is_aligned(dst + i); ++i) dst[i] = src[i];
  for (; i + kWidth <= n; i += kWidth) CNNCORE_ISA::store_past_cache(dst + i, load(src + i));
  for (; i < n; ++i) dst[i] = src[i];
}

void finish() { finish_streaming(); }

template <class T>
void fill_elements(int64_t n, const void* value, void* dst) {
  T element;
  __builtin_memcpy(&element, value, sizeof element);
  T* out = static_cast<T*>(dst);
  for (int64_t i = 0; i < n; ++i) out[i] = element;
}

void fill(int64_t n, size_t size, const void* value, void* dst) {
  if (size == 4) {
    fill_elements<std::uint32_t>(n, value, dst);
  } else if (size == 8) {
    fill_elements<std::uint64_t>(n, value, dst);
  } else if (size == 2) {
    fill_elements<std::uint16_t>(n, value, dst);
  } else {
    fill_elements<std::uint8_t>(n, value, dst);
  }
}

struct RowMix {
  const float* const* rows;
  const float* weights;
  int64_t count;
  float* out;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes, int64_t, int64_t) const {
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = set1(weights[0]) * load_some<kFull>(rows[0] + i + v * kWidth, lanes);
    for (int64_t k = 1; k < count; ++k) {
      const Vec weight = set1(weights[k]);
      for (int v = 0; v < V; ++v) {
        sum[v] = fmadd(weight, load_some<kFull>(rows[k] + i + v * kWidth, lanes), sum[v]);
      }
    }
    for (int v = 0; v < V; ++v) store_some<kFull>(out + i + v * kWidth, sum[v], lanes);
  }
};

void mix_rows(const float* const* rows, const float* weights, int64_t count, int64_t n, float* out) {
  for_channels(RowMix{rows, weights, count, out}, n, 0, 1);
}

struct WidePixelMix {
  const PixelMix& mix;
  const float* row;
  float* out;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = row + (mix.first[i] - mix.origin) * mix.channels + c;
      const float* weights = mix.weights + i * mix.most_taps;
      const int64_t taps = mix.taps[i];
      Vec sum[V];
      for (int v = 0; v < V; ++v) {
        sum[v] = taps == 0 ? zero() : set1(weights[0]) * load_some<kFull>(from + v * kWidth, lanes);
      }
      for (int64_t t = 1; t < taps; ++t) {
        from += mix.channels;
        const Vec weight = set1(weights[t]);
        for (int v = 0; v < V; ++v) {
          sum[v] = fmadd(weight, load_some<kFull>(from + v * kWidth, lanes), sum[v]);
        }
      }
      for (int v = 0; v < V; ++v) store_some<kFull>(out + i * mix.channels + c + v * kWidth, sum[v], lanes);
    }
  }
};

/// Pixels narrower than a vector are read and written as whole vectors, whose lanes behind the pixel the next
/// pixel overwrites, except near the row's ends.
void mix_narrow_pixels(const PixelMix& mix, const float* row, float* out) {
  const int64_t channels = mix.channels, writable = mix.pixels * channels;
  const auto read = [&](int64_t at) {
    return at + kWidth <= mix.readable ? load(row + at) : load_partial(row + at, channels);
  };
  for (int64_t i = 0; i < mix.pixels; ++i) {
    const int64_t from = (mix.first[i] - mix.origin) * channels;
    const float* weights = mix.weights + i * mix.most_taps;
    Vec sum = mix.taps[i] == 0 ? zero() : set1(weights[0]) * read(from);
    for (int64_t t = 1; t < mix.taps[i]; ++t) sum = fmadd(set1(weights[t]), read(from + t * channels), sum);
    const int64_t to = i * channels;
    if (to + kWidth <= writable) {
      store(out + to, sum);
    } else {
      store_partial(out + to, sum, channels);
    }
  }
}

/// kWidth neighbouring pixels of one channel.
template <bool kTwo>
Vec mix_neighbours(const PixelMix& mix, int64_t i, const float* row) {
  const int64_t from = mix.first[i] - mix.origin;
  IVec index;
  __builtin_memcpy(&index, mix.place + i, sizeof index);
  Mask beyond{};
  if constexpr (kTwo) {
    beyond = greater(to_float(index), set1(kWidth - 0.5f));
    index = iand(index, iset1(kWidth - 1));
  }
  const auto read = [&](int64_t tap) {
    const int64_t left = mix.readable - from - tap;
    const Vec first = permute(load_upto(row + from + tap, left), index);
    if constexpr (!kTwo) return first;
    return select(beyond, permute(load_upto(row + from + tap + kWidth, left - kWidth), index), first);
  };
  Vec sum = load(mix.by_tap + i) * read(0);
  for (int64_t t = 1; t < mix.taps[i]; ++t)
    sum = fmadd(load(mix.by_tap + t * mix.tap_step + i), read(t), sum);
  return sum;
}

void mix_single_channel(const PixelMix& mix, const float* row, float* out) {
  for (int64_t i = 0; i < mix.pixels;) {
    const int vectors = i + kWidth <= mix.pixels ? mix.vectors[i] : 0;
    if (vectors != 0) {
      store(out + i, vectors == 1 ? mix_neighbours<false>(mix, i, row) : mix_neighbours<true>(mix, i, row));
      i += kWidth;
      continue;
    }
    for (const int64_t end = min_of(i + kWidth, mix.pixels); i < end; ++i) {
      const float* from = row + mix.first[i] - mix.origin;
      const float* weights = mix.weights + i * mix.most_taps;
      Vec sum = mix.taps[i] == 0 ? zero() : set1(weights[0]) * set1(from[0]);
      for (int64_t t = 1; t < mix.taps[i]; ++t) sum = fmadd(set1(weights[t]), set1(from[t]), sum);
      store_partial(out + i, sum, 1);
    }
  }
}

void mix_pixels(const PixelMix& mix, const float* row, float* out) {
  if (mix.by_tap != nullptr) return mix_single_channel(mix, row, out);
  if (mix.channels < kWidth) return mix_narrow_pixels(mix, row, out);
  for_row(WidePixelMix{mix, row, out}, mix.channels, mix.pixels);
}

}  // namespace

CopyKernels copy_kernels() {
  return {copy_rows,
          transpose,
          join_planes,
          split_tuples,
          fill,
          past_cache,
          finish,
          mix_rows,
          mix_pixels,
          {
              convert<Half, float, true>,
              nullptr,
              convert<double, float, true>,
              convert<std::int8_t, float, true>,
              convert<std::int16_t, float, true>,
              convert<std::int32_t, float, true>,
              convert<std::int64_t, float, true>,
              convert<std::uint8_t, float, true>,
              convert<std::uint16_t, float, true>,
              convert<std::uint32_t, float, true>,
              convert<std::uint64_t, float, true>,
              convert<Boolean, float, true>,
              nullptr,
          },
          convert<float, Boolean, true>};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
