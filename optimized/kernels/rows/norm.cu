// Norms of rows, in f32 between loads and stores. With s = x + residual, r = 1 / sqrt(mean sum_i s_i^2 + eps), mean =
// 1 for l2_norm and 1 / D for rms_norm and rms_norm_gated, y = s r, act = 1 where there is no g, else g sigmoid(g) or
// sigmoid(g):
//   o = (y w + b) act(g)
// Backward: c = d_o act(g) w,  d_s' = r (c - s r^2 mean sum_i c_i s_i) + d_s,  which is d_x and d_residual;
//   d_g = d_o (y w + b) act'(g);  d_w = sum over rows of d_o act(g) y;  d_b = sum over rows of d_o act(g).
//
// G threads have a row between them, N threads make a block, which works on `each` rows, N / G at a time. Up to K
// columns, the pieces of the rows after these are on their way to shared memory meanwhile, each to a place that its
// thread alone uses, so that no barrier is needed; every thread keeps its share of w, b, d_w and d_b in registers. K =
// 0 takes any width, reads a row twice, from a cache as a rule, and leaves d_w and d_b in memory.
//
// forward:   NormForward    grid ceil(rows / each)
// backward:  NormBackward   grid ceil(rows / each)
//            NormSums       grid 2 ceil(D / 32)       when d_weight or d_bias is wanted
// workspace: partial, f32, 2 D ceil(rows / each) elements (no initialisation needed), for those two alone.
#include "norm_backward.h"
#include "norm_forward.h"

using norms::NormBackward;
using norms::NormForward;
using norms::NormSums;
