"""gated_delta_rule in numpy with a planted fault, to test the judge.

    python3 conformance/python/faults.py --fault beta_0999

Without a fault the candidate is right: f64 arithmetic, gradients by the reverse recurrence, results rounded once.
"""

import argparse

import numpy as np

from fla_conformance import op, serve

FAULTS = {
    "none": "right",
    "no_decay": "the state does not decay",
    "no_delta": "writes v instead of v minus what the state recalls",
    "beta_0999": "write strength times 0.999",
    "h0_ignored": "starts from zero",
    "last_chunk": "output 2 % too large in the last, ragged chunk of 64",
    "dg_1pct": "gradient of g 1 % too large",
}
CHUNK = 64
L2_EPSILON = 1e-6


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


class Prologue:
    """The inputs as the recurrence uses them, per value head, and the way back for gradients."""

    def __init__(self, inputs, fault):
        self.x = {name: np.asarray(x, np.float64) for name, x in inputs.items() if isinstance(x, np.ndarray)}
        self.flags = {name for name, x in inputs.items() if x is True}
        self.fault, self.group = fault, self.x["v"].shape[2] // max(self.x["q"].shape[2], 1)
        scale = inputs.get("scale")
        self.scale = self.x["q"].shape[3] ** -0.5 if scale is None else scale

    def forward(self):
        q, k = (self._heads(self._normal(name)[0]) for name in "qk")
        g, beta = self.x["g"], self.x["beta"]
        if "softplus_gate" in self.flags:
            g = -np.exp(self.x["A_log"]) * np.logaddexp(0, g + self.x.get("dt_bias", 0))
        if "beta_sigmoid" in self.flags:
            beta = sigmoid(beta) * self._top()
        self.g = g
        if self.fault == "beta_0999":
            beta = 0.999 * beta
        return q * self.scale, k, self.x["v"], np.zeros_like(g) if self.fault == "no_decay" else g, beta

    def backward(self, d_q, d_k, d_v, d_g, d_beta):
        gradients = {"d_v": d_v}
        for name, d in (("q", d_q * self.scale), ("k", d_k)):
            y, norm = self._normal(name)
            d = d.reshape(*y.shape[:3], self.group, y.shape[3]).sum(3)
            gradients[f"d_{name}"] = (d - y * (y * d).sum(-1, keepdims=True)) / norm if "qk_l2norm" in self.flags else d
        if self.fault == "no_decay":
            d_g = np.zeros_like(d_g)
        if self.fault == "dg_1pct":
            d_g = 1.01 * d_g
        if self.fault == "beta_0999":
            d_beta = 0.999 * d_beta
        if "softplus_gate" in self.flags:
            gradients["d_A_log"] = (d_g * self.g).sum((0, 1))
            d_g = -d_g * np.exp(self.x["A_log"]) * sigmoid(self.x["g"] + self.x.get("dt_bias", 0))
            gradients["d_dt_bias"] = d_g.sum((0, 1))
        if "beta_sigmoid" in self.flags:
            y = sigmoid(self.x["beta"])
            d_beta = d_beta * y * (1 - y) * self._top()
        return gradients | {"d_g": d_g, "d_beta": d_beta}

    def _top(self):
        return 2 if "allow_neg_eigval" in self.flags else 1

    def _heads(self, x):
        return np.repeat(x, self.group, 2)

    def _normal(self, name):
        x = self.x[name]
        if "qk_l2norm" not in self.flags:
            return x, 1.0
        norm = np.sqrt((x * x).sum(-1, keepdims=True) + L2_EPSILON)
        return x / norm, norm


