// CUDA back end, sm_80 and later: mma.sync with f32 accumulation, ldmatrix, stmatrix where it exists, cp.async.
#pragma once

#define TILE_CUDA 1
#define TILE_FN __device__ __forceinline__
#define TILE_UNROLL _Pragma("unroll")
#define TILE_ROLL _Pragma("unroll 1")
#define TILE_LANES 32
#define TILE_ASYNC 1
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TILE_ISSUES 1
#else
#define TILE_ISSUES 0
#endif
#define TILE_SHARED_LIMIT (160 * 1024)
#if __CUDA_ARCH__ >= 900
#define TILE_SHARED_MOST (227 * 1024)
#else
#define TILE_SHARED_MOST TILE_SHARED_LIMIT
#endif

namespace tile {

TILE_FN int thread_index() { return threadIdx.x; }
TILE_FN int block_id() { return blockIdx.x; }
TILE_FN void barrier() { __syncthreads(); }
TILE_FN void warp_barrier() { __syncwarp(); }
TILE_FN float shuffle_up(float x, int step) { return __shfl_up_sync(~0u, x, step); }
TILE_FN double shuffle_up(double x, int step) { return __shfl_up_sync(~0u, x, step); }
TILE_FN float shuffle_xor(float x, int step) { return __shfl_xor_sync(~0u, x, step); }
struct alignas(16) Float4 {
    float x[4];
};
// keeps what is computed from x from being computed early and kept: addresses in a loop cost registers
TILE_FN int opaque(int x) {
    asm volatile("" : "+r"(x));
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
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <>
TILE_FN f16 round_to<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
TILE_FN float to_float(float x) { return x; }
TILE_FN float to_float(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
TILE_FN float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
// the rounding point for two elements at once, low half first
template <class T>
TILE_FN uint32_t round_pair(float low, float high);
template <>
TILE_FN uint32_t round_pair<bf16>(float low, float high) {
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
template <>
TILE_FN uint32_t round_pair<f16>(float low, float high) {
    uint32_t y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
// and back
template <class T>
TILE_FN float widen_half(uint32_t pair, int high);
template <>
TILE_FN float widen_half<bf16>(uint32_t pair, int high) {
    return __uint_as_float(high ? pair & 0xffff0000u : pair << 16);
}
template <>
TILE_FN float widen_half<f16>(uint32_t pair, int high) {
    return to_float(f16{static_cast<uint16_t>(high ? pair >> 16 : pair & 0xffffu)});
}

TILE_FN float exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
TILE_FN float fused(float x, float y, float z) { return fmaf(x, y, z); }
template <class T>
TILE_FN float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
template <>
TILE_FN float reciprocal<float>(float x) {
    const float y = reciprocal<bf16>(x);
    return fused(y, fused(-x, y, 1.f), y);
}
TILE_FN float square_root(float x) { return __fsqrt_rn(x); }
template <class T>
TILE_FN float inverse_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
template <>
TILE_FN float inverse_root<float>(float x) {
    return 1 / square_root(x);
}
template <class T>
TILE_FN uint32_t round_two(float low, float high) {
    return round_pair<T>(low, high);
}
// what nobody writes while the kernel runs, in one access
template <class Words>
TILE_FN void read_words(Words& x, const void* ptr) {
    constexpr int N = sizeof(Words) / 4;
    if constexpr (N == 4)
        asm("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];"
            : "=r"(x.word[0]), "=r"(x.word[1]), "=r"(x.word[2]), "=r"(x.word[3])
            : "l"(ptr));
    else if constexpr (N == 2)
        asm("ld.global.nc.v2.u32 {%0,%1}, [%2];" : "=r"(x.word[0]), "=r"(x.word[1]) : "l"(ptr));
    else
        asm("ld.global.nc.u32 %0, [%1];" : "=r"(x.word[0]) : "l"(ptr));
}
TILE_FN float bits_to_float(uint32_t x) { return __uint_as_float(x); }
TILE_FN uint32_t float_to_bits(float x) { return __float_as_uint(x); }

TILE_FN uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }
// 16, 8 or 4 bytes, by the size of what dst points to
template <class Dst, class Src>
TILE_FN void copy_async(Dst* dst, const Src* src) {
    static_assert(sizeof(Dst) == 16 || sizeof(Dst) == 8 || sizeof(Dst) == 4, "what cp.async moves");
    if constexpr (sizeof(Dst) == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(dst)), "l"(src) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(dst)), "l"(src), "n"(sizeof(Dst))
                     : "memory");
}
TILE_FN void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
TILE_FN void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// A lane holds 8 elements of a 16 x 16 block: two rows eight apart, two pairs of columns eight apart. A left operand lies
// the same way, so an accumulator becomes one without moving between lanes.
constexpr int BLOCK_ELEMENTS = 8, ROW_SLOTS = 2, COL_SLOTS = 4;
TILE_FN int block_row(int e) { return static_cast<int>(threadIdx.x % 32 / 4) + 8 * (e >> 1 & 1); }
TILE_FN int block_col(int e) { return 8 * (e >> 2) + 2 * static_cast<int>(threadIdx.x % 4) + (e & 1); }
TILE_FN constexpr int row_slot(int e) { return e >> 1 & 1; }
TILE_FN constexpr int col_slot(int e) { return (e >> 2) * 2 + (e & 1); }
TILE_FN constexpr bool first_of_row_slot(int e) { return e == 0 || e == 2; }
TILE_FN constexpr bool first_of_col_slot(int e) { return (e >> 1 & 1) == 0; }
TILE_FN float sum_over_row(float x) {
    x += shuffle_xor(x, 1);
    return x + shuffle_xor(x, 2);
}
TILE_FN float sum_over_column(float x) {
    x += shuffle_xor(x, 4);
    x += shuffle_xor(x, 8);
    return x + shuffle_xor(x, 16);
}

template <class T>
struct Left {
    uint32_t word[4];
};
template <class T>
struct Right {
    uint32_t word[4];
};
template <>
struct Left<float> {
    float x[8];
};
template <>
struct Right<float> {
    float x[8];
};

template <class T>
TILE_FN void round_left(Left<T>& out, const float (&x)[8]) {
    TILE_UNROLL
    for (int i = 0; i < 4; i++) out.word[i] = round_pair<T>(x[2 * i], x[2 * i + 1]);
}
TILE_FN void round_left(Left<float>& out, const float (&x)[8]) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out.x[e] = x[e];
}
template <class T>
TILE_FN void widen(float (&out)[8], const Left<T>& x) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out[e] = widen_half<T>(x.word[e / 2], e & 1);
}
TILE_FN void widen(float (&out)[8], const Left<float>& x) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out[e] = x.x[e];
}

