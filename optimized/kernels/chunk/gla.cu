// gla: h_t = diag(exp(g_t)) h_{t-1} diag(exp(gv_t)) + k_t v_t^T,  o_t = scale h_t^T q_t, chunk by chunk. gla_gates.h
// says how gates come into the products.
//
// Tokens are rows p of [B T, H, .]; sequence n owns the rows offsets[n] .. offsets[n+1]. All grids are one-dimensional.
// slices = ceil(V / kernel's V), N sequences, chunks[n] = sum of ceil(length / C) over the sequences before n, total =
// chunks[N]. An empty grid must not be launched.
//
// forward:   GlaForward; where there is room for it GlaRoles, then GlaRolesLate      grid N H slices
// backward:  1. GlaForward                 states wanted, o not (or the forward pass itself leaves the states)
//            2. GlaStateGradients          grid N H slices
//            3. GlaGradients               grid total H       (not needed when only d_h0 is wanted; then 1 neither)
//        or  GlaBackward, then GlaBackwardLate      grid N H, where there is room for it
// Where heads are few, or leave part of the device idle, sequences are cut: P pieces for N in these grids (part.h), behind
// Windows of windows.cu where there are gates. Few heads: GlaPieces and PieceStates of pieces.cu before the forward pass;
// GlaStateGradients without d_states, and PieceStates back, before the backward pass.
// Each has a twin named ..Both for calls with gv.
// workspace: states and d_states, of the storage type, total H V K elements each (no initialisation needed).
// The three kernels share C; 3 may differ from 1 and 2 in its V.
//
// shapes <T, C, K, V>: optimized/src/shapes/gla.rs.
#include "gla_backward.h"
#include "gla_fused.h"
#include "gla_pieces.h"
#include "gla_roles.h"

using gla::GlaForward;
using gla::GlaForwardBoth;
using gla::GlaGradients;
using gla::GlaGradientsBoth;
using gla::GlaStateGradients;
using gla::GlaStateGradientsBoth;
