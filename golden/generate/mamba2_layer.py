"""Vectors of mamba2_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HV": 4, "H": 1, "K": 8, "V": 6, "W": 4}
STATES = ("h0", "x_conv0", "B_conv0", "C_conv0")
UNBIASED = (*(f"in_proj.bias[{p}]" for p in ("z", "x", "B", "C", "dt")), "out_proj.bias")


def case(name, sizes=None, **rest):
    return Case("mamba2_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *UNBIASED)),
    case("limited", attrs={"dt_limit_low": 0.1, "dt_limit_high": 0.5, "norm_before_gate": True}, absent=STATES),
    case(
        "unnormed",
        {"B": 2, "T": 33, "H": 4},
        attrs={"rmsnorm": False, "D_has_hdim": True},
        absent=(*STATES, *UNBIASED),
    ),
    # fla decodes one token at a time
    case("decoding", {"B": 3, "T": 1, "H": 2}, absent=UNBIASED),
    case("grouped", {"H": 2}, absent=(*STATES, *UNBIASED)),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "grouped-layer-f32": "without CUDA kernels fla repeats all groups in turn, head j using group j mod H, where its "
    "decoding and the kernels use the group j H / HV",
}
