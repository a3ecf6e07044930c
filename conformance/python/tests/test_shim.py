import json
import unittest

import numpy as np

from fla_conformance import shim
from fla_conformance.numpy_side import narrow, widen
from fla_conformance.wire import Message, Tensor

X = np.array([[[1.0, -2.0], [3.0, 0.5]]])
G = np.log(np.array([[[0.5, 0.25], [0.5, 1.0]]]))


def hgrn(x, g, *, h0, cu_seqlens=None):
    h, o = np.zeros_like(x[:, 0]) if h0 is None else h0, []
    for t in range(x.shape[1]):
        h = np.exp(g[:, t]) * h + x[:, t]
        o.append(h)
    return np.stack(o, 1), h


def call(want="o,ht", dtype="F64", attrs=None, **arrays):
    arrays = {"x": X, "g": G} | arrays
    tensors = {name: narrow(a, dtype) for name, a in arrays.items()}
    return Message("call", {"op": "hgrn", "attrs": json.dumps(attrs or {}), "want": want}, tensors)


class Shim(unittest.TestCase):
    def setUp(self):
        self.saved = dict(shim._OPS)
        shim._OPS.clear()

    def tearDown(self):
        shim._OPS.clear()
        shim._OPS.update(self.saved)

    def ask(self, function, message, **options):
        shim.op("hgrn", arrays="numpy", **options)(function)
        return shim.Server("test").answer(message)

    def test_hello(self):
        shim.op("hgrn", arrays="numpy")(hgrn)
        fields = shim.Server("test", "7").hello().fields
        self.assertEqual(
            {k: fields[k] for k in ("protocol", "name", "version", "ops", "device")},
            {"protocol": "1", "name": "test", "version": "7", "ops": "hgrn", "device": "cpu"},
        )

    def test_a_mode_lasts_for_a_call(self):
        seen = []

        def asked(x, g, *, h0):
            seen.append(shim.mode())
            return hgrn(x, g, h0=h0)

        message = call()
        message.fields["mode"] = "evaluation"
        self.ask(asked, message)
        self.ask(asked, call())
        self.assertEqual(seen, ["evaluation", None])
        features = shim.Server("test", modes=("evaluation",)).hello().fields["features"]
        self.assertIn("evaluation", features.split(","))
        self.assertNotIn("evaluation", shim.Server("test").hello().fields["features"])

    def test_forward(self):
        reply = self.ask(hgrn, call())
        self.assertEqual(list(reply.tensors), ["o", "ht"])
        self.assertEqual(widen(reply.tensors["o"]).tolist(), [[[1.0, -2.0], [3.5, -1.5]]])
        self.assertEqual(widen(reply.tensors["ht"]).tolist(), [[3.5, -1.5]])

    def test_only_what_is_wanted_in_the_ports_precision(self):
        self.assertEqual(list(self.ask(hgrn, call("ht")).tensors), ["ht"])
        reply = self.ask(hgrn, call(dtype="BF16"))
        self.assertEqual((reply.tensors["o"].dtype, reply.tensors["ht"].dtype), ("BF16", "F32"))

    def test_gradients(self):
        declined = self.ask(hgrn, call("d_x", d_o=X))
        self.assertEqual((declined.verb, declined.fields["reason"]), ("declined", "no gradients: forward only"))

        def backward(x, g, d_o, d_ht, **rest):
            return {"d_x": d_o + d_ht[:, None]}

        reply = self.ask(hgrn, call("d_x", d_o=X), backward=backward)
        self.assertEqual(widen(reply.tensors["d_x"]).tolist(), X.tolist())
        reply = self.ask(hgrn, call("d_g", d_o=X), backward=backward)
        self.assertIn("returned no d_g", reply.fields["message"])

    def test_declined(self):
        def refuse(x, g, h0):
            raise shim.Declined("not on Tuesdays")

        self.assertEqual(self.ask(refuse, call()).fields, {"reason": "not on Tuesdays"})
        self.assertEqual(self.ask(lambda x, g: x, call(h0=X[:, 0])).fields, {"reason": "h0 is not offered"})
        self.assertEqual(self.ask(hgrn, call(attrs={"reverse": True})).fields, {"reason": "reverse is not offered"})
        self.assertEqual(self.ask(hgrn, Message("call", {"op": "gla"})).fields, {"reason": "no op gla"})

    def test_failed(self):
        def broken(x, g, h0):
            raise RuntimeError("misaligned address")

        message = self.ask(broken, call()).fields["message"]
        self.assertRegex(message, r"^RuntimeError: misaligned address \(at .*test_shim.py:\d+ in broken\)$")
        self.assertIn("returned no ht", self.ask(lambda x, g, h0: x, call()).fields["message"])
        self.assertIn("expected floats", self.ask(lambda x, g, h0: (x.astype(int), x), call()).fields["message"])
        missing = call()
        del missing.tensors["x"]
        self.assertIn("input x: expected a tensor, got none", self.ask(hgrn, missing).fields["message"])

    def test_out_of_memory(self):
        for error in (MemoryError("no room"), RuntimeError("Triton Error [CUDA]: out of memory")):

            def greedy(x, g, h0):
                raise error

            self.assertEqual(self.ask(greedy, call()).fields["out_of_memory"], "true")

    def test_writing_into_an_input(self):
        def scribble(x, g, h0):
            x[0, 0, 0] = np.nextafter(x[0, 0, 0], 2)
            return hgrn(x, g, h0=h0)

        reply = self.ask(scribble, call())
        self.assertEqual(reply.fields, {"message": "wrote into its input x", "trespass": "true"})

    def test_bench(self):
        fields = {
            "op": "hgrn",
            "attrs": "{}",
            "dims": '{"B": 1, "T": 5, "D": 3}',
            "dtype": "bf16",
            "want": "o,ht",
            "iterations": "4",
            "seed": "1",
        }
        reply = self.ask(hgrn, Message("bench", fields))
        self.assertEqual(reply.verb, "done", reply.fields)
        times = json.loads(reply.fields["times_ns"])
        self.assertEqual(len(times), 4)
        self.assertTrue(all(t > 0 for t in times))
        self.assertEqual(reply.tensors["o"].shape, (15,))
        self.assertEqual(reply.fields["timed_by"], "wall clock around each call")
        again = self.ask(hgrn, Message("bench", fields))
        self.assertEqual(again.tensors, reply.tensors)

    def test_a_bench_packs_sequences(self):
        seen = []

        def packed(x, g, h0, cu_seqlens):
            seen.append((cu_seqlens.tolist(), h0.shape))
            return x, h0

        fields = {"op": "hgrn", "attrs": "{}", "dims": '{"B": 1, "T": 7, "D": 3}', "dtype": "f32", "seqs": "[3, 0, 4]"}
        reply = self.ask(packed, Message("bench", fields | {"want": "o", "iterations": "1"}))
        self.assertEqual(reply.verb, "done", reply.fields)
        self.assertEqual(seen[-1], ([0, 3, 3, 7], (3, 3)))

    def test_a_calls_number_comes_back(self):
        message = call()
        message.fields["id"] = "41"
        self.assertEqual(self.ask(hgrn, message).fields["id"], "41")


