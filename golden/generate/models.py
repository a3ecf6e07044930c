"""What the makers of models have in common: two blocks, a narrow width, a small vocabulary.

A table (models_*.py) says of each model what is particular. Its case `short` has 17 tokens in two rows, whose layers
start from nothing; `long` has 80 tokens that start from states, or packed sequences where there are none, and options;
`decode` is what the first tokens leave in the model's own cache, and the others make of it one by one.
"""

import importlib
from dataclasses import dataclass, field, replace

from fla_conformance.ports import SPECS
from vector import Case

SIZES = {"S": 31, "D": 16, "F": 24, "HQ": 2, "HV": 2, "H": 2, "K": 8, "V": 8, "W": 1}
SHORT, LONG = {"B": 2, "T": 17}, {"B": 1, "T": 80}
DECODED = {"B": 2, "T": 9, "prefill": 6}
PACKED = (17, 1, 62)


@dataclass(frozen=True)
class Maker:
    """The cases of one model. Fields in capitals are what a file with cases has."""

    op: str
    layer: str
    sizes: dict
    CASES: tuple
    INTERPRETED: tuple
    WITHOUT: dict = field(default_factory=dict)
    FINDINGS: dict = field(default_factory=dict)
    TRITON: tuple = ()

    def prepare(self):
        """Whatever fla's layer needs on a CPU."""
        layer = importlib.import_module(self.layer)
        if hasattr(layer, "prepare"):
            layer.prepare()


def states(op):
    """What the layers of a model may start from."""
    return tuple(p.name for p in SPECS[op].inputs if "N" in p.dims)


def model(op, layer, sizes=None, attrs=None, form="chunk", short=None, long=None, resumed=True, decodes=True, **more):
    """The maker of a model. `sizes` and `attrs` are those of both cases, `short` and `long` what a case has besides.

    `resumed`: whether fla starts the long one from states. `decodes`: whether fla goes on from its cache. `form`: None
    when fla's classes cannot be asked on a CPU.
    """
    sizes, initial = SIZES | (sizes or {}), states(op)
    resumed = resumed and bool(initial)
    packed = {} if resumed else {"lengths": PACKED}
    cases = (
        _case(op, "short", sizes, (attrs or {}) | SHORT | (short or {}), initial),
        _case(op, "long", sizes, (attrs or {}) | LONG | packed | (long or {}), () if resumed else initial),
        _case(op, "decode", sizes, (attrs or {}) | DECODED | (short or {}), initial),
    )
    interpreted = tuple((case.name, form) for case in cases if form and (decodes or not case.prefill))
    return Maker(op, layer, sizes, cases, interpreted, **more)


def hybrid(maker, form="chunk", findings=None, **own):
    """A stack of that model whose second block has softmax attention: query heads share a key head."""
    op = f"{maker.op}@1"
    sizes = maker.sizes | {"AQ": 2, "AH": 1, "AK": maker.sizes["D"] // 2}
    two = (("short", SHORT), ("decode", DECODED))
    cases = tuple(_case(op, name, sizes, how | own, states(op)) for name, how in two)
    interpreted = tuple((case.name, form) for case in cases)
    return Maker(op, maker.layer, sizes, cases, interpreted, maker.WITHOUT, findings or {})


def decoded(case, **sizes):
    """That case as a decode run, without states before it."""
    sizes = case.sizes | {"B": DECODED["B"], "T": DECODED["T"]} | sizes
    return replace(case, name="decode", sizes=sizes, prefill=DECODED["prefill"])


def _case(op, name, sizes, own, absent):
    """What is no field of a case is an extent or an option; `without` are ends of names of inputs that are absent."""
    ends = tuple(own.get("without", ()))
    absent = (*absent, *(p.name for p in SPECS[op].inputs if ends and p.name.endswith(ends)))
    fields = {key: own[key] for key in ("lengths", "note", "prefill") if key in own}
    rest = {key: value for key, value in own.items() if key not in (*fields, "without")}
    extents = {key: value for key, value in rest.items() if key.isupper()}
    attrs = {key: value for key, value in rest.items() if key not in extents}
    return Case(op, name, sizes | extents, attrs, absent=absent, **fields)


def of_blocks(*names):
    """Those results of both blocks: `ht`, `d_h0`."""
    turned = (("d_", name[2:]) if name.startswith("d_") else ("", name) for name in names)
    return tuple(f"{d}layers.{i}.{name}" for d, name in turned for i in range(2))
