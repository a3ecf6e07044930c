"""The library: a function per op, and `serve`.

    @op("gated_delta_rule")
    def run(q, k, v, g, beta, *, scale=None, h0=None, cu_seqlens=None):
        ...
        return o, ht

Arguments are the inputs and attributes by the spec's names; one that the function does not take is declined when a
call gives it, and an absent optional input is None. `want` as an argument receives the names of the wanted results and
of the outputs that get a cotangent.
The answer is a dict by name (with `ran`, if you like: what really ran) or the outputs in the spec's order.

Tensors are torch tensors on `serve`'s device, and gradients come from autograd; with `arrays="jax"` they are JAX
arrays, the op is traced and compiled, and gradients come from its derivative. With `arrays="numpy"` they are numpy
arrays (f32, or f64 when the case is f64), results are rounded to the port's type, and gradients need
`backward=`: a function of the same arguments, `d_<output>` for every output and `want`, that returns `d_<input>` by
name.
"""

import contextlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from .ports import SPECS
from .wire import Channel, Message, WireError

PROTOCOL = "1"
_OPS = {}


class Declined(Exception):
    """Raised by an op for what it does not offer."""


class Trespassed(Exception):
    """The op wrote where it must not."""


@dataclass(frozen=True)
class Op:
    """A registered function."""

    name: str
    function: object
    backward: object
    arrays: str
    refusal: object

    @property
    def spec(self):
        """Its ports, or None for an op that this package does not know."""
        return SPECS.get(self.name)


def op(name, *, backward=None, arrays=None, refusal=None):
    """Registers the function as the implementation of the op of that name.

    `refusal` gets what the function or its backward pass raises, and returns a reason where that is no fault but a
    limit that the implementation states itself; the call is then declined.
    """

    def register(function):
        kind = arrays or ("torch" if importlib.util.find_spec("torch") else "numpy")
        _OPS[name] = Op(name, function, backward, kind, refusal)
        return function

    return register


def serve(name, version="", device=None, modes=()):
    """Speaks the wire on stdin and stdout until `bye` or the end of stdin.

    `version` is text, or a function that returns it: that one may import libraries that print. `modes` are those of
    `evaluation`, `recompute` and `graph` that the functions honour, which `mode()` tells them.
    """
    channel = Channel()
    server = Server(name, version() if callable(version) else version, device, modes)
    channel.send(server.hello())
    while True:
        try:
            message = channel.receive()
        except WireError as error:
            # the place of the next message is lost with this one
            channel.send(Message("failed", {"message": f"WireError: {error}"}))
            sys.exit(2)
        if message is None or message.verb == "bye":
            return
        channel.send(server.answer(message))


def versions(*packages):
    """What `serve` says of what computes: the versions of these packages, as they are installed."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


class Server:
    """Answers messages, one at a time."""

    def __init__(self, name, version="", device=None, modes=()):
        self.name, self.version, self.modes = name, version, frozenset(modes)
        self.sides = {kind: _side(kind, device) for kind in {o.arrays for o in _OPS.values()}}

    def hello(self):
        """The candidate's first message."""
        fields = {"protocol": PROTOCOL, "name": self.name, "version": self.version, "ops": ",".join(_OPS)}
        fields["device"] = " + ".join(side.device_name for side in self.sides.values()) or "cpu"
        features = [side.features for side in self.sides.values()]
        fields["features"] = ",".join(sorted(frozenset.intersection(*features) | self.modes)) if features else ""
        return Message("hello", fields)

    def answer(self, message):
        """The reply to a message; a call's number comes back with it."""
        reply = self._outcome(message)
        if "id" in message.fields:
            reply.fields["id"] = message.fields["id"]
        return reply

    def _outcome(self, message):
        """Whatever the op raises becomes a reply."""
        try:
            return self._answer(message)
        except (Declined, NotImplementedError) as error:
            return Message("declined", {"reason": str(error)})
        except Trespassed as error:
            return Message("failed", {"message": str(error), "trespass": "true"})
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            reply = Message("failed", {"message": _describe(error)})
            if isinstance(error, MemoryError) or any(words in _describe(error) for words in _NO_ROOM):
                reply.fields["out_of_memory"] = "true"
        for side in self.sides.values():
            side.survive()
        return reply

    def _answer(self, message):
        if message.verb not in ("call", "bench"):
            raise ValueError(f"verb: expected call, bench or bye, got {message.verb}")
        name = message.fields.get("op")
        if name not in _OPS:
            raise Declined(f"no op {name}")
        chosen = _OPS[name]
        attrs = json.loads(message.fields.get("attrs", "{}"))
        want = [w for w in message.fields.get("want", "").split(",") if w]
        request = Request(chosen, self.sides[chosen.arrays], attrs, want)
        if message.verb == "bench":
            from .bench import bench

            return bench(request, message.fields)
        return request.call(message)