class Rounding(unittest.TestCase):
    def test_bf16_ties_to_even_and_rounds_once(self):
        one = 1 + 2.0**-8
        cases = {
            1.0: 1.0,
            one: 1.0,
            1 + 3 * 2.0**-8: 1 + 2.0**-6,
            one + 2.0**-40: 1 + 2.0**-7,
            -one - 2.0**-40: -1 - 2.0**-7,
            3.4e38: np.inf,
        }
        got = widen(narrow(np.array(list(cases)), "BF16"))
        self.assertEqual(got.tolist(), list(cases.values()))

    def test_bf16_keeps_nan_infinity_and_the_least(self):
        got = widen(narrow(np.array([np.nan, -np.inf, 2.0**-133, -0.0]), "BF16"))
        self.assertTrue(np.isnan(got[0]))
        self.assertEqual(got[1:3].tolist(), [-np.inf, 2.0**-133])
        self.assertTrue(np.signbit(got[3]))

    def test_every_bf16_survives(self):
        bits = np.arange(1 << 16, dtype=np.uint16)
        tensor = Tensor("BF16", bits.shape, bits.tobytes())
        values = widen(tensor)
        with np.errstate(invalid="ignore"):
            back = np.frombuffer(narrow(values, "BF16").data, np.uint16)
        number = ~np.isnan(values)
        self.assertTrue((back[number] == bits[number]).all())
        self.assertTrue((back[~number] & 0x7FFF > 0x7F80).all())


if __name__ == "__main__":
    unittest.main()
