// HIP back end, gfx90a and gfx942: MFMA with f32 accumulation, 64 lanes a warp. It uses compiler builtins only, so it
// compiles under hiprtc and under clang alone.
#pragma once

#define TILE_HIP 1
#ifndef __device__
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#endif
#define TILE_FN __device__ inline __attribute__((always_inline))
#define TILE_UNROLL _Pragma("unroll")
#define TILE_ROLL _Pragma("unroll 1")
#define TILE_LANES 64
#define TILE_ASYNC 0
#define TILE_ISSUES 0
#define TILE_SHARED_LIMIT (64 * 1024)
#define TILE_SHARED_MOST TILE_SHARED_LIMIT

namespace tile {

TILE_FN int thread_index() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()); }
TILE_FN int block_id() { return static_cast<int>(__builtin_amdgcn_workgroup_id_x()); }
TILE_FN void barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
TILE_FN void publish() { barrier(); }
// no barrier of some of a block's warps exists here: W is all of them
template <int W>
TILE_FN void group_barrier() {
    barrier();
}
TILE_FN void warp_barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
TILE_FN float bits_to_float(uint32_t x) { return __builtin_bit_cast(float, x); }
TILE_FN uint32_t float_to_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
TILE_FN float from_lane(float x, int source) {
    return bits_to_float(
        static_cast<uint32_t>(__builtin_amdgcn_ds_bpermute(4 * source, static_cast<int>(float_to_bits(x)))));
}
TILE_FN int own_lane() { return thread_index() % TILE_LANES; }
TILE_FN float shuffle_up(float x, int step) { return from_lane(x, own_lane() - step); }
TILE_FN double shuffle_up(double x, int step) {
    struct Halves {
        float low, high;
    } y = __builtin_bit_cast(Halves, x);
    return __builtin_bit_cast(double, Halves{shuffle_up(y.low, step), shuffle_up(y.high, step)});
}
TILE_FN float shuffle_xor(float x, int step) { return from_lane(x, own_lane() ^ step); }
struct alignas(16) Float4 {
    float x[4];
};
TILE_FN int opaque(int x) {
    asm volatile("" : "+v"(x));
    return x;
}

template <class T>
TILE_FN T round_to(float x);
template <>
TILE_FN float round_to<float>(float x) {
    return x;
}
template <>
TILE_FN bf16 round_to<bf16>(float x) {
    const uint32_t u = float_to_bits(x), nan = (u >> 16) | 0x40, rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
    return bf16{static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded)};
}
template <>
TILE_FN f16 round_to<f16>(float x) {
    return f16{__builtin_bit_cast(uint16_t, static_cast<_Float16>(x))};
}
TILE_FN float to_float(float x) { return x; }
TILE_FN float to_float(bf16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }
TILE_FN float to_float(f16 x) { return static_cast<float>(__builtin_bit_cast(_Float16, x.bits)); }

