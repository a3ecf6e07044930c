"""Vectors of the public utilities, by fla's kernels; those without a backward pass have no gradients."""

from dataclasses import dataclass, field

from vector import Case

PACKED = (17, 0, 1, 52)


@dataclass(frozen=True)
class Maker:
    """The cases of one utility. Fields in capitals are what a file with cases has."""

    CASES: tuple
    INTERPRETED: tuple
    WITHOUT: dict
    FINDINGS: dict = field(default_factory=dict)
    TRITON: tuple = ()


def utility(op, form, sizes, *cases, without=()):
    """`cases` are names with what differs from `sizes`, or with `lengths` and `attrs`."""

    def case(name, attrs=None, lengths=(), **other):
        return Case(op, name, sizes | other, attrs or {}, lengths)

    made = tuple(case(**rest) for rest in cases)
    return Maker(made, tuple((case.name, form) for case in made), {form: without})


TYPICAL, RAGGED, TOKEN = {"name": "typical"}, {"name": "ragged", "T": 67}, {"name": "one-token", "B": 3, "T": 1}
SEQUENCES = {"name": "packed", "lengths": PACKED}

ROWS = {"B": 1, "T": 70, "D": 12}
HEADS = {"B": 1, "T": 70, "H": 2, "K": 12}
PRODUCT = {"B": 1, "T": 70, "K": 24, "V": 10}


def attrs(name, **values):
    return {"name": name, "attrs": values}


MAKERS = (
    utility("softmax", "fused", ROWS, TYPICAL, {"name": "wide", "D": 65}, TOKEN, SEQUENCES),
    utility("softplus", "fused", ROWS, TYPICAL, {"name": "wide", "D": 65}, TOKEN, SEQUENCES, without=("d_x",)),
    utility(
        "logsumexp",
        "fused",
        ROWS,
        TYPICAL,
        {"name": "wide", "D": 65},
        attrs("scaled", scale=0.375),
        SEQUENCES,
        without=("d_x",),
    ),
    utility("beta_sigmoid", "fused", {"B": 1, "T": 70, "H": 3}, TYPICAL, RAGGED, attrs("scaled", scale=2.0), SEQUENCES),
    utility(
        "matmul",
        "fused",
        PRODUCT,
        TYPICAL,
        RAGGED,
        attrs("relu", relu=True),
        attrs("sigmoid", sigmoid=True),
        without=("d_a", "d_b"),
    ),
    utility(
        "addmm",
        "fused",
        PRODUCT,
        TYPICAL,
        RAGGED,
        attrs("scaled", alpha=0.5, beta=-2.0),
        SEQUENCES,
        without=("d_x", "d_a", "d_b"),
    ),
    utility("cumsum", "chunk", HEADS, TYPICAL, RAGGED, attrs("reverse", reverse=True), SEQUENCES, without=("d_x",)),
    utility(
        "local_cumsum",
        "chunk",
        HEADS,
        TYPICAL,
        RAGGED,
        attrs("chunks-of-16", chunk_size=16),
        SEQUENCES,
        without=("d_x",),
    ),
    utility("mean_pooling", "chunk", HEADS, TYPICAL, RAGGED, attrs("chunks-of-16", chunk_size=16), SEQUENCES),
    utility(
        "triangular_inverse",
        "fused",
        {"B": 1, "T": 70, "H": 2, "C": 16},
        TYPICAL,
        {"name": "ragged", "T": 67, "C": 13},
        {"name": "wide", "C": 64},
        SEQUENCES,
        without=("d_a",),
    ),
)
