// The tile layer: kernels are bulk-synchronous block programs on tiles, written once and compiled for CUDA (NVRTC or
// nvcc), HIP (hiprtc or clang) and the host (any C++17 compiler). A kernel never sees a thread index; every operation
// below is collective over the block's WARPS warps (32 lanes on CUDA, 64 on AMD, none on the host) unless it says
// otherwise. W is always the kernel's WARPS.
//
// storage types  bf16, f16, float.  round_to<T>(x) is the one rounding point, to_float(x) its exact inverse.
// Tile<T,R,N>    operand in shared memory; R and N multiples of 16. t(tile): its transpose. rows<R2>(tile, i): the i-th
//                band of R2 rows, an operand too. tile.at(r, c) and tile.set(r, c, x): one element, for odd jobs;
//                tile.get_pair(x, y, r, c)
//                and tile.set_pair(r, c, x, y): it and its right neighbour, c even.
//                Tile<float,R,N> keeps f32 and its products are f32-accurate on every machine.
// Acc<M,N,W>     f32 accumulators in registers. fill(x); for_each(f(float& x, int row, int col));
//                for_each_pair(f(float& x, float& y, int row, int col)): neighbours in a row, col even; not on AMD.
//                zip(acc, view, f(float& x, float y, row, col)): y is the element of a Tile or t(Tile) of the same
//                shape.
//                zip(acc, other_acc, f(float& x, float y, row, col)).
//                zip_all(view, f(float y, row, col, float& x, ..), acc, ..): the elements of several at once.
// Reg<T,M,K,W>   left operand in registers: load(view), load(view, column) of its columns from there on, round(acc),
//                for_each(f(float& x, row, col)) (rounds again).
//                Needs M >= 16 W (each warp owns whole rows). rounded<T>(acc): the same without a second copy.
// mma<MASK>(acc, a, b)  acc += a b; a: Tile, t(Tile), Reg, rounded(acc); b: Tile, t(Tile), all of one T.
//                MASK: FULL; LOWER_OUT (only col <= row of acc is wanted, the rest is unspecified); LOWER_A, UPPER_A,
//                UPPER_B (the operand is zero strictly above / strictly below / strictly below its diagonal).
// mma_both<MASK>(acc, acc2, a, a2, b)  both products with one right operand; MASK: FULL, LOWER_OUT.
// product<MASK>(acc, a, b)  mma for a in registers (Reg, rounded(acc)), where there are such by products over warp
//                groups of
//                four, which read b behind publish(), not barrier(). Its parts, to do something else meanwhile:
//                prepare(registers...), issue(acc, a, b) once or more, settle(registers...); in between nothing touches
//                what
//                is named, and TILE_ISSUES tells whether issue returns before its product is done. a is operand<T>(acc)
//                or a
//                Reg. settle_but_last(registers...) leaves the last issue out. issue_halves(acc, acc2, a, t(tile)): the
//                two
//                halves of the tile's rows at once.
// store(view, acc)      rounds acc into a Tile or t(Tile).
// map<W>(dst, src, f(float x, row, col) -> float)  dst tile from src tile of the same shape, any two T; may be in
//                place.
// fill<W>(tile, x)
// load<W>(tile, ptr, ld, rows, cols)         global to tile; ld in elements, may be negative; rows and cols may be <= 0
//                or
//                past the tile's edge; what lies outside reads as zero and is never addressed. From T, or from float.
// load_async<W>(tile, ptr, ld, rows, cols)   the same from T, complete after commit(), wait<N>() (all but the latest N
//                commits) and barrier().
// load<W>, load_async<W>(float (&x)[N], ptr, stride, n)  a vector, likewise.
// store_global<W>(ptr, ld, tile, rows, cols) tile to global memory of type T.
// store_global(ptr, ld, t(tile), acc, rows, cols)  acc transposed, by way of a tile, each warp its own columns;
//                with tile instead of t(tile) as it lies, each warp its own rows; store_global<true>: a lane's pieces
//                one after the other, where loads would wait behind a burst of stores.
// load(acc, ptr, row_stride, col_stride, rows, cols), store_global(ptr, row_stride, col_stride, acc, rows, cols)
//                f32 or T global memory from and to accumulators; rows and cols bound as above.
// for_each_index<W, N>(f(int i))             i = 0..N-1, each once, in no order.
// Own<X,N,W>     N plain values in registers; for_each(f(X& x, int i)): each is seen by its index alone, in any order.
// Columns<R,N,W>  R x N plain values in registers; for_each(f(float& x, float& y, int row, int col)): neighbours in a
//                row, col even. running_sums<W, BACK>(columns, total[N], scratch[SCRATCH]): each value becomes the sum of
//                those above (BACK: below) it and of itself, in one order whatever follows; has a barrier, and total is
//                there after the next. sums_above<W>(columns, scratch): likewise of those above it alone.
//                together(f(int row, int col, float (&x)[2], float (&y)[2], ..), columns...): the pairs of several at
//                once.
//                products_down<W>(tile, other, out[SCRATCH], weight(col)): of each column the sum of products of the
//                two, in SCRATCH / N parts.
// lowest(x[N])   the least of a vector in shared memory, the same in all threads.
// for_each_rolled<W>(n, f(int i))            for_each_index for what is seldom done: small code, n known late.
// fused(x, y, z) x y + z, rounded once where the machine can.
// prefix_sum<W>(Prefix<N>& G, const float (&g)[N])  inclusive, in two floats, so that G.between(i, j) = g[j+1] + ... +
//                g[i]
//                keeps its accuracy behind a sum of any size; G[i] is the sum itself. g is clamped at -1e5 (exp is 0
//                there).
// clear_diagonal(acc), keep_lower<STRICT>(acc)  of a square: zeros on the diagonal; above it, and if STRICT on it.
// sums_from<W>(float (&x)[N], by), sums_before<W>(x, by)  each becomes the sum of itself and those behind it, or of
//                those before it, by the warp of that number. A barrier before and after it.
// row_sums<W>(float (&out)[M], float (&scratch)[W*M], acc, f(float x, row, col) -> float), column_sums<W>(out[N],
//                scratch[W*N], acc, f): fixed order. They begin and end with a barrier.
// own_row_sums(out[M], acc, f), own_column_sums(out[P][N], acc, f), own_row_sums(out[P][M], acc, f): without a barrier, by
//                parts of the columns' rows or the rows' columns, as many as warps share them.
//                own_row_products(out[M], acc, view): the row sums of acc times a tile of its shape, element by element.
//                own_crossing_sums(out[W][N], acc), of a square: for each column t what the rows from t on have before it;
//                acc is overwritten, and there is none on AMD. warp_sums(out[W], share): the
//                sum of each warp's shares.
// inner_product<W>(x, y) of tiles: this thread's share. round_both<W>(x, from_x, y, from_y): tiles from f32 tiles,
//                and the
//                same share. total<W>(float (&scratch)[W], share): the sum of the shares, the same in all threads;
//                likewise.
// sum<W>(float (&scratch)[W], long long n, f(long long i) -> float)  the same value in all threads, fixed order;
//                likewise.
// invert_unit_lower<W>(Tile<float,C,C>& a)   a = (I + strictly lower part of a)^-1, zero above the diagonal,
//                f32-accurate;
//                what a holds on and above the diagonal is ignored. Begins and ends with a barrier. C is 16, 32, 64,
//                ...
// invert_unit_lower<W>(Tile<T,C,C>& out, Tile<float,C,C>& a, f(float x, row, col) -> float)  the same into out, by way
//                of f,
//                within a group of C / 16 warps or more; a is overwritten.
// G.decay<T>(i, j)  exp<T>(G.between(i, j)) for i >= j, else 0.
// exp<T>(x)      e^x, to f32 accuracy when T is float, else to well below T's rounding.
// Few<T,V>, read_floats, write_floats, sigmoid, group_sums, strided_sums, matrix_column_sums: see pieces.h.
// exp2(x)        2^x, for operands of 16 bits.
// reciprocal<T>(x), inverse_root<T>(x)  1 / x, of finite x that are no smaller than 2^-126, and 1 / sqrt(x), with exp<T>'s
//                accuracy. square_root(x), rounded to nearest.
// barrier()      orders everything before it with everything after it. Needed between writing shared memory and
//                reading it back in another operation, and between reading and overwriting it.
// publish()      barrier, after which product and issue may read what was written before it.
// lockstep<W0, W1, FIRST>(n, a, b)  two roles, the block's first W0 warps and its next W1: begin(), ready(), step(0),
//                .., step(n - 1), end() of each, with publish() between any two. What one role does between two of them
//                must not depend on what the other does there. Inside, W is the role's, and barrier() is not to be
//                used. A role with QUIET writes nothing in a step that product or issue read. FIRST: registers of the
//                first role's threads, some of the second's.
// lockstep<..>(n, a, b, stop(int c) -> bool)  ends ahead of step c, in both roles. Whatever step c writes must not
//                change the answer.
// groups<W, G>(f(int g))  a role's W warps as G groups; group_barrier<V>(): barrier of the V warps that work together.
//                Each<X, G>: an X of registers for each group, by its number.
// block_id()     index of the block in its one-dimensional grid.
//
// A kernel is a struct with Args (plain data: pointers, then long longs, then ints, then floats), WARPS, MIN_BLOCKS
// (resident blocks wanted), Shared (trivial, uninitialised) and `static TILE_FN void run(Shared&, const Args&)`.
// TILE_ENTRY(name, Kernel) makes it launchable: on a device `name(Args)` and the array `name_launch` = {threads,
//                dynamic
// shared bytes}; on the host `name(args, shared, x, y, z)`, one block, shared 128-byte aligned, and `name_launch`
//                likewise.
//
// TILE_LANES is a warp's width, TILE_SHARED_LIMIT the shared memory a block may count on, TILE_ASYNC whether load_async
// overlaps with computation, so that a second stage is worth its memory.
#pragma once

#if defined(__CUDACC_RTC__) || defined(__HIPCC_RTC__)
// in our own namespace, because hiprtc has names of its own for these
namespace tile {
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
using int64_t = long long;
using uintptr_t = unsigned long long;
}  // namespace tile
#else
#include <stdint.h>
#endif

namespace tile {

struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

enum Mask { FULL, LOWER_OUT, LOWER_A, UPPER_A, UPPER_B };

struct Never {
    constexpr bool operator()(int) const { return false; }
};

// transposed view of a tile
template <class S>
struct Transposed {
    S& tile;
};

template <class X>
struct Shape;  // ROWS and COLS of an operand, and its storage type T

}  // namespace tile

#if defined(__HIP__) || defined(__HIPCC_RTC__)
#include "hip.h"
#elif defined(__CUDACC__) || defined(__CUDACC_RTC__)
#include "cuda.h"
#else
#include "host.h"
#endif
#include "pieces.h"
