"""The ports of the ops, as the specs of the reference crate have them (`fla-conformance list --json` prints those).

Needed to name the outputs of a tuple, to round numpy results, and to draw the inputs of a benchmark.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Port:
    """Dims are the field's names; N is the number of sequences. `single`: f32 whatever the storage type."""

    name: str
    dims: tuple
    domain: str = "normal"
    single: bool = False
    # flag attribute -> domain of the raw value; the first true one wins
    raw: dict = field(default_factory=dict)
    # "required", "optional", or the flag attribute without which the input is not given
    presence: str = "required"
    optional: bool = False


@dataclass(frozen=True)
class Spec:
    """Inputs and outputs in upstream's order, attributes with their defaults (None: derived)."""

    inputs: tuple
    outputs: tuple
    attrs: dict

    def given(self, attrs):
        """The inputs that these attributes allow."""
        return [p for p in self.inputs if p.presence in ("required", "optional") or attrs.get(p.presence)]

    def input(self, name):
        """The input of that name, or None."""
        return next((p for p in self.inputs if p.name == name), None)

    def single(self, name):
        """Whether a result is f32 whatever the storage type: an output, or the gradient `d_<input>`."""
        ports = {p.name: p for p in self.outputs} | {f"d_{p.name}": p for p in self.inputs}
        return name in ports and ports[name].single


def _dims(text):
    return tuple(text.split())