template <class T>
TILE_FN void multiply_half(float* c, const Left<T>& a, uint32_t b0, uint32_t b1);
template <>
TILE_FN void multiply_half<bf16>(float* c, const Left<bf16>& a, uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b0), "r"(b1));
}
template <>
TILE_FN void multiply_half<f16>(float* c, const Left<f16>& a, uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b0), "r"(b1));
}
template <class T>
TILE_FN void multiply(float (&c)[8], const Left<T>& a, const Right<T>& b) {
    multiply_half<T>(c, a, b.word[0], b.word[1]);
    multiply_half<T>(c + 4, a, b.word[2], b.word[3]);
}

// x = high + low, both TF32, to about 2^-22
TILE_FN void split(uint32_t& high, uint32_t& low, float x) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(high) : "f"(x));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(low) : "f"(x - __uint_as_float(high)));
}
TILE_FN void multiply_tf32(float* c, const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// The instruction pairs its k of lane group t, t and t + 4; we give it columns 2 t and 2 t + 1 instead, in both operands, so
// that the left one lies as accumulators do. The sums start from zero and are added in f32: the unit truncates as it adds.
TILE_FN void multiply(float (&c)[8], const Left<float>& a, const Right<float>& b) {
    float s[8] = {};
    TILE_UNROLL
    for (int half = 0; half < 2; half++) {
        uint32_t high[4], low[4];
        TILE_UNROLL
        for (int i = 0; i < 4; i++) split(high[i], low[i], a.x[4 * half + 2 * (i & 1) + (i >> 1)]);
        TILE_UNROLL
        for (int n = 0; n < 2; n++) {
            uint32_t b_high[2], b_low[2];
            TILE_UNROLL
            for (int i = 0; i < 2; i++) split(b_high[i], b_low[i], b.x[4 * n + 2 * half + i]);
            multiply_tf32(s + 4 * n, low, b_high);
            multiply_tf32(s + 4 * n, high, b_low);
            multiply_tf32(s + 4 * n, high, b_high);
        }
    }
    TILE_UNROLL
    for (int e = 0; e < 8; e++) c[e] += s[e];
}

// Address of the row that this lane names to ldmatrix or stmatrix: lane l has row l % 8 of the 8 x 8 matrix l / 8 of block
// (r, c). Matrices 1 and 3 lie below 0 and 2 if DOWN, else to the right of them. Everything but r and c is the lane's alone.
template <bool DOWN, class S>
TILE_FN uint32_t matrix_row(const S& tile, int r, int c) {
    const int l = threadIdx.x % 32, odd = l >> 3 & 1, later = l >> 4;
    const int own = tile.index(l % 8 + 8 * (DOWN ? odd : later), 8 * (DOWN ? later : odd));
    const int panel = c / S::PANEL * S::ROWS * S::PANEL;
    return ((shared_address(tile.d) + 2 * own) ^ (2 * (c % S::PANEL))) + 2 * (r * S::PANEL + panel);
}
TILE_FN void load_matrices(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}
TILE_FN void load_matrices_transposed(uint32_t (&x)[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}
template <class T, class S>
TILE_FN void load_left(Left<T>& out, const S& tile, int r, int c) {
    load_matrices(out.word, matrix_row<true>(tile, r, c));
}
template <class T, class S>
TILE_FN void load_left(Left<T>& out, const Transposed<S>& view, int r, int c) {
    load_matrices_transposed(out.word, matrix_row<false>(view.tile, c, r));
}
template <class T, class S>
TILE_FN void load_right(Right<T>& out, const S& tile, int r, int c) {
    load_matrices_transposed(out.word, matrix_row<true>(tile, r, c));
}
template <class T, class S>
TILE_FN void load_right(Right<T>& out, const Transposed<S>& view, int r, int c) {
    load_matrices(out.word, matrix_row<false>(view.tile, c, r));
}
template <class S>
TILE_FN void load_left(Left<float>& out, const S& tile, int r, int c) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out.x[e] = tile.at(r + block_row(e), c + block_col(e));
}
template <class S>
TILE_FN void load_left(Left<float>& out, const Transposed<S>& view, int r, int c) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out.x[e] = view.tile.at(c + block_col(e), r + block_row(e));
}
// element 4 n + 2 h + i of a right operand: row 8 h + 2 (l % 4) + i, column 8 n + l / 4
TILE_FN int right_row(int e) { return 8 * (e >> 1 & 1) + 2 * static_cast<int>(threadIdx.x % 4) + (e & 1); }
TILE_FN int right_col(int e) { return 8 * (e >> 2) + static_cast<int>(threadIdx.x % 32 / 4); }
template <class S>
TILE_FN void load_right(Right<float>& out, const S& tile, int r, int c) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out.x[e] = tile.at(r + right_row(e), c + right_col(e));
}
template <class S>
TILE_FN void load_right(Right<float>& out, const Transposed<S>& view, int r, int c) {
    TILE_UNROLL
    for (int e = 0; e < 8; e++) out.x[e] = view.tile.at(c + right_col(e), r + right_row(e));
}

