"""Vectors of linear_attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "C": 8}
STATES = ("h0",)
# the maps without their own weights, or with one layer
OTHER = {"elementwise_product": False}
LAYER = OTHER | {"layer": True}


def case(name, sizes=None, **rest):
    return Case("linear_attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", {"HQ": 4}, lengths=(17, 1, 52)),
    case("hedgehog", {"C": 16}, attrs=LAYER | {"feature_map": "hedgehog", "do_feature_map_norm": True}),
    case(
        "t2r",
        attrs=LAYER | {"feature_map": "relu", "norm_q": True, "norm_k": True},
        absent=("feature_map_q.layer.bias", "feature_map_k.layer.bias", "h0"),
    ),
    case("dpfp", {"C": 64}, attrs=OTHER | {"feature_map": "dpfp", "output_norm": False}, absent=STATES),
    case("elu", attrs=OTHER | {"feature_map": "elu", "do_feature_map_norm": True}, absent=("h0", "z0")),
)

# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
