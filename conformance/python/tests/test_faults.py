import unittest

import numpy as np

import faults

FLAGS = {"qk_l2norm": True, "softplus_gate": True, "beta_sigmoid": True, "allow_neg_eigval": True}


def problem(seed, tokens=70, cu_seqlens=None, **attrs):
    normal = np.random.default_rng(seed).standard_normal
    rows, states = (2, 2) if cu_seqlens is None else (1, len(cu_seqlens) - 1)
    x = {"q": normal((rows, tokens, 2, 4)), "k": normal((rows, tokens, 2, 4)), "v": normal((rows, tokens, 4, 3))}
    x |= {"g": normal((rows, tokens, 4)), "beta": normal((rows, tokens, 4)), "h0": normal((states, 4, 4, 3))}
    if "softplus_gate" in attrs:
        x |= {"A_log": normal(4), "dt_bias": normal(4)}
    else:
        x |= {
            "k": x["k"] / np.linalg.norm(x["k"], axis=-1, keepdims=True),
            "g": -np.abs(x["g"]),
            "beta": faults.sigmoid(x["beta"]),
        }
    cotangents = {"d_o": normal(x["v"].shape), "d_ht": normal(x["h0"].shape)}
    return x, attrs | {"cu_seqlens": cu_seqlens}, cotangents


class Gradients(unittest.TestCase):
    def check(self, *args, **attrs):
        x, rest, cotangents = problem(*args, **attrs)
        gradients = faults.solve(x | rest, "none", **cotangents)
        normal = np.random.default_rng(9).standard_normal

        def loss(inputs):
            results = faults.solve(inputs | rest, "none")
            return sum((results[name[2:]] * d).sum() for name, d in cotangents.items())

        for name, value in x.items():
            direction, step = normal(value.shape), 1e-5
            up, down = (loss(x | {name: value + s * step * direction}) for s in (1, -1))
            expected, got = (up - down) / (2 * step), (gradients[f"d_{name}"] * direction).sum()
            with self.subTest(name):
                np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_central_differences(self):
        self.check(0)

    def test_central_differences_of_the_prologues(self):
        self.check(1, scale=0.7, **FLAGS)

    def test_central_differences_packed(self):
        self.check(2, 70, [0, 3, 3, 70])


class Faults(unittest.TestCase):
    def test_each_fault_changes_what_it_says(self):
        changed = {
            "no_decay": {"o", "ht", "d_q", "d_k", "d_v", "d_g", "d_beta", "d_h0"},
            "no_delta": {"o", "ht", "d_q", "d_k", "d_v", "d_g", "d_beta", "d_h0"},
            "beta_0999": {"o", "ht", "d_q", "d_k", "d_v", "d_g", "d_beta", "d_h0"},
            "h0_ignored": {"o", "ht", "d_q", "d_k", "d_v", "d_g", "d_beta", "d_h0"},
            "last_chunk": {"o"},
            "dg_1pct": {"d_g"},
        }
        self.assertEqual(set(changed) | {"none"}, set(faults.FAULTS))
        x, rest, cotangents = problem(3)
        # slow, so that h0 still matters at the end
        x["g"] *= 0.01
        right = faults.solve(x | rest, "none", **cotangents)
        for fault, names in changed.items():
            wrong = faults.solve(x | rest, fault, **cotangents)
            differ = {name for name in right if not np.array_equal(right[name], wrong[name])}
            with self.subTest(fault):
                self.assertLessEqual(differ, names)
                self.assertGreaterEqual(differ, names - {"d_h0", "d_q", "d_v"})

    def test_the_last_chunk_only(self):
        x, rest, _ = problem(4)
        right, wrong = (faults.solve(x | rest, fault)["o"] for fault in ("none", "last_chunk"))
        self.assertTrue(np.array_equal(right[:, :64], wrong[:, :64]))
        self.assertTrue((right[:, 64:] != wrong[:, 64:]).all())


if __name__ == "__main__":
    unittest.main()
