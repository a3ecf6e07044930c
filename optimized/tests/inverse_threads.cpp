// The inverse that threads make an element each, by that many threads and a real barrier, without a GPU.
//
//     clang++-19 -std=c++20 -pthread -I optimized/kernels optimized/tests/inverse_threads.cpp -o inverse_threads
//     ./inverse_threads
//
// Includes hip.h as it is: four of its warps are the 256 threads that the inverse wants, and the instructions that it
// uses are barriers. The threads of a warp run apart, so that what one lane overwrites before another has read it is
// seen here.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <barrier>
#include <random>
#include <thread>
#include <vector>

#define __HIP__ 1
#define __HIPCC_RTC__ 1
#define __device__
#define __global__
#define __shared__ static

typedef float F4 __attribute__((ext_vector_type(4)));
namespace block {
constexpr int THREADS = 256, SUBSTITUTE = 32;  // all, and those that pass the only barrier of a warp
thread_local int thread;
std::barrier<> all(THREADS), some(SUBSTITUTE);
}  // namespace block

#define __builtin_amdgcn_workitem_id_x() block::thread
#define __builtin_amdgcn_workgroup_id_x() 0
#define __builtin_amdgcn_fence(...) (void)0
#define __builtin_amdgcn_s_barrier() block::all.arrive_and_wait()
#define __builtin_amdgcn_wave_barrier() block::some.arrive_and_wait()
#define __builtin_amdgcn_ds_bpermute(byte, x) 0
#define __builtin_amdgcn_rcpf(x) (1 / (x))
#define __builtin_amdgcn_rsqf(x) (1 / sqrtf(x))
#define __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(a, b, c, ...) c
#define __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, c, ...) c
#define __builtin_amdgcn_mfma_f32_16x16x4f32(a, b, c, ...) c
#define asm
#define volatile(...)
#include "tile/tile.h"
#undef asm
#undef volatile

namespace {
constexpr int C = 32, ROUNDS = 24;
using Matrix = tile::Tile<float, C, C>;

float weight(int row) { return 1.f + row; }

// of magnitudes up to `size` below the diagonal, and of nothing on it and above
void draw(Matrix& a, std::mt19937& random, float size) {
    std::uniform_real_distribution<float> number(-size, size);
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) a.set(i, j, i > j ? number(random) : NAN);
}
void invert(Matrix& out, Matrix& a) {
    std::vector<std::thread> threads;
    for (int n = 0; n < block::THREADS; n++)
        threads.emplace_back([&, n] {
            block::thread = n;
            auto weigh = [](float y, int i, int) { return weight(i) * y; };
            tile::invert_unit_lower<block::THREADS / TILE_LANES>(out, a, weigh);
        });
    for (std::thread& thread : threads) thread.join();
}
// the greatest error through the greatest element
double error(const Matrix& out, const Matrix& a) {
    double x[C][C], most = 0, worst = 0;
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) {
            x[i][j] = i == j;
            for (int k = 0; k < i; k++) x[i][j] -= (double)a.at(i, k) * x[k][j];
        }
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) {
            const double wanted = weight(i) * x[i][j], off = fabs(out.at(i, j) - wanted);
            most = fmax(most, fabs(wanted));
            worst = off <= worst ? worst : off;  // NaN is worse than any
            if (isnan(off)) return off;
        }
    return worst / most;
}
}  // namespace

int main() {
    static Matrix a, given, out;
    std::mt19937 random(1);
    int failures = 0;
    for (int round = 0; round < ROUNDS; round++) {
        draw(a, random, round % 3 == 0 ? 0.1f : round % 3 == 1 ? 0.5f : 1.2f);
        given = a;
        invert(out, a);
        const double off = error(out, given);
        if (off < 1e-5) continue;
        fprintf(stderr, "round %d: an inverse is off by %.2g of its greatest element\n", round, off);
        failures++;
    }
    if (failures == 0) printf("inverses by elements: %d right\n", ROUNDS);
    return failures != 0;
}
