// SPDX-License-Identifier: Apache-2.0
// What is chosen for an instruction set: the register tiles of its kernels, and what loops above them count
// on. Tiles are as large as registers allow.
#pragma once

#include "isa/machine.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

#if defined(__AVX512F__)

// Rows of a GEMM tile of each width in vectors, next to the panel's vectors and one broadcast. Wide tiles
// load least for each FMA; tall ones keep narrow panels busy. 14 x 2 measured 3 % below 12 x 2: more row
// pointers than general registers.
inline constexpr int kGemmVectors = 4;
inline constexpr int kGemmRows[kGemmVectors + 1] = {0, 8, 12, 8, 6};
// Half vectors issue twice a cycle, so loads decide: with 10 rows no row pointer has to be reloaded.
inline constexpr int kGemmHalfRows = 10;
// Outer product.
inline constexpr int kOuterVectors = 2;
inline constexpr int kOuterRows = 14;
// Vectors of sums of tiles that fetch the next chunk meanwhile: smaller ones and those of half vectors have
// no cycle left for another load at each pixel.
inline constexpr int kOuterFetching = 8;
// Pixels to what is fetched of a right operand that lies in place, where no chunk is fetched.
inline constexpr int kOuterAhead = 0;
// Vectors of sums that registers hold twice.
inline constexpr int kOuterTwice = 8;
// Linear layers: rows by columns (dot), rows by vectors (product), with operands and pointers in registers.
inline constexpr int kDotRows = 6;
inline constexpr int kProductRows = 6;
inline constexpr int kProductVectors = 4;
// Winograd: tiles of a register block of each width in vectors, for one chain and for two; rows of one of the
// outer product.
inline constexpr int kWinogradVectors = 2;
inline constexpr int kWinogradTiles[3][kWinogradVectors + 1] = {{}, {0, 14, 14}, {0, 14, 7}};
inline constexpr int kWinogradTileUnit = 14;
inline constexpr int kWinogradOuterRows[kWinogradVectors + 1] = {0, 16, 8};
// Rows of a recurrent layer whose gates are activated before the first one's state is computed.
inline constexpr int kRecurrentRows = 1;
// Taps of windows that are averaged line by line; 0: none.
inline constexpr int kPoolLineTaps = 0;

#else  // 16 registers

inline constexpr int kGemmVectors = 2;
inline constexpr int kGemmRows[kGemmVectors + 1] = {0, 6, 6};
inline constexpr int kOuterVectors = 2;
inline constexpr int kOuterRows = 6;
inline constexpr int kOuterTwice = 5;
inline constexpr int kDotRows = 3;
inline constexpr int kProductRows = 6;
inline constexpr int kProductVectors = 2;
inline constexpr int kWinogradVectors = 2;
inline constexpr int kWinogradTiles[3][kWinogradVectors + 1] = {{}, {0, 12, 6}, {0, 6, 3}};
inline constexpr int kWinogradTileUnit = 12;
inline constexpr int kWinogradOuterRows[kWinogradVectors + 1] = {0, 8, 4};
#if defined(__AVX2__)
inline constexpr int kOuterFetching = 8;
inline constexpr int kOuterAhead = 12;
// A state waits for its gates, and the next row's gates would wait with it: 4 % of an LSTM of 128 units.
inline constexpr int kRecurrentRows = 8;
inline constexpr int kPoolLineTaps = 64;
#else
inline constexpr int kOuterFetching = 1 << 20;  // none
inline constexpr int kOuterAhead = 0;
inline constexpr int kRecurrentRows = 1;
inline constexpr int kPoolLineTaps = 0;
#endif

#endif

constexpr Machine make_machine() {
  Machine machine;
#if !defined(__AVX512F__)
  // Zen 3: with input and output of 11 MB, fetching rows ahead took 0.52 to 0.79 of the time.
  machine.depthwise.cached = 2 * 1024 * 1024;
  // Zen 3: by 128 channels instead of 8, maps of 100 KB to 1.5 MB took 0.59 to 1.03 of the time.
  machine.depthwise.near = 0;
  // Zen 3: writing 11 to 38 MB past the caches took 0.51 to 0.94 of the time for 32 to 128 channels, but 1.4
  // and 1.6 times as long for 256.
  machine.depthwise.streamed = 2 * 1024 * 1024;
  // Zen 3: 4 KB ahead, 2x2 and 3x3 pooling of 51 MB took 1.1 and 1.2 times as long.
  machine.pool_ahead = 8 * 1024;
  // 16 rows are tiles of 6, 5 and 5; their states and a panel lie in a first cache of 32 KiB.
  machine.recurrent_rows = 16;
#endif
  return machine;
}

// Depthwise convolution: output pixels that share a load of the weight; image widths are often multiples.
inline constexpr int kDepthwisePixels = 7;
// Vectors of channels that pass over a row of a far input together; their weights stay in the first cache.
inline constexpr int kDepthwiseVectors = 128 / kWidth;
// Chains of multiply-adds that cover two pipes of latency 4 with slack.
inline constexpr int kPeakChains = 12;

inline constexpr Machine kMachine = make_machine();

}  // namespace CNNCORE_ISA
}  // namespace cnncore
