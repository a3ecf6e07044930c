"""Vectors of lightnet."""

from dataclasses import dataclass

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}
STATES = ("h0", "z0")
# factor on k of `hard` gates
HARD = 5.0


@dataclass(frozen=True)
class Raw(Case):
    """A case whose decays follow from k and z0."""

    def values(self):
        """Inputs and cotangents as f64 arrays by name."""
        values = super().values()
        return values | {"k": HARD * values["k"]} if self.gate == "hard" else values


def case(name, sizes=None, **rest):
    return Raw("lightnet", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=STATES),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=STATES),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("hard-gates", gate="hard"),
)

NAIVE_NOTE = (
    "naive_recurrent_gla with k' = e^(k - z) and log decay of z before less z, where z is torch.logcumsumexp from z0 "
    "on, and a first decay of 1 without z0; packing is written out around it"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("ragged", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {"hard-gates-naive-f32": "The PyTorch references lose digits of f32 that f32 has"}


def naive(q, k, v, *, h0, z0, cu_seqlens, scale):
    import torch
    from fla.ops.gla.naive import naive_recurrent_gla

    # upstream's own factor is K^-1/2
    factor = 1 if scale is None else scale * q.shape[-1] ** 0.5

    def run(q, k, v, h0, z0):
        z = k.logcumsumexp(1) if z0 is None else torch.cat([z0[:, None], k], 1).logcumsumexp(1)
        before, last = (torch.cat([z[:, :1], z[:, :-1]], 1), z) if z0 is None else (z[:, :-1], z[:, 1:])
        o, ht = naive_recurrent_gla(factor * q, (k - last).exp(), v, before - last, h0, output_final_state=True)
        return o, ht, z[:, -1]

    if cu_seqlens is None:
        return run(q, k, v, h0, z0)
    bounds = cu_seqlens.tolist()
    spans = zip(bounds, bounds[1:], h0.split(1), z0.split(1))
    o, ht, zt = zip(*(run(*(x[:, a:b] for x in (q, k, v)), h, z) for a, b, h, z in spans))
    return torch.cat(o, 1), torch.cat(ht), torch.cat(zt)
