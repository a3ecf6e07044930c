// The AMD back end's fragments against the tables of the ISA, without an AMD processor.
//
//     clang++-19 -std=c++17 -I optimized/kernels optimized/tests/amd_fragments.cpp -o amd_fragments && ./amd_fragments
//
// Includes hip.h as it is, and gives it the instructions that exchange data between lanes: products by the register
// layout of "AMD Instinct MI300 Instruction Set Architecture", section 7 (element [i][k] of A lies in lane
// i + 16 (k / n), item k % n, [k][j] of B in lane j + 16 (k / n), item k % n, [i][j] of C and D in lane
// j + 16 (i / 4), item i % 4; n elements a lane), and ds_bpermute by its own. Lanes run one after another. In the p-th
// run of all of them the first p exchanges are known from the runs before and the next one is noted, so that after as
// many runs as there are exchanges all were right.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <functional>
#include <map>
#include <vector>

#define __HIP__ 1
#define __HIPCC_RTC__ 1
#define __device__
#define __global__
#define __shared__ static

namespace wave {
constexpr int LANES = 64;
int lane, run, next;
struct Exchange {
    std::vector<uint8_t> given[LANES];
    std::vector<float> answer[LANES];
};
std::vector<Exchange> exchanges;

// what this lane gets of its next exchange, as far as it is known
float answer(int item) { return next - 1 < run ? exchanges[next - 1].answer[lane][item] : 0; }
void note(const void* x, size_t bytes) {
    if (next == (int)exchanges.size()) exchanges.emplace_back();
    if (next++ != run) return;
    const uint8_t* b = static_cast<const uint8_t*>(x);
    exchanges[run].given[lane].assign(b, b + bytes);
}

// runs `body` in every lane until all exchanges are known; `resolve` answers the one that was noted
int all(const std::function<void()>& body, const std::function<void(Exchange&)>& resolve) {
    exchanges.clear();
    for (run = 0;; run++) {
        for (lane = 0; lane < LANES; lane++) next = 0, body();
        if (run >= (int)exchanges.size()) return run;
        for (auto& answer : exchanges[run].answer) answer.assign(4, 0);
        resolve(exchanges[run]);
    }
}
}  // namespace wave

typedef float F4 __attribute__((ext_vector_type(4)));
typedef short S4 __attribute__((ext_vector_type(4)));
typedef _Float16 H4 __attribute__((ext_vector_type(4)));
template <class X>
struct Operands {
    X a, b;
    F4 c;
};
template <class X>
F4 mfma(X a, X b, F4 c) {
    const Operands<X> given{a, b, c};
    wave::note(&given, sizeof given);
    return {wave::answer(0), wave::answer(1), wave::answer(2), wave::answer(3)};
}
float ds_bpermute(int byte, float x) {
    struct {
        int byte;
        float x;
    } given{byte, x};
    wave::note(&given, sizeof given);
    return wave::answer(0);
}

#define __builtin_amdgcn_workitem_id_x() wave::lane
#define __builtin_amdgcn_workgroup_id_x() 0
#define __builtin_amdgcn_fence(...) (void)0
#define __builtin_amdgcn_s_barrier() (void)0
#define __builtin_amdgcn_wave_barrier() (void)0
#define __builtin_amdgcn_ds_bpermute(byte, x) \
  (int)__builtin_bit_cast(int, ds_bpermute(byte, __builtin_bit_cast(float, x)))
#define __builtin_amdgcn_rcpf(x) (1 / (x))
#define __builtin_amdgcn_rsqf(x) (1 / sqrtf(x))
#define __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(a, b, c, ...) mfma<S4>(a, b, c)
#define __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, c, ...) mfma<H4>(a, b, c)
#define __builtin_amdgcn_mfma_f32_16x16x4f32(a, b, c, ...) mfma<float>(a, b, c)
#define asm
#define volatile(...)
#include "tile/tile.h"
#undef asm
#undef volatile

