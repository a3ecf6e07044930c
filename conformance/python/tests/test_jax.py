"""The JAX side, where JAX is installed: CI has none, evidence comes from the machine that runs the candidate."""

import importlib.util
import json
import unittest

import numpy as np

from fla_conformance import shim
from fla_conformance.wire import Message, Tensor

# absent by name alone: to import it takes seconds
HAS_JAX = importlib.util.find_spec("jax") is not None


def tensor(values):
    array = np.asarray(values, np.float32)
    return Tensor("F32", array.shape, array.tobytes())


def scan(x, g, h0, *, want):
    """A prefix sum that ignores its gate; enough to have a gradient."""
    import jax.numpy as jnp

    return {"o": jnp.cumsum(x, axis=1) * 2, "ran": "a scan"}


@unittest.skipUnless(HAS_JAX, "JAX is not installed")
class Jax(unittest.TestCase):
    def setUp(self):
        self.saved = dict(shim._OPS)
        shim._OPS.clear()

    def tearDown(self):
        shim._OPS.clear()
        shim._OPS.update(self.saved)

    def ask(self, message):
        shim.op("hgrn", arrays="jax")(scan)
        return shim.Server("test").answer(message)

    def call(self, want, **more):
        tensors = {name: tensor(np.ones((1, 3, 2))) for name in ("x", "g")} | more
        return Message("call", {"op": "hgrn", "attrs": "{}", "want": want}, tensors)

    def test_values_and_gradients_come_from_one_program(self):
        reply = self.ask(self.call("o,d_x", d_o=tensor([[[1, 0], [0, 0], [0, 1]]])))
        self.assertEqual((reply.verb, reply.fields.get("ran")), ("done", "a scan"), reply.fields)
        values = {name: np.frombuffer(t.data, np.float32).reshape(t.shape) for name, t in reply.tensors.items()}
        np.testing.assert_array_equal(values["o"][0, :, 0], [2, 4, 6])
        np.testing.assert_array_equal(values["d_x"][0], [[2, 2], [0, 2], [0, 2]])

    def test_what_it_lacks_is_declined(self):
        wide = np.ones((1, 3, 2))
        message = self.call("o")
        message.tensors["x"] = Tensor("F64", wide.shape, wide.tobytes())
        self.assertEqual(self.ask(message).verb, "declined")

    def test_a_bench_queues_calls(self):
        fields = {"op": "hgrn", "attrs": "{}", "dims": '{"B": 1, "T": 5, "D": 3}', "dtype": "bf16", "want": "o,d_x"}
        reply = self.ask(Message("bench", fields | {"iterations": "2", "seed": "1"}))
        self.assertEqual(reply.verb, "done", reply.fields)
        self.assertEqual(len(json.loads(reply.fields["times_ns"])), 2)
        self.assertIn("queued", reply.fields["timed_by"])
        self.assertGreater(float(reply.fields["host_ns"]), 0)
        self.assertEqual(set(reply.tensors), {"o", "d_x"})


if __name__ == "__main__":
    unittest.main()
