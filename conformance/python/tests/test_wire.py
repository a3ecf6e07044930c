import io
import json
import struct
import unittest

from fla_conformance.wire import Message, Tensor, WireError, decode, encode, read


def blob(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {
        "__metadata__": {"verb": "call"},
        "q": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)},
    }


class RoundTrip(unittest.TestCase):
    def test_every_verb_field_and_tensor(self):
        tensors = {
            "q": Tensor("BF16", (1, 2), b"\1\2\3\4"),
            "h0": Tensor("F32", (0, 3), b""),
            "g": Tensor("F64", (), b"\0" * 8),
        }
        message = Message("call", {"op": "hgrn", "attrs": '{"scale": 0.5}'}, tensors)
        self.assertEqual(decode(encode(message)), message)

    def test_messages_follow_one_another(self):
        stream = io.BytesIO(encode(Message("bench", {"seed": 3})) + encode(Message("bye")))
        self.assertEqual(read(stream).fields, {"seed": "3"})
        self.assertEqual(read(stream).verb, "bye")
        self.assertIsNone(read(stream))

    def test_safetensors_agrees(self):
        try:
            from safetensors.numpy import load
        except ImportError:
            self.skipTest("safetensors is not installed")
        loaded = load(encode(Message("done", {}, {"o": Tensor("F32", (2,), struct.pack("<2f", 1, -2))})))
        self.assertEqual(loaded["o"].tolist(), [1.0, -2.0])


class Refused(unittest.TestCase):
    def refuse(self, data, text):
        with self.assertRaisesRegex(WireError, text):
            decode(data)

    def test_truncated(self):
        whole = blob(entry(), b"\0" * 8)
        for cut in range(1, len(whole)):
            self.refuse(whole[:cut], "expected .* bytes, got")

    def test_lying_length(self):
        self.refuse(blob(entry(), length=2**62), "at most")

    def test_lying_offsets(self):
        self.refuse(blob(entry(offsets=(0, 12)), b"\0" * 12), "expects 8 bytes, got offsets 0..12")
        self.refuse(blob(entry(offsets=(8, 0)), b"\0" * 8), "expects 8 bytes")
        self.refuse(blob(entry(shape=(-1, -2)), b"\0" * 8), "expects 8 bytes")

    def test_malformed_entries(self):
        self.refuse(blob(entry(dtype="F33"), b"\0" * 8), "malformed entry")
        self.refuse(blob({"__metadata__": {"verb": "call"}, "q": 3}), "malformed entry")

    def test_garbage(self):
        self.refuse(b"Hello, world! This is no message, and long enough to be one.", "at most")
        self.refuse(blob(b"[1, 2]"), "expected an object")
        self.refuse(blob(b"{x}"), "expected JSON")

    def test_no_verb(self):
        self.refuse(blob({}), "expected a verb")


if __name__ == "__main__":
    unittest.main()
