// short_convolution: u_t = sum_j w_j x_{t-W+1+j} + b,  o_t = act(u_t) + r_t,  channel by channel in f32; act is the
// identity or u sigmoid(u). Before a sequence come the last W columns of x0, and xt are the last W columns of it (the
// first of them is 0: no tap reads it any more).
// Backward: d_u_t = d_o_t act'(u_t),  d_x_t = sum_j w_j d_u_{t+W-1-j} (+ d_xt of the same column),  d_r = d_o,
//   d_w_j = sum_t d_u_t x_{t-W+1+j},  d_b = sum_t d_u_t; d_x0 is what d_x would be before the sequence.
//
// A block works on one chunk of C tokens and COLUMNS pieces of V neighbouring channels. Its items are pieces of a
// segment of tokens, each walked from its first token to its last with the last W - 1 tokens in registers; the tokens
// of one group are on their way while the group before is computed. Backward walks W - 1 tokens further than its
// segment, for the d_u that the last of its tokens need. Up to K = 4 taps are kept so; fewer are padded with zeros in
// front. Kernels named Long take any W, an element at a time, at no such speed.
//
// Tokens are rows p of [B T, D]; sequence n owns the rows offsets[n] .. offsets[n+1]; chunks[n] = sum of ceil(length /
// C) over the sequences before n, total = chunks[N]. slices = ceil(D / (V COLUMNS)).
//
// forward:   ConvolutionForward or LongConvolutionForward      grid total slices
//            ConvolutionTail                                   grid N ceil(D / THREADS)    when xt is wanted
// backward:  ConvolutionBackward or LongConvolutionBackward    grid total slices
//            ConvolutionHead                                   grid N ceil(D / THREADS)    when d_x0 is wanted
//            ConvolutionSums                                   grid (TAPS + 1) ceil(D / 32) when d_weight or d_bias is
// workspace: partial, f32, total (TAPS + 1) D elements, TAPS = K or W (no initialisation needed), for those two alone.
#include "short_convolution_backward.h"
#include "short_convolution_forward.h"
#include "short_convolution_others.h"

using convolution::ConvolutionBackward;
using convolution::ConvolutionForward;
using convolution::ConvolutionHead;
using convolution::ConvolutionSums;
using convolution::ConvolutionTail;
using convolution::LongConvolutionBackward;
using convolution::LongConvolutionForward;