template <bool TRANSPOSED, class S>
TILE_FN void store_block_at(S& tile, int r, int c, const float (&x)[8]) {
    using T = typename S::T;
#if __CUDA_ARCH__ >= 900
    if constexpr (sizeof(T) == 2) {
        Left<T> w;
        round_left(w, x);
        if (TRANSPOSED)
            asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                             matrix_row<false>(tile, c, r)),
                         "r"(w.word[0]), "r"(w.word[1]), "r"(w.word[2]), "r"(w.word[3])
                         : "memory");
        else
            asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                             matrix_row<true>(tile, r, c)),
                         "r"(w.word[0]), "r"(w.word[1]), "r"(w.word[2]), "r"(w.word[3])
                         : "memory");
        return;
    }
#endif
    TILE_UNROLL
    for (int e = 0; e < 8; e++) {
        const int i = r + block_row(e), j = c + block_col(e);
        tile.d[TRANSPOSED ? tile.index(j, i) : tile.index(i, j)] = round_to<T>(x[e]);
    }
}
template <class S>
TILE_FN void store_block(S& tile, int r, int c, const float (&x)[8]) {
    store_block_at<false>(tile, r, c, x);
}
template <class S>
TILE_FN void store_block(Transposed<S>& view, int r, int c, const float (&x)[8]) {
    store_block_at<true>(view.tile, r, c, x);
}

