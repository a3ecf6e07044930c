// Two neighbouring columns of a tile, from a row on that is a multiple of eight: where the rows behind it are takes one
// instruction and a number known beforehand. next(strip) is the same from four rows on, for the next four. Not on AMD.
#pragma once
#include "tile.h"

namespace tile {

#if TILE_HOST
template <class S>
struct Strip {
    S* tile;
    int row, column;
    void get(float& x, float& y, int n) const { tile->get_pair(x, y, row + n, column); }
    void set(int n, float x, float y) const { tile->set_pair(row + n, column, x, y); }
};
template <class S>
Strip<S> strip(S& tile, int row, int column) {
    return {&tile, row, column};
}
template <class S>
Strip<S> next(const Strip<S>& x) {
    return {x.tile, x.row + 4, x.column};
}
#elif !defined(TILE_HIP)
TILE_FN uint32_t read_word(uint32_t address) {
    uint32_t word;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
}
TILE_FN void read_pair(float& x, float& y, uint32_t address, const float*) {
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x), "=f"(y) : "r"(address) : "memory");
}
TILE_FN void read_pair(float& x, float& y, uint32_t address, const bf16*) {
    const uint32_t word = read_word(address);
    x = bits_to_float(word << 16);
    y = bits_to_float(word & 0xffff0000u);
}
TILE_FN void read_pair(float& x, float& y, uint32_t address, const f16*) {
    const uint32_t word = read_word(address);
    x = to_float(f16{(uint16_t)word});
    y = to_float(f16{(uint16_t)(word >> 16)});
}
template <class S>
struct Strip {
    using T = typename S::T;
    static_assert(S::PIECES >= 8, "a row's scrambling is its number's last three bits");
    static constexpr int STRIDE = S::PANEL * sizeof(T);
    uint32_t start;
    TILE_FN uint32_t address(int n) const { return (start ^ S::scramble(n) * 16) + n * STRIDE; }
    TILE_FN void get(float& x, float& y, int n) const { read_pair(x, y, address(n), (const T*)nullptr); }
    TILE_FN void set(int n, float x, float y) const {
        static_assert(sizeof(T) == 2, "pairs of a word");
        const uint32_t word = round_to<T>(x).bits | (uint32_t)round_to<T>(y).bits << 16;
        asm volatile("st.shared.b32 [%0], %1;" ::"r"(address(n)), "r"(word) : "memory");
    }
};
template <class S>
TILE_FN Strip<S> strip(S& tile, int row, int column) {
    return {shared_address(tile.d + S::index(row, column))};
}
template <class S>
TILE_FN Strip<S> next(const Strip<S>& x) {
    return {(x.start ^ S::scramble(4) * 16) + 4 * Strip<S>::STRIDE};
}
#endif

}  // namespace tile
