// Which of the products of host_gemm.cpp this machine runs. On x86-64 all three must be linked in, elsewhere the baseline.
#include "tile.h"

#define TILE_DECLARE(name)                                                                                           \
    extern "C" void name(int m, int n, int k, const float* a, long a_row, long a_col, const float* b, long b_row,    \
                         long b_col, float* c, long ldc);
TILE_DECLARE(tile_gemm_baseline)
#if defined(__x86_64__)
TILE_DECLARE(tile_gemm_v3)
TILE_DECLARE(tile_gemm_v4)
#endif

static tile_gemm_fn choose() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512cd");
    if (v4) return tile_gemm_v4;
    if (v3) return tile_gemm_v3;
#endif
    return tile_gemm_baseline;
}

extern "C" tile_gemm_fn tile_gemm(void) {
    static const tile_gemm_fn chosen = choose();
    return chosen;
}
