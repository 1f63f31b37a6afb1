// SPDX-License-Identifier: Apache-2.0
// Random bits are Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a keyed bijection of a 128-bit counter,
// so that every element's bits follow from its number alone.
#include "isa/dropout.h"

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
#if defined(__AVX512F__)
constexpr int kLanes = 8;
typedef uint64_t Lanes __attribute__((vector_size(64)));
CNNCORE_INLINE Lanes multiply(Lanes a, Lanes b) {
  return reinterpret_cast<Lanes>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
CNNCORE_INLINE void store_words(uint32_t* p, Lanes v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi64_epi32(reinterpret_cast<__m512i>(v)));
}
#elif defined(__AVX2__)
constexpr int kLanes = 4;
typedef uint64_t Lanes __attribute__((vector_size(32)));
CNNCORE_INLINE Lanes multiply(Lanes a, Lanes b) {
  return reinterpret_cast<Lanes>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
CNNCORE_INLINE void store_words(uint32_t* p, Lanes v) {
  const __m256i packed =
      _mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(v), _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
#else
constexpr int kLanes = 2;
typedef uint64_t Lanes __attribute__((vector_size(16)));
CNNCORE_INLINE Lanes multiply(Lanes a, Lanes b) {
  const Lanes low = Lanes{} + 0xffffffffu;
  return (a & low) * (b & low);
}
CNNCORE_INLINE void store_words(uint32_t* p, Lanes v) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint32_t>(v[i]);
}
#endif

CNNCORE_INLINE Lanes broadcast(uint32_t x) { return Lanes{} + uint64_t{x}; }

/// The words of 16 counters {counter + i, key.key, key.step}, in the order of a block's elements.
CNNCORE_INLINE void random_block(uint32_t counter, const DropoutKey& key, uint32_t* words) {
  for (int first = 0; first < kCounters; first += kLanes) {
    Lanes c0 = {};
    for (int i = 0; i < kLanes; ++i) c0[i] = counter + static_cast<uint32_t>(first + i);
    Lanes c1 = broadcast(key.key);
    Lanes c2 = broadcast(static_cast<uint32_t>(key.step));
    Lanes c3 = broadcast(static_cast<uint32_t>(key.step >> 32));
    uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
    for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
      const Lanes product0 = multiply(c0, broadcast(kMultiplier0));
      const Lanes product1 = multiply(c2, broadcast(kMultiplier1));
      c0 = (product1 >> 32) ^ c1 ^ broadcast(k0);
      c1 = product1;
      c2 = (product0 >> 32) ^ c3 ^ broadcast(k1);
      c3 = product0;
    }
    store_words(words + first, c0);
    store_words(words + kCounters + first, c1);
    store_words(words + 2 * kCounters + first, c2);
    store_words(words + 3 * kCounters + first, c3);
  }
}

void apply(const float* x, int64_t first, int64_t count, DropoutKey key, uint32_t threshold, float scale,
           float* y) {
  const Vec factor = set1(scale);
  const Vec least = set1(static_cast<float>(threshold));  // both sides are below 2^24 + 1: exact
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    uint32_t words[kBlock];
    random_block(static_cast<uint32_t>((first + begin) / kBlock * kCounters), key, words);
    const int64_t block = min_of(kBlock, count - begin);
    for (int64_t i = 0; i < block; i += kWidth) {
      IVec bits;
      __builtin_memcpy(&bits, words + i, sizeof bits);
      const Mask keep = greater_equal(to_float(shift_right<8>(bits)), least);
      const Vec value = load_upto(x + begin + i, block - i) * factor;
      store_upto(y + begin + i, select(keep, value, zero()), block - i);
    }
  }
}

}  // namespace

DropoutKernels dropout_kernels() { return {apply}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