TILE_FN float exp2(float x) {
#if __has_builtin(__builtin_amdgcn_exp2f)
    return __builtin_amdgcn_exp2f(x);
#else
    return __builtin_exp2f(x);
#endif
}
TILE_FN float fused(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
template <class T>
TILE_FN float reciprocal(float x) {
    return __builtin_amdgcn_rcpf(x);
}
template <>
TILE_FN float reciprocal<float>(float x) {
    return 1 / x;
}
TILE_FN float square_root(float x) { return __builtin_sqrtf(x); }
template <class T>
TILE_FN float inverse_root(float x) {
    return __builtin_amdgcn_rsqf(x);
}
template <>
TILE_FN float inverse_root<float>(float x) {
    return 1 / square_root(x);
}
template <class T>
TILE_FN uint32_t round_two(float low, float high) {
    return round_to<T>(low).bits | static_cast<uint32_t>(round_to<T>(high).bits) << 16;
}
template <class Words>
TILE_FN void read_words(Words& x, const void* ptr) {
    x = *static_cast<const Words*>(ptr);
}

// there is no asynchronous copy to fall back on here; the compiler overlaps plain loads
template <class Dst, class Src>
TILE_FN void copy_async(Dst* dst, const Src* src) {
    *dst = *reinterpret_cast<const Dst*>(src);
}
TILE_FN void commit() {}
template <int N>
TILE_FN void wait() {}

// A lane holds 4 elements of a 16 x 16 block: row l % 16, columns 4 (l / 16) and on. Both operands lie that way too (a right
// one by its column and four rows). The instruction would leave the product transposed in this sense, so it is handed the
// operands in the other order, and an accumulator becomes a left operand without moving between lanes.
constexpr int BLOCK_ELEMENTS = 4, ROW_SLOTS = 1, COL_SLOTS = 4;
TILE_FN int block_row(int) { return own_lane() % 16; }
TILE_FN int block_col(int e) { return own_lane() / 16 * 4 + e; }
TILE_FN constexpr int row_slot(int) { return 0; }
TILE_FN constexpr int col_slot(int e) { return e; }
TILE_FN constexpr bool first_of_row_slot(int e) { return e == 0; }
TILE_FN constexpr bool first_of_col_slot(int) { return true; }
TILE_FN float sum_over_row(float x) {
    x += shuffle_xor(x, 16);
    return x + shuffle_xor(x, 32);
}
TILE_FN float sum_over_column(float x) {
    x += shuffle_xor(x, 1);
    x += shuffle_xor(x, 2);
    x += shuffle_xor(x, 4);
    return x + shuffle_xor(x, 8);
}

template <class T>
struct alignas(4 * sizeof(T)) Left {
    T x[4];
};
template <class T>
struct alignas(4 * sizeof(T)) Right {
    T x[4];
};
typedef float Float4Vector __attribute__((ext_vector_type(4)));
typedef short Short4Vector __attribute__((ext_vector_type(4)));
typedef _Float16 Half4Vector __attribute__((ext_vector_type(4)));

template <class T>
TILE_FN void round_left(Left<T>& out, const float (&x)[4]) {
    TILE_UNROLL
    for (int e = 0; e < 4; e++) out.x[e] = round_to<T>(x[e]);
}
template <class T>
TILE_FN void widen(float (&out)[4], const Left<T>& x) {
    TILE_UNROLL
    for (int e = 0; e < 4; e++) out[e] = to_float(x.x[e]);
}

TILE_FN Float4Vector product(const Left<bf16>& a, const Right<bf16>& b, Float4Vector c) {
    return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(__builtin_bit_cast(Short4Vector, b),
                                                     __builtin_bit_cast(Short4Vector, a), c, 0, 0, 0);
}
TILE_FN Float4Vector product(const Left<f16>& a, const Right<f16>& b, Float4Vector c) {
    return __builtin_amdgcn_mfma_f32_16x16x16f16(__builtin_bit_cast(Half4Vector, b), __builtin_bit_cast(Half4Vector, a), c,
                                                 0, 0, 0);
}
// four instructions of depth 4; instruction i takes each lane's element i, so lane group j stands for depth 4 j + i
TILE_FN Float4Vector product(const Left<float>& a, const Right<float>& b, Float4Vector c) {
    TILE_UNROLL
    for (int i = 0; i < 4; i++) c = __builtin_amdgcn_mfma_f32_16x16x4f32(b.x[i], a.x[i], c, 0, 0, 0);
    return c;
}
template <class T>
TILE_FN void multiply(float (&c)[4], const Left<T>& a, const Right<T>& b) {
    const Float4Vector y = product(a, b, Float4Vector{c[0], c[1], c[2], c[3]});
    TILE_UNROLL
    for (int e = 0; e < 4; e++) c[e] = y[e];
}

// four elements side by side never leave a 16-byte piece
template <class O, class S>
TILE_FN void load_along(O& out, const S& tile, int r, int c) {
    out = *reinterpret_cast<const O*>(tile.d + tile.index(r, c));
}
template <class O, class S>
TILE_FN void load_down(O& out, const S& tile, int r, int c) {
    TILE_UNROLL
    for (int e = 0; e < 4; e++) out.x[e] = tile.d[tile.index(r + e, c)];
}
template <class T, class S>
TILE_FN void load_left(Left<T>& out, const S& tile, int r, int c) {
    load_along(out, tile, r + block_row(0), c + block_col(0));
}
template <class T, class S>
TILE_FN void load_left(Left<T>& out, const Transposed<S>& view, int r, int c) {
    load_down(out, view.tile, c + block_col(0), r + block_row(0));
}
template <class T, class S>
TILE_FN void load_right(Right<T>& out, const S& tile, int r, int c) {
    load_down(out, tile, r + block_col(0), c + block_row(0));
}
template <class T, class S>
TILE_FN void load_right(Right<T>& out, const Transposed<S>& view, int r, int c) {
    load_along(out, view.tile, c + block_row(0), r + block_col(0));
}
template <class S>
TILE_FN void store_block(S& tile, int r, int c, const float (&x)[4]) {
    using T = typename S::T;
    Left<T> y;
    round_left(y, x);
    *reinterpret_cast<Left<T>*>(tile.d + tile.index(r + block_row(0), c + block_col(0))) = y;
}
template <class S>
TILE_FN void store_block(Transposed<S>& view, int r, int c, const float (&x)[4]) {
    using T = typename S::T;
    TILE_UNROLL
    for (int e = 0; e < 4; e++) view.tile.d[view.tile.index(c + block_col(e), r + block_row(e))] = round_to<T>(x[e]);
}

}  // namespace tile

#include "device.h"

#define TILE_ENTRY(name, ...)                                                                                            \
    extern "C" __global__ __attribute__((amdgpu_flat_work_group_size(__VA_ARGS__::WARPS * 64, __VA_ARGS__::WARPS * 64))) \
    void name(const __VA_ARGS__::Args args) {                                                                            \
        extern __shared__ __attribute__((aligned(1024))) unsigned char tile_shared[];                                    \
        __VA_ARGS__::run(*reinterpret_cast<__VA_ARGS__::Shared*>(tile_shared), args);                                    \
    }                                                                                                                    \
    extern "C" __device__ __attribute__((used)) unsigned int name##_launch[2] = {                                        \
        __VA_ARGS__::WARPS * 64, static_cast<unsigned>(sizeof(__VA_ARGS__::Shared))};
