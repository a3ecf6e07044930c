"""Candidates with bad manners, to test the harness.

python3 conformance/python/misbehave.py --how hang
"""

import argparse
import math
import os
import signal
import struct
import sys
import time

from fla_conformance.wire import Channel, Message, Tensor, encode

MANNERS = {
    "polite": "answers zeros",
    "exit": "exits before it says hello",
    "silent": "never says hello",
    "wrong_protocol": "says hello in another protocol",
    "garbage": "prints text where a reply belongs",
    "wrong_shape": "adds a dimension",
    "wrong_dtype": "answers integers",
    "wrong_name": "answers other names than wanted",
    "nan": "answers NaN",
    "twice": "answers each call twice",
    "hang": "never answers a call",
    "sigsegv": "dies by a signal in a call",
    "write_input": "writes into its input q (needs numpy)",
    "lying_length": "promises more data than it sends, then stays",
    "lying_offsets": "offsets that contradict shape and dtype",
    "huge_header": "a header length that no machine holds",
    "truncated": "exits in the middle of a reply",
}
OPS = "simple_gla,gated_delta_rule,hgrn"


def shapes(message):
    """The right shape of every result of a call."""
    inputs = {name: t.shape for name, t in message.tensors.items()}
    values = inputs.get("v", inputs.get("x"))
    rows = inputs["cu_seqlens"][0] - 1 if "cu_seqlens" in inputs else values[0]
    state = (rows, values[2], inputs["k"][3], values[3]) if "v" in inputs else (rows, values[2])
    return {"o": values, "ht": state} | {f"d_{name}": shape for name, shape in inputs.items()}


def reply(message, how):
    """A `done` for the call, spoilt in one way."""
    found, tensors = shapes(message), {}
    for name in filter(None, message.fields.get("want", "").split(",")):
        shape = (1, *found[name]) if how == "wrong_shape" else found[name]
        count = math.prod(shape)
        value = struct.pack("<f", math.nan if how == "nan" else 0.0)
        data = struct.pack("<q", 0) * count if how == "wrong_dtype" else value * count
        dtype = "I64" if how == "wrong_dtype" else "F32"
        tensors[f"not_{name}" if how == "wrong_name" else name] = Tensor(dtype, shape, data)
    return Message("done", {"ran": f"misbehave {how}"}, tensors)


def raw(message, how):
    """Bytes that are no good message."""
    blob = encode(reply(message, how))
    if how == "garbage":
        return b"Segmentation fault (core dumped)? no, only a print that went astray\n"
    if how == "huge_header":
        return b"\xff" * 8 + blob[8:]
    if how == "lying_offsets":
        return blob.replace(b'"data_offsets":[0,', b'"data_offsets":[0,1', 1)
    return blob[: len(blob) - 4]


def misbehave(how):
    if how == "exit":
        sys.exit(3)
    if how == "silent":
        time.sleep(86400)
    channel = Channel()
    protocol = "0" if how == "wrong_protocol" else "1"
    hello = {"protocol": protocol, "name": f"misbehave-{how}", "version": "1", "device": "cpu", "ops": OPS}
    channel.send(Message("hello", hello))
    while (message := channel.receive()) is not None and message.verb != "bye":
        if how == "hang":
            time.sleep(86400)
        if how == "sigsegv":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how in ("garbage", "huge_header", "lying_offsets", "lying_length", "truncated"):
            channel.send_raw(raw(message, how))
            if how == "truncated":
                sys.exit(0)
            time.sleep(86400 if how == "lying_length" else 0)
            continue
        for _ in range(2 if how == "twice" else 1):
            channel.send(reply(message, how))


def write_input():
    """An op that spoils its input, behind the shim, which must notice."""
    import numpy as np

    from fla_conformance import op, serve

    @op("gated_delta_rule", arrays="numpy")
    def run(q, k, v, h0, cu_seqlens, **inputs):
        q += 1
        rows = q.shape[0] if cu_seqlens is None else len(cu_seqlens) - 1
        return np.zeros_like(v), np.zeros((rows, v.shape[2], q.shape[3], v.shape[3]))

    serve(name="misbehave-write_input", version="1")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=MANNERS, default="polite")
    chosen = parser.parse_args().how
    write_input() if chosen == "write_input" else misbehave(chosen)