SPECS = {
    "simple_gla": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("g", _dims("B T H"), "log_decay", single=True, presence="optional"),
            Port("g_gamma", _dims("H"), "log_decay", single=True, presence="optional"),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "gated_delta_rule": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T HV V")),
            Port("g", _dims("B T HV"), "log_decay", single=True, raw={"softplus_gate": "normal"}),
            Port("beta", _dims("B T HV"), "fraction", single=True, raw={"beta_sigmoid": "normal"}),
            Port("h0", _dims("N HV K V"), single=True, presence="optional"),
            Port("A_log", _dims("HV"), "log_rate", single=True, presence="softplus_gate"),
            Port("dt_bias", _dims("HV"), single=True, presence="softplus_gate", optional=True),
        ),
        outputs=(Port("o", _dims("B T HV V")), Port("ht", _dims("N HV K V"), single=True)),
        attrs={
            "scale": None,
            "qk_l2norm": False,
            "softplus_gate": False,
            "beta_sigmoid": False,
            "allow_neg_eigval": False,
        },
    ),
    "hgrn": Spec(
        inputs=(
            Port("x", _dims("B T D")),
            Port("g", _dims("B T D"), "log_decay"),
            Port("h0", _dims("N D"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T D")), Port("ht", _dims("N D"), single=True)),
        attrs={},
    ),
    "gla": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("g", _dims("B T H K"), "log_decay", presence="optional"),
            Port("gv", _dims("B T H V"), "log_decay", presence="optional"),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "retention": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "lightning_attn": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"layer_idx": 0.0, "num_layers": 1.0, "scale": None, "reverse": False},
    ),
    "linear_attn": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "normalized_linear_attn": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "fraction"),
            Port("k", _dims("B T H K"), "fraction"),
            Port("v", _dims("B T H V")),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
            Port("z0", _dims("N H K"), "fraction", single=True, presence="optional"),
        ),
        outputs=(
            Port("o", _dims("B T H V")),
            Port("ht", _dims("N H K V"), single=True),
            Port("zt", _dims("N H K"), "fraction", single=True),
        ),
        attrs={"scale": None, "reverse": False},
    ),
    "delta_rule": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T H V")),
            Port("beta", _dims("B T H"), "fraction", single=True),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "qk_l2norm": False},
    ),
    "kda": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T HV V")),
            Port("g", _dims("B T HV K"), "log_decay", single=True, raw={"softplus_gate": "normal"}),
            Port("beta", _dims("B T HV"), "fraction", single=True, raw={"beta_sigmoid": "normal"}),
            Port("h0", _dims("N HV K V"), single=True, presence="optional"),
            Port("A_log", _dims("HV"), "log_rate", single=True, presence="softplus_gate"),
            Port("dt_bias", _dims("HV K"), single=True, presence="softplus_gate", optional=True),
        ),
        outputs=(Port("o", _dims("B T HV V")), Port("ht", _dims("N HV K V"), single=True)),
        attrs={
            "scale": None,
            "qk_l2norm": False,
            "softplus_gate": False,
            "beta_sigmoid": False,
            "allow_neg_eigval": False,
        },
    ),
    "gdn2": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T HV V")),
            Port("g", _dims("B T HV K"), "log_decay", single=True, raw={"softplus_gate": "normal"}),
            Port("b", _dims("B T HV K"), "fraction"),
            Port("w", _dims("B T HV V"), "fraction"),
            Port("h0", _dims("N HV K V"), single=True, presence="optional"),
            Port("A_log", _dims("HV"), "log_rate", single=True, presence="softplus_gate"),
            Port("dt_bias", _dims("HV K"), single=True, presence="softplus_gate", optional=True),
        ),
        outputs=(Port("o", _dims("B T HV V")), Port("ht", _dims("N HV K V"), single=True)),
        attrs={"scale": None, "qk_l2norm": False, "softplus_gate": False},
    ),
    "gated_oja_rule": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T HV V"), "unit_key"),
            Port("gv", _dims("B T HV V"), "log_decay", single=True, presence="optional"),
            Port("beta", _dims("B T HV"), "fraction", single=True),
            Port("h0", _dims("N HV K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T HV V")), Port("ht", _dims("N HV K V"), single=True)),
        attrs={"scale": None, "q_l2norm": False, "k_l2norm": False},
    ),
    "comba": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T HV V")),
            Port("p", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("g", _dims("B T HV"), "log_decay", single=True),
            Port("beta", _dims("B T HV"), "fraction", single=True),
            Port("h0", _dims("N HV K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T HV V")), Port("ht", _dims("N HV K V"), single=True)),
        attrs={"scale": None, "qk_l2norm": False},
    ),
    "momentum_delta_rule": Spec(
        inputs=(
            Port("q", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("k", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("v", _dims("B T H V")),
            Port("g", _dims("B T H"), "log_decay", single=True),
            Port("log_mu", _dims("B T H"), "log_decay", single=True),
            Port("p", _dims("B T H K"), "unit_key", raw={"qk_l2norm": "normal"}),
            Port("beta", _dims("B T H"), "fraction", single=True),
            Port("eta", _dims("B T H"), "fraction", single=True),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
            Port("m0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(
            Port("o", _dims("B T H V")),
            Port("ht", _dims("N H K V"), single=True),
            Port("mt", _dims("N H K V"), single=True),
        ),
        attrs={"scale": None, "qk_l2norm": False, "p_times_alpha": True},
    ),
    "rebased": Spec(
        inputs=(
            Port("q", _dims("B T H K"), raw={"normalize": "fraction"}),
            Port("k", _dims("B T H K"), raw={"normalize": "fraction"}),
            Port("v", _dims("B T H V")),
        ),
        outputs=(Port("o", _dims("B T H V")),),
        attrs={"scale": None, "normalize": True, "eps": 1e-5},
    ),
    "based": Spec(
        inputs=(Port("q", _dims("B T H K")), Port("k", _dims("B T H K")), Port("v", _dims("B T H V"))),
        outputs=(Port("o", _dims("B T H V")),),
        attrs={"scale": None, "normalize": True},
    ),
    "rwkv6": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("g", _dims("B T H K"), "log_decay"),
            Port("u", _dims("H K")),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "dplr": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("a", _dims("B T H K"), "unit_key"),
            Port("b", _dims("B T H K"), "against a"),
            Port("g", _dims("B T H K"), "log_decay"),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None, "reverse": False},
    ),
    "iplr": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("a", _dims("B T H K"), "unit_key"),
            Port("b", _dims("B T H K"), "against a"),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": None},
    ),
    "rwkv7": Spec(
        inputs=(
            Port("q", _dims("B T H K")),
            Port("g", _dims("B T H K"), "log_decay"),
            Port("k", _dims("B T H K")),
            Port("v", _dims("B T H V")),
            Port("kk", _dims("B T H K"), "unit_key"),
            Port("a", _dims("B T H K"), "fraction"),
            Port("h0", _dims("N H K V"), single=True, presence="optional"),
        ),
        outputs=(Port("o", _dims("B T H V")), Port("ht", _dims("N H K V"), single=True)),
        attrs={"scale": 1.0, "reverse": False},
    ),
}
