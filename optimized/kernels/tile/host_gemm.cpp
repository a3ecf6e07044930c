// The host's matrix product. Compiled once per instruction set, -DTILE_ISA=baseline | v3 | v4, with the flags
//   baseline: none    v3: -march=x86-64-v3    v4: -march=x86-64-v4      (v3 and v4 with -ffp-contract=fast, all with -O3)
// host_dispatch.cpp picks one at run time.
#define TILE_JOIN_(a, b) a##b
#define TILE_JOIN(a, b) TILE_JOIN_(a, b)
#define TILE_GEMM TILE_JOIN(tile_gemm_, TILE_ISA)

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 4;
#else
constexpr int LANES = 4, ROWS = 2;
#endif
constexpr int NARROW = 16, VECTORS = NARROW / LANES, DEPTH = 256;
typedef float Vector __attribute__((vector_size(LANES * 4)));

namespace {

// sixteen columns of b, all k, side by side
void pack(int k, const float* b, long b_row, long b_col, Vector (*panel)[VECTORS]) {
    for (int i = 0; i < k; i++)
        for (int v = 0; v < VECTORS; v++)
            for (int l = 0; l < LANES; l++) panel[i][v][l] = b[i * b_row + (v * LANES + l) * b_col];
}

void multiply(int k, const float* a, long a_row, long a_col, const Vector (*panel)[VECTORS], float* c, long ldc) {
    Vector s[ROWS][VECTORS] = {};
    for (int i = 0; i < k; i++)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) s[r][v] += a[r * a_row + i * a_col] * panel[i][v];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++)
            for (int l = 0; l < LANES; l++) c[r * ldc + v * LANES + l] += s[r][v][l];
}

}  // namespace

extern "C" void TILE_GEMM(int m, int n, int k, const float* a, long a_row, long a_col, const float* b, long b_row,
                          long b_col, float* c, long ldc) {
    Vector panel[DEPTH][VECTORS];
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        const int depth = k - k0 < DEPTH ? k - k0 : DEPTH;
        for (int j = 0; j < n; j += NARROW) {
            pack(depth, b + k0 * b_row + j * b_col, b_row, b_col, panel);
            for (int i = 0; i < m; i += ROWS)
                multiply(depth, a + i * a_row + k0 * a_col, a_row, a_col, panel, c + i * ldc + j, ldc);
        }
    }
}