class Sequence:
    """The recurrence over [B, T, HV, ·] arrays from a state [B, HV, K, V]."""

    def __init__(self, q, k, v, g, beta, fault):
        self.q, self.k, self.v, self.a, self.beta, self.fault = q, k, v, np.exp(g), beta, fault

    def step(self, h, t):
        """The decayed state, what is written, and the new state."""
        decayed = self.a[:, t, :, None, None] * h
        recalled = 0 if self.fault == "no_delta" else np.einsum("bhkv,bhk->bhv", decayed, self.k[:, t])
        rest = self.v[:, t] - recalled
        u = self.beta[:, t, :, None] * rest
        return decayed, rest, u, decayed + self.k[:, t, :, :, None] * u[:, :, None, :]

    def forward(self, h):
        o, self.starts = np.zeros_like(self.v), []
        tokens = self.v.shape[1]
        for t in range(tokens):
            if t % CHUNK == 0:
                self.starts.append(h)
            *_, h = self.step(h, t)
            o[:, t] = np.einsum("bhkv,bhk->bhv", h, self.q[:, t])
        if self.fault == "last_chunk":
            o[:, tokens - tokens % CHUNK :] *= 1.02
        return o, h

    def backward(self, d_o, d_h):
        d = [np.zeros_like(x) for x in (self.q, self.k, self.v, self.a, self.beta)]
        for chunk in reversed(range(len(self.starts))):
            begin, end = chunk * CHUNK, min((chunk + 1) * CHUNK, self.v.shape[1])
            states = [self.starts[chunk]]
            for t in range(begin, end - 1):
                states.append(self.step(states[-1], t)[-1])
            for t in reversed(range(begin, end)):
                d_h = self.step_back(states[t - begin], t, d_o[:, t], d_h, d)
        return d, d_h

    def step_back(self, h, t, d_o, d_h, d):
        d_q, d_k, d_v, d_g, d_beta = d
        decayed, rest, u, after = self.step(h, t)
        q, k, beta = self.q[:, t], self.k[:, t], self.beta[:, t, :, None]
        d_h = d_h + q[..., None] * d_o[:, :, None, :]
        d_q[:, t] = np.einsum("bhkv,bhv->bhk", after, d_o)
        d_u = np.einsum("bhkv,bhk->bhv", d_h, k)
        d_k[:, t] = np.einsum("bhkv,bhv->bhk", d_h, u)
        d_beta[:, t] = (d_u * rest).sum(-1)
        d_v[:, t] = beta * d_u
        if self.fault != "no_delta":
            d_k[:, t] -= np.einsum("bhkv,bhv->bhk", decayed, d_v[:, t])
            d_h = d_h - k[..., None] * d_v[:, t, :, None, :]
        d_g[:, t] = (d_h * decayed).sum((-1, -2))
        return self.a[:, t, :, None, None] * d_h


def sequences(inputs, arrays, fault):
    """The recurrence of each sequence, with its rows of states and its tokens."""
    q, _, v = arrays[:3]
    packed = inputs["cu_seqlens"]
    bounds = [0, q.shape[1]] if packed is None else [int(x) for x in packed]
    h0, rows = inputs["h0"], q.shape[0] if packed is None else len(bounds) - 1
    if h0 is None or fault == "h0_ignored":
        h0 = np.zeros((rows, v.shape[2], q.shape[3], v.shape[3]))
    for n, (begin, end) in enumerate(zip(bounds, bounds[1:])):
        row = slice(None) if packed is None else slice(n, n + 1)
        tokens = slice(begin, end)
        yield Sequence(*(x[:, tokens] for x in arrays), fault), row, tokens, np.asarray(h0[row], np.float64)


def solve(inputs, fault, d_o=None, d_ht=None):
    """Outputs, and the gradients when cotangents are given."""
    prologue = Prologue(inputs, fault)
    arrays = prologue.forward()
    parts = list(sequences(inputs, arrays, fault))
    o, states = np.zeros_like(arrays[2]), []
    for part, _, tokens, h0 in parts:
        o[:, tokens], ht = part.forward(h0)
        states.append(ht)
    empty = np.zeros((0, o.shape[2], arrays[0].shape[3], o.shape[3]))
    results = {"o": o, "ht": np.concatenate([empty, *states])}
    if d_o is None:
        return results
    d_o, d_ht = np.asarray(d_o, np.float64), np.asarray(d_ht, np.float64)
    d, d_h0 = [np.zeros_like(x) for x in arrays], np.zeros_like(results["ht"])
    for part, row, tokens, _ in parts:
        of_part, d_h0[row] = part.backward(d_o[:, tokens], d_ht[row])
        for whole, piece in zip(d, of_part):
            whole[:, tokens] = piece
    if fault == "h0_ignored":
        d_h0[:] = 0
    return results | prologue.backward(*d) | {"d_h0": d_h0}


def register(fault):
    def backward(d_o, d_ht, h0, cu_seqlens, **inputs):
        return solve(inputs | {"h0": h0, "cu_seqlens": cu_seqlens}, fault, d_o, d_ht)

    @op("gated_delta_rule", arrays="numpy", backward=backward)
    def run(h0, cu_seqlens, **inputs):
        results = solve(inputs | {"h0": h0, "cu_seqlens": cu_seqlens}, fault)
        return results | {"ran": f"numpy, fault {fault}"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=FAULTS, default="none")
    chosen = parser.parse_args().fault
    register(chosen)
    serve(name=f"fault-{chosen}", version="1")