// of W warps whose first one's number is a multiple of W
template <int W>
TILE_FN void group_barrier() {
    const int group = 1 + thread_index() / (W * TILE_LANES);
    asm volatile("bar.sync %0, %1;" ::"r"(group), "n"(W * TILE_LANES) : "memory");
}
template <int W, int G, class F>
TILE_FN void groups(F f) {
    f(thread_index() % (W * TILE_LANES) / (W / G * TILE_LANES));
}

template <class X, int G>
struct Each {
    X x;
    TILE_FN X& operator[](int) { return x; }
};

// what this thread wrote to shared memory, for warp groups' products behind the barrier too
TILE_FN void publish() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
    barrier();
}
// whether a role says of itself that products over warp groups read nothing of what it writes
template <class Role>
constexpr bool quiet(decltype(Role::QUIET)*) {
    return Role::QUIET;
}
template <class Role>
constexpr bool quiet(...) {
    return false;
}
template <class Role, class Stop>
TILE_FN void play(int n, Role& role, Stop stop) {
    role.begin();
    publish();
    role.ready();
    TILE_ROLL
    for (int c = 0; c < n; c++) {
        if constexpr (quiet<Role>(nullptr))
            barrier();
        else
            publish();
        if (stop(c)) break;
        role.step(c);
    }
    publish();
    role.end();
}
// The wider role has the first warps, so that each role's first warp is a multiple of its number of warps: group_barrier
// counts on that. If FIRST is more than what there would be for a thread of either role, the first gets as many, and the
// second what is left.
template <int W0, int W1, int FIRST = 0, class A, class B, class Stop = Never>
TILE_FN void lockstep(int n, A& a, B& b, Stop stop = {}) {
    static_assert(W0 % W1 == 0 || W1 % W0 == 0, "either role's warps begin at a multiple of their number");
    constexpr bool REVERSED = W0 % W1 != 0;
    constexpr int EACH = 65536 / TILE_LANES / (W0 + W1) / 8 * 8, SECOND = (EACH * (W0 + W1) - FIRST * W0) / W1 / 8 * 8;
    static_assert(FIRST % 8 == 0, "registers are dealt by eights");
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    constexpr bool GIVES = FIRST > EACH && W0 % 4 == 0 && W1 % 4 == 0;
#else
    constexpr bool GIVES = false;
#endif
    if (REVERSED ? thread_index() >= W1 * TILE_LANES : thread_index() < W0 * TILE_LANES) {
        if constexpr (GIVES) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(FIRST));
        play(n, a, stop);
    } else {
        if constexpr (GIVES) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(SECOND));
        play(n, b, stop);
    }
}

}  // namespace tile

#include "warp_group.h"
#include "device.h"

#define TILE_ENTRY(name, ...)                                                                                       \
    extern "C" __global__ void __launch_bounds__(__VA_ARGS__::WARPS * 32, __VA_ARGS__::MIN_BLOCKS)                  \
        name(const __VA_ARGS__::Args args) {                                                                        \
        extern __shared__ __align__(1024) unsigned char tile_shared[];                                              \
        __VA_ARGS__::run(*reinterpret_cast<__VA_ARGS__::Shared*>(tile_shared), args);                               \
    }                                                                                                               \
    extern "C" __device__ unsigned int name##_launch[2] = {__VA_ARGS__::WARPS * 32,                                 \
                                                           static_cast<unsigned>(sizeof(__VA_ARGS__::Shared))};
