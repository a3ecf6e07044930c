"""flash-linear-attention 0.6.0's losses, which are modules."""

from fla_conformance.shim import Declined
from fla_conformance.shims.layers import Question
from fla_conformance.shims.modules import Module

# options of the logits that both cross entropies have
_SHAPED = ("label_smoothing", "logit_scale", "logit_softcapping")


def _by_sequence(x, spec, answers):
    """The answers to each sequence as a batch of its own, put together: fla has one loss for all that it is given."""
    import torch

    parts = [answers(part) for part in _sequences(x, spec)]
    if not parts:
        raise Declined("takes no sequence without tokens")
    packed = {p.name for p in spec.outputs if "T" in p.dims and x.cu_seqlens is not None}
    return {name: torch.cat([part[name] for part in parts], int(name in packed)) for name in parts[0]}


def _sequences(x, spec):
    """One question for each sequence."""
    ports = [p for p in spec.inputs if x.has(p.name)]
    tensor = next(x.get(p.name) for p in ports if "T" in p.dims)
    packed = x.cu_seqlens is not None
    ends = x.cu_seqlens.tolist() if packed else [tensor.shape[1] * n for n in range(tensor.shape[0] + 1)]
    if any(a == b for a, b in zip(ends, ends[1:])):
        raise Declined("takes no sequence without tokens")
    options = {name: x[name] for name in spec.attrs}

    def part(port, n):
        whole = x.get(port.name)
        if packed and "T" in port.dims:
            return whole[:, ends[n] : ends[n + 1]]
        return whole[n : n + 1] if {"N", "T"} & set(port.dims) else whole

    return [Question(spec, {p.name: part(p, n) for p in ports} | options) for n in range(len(ends) - 1)]


def _options(*names):
    return lambda x: {name: x[name] for name in names}


def _logits(x):
    return x.get("logits").flatten(0, 1), x.get("targets").flatten()


def _entropy(result, x):
    loss, square = result if isinstance(result, tuple) else (result, None)
    shape = x.get("targets").shape
    return {"loss": loss.view(shape)} | ({} if square is None else {"z_loss": square.view(shape)})


def _scalar(name):
    return lambda result, x: {name: result.view(1)}


def _headed(x):
    return {"x": x.get("x"), "target": x.get("targets"), "weight": x.get("weight"), "bias": x.get("bias")}


def _head(**more):
    options = lambda x: _options("reduction", *_SHAPED, "use_l2warp", "l2_penalty_factor")(x) | more
    path = "fla.modules.FusedLinearCrossEntropyLoss"
    return Module(path, _headed, options, outputs=_scalar("loss"), ask=_by_sequence)


def _taught(x):
    heads = {name: x.get(name) for name in ("weight", "target_weight")}
    return heads | {name: x.get(name).squeeze(0) for name in ("x", "target_x")}


def _completed(x):
    """The logits of the last token, which has none after it, are not read."""
    import torch

    logits, counted = x.get("logits"), x.get("targets") >= 0
    return {
        "logits": torch.cat([logits, torch.zeros_like(logits[:, :1])], 1),
        "ref_logp": x.get("ref_logp"),
        "input_ids": x.get("targets").clamp_min(0),
        "advantages": x.get("advantages"),
        "beta": x["beta"],
        "completion_mask": counted.int(),
        "save_kl": x["save_kl"],
    }


def _with_kl(result, x):
    return dict(zip(("loss", "kl"), result)) if x["save_kl"] else {"loss": result}


def _group(x):
    turned = {name: x.get(name).squeeze(0).T for name in ("logps", "ref_logps", "old_logps")}
    return turned | {
        "pad_mask": x.get("pad_mask").squeeze(0).T.bool(),
        "logits_to_keep": x.get("logps").shape[1],
        "rewards": x.get("rewards").squeeze(0),
        "beta": x["beta"],
        "epsilon": x["epsilon"],
    }


LOSSES = {
    "cross_entropy": {
        "module": Module(
            "fla.modules.FusedCrossEntropyLoss",
            lambda x: dict(zip(("input", "target"), _logits(x))),
            lambda x: {"reduction": "none"} | _options(*_SHAPED, "lse_square_scale", "return_z_loss")(x),
            outputs=_entropy,
        ),
    },
    "fused_linear_cross_entropy": {
        "module": _head(),
        # gradients of weight and bias added up in the storage type
        "storage": _head(accumulate_grad_in_fp32=False),
    },
    "kl_div": {
        "module": Module("fla.modules.FusedKLDivLoss", _taught, outputs=_scalar("loss"), ask=_by_sequence),
    },
    "l2warp": {
        "module": Module(
            "fla.modules.l2warp.l2_warp",
            lambda x: {
                "loss": x.get("loss").squeeze(0),
                "logits": x.get("logits"),
                "l2_penalty_factor": x["l2_penalty_factor"],
            },
            outputs=_scalar("o"),
            ask=_by_sequence,
        ),
    },
    "grpo": {
        "module": Module("fla.modules.grpo.fused_grpo_loss", _completed, outputs=_with_kl, ask=_by_sequence),
        "torch": Module("fla.modules.grpo.ops.grpo_loss_torch", _completed, outputs=_with_kl, ask=_by_sequence),
    },
    "grpo_clipped": {
        "module": Module(
            "fla.modules.grpo.grpo_loss_with_old_logps", _group, outputs=_scalar("loss"), ask=_by_sequence
        ),
    },
}
