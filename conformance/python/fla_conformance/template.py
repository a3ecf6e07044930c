"""A candidate to copy: gated_delta_rule as a loop over tokens in plain torch.

    fla-conformance run --candidate 'python3 -m fla_conformance.template' 'gated_delta_rule*'

Replace the body of `run` by a call of your kernel. Inputs arrive on the device in the storage type of the case:

    q, k     [B, T, H, K]      bf16, f16, f32 or f64
    v        [B, T, HV, V]     value head j reads key head j * H // HV
    g, beta  [B, T, HV]        f32; g is the natural logarithm of the decay
    h0       [N, HV, K, V]     f32, or None; N is B, or the number of packed sequences
    cu_seqlens [N + 1]         None unless packed; then B is 1

Answer o in the storage type and ht in f32. Gradients come from autograd. What a kernel cannot do, it declines:
leave the argument out, or raise `Declined("why")`.
"""

import torch
import torch.nn.functional as F

from fla_conformance import op, serve


@op("gated_delta_rule", arrays="torch")
def run(
    q, k, v, g, beta, *, h0, cu_seqlens, A_log, dt_bias, scale, qk_l2norm, softplus_gate, beta_sigmoid, allow_neg_eigval
):
    storage, single = v.dtype, g.dtype
    q, k, v, g, beta = (x.to(single) for x in (q, k, v, g, beta))
    if qk_l2norm:
        q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    if softplus_gate:
        g = -A_log.exp() * F.softplus(g if dt_bias is None else g + dt_bias)
    if beta_sigmoid:
        beta = beta.sigmoid() * (2 if allow_neg_eigval else 1)
    q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], 2) for x in (q, k))
    bounds = [0, q.shape[1]] if cu_seqlens is None else cu_seqlens.tolist()
    if h0 is None:
        rows = q.shape[0] if cu_seqlens is None else len(bounds) - 1
        h0 = v.new_zeros(rows, v.shape[2], q.shape[3], v.shape[3])
    # one row of states for each sequence; an ordinary batch is one run with B rows
    starts = [h0] if cu_seqlens is None else h0.split(1)
    runs = [recur(*(x[:, a:b] for x in (q, k, v, g, beta)), h) for a, b, h in zip(bounds, bounds[1:], starts)]
    # with no sequence at all there is nothing to concatenate
    o = torch.cat([o for o, _ in runs], 1) if runs else v
    ht = torch.cat([h for _, h in runs]) if runs else h0
    return o.to(storage), ht


def recur(q, k, v, g, beta, h):
    """One sequence, or a batch of equally long ones."""
    # empty, yet part of the graph when there is no token
    o = [(v * (q * k).sum(-1, keepdim=True) * (g * beta)[..., None])[:, :0]]
    for t in range(q.shape[1]):
        h = h * g[:, t, :, None, None].exp()
        u = beta[:, t, :, None] * (v[:, t] - torch.einsum("bhkv,bhk->bhv", h, k[:, t]))
        h = h + k[:, t, :, :, None] * u[:, :, None, :]
        o.append(torch.einsum("bhkv,bhk->bhv", h, q[:, t])[:, None])
    return torch.cat(o, 1), h


if __name__ == "__main__":
    serve(name="template", version=torch.__version__)
