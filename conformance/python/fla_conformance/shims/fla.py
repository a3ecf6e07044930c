"""flash-linear-attention 0.6.0: every public form of its ops, and its modules, layers and models.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.fla --form chunk'
    python3 -m fla_conformance.shims.fla --list

A kernel of fla's is compiled in every configuration of its autotuner, for each new width, type and flag: a suite takes
hours. With `--first-config` the first configuration that fits the device is taken instead; not for timing.

A spec keeps its name; `--form` says which of fla's functions or classes computes it. What that has no argument
for, or refuses as unsupported, is declined.
"""

import argparse
import importlib
import importlib.metadata
import inspect
import math

from fla_conformance import Declined, op, serve
from fla_conformance.ports import SPECS
from fla_conformance.shims import layers, models, modules
from fla_conformance.shims.forms import FORMS, NAMES
from fla_conformance.shims.layers import LAYERS
from fla_conformance.shims.models import MODELS
from fla_conformance.shims.modules import MODULES


def call(form, inputs, want):
    """The outputs of one of fla's functions, by the spec's names."""
    if form.forward_only and any(name.startswith("d_") for name in want):
        raise Declined(f"{form.function} has no backward pass")
    function = form.load()
    parameters = inspect.signature(function).parameters
    takes = {*parameters, *form.keywords}
    given = {name: x for name, x in inputs.items() if x is not None and x is not False}
    if form.adapt:
        given = form.adapt(given)
    names = NAMES | form.names
    arguments = form.constants | {names.get(name, name): x for name, x in given.items()}
    if want & set(form.outputs[1:]) and "output_final_state" in takes:
        arguments["output_final_state"] = True
    for name in arguments:
        if name not in takes:
            raise Declined(f"{form.function} has no argument {name}")
    needs = (p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD)
    for name in needs:
        if name not in arguments:
            raise Declined(f"{form.function} needs {name}")
    _heads(form, inputs)
    BACKENDS.clear()
    result = function(**arguments)
    # some forms return the output alone
    outputs = dict.fromkeys(form.outputs) | dict(zip(form.outputs, _flat(result)))
    outputs = form.finish(outputs, inputs) if form.finish else outputs
    own = "torch" if "naive" in form.function + form.module else "triton"
    ran = lambda: f"fla {form.function}: {', '.join(sorted(BACKENDS)) or own}"
    kept = {name: x if name in want else None for name, x in list(outputs.items())[1:]}
    for name in want - {form.outputs[0]}:
        if not name.startswith("d_") and outputs.get(name) is None:
            raise Declined(f"{form.function} returns no {name}")
    return outputs | kept | {"ran": ran}


def _flat(result):
    return [x for part in result for x in _flat(part)] if isinstance(result, (tuple, list)) else [result]


# how fla says that it does not do something, or not with what is installed
_REFUSALS = (
    ("support", "requires", "Please upgrade", "Please install", "must be divisible", "power of 2", "power of two")
    + ("not implemented", "must have shape", "must have the same shape", "must be greater", "are unavailable")
)
# how Triton says that it compiles no kernel for such widths or types
_UNCOMPILED = ("Input shapes should have", "must be a power of 2", "Both operands must be same dtype")


def refusal(error):
    """What fla refuses to do, and what it refuses to do with this version of Triton."""
    if type(error).__name__ == "CompilationError":
        last = str(_innermost(error)).strip().splitlines()[-1]
        return f"Triton does not compile it: {last}" if any(words in last for words in _UNCOMPILED) else None
    refuses = isinstance(error, (AssertionError, ImportError, ValueError, RuntimeError))
    return str(error) if refuses and any(words in str(error) for words in _REFUSALS) else None


def _innermost(error):
    # a function that a kernel calls has an error of its own, and the kernel's only says where the call is
    return _innermost(error.__cause__) if error.__cause__ is not None else error


def _heads(form, inputs):
    q, v = inputs.get("q"), inputs.get("v")
    if not form.grouped and q is not None and v is not None and q.shape[-2] != v.shape[-2]:
        raise Declined(f"{form.function} takes as many value heads as key heads")


def register(form):
    """Registers every op that has the form."""
    for name, forms in FORMS.items():
        if form in forms:
            op(name, arrays="torch", refusal=refusal)(_implementation(name, forms[form]))
    for name, forms in MODULES.items():
        if form in forms:
            op(name, arrays="torch", refusal=refusal)(_module(name, forms[form]))
    for name, layer in LAYERS.items():
        if form in layer.forms:
            op(name, arrays="torch", refusal=refusal)(_built(layers.call, name, layer, form))
    for name, model in MODELS.items():
        if form in model.forms:
            op(name, arrays="torch", refusal=refusal)(_built(models.call, name, model, form))


