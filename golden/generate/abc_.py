"""Vectors of abc; the file is not named like a module of Python's own."""

from dataclasses import dataclass

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16, "M": 8}
STATES = ("hk0", "hv0", "z0")
# factor on s of `hard` gates
HARD = 5.0


@dataclass(frozen=True)
class Raw(Case):
    """A case whose decays follow from s and z0."""

    def values(self):
        """Inputs and cotangents as f64 arrays by name."""
        values = super().values()
        return values | {"s": HARD * values["s"]} if self.gate == "hard" else values


def case(name, sizes=None, **rest):
    return Raw("abc", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=STATES),
    case("ragged", {"T": 67, "K": 20, "V": 36, "M": 5}, absent=STATES),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("hard-gates", gate="hard"),
    # as many slots as fla's kernels take
    case("wide", {"T": 40, "M": 16}, absent=STATES),
)

NAIVE_NOTE = (
    "naive_recurrent_abc without g; where there are states, with the g and the s that it makes itself of "
    "torch.logcumsumexp, here from z0 on; packing is written out around it"
)

# case, form, storage type
TRITON = (
    ("wide", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {"chunk": ("hkt", "hvt", "zt")}
FINDINGS = {}


def naive(q, k, v, s, *, hk0, hv0, z0, cu_seqlens, scale):
    import torch
    from fla.ops.abc.naive import naive_recurrent_abc

    def run(tensors, hk0, hv0, z0):
        q, k, v, s = (x.transpose(1, 2) for x in tensors)
        start, g, z = None, None, s.logcumsumexp(2)
        if z0 is not None:
            z = torch.cat([z0[:, :, None], s], 2).logcumsumexp(2)
            start, g, s = (hk0, hv0), z[:, :, :-1] - z[:, :, 1:], (s - z[:, :, 1:]).exp()
        o, (hk, hv) = naive_recurrent_abc(q, k, v, s, g, scale, start, output_final_state=True)
        return o.transpose(1, 2), hk, hv, z[:, :, -1]

    if cu_seqlens is None:
        return run((q, k, v, s), hk0, hv0, z0)
    bounds = cu_seqlens.tolist()
    spans = zip(bounds, bounds[1:], hk0.split(1), hv0.split(1), z0.split(1))
    o, *states = zip(*(run([x[:, a:b] for x in (q, k, v, s)], *states) for a, b, *states in spans))
    return torch.cat(o, 1), *(torch.cat(x) for x in states)
