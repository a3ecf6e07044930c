"""The ports of the ops, as the specs of the reference crate have them.

Needed to name the outputs of a tuple, to round numpy results, and to draw the inputs of a benchmark. `ports.json` is
written from the specs (reference/tests/ports.rs).
"""

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Port:
    """Dims are the field's names; N is the number of sequences.

    `single`: f32 whatever the storage type, unless that is f64. `index`: i64 whatever the storage type.
    """

    name: str
    dims: tuple
    domain: str = "normal"
    single: bool = False
    index: bool = False
    # without a gradient (inputs) or a cotangent (outputs)
    constant: bool = False
    # flag attributes and the domain of the raw value under each; the first true one wins
    raw: tuple = ()
    optional: bool = False
    # what it stands for when it is absent, unless that is minus infinity
    neutral: float = 0
    # flag attributes and the values that they must have for the port to exist
    when: tuple = ()
    # how many dims each axis of upstream's parameter merges; 0: an axis of extent 1; empty: one each
    merged: tuple = ()

    @property
    def conditional(self):
        """Whether the attributes decide if it can be given."""
        return bool(self.when)


@dataclass(frozen=True)
class Spec:
    """Inputs and outputs in upstream's order, attributes with their defaults (None: derived)."""

    inputs: tuple
    outputs: tuple
    attrs: dict

    def given(self, attrs):
        """The inputs that these attributes allow."""
        return [p for p in self.inputs if self._allows(p, attrs)]

    def produced(self, attrs):
        """The outputs that there are with these attributes."""
        return [p for p in self.outputs if self._allows(p, attrs)]

    def _allows(self, port, attrs):
        on = self.attrs | attrs
        return all(bool(on[flag]) == value for flag, value in port.when)

    def input(self, name):
        """The input of that name, or None."""
        return next((p for p in self.inputs if p.name == name), None)

    def single(self, name):
        """Whether a result is f32 whatever the storage type: an output, or the gradient `d_<input>`."""
        ports = {p.name: p for p in self.outputs} | {f"d_{p.name}": p for p in self.inputs}
        return name in ports and ports[name].single


def _port(fields):
    lists = {"dims": fields["dims"].split(), "merged": fields.get("merged", ())}
    lists |= {name: map(tuple, fields.get(name, ())) for name in ("raw", "when")}
    return Port(**(fields | {name: tuple(values) for name, values in lists.items()}))


def _load():
    ops = json.loads(resources.files(__package__).joinpath("ports.json").read_text())
    ports = {side: {name: tuple(map(_port, op[side])) for name, op in ops.items()} for side in ("inputs", "outputs")}
    return {name: Spec(ports["inputs"][name], ports["outputs"][name], op["attrs"]) for name, op in ops.items()}


SPECS = _load()