def _implementation(name, form):
    # flags that are set unless a call says otherwise
    flags = {attr: True for attr, default in SPECS[name].attrs.items() if default is True}

    def run(want, **inputs):
        return call(form, flags | inputs, want)

    return run


def _built(call, name, how, form):
    def run(want, **inputs):
        BACKENDS.clear()
        outputs = call(name, how, form, inputs, want)
        return outputs | {"ran": lambda: f"fla {how.name} {form}: {', '.join(sorted(BACKENDS)) or 'triton'}"}

    return run


def _module(name, module):
    def run(want, **inputs):
        BACKENDS.clear()
        outputs = modules.call(name, module, inputs, want)
        return outputs | {"ran": lambda: f"fla {name}: {', '.join(sorted(BACKENDS)) or 'triton'}"}

    return run


# back ends that took over since the last clear
BACKENDS = set()


def watch():
    """Records which of fla's back ends replace its own kernels."""
    from fla.backends import BaseBackend

    original = BaseBackend.get_implementation

    def get_implementation(self, function_name):
        found = original(self, function_name)
        if found is not None:
            BACKENDS.add(f"{self.backend_type} {function_name}")
        return found

    BaseBackend.get_implementation = get_implementation


def take_first_config():
    """Makes Triton's autotuner take the first configuration that fits, without timing any."""
    from triton.runtime.autotuner import Autotuner

    bench, run = Autotuner._bench, Autotuner.run

    def first_bench(self, *args, **kwargs):
        if self.fits:
            return [math.inf] * 3
        self._do_bench = _once
        times = bench(self, *args, **kwargs)
        self.fits = math.isfinite(times[0])
        return times

    def first_run(self, *args, **kwargs):
        self.fits = False
        return run(self, *args, **kwargs)

    Autotuner._bench, Autotuner.run = first_bench, first_run


def _once(kernel, quantiles):
    kernel()
    return [1.0] * 3


def version():
    """Versions of what computes, and the back ends that fla may choose; from here on `watch` is on."""
    watch()
    import fla.ops  # noqa: F401 (registers back ends)
    from fla.backends import BaseBackend

    packages = ("flash-linear-attention", "torch", "triton", "tilelang", "flash-qla")
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    usable = sorted({b.backend_type for b in _descendants(BaseBackend) if b.package_name and b.can_use()})
    parts = [f"{name} {found[name]}" for name in packages if name in found]
    return ", ".join(parts) + f", back ends: {', '.join(usable) or 'triton only'}"


def _descendants(kind):
    return [d for child in kind.__subclasses__() for d in (child, *_descendants(child))]


def _forms():
    """Every spec with every form of it, and where that is in fla."""
    for name, forms in FORMS.items():
        yield from ((name, form, f"{where.module}.{where.function}") for form, where in forms.items())
    for name, forms in MODULES.items():
        yield from ((name, form, of.path if isinstance(of.path, str) else "by option") for form, of in forms.items())
    for name, layer in LAYERS.items():
        yield from ((name, form, f"{layer.module}.{layer.name}") for form in layer.forms)
    for name, model in MODELS.items():
        yield from ((name, form, f"fla.models.{model.package}.{model.name}") for form in model.forms)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", default="chunk", choices=sorted({form for _, form, _ in _forms()}))
    parser.add_argument("--list", action="store_true", help="print the forms of each spec")
    parser.add_argument("--first-config", action="store_true", help="no autotuning: the first configuration that fits")
    parser.add_argument("--device", help="torch device; cuda where there is one")
    options = parser.parse_args()
    if options.list:
        for name, form, where in _forms():
            print(f"{name:34} {form:22} {where}")
        return
    register(options.form)
    # some functions are compiled for each new shape, and refuse when there have been many
    importlib.import_module("torch._dynamo").config.recompile_limit = 4096
    if options.first_config:
        take_first_config()
    tuned = ", first configuration" if options.first_config else ""
    named = {"name": f"fla-{options.form}", "version": lambda: version() + tuned, "device": options.device}
    serve(**named, modes=("evaluation", "recompute"))


if __name__ == "__main__":
    main()
