"""Protocol 1: every message is one safetensors blob on stdin or stdout.

A blob delimits itself: 8 bytes of little-endian header length, a JSON header, then data up to the largest offset that
the header names. `__metadata__` carries the verb and its fields, all strings. Tensors stay raw bytes here, because
numpy knows no bfloat16.
"""

import json
import math
import os
import struct
from dataclasses import dataclass, field

# bytes per element
WIDTHS = {
    "BF16": 2, "F16": 2, "F32": 4, "F64": 8,
    "BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8,
}  # fmt: skip
HEADER_LIMIT = 100_000_000


class WireError(Exception):
    """Bytes that are no message."""


@dataclass(frozen=True)
class Tensor:
    """Little-endian, row-major bytes."""

    dtype: str
    shape: tuple
    data: bytes


@dataclass
class Message:
    """A verb with its fields, and tensors by name."""

    verb: str
    fields: dict = field(default_factory=dict)
    tensors: dict = field(default_factory=dict)


def encode(message):
    """The blob of a message."""
    header = {"__metadata__": {"verb": message.verb, **{k: str(v) for k, v in message.fields.items()}}}
    end = 0
    for name, tensor in message.tensors.items():
        begin, end = end, end + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(t.data for t in message.tensors.values())])


def read(stream):
    """The next message of a binary stream, or None at its end.

    Raises WireError when the bytes are no message.
    """
    prefix = stream.read(8)
    if not prefix:
        return None
    if len(prefix) < 8:
        raise WireError(f"header length: expected 8 bytes, got {len(prefix)}")
    (length,) = struct.unpack("<Q", prefix)
    if length > HEADER_LIMIT:
        raise WireError(f"header length: expected at most {HEADER_LIMIT}, got {length}")
    entries, fields = _header(_exactly(stream, length, "header"))
    size = max((end for _, _, (_, end) in entries.values()), default=0)
    data = memoryview(_exactly(stream, size, "data"))
    tensors = {name: Tensor(dtype, shape, bytes(data[a:b])) for name, (dtype, shape, (a, b)) in entries.items()}
    if "verb" not in fields:
        raise WireError("metadata: expected a verb, got none")
    return Message(fields.pop("verb"), fields, tensors)


def decode(blob):
    """The message of a blob."""
    import io

    return read(io.BytesIO(blob))


def _exactly(stream, count, what):
    data = stream.read(count)
    if len(data) != count:
        raise WireError(f"{what}: expected {count} bytes, got {len(data)}")
    return data


def _header(text):
    try:
        header = json.loads(text)
    except ValueError as error:
        raise WireError(f"header: expected JSON, got {error}") from None
    if not isinstance(header, dict):
        raise WireError(f"header: expected an object, got {type(header).__name__}")
    fields = header.pop("__metadata__", {})
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        raise WireError("metadata: expected strings by name")
    return {name: _entry(name, entry) for name, entry in header.items()}, fields


def _entry(name, entry):
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        expected = WIDTHS[dtype] * math.prod(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"tensor {name}: malformed entry ({type(error).__name__}: {error})") from None
    if not all(isinstance(x, int) and x >= 0 for x in (*shape, begin, end)) or end - begin != expected:
        raise WireError(f"tensor {name}: {dtype} {list(shape)} expects {expected} bytes, got offsets {begin}..{end}")
    return dtype, shape, (begin, end)


class Channel:
    """This process's end of the wire.

    Takes stdin and stdout for itself: afterwards whatever prints goes to stderr, and whatever reads finds nothing, so
    no library can corrupt a message.
    """

    def __init__(self):
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.fdopen(os.dup(1), "wb")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)

    def receive(self):
        """The next message, or None when the other side has closed."""
        return read(self._in)

    def send(self, message):
        """Writes one message."""
        self.send_raw(encode(message))

    def send_raw(self, blob):
        """Writes bytes as they are."""
        self._out.write(blob)
        self._out.flush()
