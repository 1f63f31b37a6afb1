// SPDX-License-Identifier: Apache-2.0
// Arithmetic of integers modulo 2^64, as numpy's: it wraps around where the result does not fit.
#include "isa/integer.h"

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

using Int = std::int64_t;
using Unsigned = std::uint64_t;

CNNCORE_INLINE Int wrapped(Unsigned x) { return static_cast<Int>(x); }
CNNCORE_INLINE Unsigned bits(Int x) { return static_cast<Unsigned>(x); }

CNNCORE_INLINE Int add(Int a, Int b) { return wrapped(bits(a) + bits(b)); }
CNNCORE_INLINE Int sub(Int a, Int b) { return wrapped(bits(a) - bits(b)); }
CNNCORE_INLINE Int mul(Int a, Int b) { return wrapped(bits(a) * bits(b)); }
CNNCORE_INLINE Int maximum(Int a, Int b) { return a > b ? a : b; }
CNNCORE_INLINE Int minimum(Int a, Int b) { return a < b ? a : b; }
CNNCORE_INLINE Int bit_and(Int a, Int b) { return a & b; }
CNNCORE_INLINE Int bit_or(Int a, Int b) { return a | b; }
CNNCORE_INLINE Int bit_xor(Int a, Int b) { return a ^ b; }
CNNCORE_INLINE Int equal(Int a, Int b) { return a == b ? 1 : 0; }
CNNCORE_INLINE Int not_equal(Int a, Int b) { return a != b ? 1 : 0; }
CNNCORE_INLINE Int greater(Int a, Int b) { return a > b ? 1 : 0; }
CNNCORE_INLINE Int greater_equal(Int a, Int b) { return a >= b ? 1 : 0; }

CNNCORE_INLINE Int neg(Int a) { return sub(0, a); }
CNNCORE_INLINE Int abs(Int a) { return a < 0 ? neg(a) : a; }
CNNCORE_INLINE Int sign(Int a) { return greater(a, 0) - greater(0, a); }
CNNCORE_INLINE Int bit_not(Int a) { return ~a; }
CNNCORE_INLINE Int select(Int a, Int b, Int c) { return a != 0 ? b : c; }

/// The quotient rounded down; 0 for b = 0. The processor cannot divide the least number by -1.
CNNCORE_INLINE Int floor_divide(Int a, Int b) {
  if (b == 0) return 0;
  if (b == -1) return neg(a);
  const Int quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/// What floor division leaves, with b's sign; 0 for b = 0.
CNNCORE_INLINE Int remainder(Int a, Int b) {
  if (b == 0 || b == -1) return 0;
  const Int rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/// a^b; a negative power is 1 / a^-b cut to an integer.
CNNCORE_INLINE Int pow(Int a, Int b) {
  if (b < 0) {
    if (a == -1) return (b & 1) != 0 ? -1 : 1;
    return equal(a, 1);
  }
  Int result = 1;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) result = mul(result, a);
    a = mul(a, a);
  }
  return result;
}

template <Int (*F)(Int)>
void apply(Int n, const Int* const* in, Int* out) {
  for (Int i = 0; i < n; ++i) out[i] = F(in[0][i]);
}
template <Int (*F)(Int, Int)>
void apply(Int n, const Int* const* in, Int* out) {
  for (Int i = 0; i < n; ++i) out[i] = F(in[0][i], in[1][i]);
}
template <Int (*F)(Int, Int, Int)>
void apply(Int n, const Int* const* in, Int* out) {
  for (Int i = 0; i < n; ++i) out[i] = F(in[0][i], in[1][i], in[2][i]);
}

constexpr IntegerFunction kFunctions[] = {
    {"neg", 1, 1, apply<neg>},
    {"abs", 1, 1, apply<abs>},
    {"sign", 1, 1, apply<sign>},
    {"bit_not", 1, 1, apply<bit_not>},
    {"add", 2, 1, apply<add>},
    {"sub", 2, 1, apply<sub>},
    {"mul", 2, 1, apply<mul>},
    {"floor_divide", 2, 20, apply<floor_divide>},
    {"remainder", 2, 20, apply<remainder>},
    {"pow", 2, 40, apply<pow>},
    {"maximum", 2, 1, apply<maximum>},
    {"minimum", 2, 1, apply<minimum>},
    {"bit_and", 2, 1, apply<bit_and>},
    {"bit_or", 2, 1, apply<bit_or>},
    {"bit_xor", 2, 1, apply<bit_xor>},
    {"equal", 2, 1, apply<equal>},
    {"not_equal", 2, 1, apply<not_equal>},
    {"greater", 2, 1, apply<greater>},
    {"greater_equal", 2, 1, apply<greater_equal>},
    {"select", 3, 1, apply<select>},
};

// Out of line, for the table.
Int combined_sum(Int a, Int b) { return add(a, b); }
Int combined_product(Int a, Int b) { return mul(a, b); }

Int sum(Int n, const Int* src) {
  Int total = 0;
  for (Int i = 0; i < n; ++i) total = add(total, src[i]);
  return total;
}
Int product(Int n, const Int* src) {
  Int total = 1;
  for (Int i = 0; i < n; ++i) total = mul(total, src[i]);
  return total;
}

/// Both loops are vectors of the compiler's.
Int place(Int n, const Int* indices, const IndexRange& range, Int* places) {
  const Int least = range.least, most = range.most;
  Int outside = 0;
  for (Int i = 0; i < n; ++i) outside += indices[i] < least || indices[i] > most ? 1 : 0;
  if (places == nullptr) return outside;
  const Int wrap = least < 0 ? range.extent : 0, last = range.extent - 1;
  for (Int i = 0; i < n; ++i) {
    const Int from_begin = indices[i] + (indices[i] < 0 ? wrap : 0);
    places[i] = minimum(maximum(from_begin, 0), last);
  }
  return outside;
}

constexpr IntegerReduction kReductions[] = {
    {"sum", 0, combined_sum, sum},
    {"prod", 1, combined_product, product},
};

}  // namespace

IntegerKernels integer_kernels() {
  return {kFunctions, static_cast<int>(sizeof kFunctions / sizeof kFunctions[0]), kReductions,
          static_cast<int>(sizeof kReductions / sizeof kReductions[0]), place};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