# how torch, CUDA, Triton and cuBLAS say that the device has no memory left
_NO_ROOM = ("OutOfMemoryError", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass
class Request:
    """A call on the side that holds its arrays."""

    op: Op
    side: object
    attrs: dict
    want: list

    @property
    def gradients(self):
        """The inputs whose gradients are wanted."""
        outputs = {p.name for p in self.op.spec.outputs} if self.op.spec else set()
        return [w[2:] for w in self.want if w.startswith("d_") and w not in outputs]

    def call(self, message):
        """Runs the op on the message's tensors."""
        held = {name: self.side.load(tensor) for name, tensor in message.tensors.items()}
        cotangents = {name: held.pop(name) for name in list(held) if name.startswith("d_") and name[2:] in self.outputs}
        with self.side.poison(message.fields.get("fill", "")), self.refusals(), _asked(message.fields.get("mode")):
            results, ran = self.run(held, cotangents)
        storage = self.storage(message.tensors)
        tensors = {}
        for name in self.want:
            single = "F32" if self.op.spec and self.op.spec.single(name) and storage != "F64" else storage
            tensors[name] = self.side.store(name, results[name], single)
        for name, tensor in message.tensors.items():
            array = held[name] if name in held else cotangents[name]
            if not self.side.same(array, tensor):
                raise Trespassed(f"wrote into its input {name}")
        return Message("done", {"ran": ran}, tensors)

    @contextlib.contextmanager
    def refusals(self):
        """Makes what the op refuses by raising a declined call."""
        try:
            yield
        except Exception as error:
            if self.op.refusal and (reason := self.op.refusal(error)):
                raise Declined(reason) from error
            raise

    @property
    def outputs(self):
        """Names of the outputs; those wanted when the op is not known."""
        if self.op.spec:
            return [p.name for p in self.op.spec.outputs]
        return [w for w in self.want if not w.startswith("d_")]

    def storage(self, tensors):
        """The storage type of the case: that of the first input that is stored in it."""
        ports = self.op.spec.inputs if self.op.spec else ()
        names = [p.name for p in ports if not (p.single or p.index) and p.name in tensors]
        return tensors[names[0]].dtype if names else "F32"

    def run(self, inputs, cotangents):
        """Results by wanted name, and what ran."""
        if self.gradients and self.side.kind == "numpy" and not self.op.backward:
            raise Declined("no gradients: forward only")
        needed = {*self.want, *(name[2:] for name in cotangents)}
        arguments = self.bind(self.op.function, inputs, needed)
        if self.gradients and self.op.backward:
            results, ran = self.named(self.op.function(**arguments))
            arguments = self.bind(self.op.backward, inputs, needed)
            zeros = {f"d_{o}": self.side.zeros_like(results[o]) for o in self.outputs}
            results = results | self.op.backward(**arguments, **(zeros | cotangents))
        else:
            call = lambda arguments: self.named(self.op.function(**arguments))
            leaves = [name for name in self.gradients if name in inputs]
            results, ran = self.side.compute(self.op.name, call, arguments, leaves, cotangents)
        ran = ran() if callable(ran) else str(ran)
        missing = [name for name in self.want if results.get(name) is None]
        if missing:
            raise ValueError(f"returned no {', '.join(missing)}")
        return results, ran

    def bind(self, function, inputs, needed):
        """Keyword arguments of the function."""
        required = [p.name for p in self.op.spec.inputs if not p.optional and not p.conditional] if self.op.spec else []
        for name in required:
            if name not in inputs:
                raise ValueError(f"input {name}: expected a tensor, got none")
        parameters = inspect.signature(function).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        defaults = self.op.spec.attrs if self.op.spec else {}
        given = inputs | {k: v for k, v in self.attrs.items() if v is not None}
        arguments = {}
        for name, value in given.items():
            if name in parameters or anything:
                arguments[name] = value
            elif name in inputs or defaults.get(name) != value:
                raise Declined(f"{name} is not offered")
        for name, parameter in parameters.items():
            if name == "want":
                arguments[name] = frozenset(needed)
            elif name in arguments or name.startswith("d_") or parameter.kind is parameter.VAR_KEYWORD:
                continue
            elif parameter.default is parameter.empty:
                arguments[name] = defaults.get(name)
        return arguments

    def named(self, answer):
        """An op's answer as a dict, and what it says has run: text, or a function to ask after the backward pass."""
        function = inspect.unwrap(self.op.function)
        ran = f"{function.__module__}.{function.__qualname__}"
        if isinstance(answer, dict):
            answer = dict(answer)
            return answer, answer.pop("ran", ran)
        if not isinstance(answer, (tuple, list)):
            answer = (answer,)
        if len(answer) > len(self.outputs):
            raise ValueError(f"outputs: expected {', '.join(self.outputs)}, got {len(answer)} values")
        return dict(zip(self.outputs, answer)), ran


# the mode of the call that is being answered
_MODE = [None]


def mode():
    """How a call is asked: `evaluation`, `recompute`, `graph`, or None where nothing is said.

    In `graph` the first call of a problem is captured and launched; the next one of the same problem writes its inputs
    where that graph reads them and launches it again.

    The makers of vectors also ask models for `decode` and a number of tokens: those at once, then one by one.
    """
    return _MODE[0]


@contextlib.contextmanager
def _asked(name):
    _MODE[0] = name
    try:
        yield
    finally:
        _MODE[0] = None


def _side(kind, device):
    if kind == "numpy":
        from .numpy_side import NumpySide

        return NumpySide()
    if kind == "jax":
        from .jax_side import JaxSide

        return JaxSide()
    from .torch_side import TorchSide

    return TorchSide(device)


def _describe(error):
    frames = traceback.extract_tb(error.__traceback__)
    text = f"{type(error).__name__}: {error}"[:2000]
    with contextlib.suppress(IndexError):
        last = frames[-1]
        text += f" (at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno} in {last.name})"
    return text
