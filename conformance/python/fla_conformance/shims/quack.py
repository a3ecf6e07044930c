"""quack's kernels in CuTe's language: its normalisation, as rms_norm.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.quack' rms_norm
    fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.quack' rms_norm

Needs quack-kernels, which compiles a kernel for each width and type when it is first asked.
"""

import torch

from fla_conformance import Declined, op, serve, versions


def rms_norm(x, weight, bias, residual, *, want, eps):
    from quack import rmsnorm

    if x.numel() == 0:
        raise Declined("its kernels need a token")
    if x.dtype == torch.float64:
        raise Declined("its kernels take f32, bf16 and f16")
    if residual is None:
        # the sum is what came
        return {"o": rmsnorm(x, weight, bias, eps=eps), "s": x, "ran": "quack rmsnorm"}
    o, s = rmsnorm(x, weight, bias, residual, eps=eps, prenorm=True)
    return {"o": o, "s": s, "ran": "quack rmsnorm"}


def version():
    """Versions of what computes."""
    return versions("quack-kernels", "nvidia-cutlass-dsl", "torch")


if __name__ == "__main__":
    op("rms_norm", arrays="torch")(rms_norm)
    serve(name="quack", version=version)
