"""Vectors of gated_delta_product."""

from vector import Case

SIZES = {"B": 1, "T": 70, "R": 2, "H": 2, "HV": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("gated_delta_product", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "R": 3, "K": 10, "V": 18}, absent=("h0",)),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("no-gate", {"R": 4, "T": 40}, absent=("g",)),
    case("norm", {"T": 37}, attrs={"qk_l2norm": True}),
)

NAIVE_NOTE = "the norm is written out before naive_recurrent_gated_delta_product"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
)
# results that a form does not give
WITHOUT = {"chunk": ("d_q", "d_k", "d_v", "d_g", "d_beta", "d_h0")}
FINDINGS = {}


def naive(q, k, v, beta, *, g, h0, cu_seqlens, scale, qk_l2norm):
    from fla.ops.gated_delta_product.naive import naive_recurrent_gated_delta_product

    if qk_l2norm:
        q, k = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k))
    k, v, beta = (x.flatten(1, 2) for x in (k, v, beta))
    steps, scale = k.shape[1] // q.shape[1], q.shape[-1] ** -0.5 if scale is None else scale
    return naive_recurrent_gated_delta_product(
        q, k, v, g, beta, scale, cu_seqlens, initial_state=h0, output_final_state=True, num_householder=steps
    )
