// simple_gla: h_t = exp(g_t) h_{t-1} + k_t v_t^T,  o_t = scale h_t^T q_t, chunk by chunk; also for the ops whose decays
// are constants (g_gamma) or none.
// With G the sum of g within a chunk up to and including a token, S the state before the chunk:
//   O  = diag(scale exp G) Q S + P V,                       P_ij = scale exp(G_i - G_j) (q_i . k_j) for i >= j
//   S' = exp(G_last) S + (diag(exp(G_last - G)) K)^T V.
//
// Tokens are rows p of [B T, H, .]; sequence n owns the rows offsets[n] .. offsets[n+1]. All grids are one-dimensional.
// slices = ceil(V / kernel's V), N sequences, chunks[n] = sum of ceil(length / C) over the sequences before n, total =
// chunks[N]. An empty grid must not be launched.
//
// forward:   SimpleGlaForward, or SimpleGlaRoles where there is room for it      grid N H slices
// backward:  1. SimpleGlaForward               states wanted, o not (or the forward pass itself leaves the states)
//            2. SimpleGlaStateGradients        grid N H slices
//            3. SimpleGlaGradients             grid total H       (not needed when only d_h0 is wanted; then 1 neither)
// NumeratorBackward and NumeratorGradients are SimpleGlaBackward and SimpleGlaGradients that leave d_q and d_k in f32.
// Where heads are few, or leave part of the device idle, sequences are cut: P pieces for N in these grids (part.h), behind
// Windows of windows.cu where there are gates. Few heads: SimpleGlaPieces and PieceStates of pieces.cu before the forward
// pass; SimpleGlaStateGradients without d_states, and PieceStates back, before the backward pass.
// workspace: states and d_states, of the storage type, total H V K elements each (no initialisation needed).
// All kernels of a call share C.
//
// shapes <T, C, K, V>: optimized/src/shapes/simple_gla.rs.
#include "simple_gla_backward.h"
#include "simple_gla_fused.h"
#include "simple_gla_pieces.h"
#include "simple_gla_roles.h"

using simple_gla::NumeratorGradients;
using simple_gla::SimpleGlaForward;
using simple_gla::SimpleGlaGradients;
using simple_gla::SimpleGlaStateGradients;
