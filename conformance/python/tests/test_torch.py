import json
import unittest

import numpy as np

from fla_conformance import shim
from fla_conformance.numpy_side import narrow, widen
from fla_conformance.wire import Message

try:
    import torch
except ImportError:
    torch = None

X = np.array([[[1.0, -2.0], [3.0, 0.5]]])
G = np.log(np.array([[[0.5, 0.25], [0.5, 1.0]]]))


def hgrn(x, g, *, h0, cu_seqlens=None):
    h, o = torch.zeros_like(x[:, 0]) if h0 is None else h0, []
    for t in range(x.shape[1]):
        h = g[:, t].exp() * h + x[:, t]
        o.append(h)
    return torch.stack(o, 1), h


@unittest.skipIf(torch is None, "torch is not installed")
class TorchShim(unittest.TestCase):
    def setUp(self):
        self.saved = dict(shim._OPS)
        shim._OPS.clear()

    def tearDown(self):
        shim._OPS.clear()
        shim._OPS.update(self.saved)

    def ask(self, function, want, fill="", dtype="F64", refusal=None, **arrays):
        shim.op("hgrn", arrays="torch", refusal=refusal)(function)
        tensors = {name: narrow(a, dtype) for name, a in ({"x": X, "g": G} | arrays).items()}
        fields = {"op": "hgrn", "attrs": json.dumps({}), "want": want, "fill": fill}
        return shim.Server("test", device="cpu").answer(Message("call", fields, tensors))

    def test_gradients_of_both_outputs(self):
        reply = self.ask(hgrn, "d_x,d_g", d_o=np.ones_like(X), d_ht=np.ones_like(X[:, 0]))
        # by hand: the last token is seen by o and ht, the first by o and, decayed, by what follows
        self.assertEqual(widen(reply.tensors["d_x"]).tolist(), [[[2.0, 3.0], [2.0, 2.0]]])
        np.testing.assert_allclose(widen(reply.tensors["d_g"]), [[[0.0, 0.0], [1.0, -4.0]]])

    def test_a_backward_pass_may_refuse_and_is_heard_when_asked_what_ran(self):
        class Picky(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, fine):
                ctx.fine = fine
                return x.clone()

            @staticmethod
            def backward(ctx, d):
                if not ctx.fine:
                    raise RuntimeError("Please upgrade")
                heard.append("backward")
                return d, None

        for fine in (True, False):
            heard = []

            def picky(x, g, *, h0, cu_seqlens=None):
                o, ht = hgrn(x, g, h0=h0)
                return {"o": Picky.apply(o, fine), "ht": ht, "ran": lambda: " then ".join(["forward", *heard])}

            for refusal, verb in ((None, "failed"), (lambda e: str(e) if "upgrade" in str(e) else None, "declined")):
                heard.clear()
                reply = self.ask(picky, "d_x", refusal=refusal, d_o=np.ones_like(X))
                self.assertEqual(reply.verb, "done" if fine else verb)
                if fine:
                    self.assertEqual(reply.fields["ran"], "forward then backward")
                elif refusal:
                    self.assertEqual(reply.fields["reason"], "Please upgrade")

    def test_a_missing_cotangent_is_zero(self):
        reply = self.ask(hgrn, "d_x", d_ht=np.ones_like(X[:, 0]))
        self.assertEqual(widen(reply.tensors["d_x"]).tolist(), [[[0.5, 1.0], [1.0, 1.0]]])

    def test_a_missing_gradient_is_an_error(self):
        reply = self.ask(lambda x, g, h0: (x * 2, x[:, -1]), "d_g", d_o=X)
        self.assertIn("autograd left no gradient for g", reply.fields["message"])
        reply = self.ask(lambda x, g, h0: (x.detach(), g[:, -1]), "d_x", d_o=X)
        self.assertIn("autograd left no gradient for x", reply.fields["message"])

    def test_without_any_gradient_it_is_forward_only(self):
        reply = self.ask(lambda x, g, h0: (x.detach(), g[:, -1].detach()), "d_x,d_g", d_o=X)
        self.assertEqual((reply.verb, "forward only" in reply.fields["reason"]), ("declined", True))

    def test_an_output_that_the_input_does_not_reach(self):
        reply = self.ask(lambda x, g, h0: (x * 2, g[:, -1]), "d_x", d_o=X, d_ht=X[:, 0])
        self.assertEqual(widen(reply.tensors["d_x"]).tolist(), (2 * X).tolist())

    def test_no_backward_is_declined(self):
        class Forward(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, d):
                raise NotImplementedError("forward only, for now")

        reply = self.ask(lambda x, g, h0: (Forward.apply(x), x[:, -1]), "d_x", d_o=X)
        self.assertEqual(reply.fields, {"reason": "forward only, for now"})

    def test_fresh_memory_is_poisoned_and_then_not(self):
        def forgetful(x, g, h0):
            o = torch.empty_like(x)
            return o, x.new_empty(x[:, 0].shape)

        for fill, check in (("nan", np.isnan), ("huge", lambda o: o > 1e38)):
            reply = self.ask(forgetful, "o,ht", fill, dtype="F32")
            for tensor in reply.tensors.values():
                self.assertTrue(check(widen(tensor)).all(), fill)
        self.assertNotIn("new_empty", vars(torch.Tensor))

    def test_writing_into_an_input(self):
        def scribble(x, g, h0):
            x[0, 0, 0] += 1
            return hgrn(x, g, h0=h0)

        self.assertEqual(self.ask(scribble, "o").fields["trespass"], "true")

    def test_the_types_that_come_back(self):
        reply = self.ask(hgrn, "o,d_x", dtype="BF16", d_o=X)
        self.assertEqual([t.dtype for t in reply.tensors.values()], ["BF16", "BF16"])


if __name__ == "__main__":
    unittest.main()
