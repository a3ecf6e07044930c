import json
import unittest

import numpy as np

from fla_conformance import shim
from fla_conformance.blocks import blocks
from fla_conformance.ports import SPECS, Port
from fla_conformance.wire import Message

CHOSEN = Port("chosen", ("B", "T", "H", "L"), domain="blocks size", index=True)


class Blocks(unittest.TestCase):
    def test_lists_are_ascending_causal_and_end_with_the_own_block(self):
        sizes, lengths = {"B": 1, "T": 12, "H": 2, "L": 3}, (7, 0, 5)
        drawn = blocks(5, CHOSEN, sizes, {"size": 2.0}, lengths)
        self.assertEqual((drawn.shape, drawn.dtype), ((1, 12, 2, 3), np.int64))
        positions = [t for n in lengths for t in range(n)]
        for token, position in enumerate(positions):
            for head in range(2):
                row = drawn[0, token, head].tolist()
                own, named = position // 2, [x for x in row if x >= 0]
                self.assertEqual(row, [-1] * (3 - len(named)) + sorted(set(named)))
                self.assertEqual((named[-1], len(named)), (own, min(3, own + 1)))

    def test_numbers_follow_from_the_seed(self):
        sizes, attrs = {"B": 2, "T": 40, "H": 1, "L": 2}, {"size": 2}
        self.assertTrue((blocks(1, CHOSEN, sizes, attrs) == blocks(1, CHOSEN, sizes, attrs)).all())
        self.assertFalse((blocks(1, CHOSEN, sizes, attrs) == blocks(2, CHOSEN, sizes, attrs)).all())

    def test_a_bench_draws_integers(self):
        seen = {}

        def dsa(q, k, v, indices):
            seen["indices"] = indices
            return v.repeat(2, 2)

        saved = dict(shim._OPS)
        shim.op("dsa", arrays="numpy")(dsa)
        dims = {"B": 2, "T": 9, "H": 1, "HQ": 2, "K": 4, "V": 3, "L": 4}
        fields = {"op": "dsa", "attrs": "{}", "dims": json.dumps(dims), "dtype": "bf16", "want": "o", "iterations": "1"}
        reply = shim.Server("test").answer(Message("bench", fields))
        shim._OPS.clear()
        shim._OPS.update(saved)
        self.assertEqual(reply.verb, "done", reply.fields)
        expected = blocks(0, SPECS["dsa"].input("indices"), dims, {})
        self.assertEqual(seen["indices"].tolist(), expected.tolist())


if __name__ == "__main__":
    unittest.main()
