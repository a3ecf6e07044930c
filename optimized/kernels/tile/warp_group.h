// Hopper's product over a warp group of four warps: the left operand in registers, the right one in shared memory.
#pragma once

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define TILE_WARP_GROUP 1

namespace tile {

// A matrix in shared memory as the instruction takes it: address, strides between its atoms of eight rows, scrambling.
// The offset is known beforehand and only added, so that slices of one tile do not each repeat what its address takes.
struct Descriptor {
    uint64_t bits;
};
TILE_FN Descriptor descriptor(const void* tile, int offset, int leading, int stride, int scrambling) {
    const uint32_t start = (shared_address(tile) & 0x3ffffu) >> 4 | static_cast<uint32_t>(leading >> 4) << 16;
    const uint32_t low = start + static_cast<uint32_t>(offset >> 4);
    return {low | static_cast<uint64_t>(stride >> 4) << 32 | static_cast<uint64_t>(scrambling) << 62};
}
constexpr int SCRAMBLE_128 = 1, SCRAMBLE_64 = 2;

// rows 16 k and on of a right operand: its columns lie along the rows of the tile
template <class S>
TILE_FN Descriptor slice(const S& tile, int k) {
    static_assert(S::PANEL == 64, "whole panels");
    return descriptor(tile.d, 2 * 16 * k * 64, 2 * S::ROWS * 64, 8 * 2 * 64, SCRAMBLE_128);
}
// the same for a transposed tile: its columns lie down the rows of the tile
template <class S>
TILE_FN Descriptor slice(const Transposed<S>& view, int k) {
    constexpr int PANEL = S::PANEL;
    static_assert(PANEL == 64 || PANEL == 32, "a known scrambling");
    const int panel = 16 * k / PANEL, within = 16 * k % PANEL;
    return descriptor(view.tile.d, 2 * (panel * S::ROWS * PANEL + within), 16, 8 * 2 * PANEL,
                      PANEL == 64 ? SCRAMBLE_128 : SCRAMBLE_64);
}
// whether there is a slice of it
template <class V>
constexpr bool GROUP_OPERAND = V::PANEL == 64;
template <class S>
constexpr bool GROUP_OPERAND<Transposed<S>> = S::PANEL == 64 || S::PANEL == 32;
template <class V>
constexpr int ALONG_ROWS = 1;
template <class S>
constexpr int ALONG_ROWS<Transposed<S>> = 0;

// c += a b, c being one block row of 16 columns each
template <class T, int TRANSPOSED>
struct WarpGroup;

#define TILE_BLOCK(b) \
    "+f"(b[0]), "+f"(b[1]), "+f"(b[2]), "+f"(b[3]), "+f"(b[4]), "+f"(b[5]), "+f"(b[6]), "+f"(b[7])
#define TILE_WARP_GROUP_PRODUCT(type, name, columns, registers, a0, a1, a2, a3, right, transposed, ...) \
    static TILE_FN void multiply(float (&c)[columns / 16][8], const Left<type>& a, Descriptor b) { \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." name "." name " {" registers "}, {%" #a0 \
                     ",%" #a1 ",%" #a2 ",%" #a3 "}, %" #right ", 1, 1, 1, %" #transposed ";" \
                     : __VA_ARGS__ \
                     : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "l"(b.bits), "n"(TRANSPOSED)); \
    }
#define TILE_REGISTERS_32 \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define TILE_REGISTERS_64 \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
    "%24,%25,%26,%27,%28,%29,%30,%31"
#define TILE_REGISTERS_128 \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23," \
    "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
    "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define TILE_BLOCKS_32 TILE_BLOCK(c[0]), TILE_BLOCK(c[1])
#define TILE_BLOCKS_64 TILE_BLOCK(c[0]), TILE_BLOCK(c[1]), TILE_BLOCK(c[2]), TILE_BLOCK(c[3])
#define TILE_BLOCKS_128 \
    TILE_BLOCK(c[0]), TILE_BLOCK(c[1]), TILE_BLOCK(c[2]), TILE_BLOCK(c[3]), \
    TILE_BLOCK(c[4]), TILE_BLOCK(c[5]), TILE_BLOCK(c[6]), TILE_BLOCK(c[7])
// the same with the columns in two halves
#define TILE_WARP_GROUP_HALVES(type, name) \
    static TILE_FN void multiply(float (&l)[2][8], float (&r)[2][8], const Left<type>& a, Descriptor b) { \
        asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " {" TILE_REGISTERS_64 "}, " \
                     "{%32,%33,%34,%35}, %36, 1, 1, 1, %37;" \
                     : TILE_BLOCK(l[0]), TILE_BLOCK(l[1]), TILE_BLOCK(r[0]), TILE_BLOCK(r[1]) \
                     : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "l"(b.bits), "n"(TRANSPOSED)); \
    }
#define TILE_WARP_GROUP_TYPE(type, name) \
    template <int TRANSPOSED> \
    struct WarpGroup<type, TRANSPOSED> { \
        TILE_WARP_GROUP_HALVES(type, name) \
        TILE_WARP_GROUP_PRODUCT(type, name, 32, TILE_REGISTERS_32, 16, 17, 18, 19, 20, 21, TILE_BLOCKS_32) \
        TILE_WARP_GROUP_PRODUCT(type, name, 64, TILE_REGISTERS_64, 32, 33, 34, 35, 36, 37, TILE_BLOCKS_64) \
        TILE_WARP_GROUP_PRODUCT(type, name, 128, TILE_REGISTERS_128, 64, 65, 66, 67, 68, 69, TILE_BLOCKS_128) \
    };
TILE_WARP_GROUP_TYPE(bf16, "bf16")
TILE_WARP_GROUP_TYPE(f16, "f16")

}  // namespace tile
#endif
