// SPDX-License-Identifier: Apache-2.0
// Random bits are Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a keyed bijection of a 128-bit counter,
// so that every element's bits follow from its number alone.
#include "isa/dropout.h"

#include "isa/kernels/lanes.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

using std::uint32_t;
using std::uint64_t;

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
// A block of 64 elements takes the four words of 16 counters: element 16 w + i is word w of counter i.
constexpr int kCounters = 16;
constexpr int kBlock = 4 * kCounters;

/// One 32-bit number in each 64-bit lane, where a product has room; the upper halves may hold anything.
constexpr int kLanes = kWidth / 2;
typedef uint64_t Lanes __attribute__((vector_size(kLanes * 8)));

CNNCORE_INLINE Lanes multiply(Lanes a, Lanes b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Lanes>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Lanes>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  const Lanes low = Lanes{} + 0xffffffffu;
  return (a & low) * (b & low);
#endif
}

CNNCORE_INLINE Lanes broadcast(uint32_t x) { return Lanes{} + uint64_t{x}; }

/// The state of kLanes counters: four words each.
struct Counters {
  Lanes c0, c1, c2, c3;

  CNNCORE_MEMBER void round(Lanes k0, Lanes k1) {
    const Lanes product0 = multiply(c0, broadcast(kMultiplier0));
    const Lanes product1 = multiply(c2, broadcast(kMultiplier1));
    c0 = (product1 >> 32) ^ c1 ^ k0;
    c2 = (product0 >> 32) ^ c3 ^ k1;
    c1 = product1;
    c3 = product0;
  }
};

/// Neighbouring counters' words as neighbours.
CNNCORE_INLINE IVec interleave(Lanes even, Lanes odd) {
  return reinterpret_cast<IVec>((even & broadcast(0xffffffffu)) | (odd << 32));
}

struct KeepOrDrop {
  const float* x;
  float* y;
  Vec threshold, scale;

  CNNCORE_MEMBER void put(int64_t at, IVec bits, int64_t count) const {
    const Mask keep = greater_equal(to_float(shift_right<8>(bits)), threshold);
    store_upto(y + at, select(keep, load_upto(x + at, count) * scale, zero()), count);
  }
};

struct Uniform {
  float* y;

  CNNCORE_MEMBER void put(int64_t at, IVec bits, int64_t count) const {
    store_upto(y + at, (to_float(shift_right<9>(bits)) + set1(0.5f)) * set1(0x1p-23f), count);
  }
};

/// Calls target.put(place, random bits, elements from there on) for vectors of elements.
template <class Target>
CNNCORE_INLINE void for_bits(int64_t first, int64_t count, DropoutKey key, const Target& target) {
  Lanes k0[kRounds], k1[kRounds];
  for (int r = 0; r < kRounds; ++r) {
    const auto n = static_cast<uint32_t>(r);
    k0[r] = broadcast(static_cast<uint32_t>(key.seed) + n * kWeyl0);
    k1[r] = broadcast(static_cast<uint32_t>(key.seed >> 32) + n * kWeyl1);
  }
  Lanes even_lanes;
  for (int i = 0; i < kLanes; ++i) even_lanes[i] = static_cast<uint64_t>(2 * i);
  const Lanes c1 = broadcast(key.key);
  const Lanes c2 = broadcast(static_cast<uint32_t>(key.step));
  const Lanes c3 = broadcast(static_cast<uint32_t>(key.step >> 32));
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const auto block = static_cast<uint32_t>((first + begin) / kBlock * kCounters);
    for (int part = 0; part < kCounters; part += kWidth) {
      const Lanes c0 = broadcast(block + static_cast<uint32_t>(part)) + even_lanes;
      Counters even = {c0, c1, c2, c3};
      Counters odd = {c0 + 1, c1, c2, c3};
#pragma GCC unroll 10
      for (int r = 0; r < kRounds; ++r) {
        even.round(k0[r], k1[r]);
        odd.round(k0[r], k1[r]);
      }
      const IVec words[4] = {interleave(even.c0, odd.c0), interleave(even.c1, odd.c1),
                             interleave(even.c2, odd.c2), interleave(even.c3, odd.c3)};
      for (int w = 0; w < 4; ++w) {
        const int64_t at = begin + w * kCounters + part;
        if (at < count) target.put(at, words[w], count - at);
      }
    }
  }
}

void apply(const float* x, int64_t first, int64_t count, DropoutKey key, uint32_t threshold, float scale,
           float* y) {
  // Both sides of the comparison with the threshold are at most 2^24: exact.
  for_bits(first, count, key, KeepOrDrop{x, y, set1(static_cast<float>(threshold)), set1(scale)});
}

void uniform(int64_t first, int64_t count, DropoutKey key, float* y) {
  for_bits(first, count, key, Uniform{y});
}

}  // namespace

DropoutKernels dropout_kernels() { return {apply, uniform}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