namespace {
using namespace tile;

int failures = 0;
void expect(bool fine, const char* what, const char* type) {
    if (fine) return;
    fprintf(stderr, "%s, %s: not as the ISA has it\n", what, type);
    failures++;
}

float widen(short x) { return to_float(bf16{(uint16_t)x}); }
float widen(_Float16 x) { return x; }
float widen(float x) { return x; }
template <class X>
float item(const X& x, int i) {
    return widen(x[i]);
}
float item(const float& x, int) { return x; }

// the instruction, of n elements a lane and operand
template <class X>
void multiply_registers(wave::Exchange& e, int n) {
    Operands<X> lanes[wave::LANES];
    for (int l = 0; l < wave::LANES; l++) memcpy(&lanes[l], e.given[l].data(), sizeof lanes[l]);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            const int to = j + 16 * (i / 4);
            float sum = lanes[to].c[i % 4];
            for (int k = 0; k < 4 * n; k++)
                sum += item(lanes[i + 16 * (k / n)].a, k % n) * item(lanes[j + 16 * (k / n)].b, k % n);
            e.answer[to][i % 4] = sum;
        }
}
void permute(wave::Exchange& e) {
    struct Given {
        int byte;
        float x;
    };
    for (int l = 0; l < wave::LANES; l++) {
        Given to, from;
        memcpy(&to, e.given[l].data(), sizeof to);
        memcpy(&from, e.given[to.byte / 4 % wave::LANES].data(), sizeof from);
        e.answer[l][0] = from.x;
    }
}

// small integers, so that every product is exact in every type
float left(int i, int k) { return (float)((5 * i + 3 * k + i * k) % 7 - 3); }
float right(int k, int j) { return (float)((2 * k + 7 * j + k * j) % 5 - 2); }
float start(int i, int j) { return (float)(i - 2 * j); }

template <class T, class X>
void products(const char* type, int n) {
    static Tile<T, 32, 32> a, at, b, bt, out, out_t;
    const int r = 16, c = 16;
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++) {
            a.set(r + i, c + k, left(i, k)), at.set(c + k, r + i, left(i, k));
            b.set(r + i, c + k, right(i, k)), bt.set(c + k, r + i, right(i, k));
        }
    for (int form = 0; form < 4; form++) {
        float result[16][16] = {};
        wave::all(
            [&] {
                Left<T> x;
                Right<T> y;
                auto a_t = t(at);
                auto b_t = t(bt);
                form & 1 ? load_left(x, a_t, r, c) : load_left(x, a, r, c);
                form & 2 ? load_right(y, b_t, r, c) : load_right(y, b, r, c);
                float acc[BLOCK_ELEMENTS];
                for (int e = 0; e < BLOCK_ELEMENTS; e++) acc[e] = start(block_row(e), block_col(e));
                multiply(acc, x, y);
                for (int e = 0; e < BLOCK_ELEMENTS; e++) result[block_row(e)][block_col(e)] = acc[e];
                // an accumulator is a left operand without moving
                round_left(x, acc);
                store_block(out, r, c, acc);
                auto o_t = t(out_t);
                store_block(o_t, r, c, acc);
            },
            [&](wave::Exchange& e) { multiply_registers<X>(e, n); });
        bool product = true, stored = true;
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++) {
                float truth = start(i, j);
                for (int k = 0; k < 16; k++) truth += left(i, k) * right(k, j);
                product &= result[i][j] == truth;
                stored &= out.at(r + i, c + j) == truth && out_t.at(c + j, r + i) == truth;
            }
        const char* names[] = {"A B", "t(A) B", "A t(B)", "t(A) t(B)"};
        expect(product, names[form], type);
        expect(stored, "store_block", type);
    }
}

void sums() {
    float along[16][16], down[16][16];
    const auto body = [&] {
        float row = 0, column[BLOCK_ELEMENTS];
        for (int e = 0; e < BLOCK_ELEMENTS; e++) row += start(block_row(e), block_col(e));
        row = sum_over_row(row);
        for (int e = 0; e < BLOCK_ELEMENTS; e++) {
            column[e] = sum_over_column(start(block_row(e), block_col(e)));
            along[block_row(e)][block_col(e)] = row, down[block_row(e)][block_col(e)] = column[e];
        }
    };
    const int exchanges = wave::all(body, permute);
    bool rows = exchanges == 2 + 4 * BLOCK_ELEMENTS, columns = rows;
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            float row = 0, column = 0;
            for (int k = 0; k < 16; k++) row += start(i, k), column += start(k, j);
            rows &= along[i][j] == row, columns &= down[i][j] == column;
        }
    expect(rows, "sum_over_row", "f32");
    expect(columns, "sum_over_column", "f32");
}
}  // namespace

int main() {
    products<bf16, S4>("bf16", 4);
    products<f16, H4>("f16", 4);
    products<float, float>("f32", 1);
    sums();
    if (!failures) printf("AMD fragments lie as the ISA has them\n");
    return failures != 0;
}
