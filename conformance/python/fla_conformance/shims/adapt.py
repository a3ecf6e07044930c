"""How the arguments and results of fla's functions differ from the spec's where a name alone does not do."""

import importlib.util
import math

import torch

from fla_conformance.shim import Declined


def flat_bias(given):
    # [HV, K] here, [HV K] there
    return given | {"dt_bias": given["dt_bias"].flatten()} if "dt_bias" in given else given


def by_value_heads(given):
    # the preconditioner, of a key head here, of each of its value heads there, whatever the description says
    given, group = flat_bias(given), given["v"].shape[2] // given["k"].shape[2]
    axes = {"g_atk": 2, "beta_atk": 2, "log_atk_scale": 0, "a0": 1}
    return given | {name: given[name].repeat_interleave(group, axes[name]) for name in axes.keys() & given.keys()}


def by_key_heads(outputs, inputs):
    group = inputs["v"].shape[2] // inputs["k"].shape[2]
    return outputs if outputs["at"] is None else outputs | {"at": outputs["at"][:, ::group]}


def normalised(given):
    # there q and k always are
    if "qk_l2norm" not in given:
        raise Declined("it always normalises q and k")
    return flat_bias({name: x for name, x in given.items() if name != "qk_l2norm"})


def whole_layers(given):
    layers = {"layer_idx": 0, "num_layers": 1} | {n: given[n] for n in ("layer_idx", "num_layers") if n in given}
    for name, x in layers.items():
        if x != int(x):
            raise Declined(f"{name} counts layers, {x} is no whole number")
    return given | {name: int(x) for name, x in layers.items()}


def rwkv7_as_dplr(given):
    kk, a = given["kk"], given["a"]
    return {name: x for name, x in given.items() if name != "kk"} | {"a": -kk, "b": kk * a}


def residuals_in_a_sequence(given):
    # tokens never meet, so packing says nothing; a norm is asked for by its weight
    rest = {name: x for name, x in given.items() if name not in ("cu_seqlens", "output_norm")}
    ones = given["residuals"].new_ones(given["residuals"].shape[-1])
    weights = ("rms_weight", "output_weight") if given.get("output_norm") else ("rms_weight",)
    return dict.fromkeys(weights, ones) | rest | {"residuals": [x.clone() for x in given["residuals"]]}


def with_scale_and_gate(given):
    q = given["q"]
    return {"scale": q.shape[-1] ** -0.5, "g": q.new_zeros(q.shape[:3])} | given


def _grouped(x, heads):
    """Query heads by key head, sixteen for each: zeros where there are fewer."""
    x = x.unflatten(2, (heads, -1))
    fill = x.new_zeros(*x.shape[:3], max(0, 16 - x.shape[3]), *x.shape[4:])
    return torch.cat([x, fill], 3).flatten(2, 3)


def query_groups(given):
    # a query head has no part in another; there they come by sixteen at least
    if "g_swa" in given and not importlib.util.find_spec("flash_attn"):
        raise Declined("parallel_nsa requires flash-attn for its window")
    names = [name for name in ("q", "g_cmp", "g_slc", "g_swa") if name in given]
    return whole_blocks(given | {name: _grouped(given[name], given["k"].shape[2]) for name in names})


def query_heads(outputs, inputs):
    heads = inputs["k"].shape[2]
    o = outputs["o"].unflatten(2, (heads, -1))
    return {"o": o[:, :, :, : inputs["q"].shape[2] // heads].flatten(2, 3)}


def whole_blocks(given):
    # without a gate there is no window
    window = {"window_size": int(given.get("window_size", 32))} if "g_swa" in given else {}
    rest = {name: x for name, x in given.items() if name != "window_size"}
    return rest | window | {"block_size": int(given.get("block_size", 16))}


def packed_chunks(given):
    rows, tokens = given["q"].shape[:2]
    if rows != 1:
        raise Declined("parallel_moba takes one row of packed sequences")
    offsets = given.get("cu_seqlens")
    if offsets is None:
        offsets = torch.tensor([0, tokens], device=given["q"].device)
    longest = int(offsets.diff().max()) if len(offsets) > 1 else 0
    numbers = {name: int(given.get(name, default)) for name, default in (("chunk_size", 16), ("topk", 2))}
    return given | numbers | {"cu_seqlens": offsets, "max_seqlen": longest}


def steps_as_rows(given):
    # [B, T, R, ...] here, [B, T R, ...] there
    rows = {name: given[name].flatten(1, 2) for name in ("k", "v", "beta")}
    return {"g": None} | given | rows | {"num_householder": given["beta"].shape[2]}


def whole_window(given):
    return given | {"window": int(given["window"])} if "window" in given else given


def wall_with_scale(given):
    return {"scale": given["q"].shape[-1] ** -0.5} | whole_window(given)


def as_wide(given):
    if given["v"].shape[-1] != given["k"].shape[-1]:
        raise Declined("naive_deltaformer_attn takes values as wide as keys")
    return given


def parallax_in_16_bits(given):
    if given["q"].element_size() != 2:
        raise Declined("parallel_parallax takes 16-bit inputs")
    return whole_window(given)


def tokenwise(given):
    # tokens never meet, so packing says nothing
    return {name: x for name, x in given.items() if name != "cu_seqlens"}


def flat_gate(given):
    if "A_log" not in given and "lower_bound" not in given:
        raise Declined("fused_kda_gate needs A_log, or lower_bound")
    return tokenwise(flat_bias(given))


def bounded_gate(given):
    if "lower_bound" not in given:
        raise Declined("naive_kda_lowerbound_gate needs lower_bound")
    return flat_gate(given)


def channels_as_heads(given):
    # [B, T, H, K] here, [B, T, H K] there
    return given | {"x": given["x"].flatten(2)}


def heads_as_channels(outputs, inputs):
    return {"o": outputs["o"].view_as(inputs["x"])}


def channels_as_heads_of_chunks(given):
    return channels_as_heads(whole("chunk_size", 64)(given))


def whole(name, default):
    return lambda given: given | {name: int(given.get(name, default))}


def rates_of_one_channel(given):
    # [B, T, H] here, [B, T, H, 1] there
    rates = {name: given[name].unsqueeze(-1) for name in ("theta", "alpha", "eta")}
    return whole("chunk_size", 16)(given | rates)


def full_mini_batches(given):
    # heads before tokens there, wide numbers alone, and every argument said
    size = int(given.get("chunk_size", 16))
    if given["q"].shape[1] % size:
        raise Declined("chunk_titans_linear takes full mini-batches")
    tokens = {name: given[name].transpose(1, 2).float() for name in ("q", "k", "v", "theta", "alpha", "eta")}
    rest = {"eps": 1e-6, "h0": None} | given
    return rest | tokens | {"chunk_size": size, "output_final_state": True}


def tokens_first(outputs, _):
    return outputs | {"o": outputs["o"].transpose(1, 2)}


def _blocks(given, wide):
    """Where each token goes when every block of them is widened: `[T]`, and how many blocks there are."""
    tokens, size = given["a"].shape[1], given["a"].shape[-1]
    offsets = given.get("cu_seqlens")
    bounds = [0, tokens] if offsets is None else offsets.tolist()
    place, blocks = [], 0
    for start, end in zip(bounds, bounds[1:]):
        place += [(blocks + t // size) * wide + t % size for t in range(end - start)]
        blocks += -(-(end - start) // size)
    return torch.tensor(place, dtype=torch.long, device=given["a"].device), blocks


def _wide(a):
    return next((wide for wide in (16, 32, 64) if a.shape[-1] <= wide), a.shape[-1])


def whole_triangles(given):
    # blocks of 16, 32 or 64 tokens there: shorter ones are put into their corner
    a, wide = given["a"], _wide(given["a"])
    place, blocks = _blocks(given, wide)
    below = place[:, None] % wide > torch.arange(a.shape[-1], device=a.device)
    padded = a.new_zeros(a.shape[0], blocks * wide, a.shape[2], wide)
    padded[:, place, :, : a.shape[-1]] = a * below[None, :, None, :]
    return {"a": padded}


def corners(outputs, inputs):
    a = inputs["a"]
    place, _ = _blocks(inputs, _wide(a))
    return {"o": outputs["o"][:, place, :, : a.shape[-1]]}


def iterated(given):
    return whole("num_iters", 20)(tokenwise(given))


def named_function(given):
    functions = ("relu", "leaky_relu", "sigmoid", "tanh")
    rest = {name: x for name, x in tokenwise(given).items() if name not in functions}
    return rest | {"activation": name for name in functions if given.get(name)}


def factors_as_tensors(given):
    factors = {name: given["a"].new_tensor([given[name]]) for name in ("alpha", "beta") if name in given}
    return tokenwise(given) | factors


def with_token_before(given):
    x = given["x"]
    return {"h0": x.new_zeros(x.shape[0], x.shape[2])} | given


def last_token(outputs, inputs):
    # there it is the last row of the batch
    x, h0 = inputs["x"], inputs.get("h0")
    empty = x.new_zeros(x.shape[0], x.shape[2]) if h0 is None else h0
    return outputs | {"ht": x[:, -1] if x.shape[1] else empty}


def paired(*names):
    """Initial states that go into one argument, as a tuple."""

    def adapt(given):
        states = [given.get(name) for name in names]
        rest = {name: x for name, x in given.items() if name not in names}
        return rest if all(x is None for x in states) else rest | {"h0": tuple(states)}

    return adapt


def together(*names):
    """The same for states that fla takes all together or not at all."""

    def adapt(given):
        if 0 < sum(name in given for name in names) < len(names):
            raise Declined(f"{', '.join(names)} come together")
        return paired(*names)(given)

    return adapt


def both_memories(given):
    # there a missing one is no zeros, and has no gradient
    names = [name for name in ("h0", "m0") if name in given]
    zeros = {name: torch.zeros_like(given[names[0]]) for name in ("h0", "m0")} if names else {}
    return paired("h0", "m0")(zeros | given)


def keys_already_decayed(given):
    # the flag is the kernel's; its reference gets the product
    p = given["p"] * given["g"].exp()[..., None] if given.get("p_times_alpha") else given["p"]
    return {name: x for name, x in given.items() if name != "p_times_alpha"} | {"p": p}


def both_sums(given):
    # one without the other does not compile there
    k, v = given["k"], given["v"]
    if k.shape[-1] != v.shape[-1]:
        raise Declined("chunk_mesa_net takes values as wide as keys")
    if "h0" in given or "h_kk0" in given:
        n, (heads, width) = given.get("h0", given.get("h_kk0")).shape[0], k.shape[2:]
        zeros = {"h_kk0": k.new_zeros(n, heads, width, width), "h0": k.new_zeros(n, heads, width, v.shape[-1])}
        given = {name: x.float() for name, x in zeros.items()} | given
    return given


def rows_of_one(given):
    # [B, T, H] and [N, H, V] here, [B, T, H, 1] and [N, H, 1, V] there
    bias = {"hb0": given["hb0"].unsqueeze(2)} if "hb0" in given else {}
    return whole("chunk_size", 16)(given | bias | {"eta": given["eta"].unsqueeze(-1)})


def sums_of_a_token(given):
    # [N, H, K] here, [N, 1, H, K] there
    z0 = {"z0": given["z0"].unsqueeze(1)} if "z0" in given else {}
    return paired("h0", "z0")(given | z0)


def sums(outputs, _):
    return outputs | {"zt": outputs["zt"].squeeze(1)} if outputs.get("zt") is not None else outputs


def bias_as_vector(outputs, _):
    return outputs | {"hbt": outputs["hbt"].squeeze(2)} if outputs.get("hbt") is not None else outputs


def stacked_states(outputs, _):
    # both in one tensor there
    return outputs | dict(zip(("ht", "mt"), outputs["ht"])) if outputs.get("ht") is not None else outputs


_WKV = {"alpha": 0.0, "beta": 0.0, "eps": -math.inf}


def one_state_of_three(given):
    # [N, D] each here, [N, 3, 1, D] there
    if "cu_seqlens" in given:
        raise Declined("fused_recurrent_rwkv4 has no argument cu_seqlens")
    k = given["k"]
    absent = {name: k.new_full((k.shape[0], k.shape[2]), x, dtype=torch.float32) for name, x in _WKV.items()}
    state = torch.stack([given.get(f"{name}0", x) for name, x in absent.items()], 1)
    return {name: x for name, x in given.items() if name[:-1] not in _WKV} | {"state": state.unsqueeze(2)}


def three_states(outputs, _):
    return {"o": outputs["o"]} | {f"{name}t": x[:, 0] for name, x in zip(_WKV, outputs["alphat"].unbind(1))}


_MIXTURES = ("xr", "xw", "xk", "xv", "xa", "xg")


def mixtures_by_name(given):
    # [L, D] here; five of [1, 1, D] there, and a sixth if one likes: zeros where there are fewer
    mix = given["mix"]
    if mix.shape[0] > len(_MIXTURES):
        raise Declined(f"fused_addcmul_rwkv7 has six mixtures, not {mix.shape[0]}")
    named = dict(zip(_MIXTURES, mix[:, None, None]))
    zeros = dict.fromkeys(_MIXTURES[:-1], torch.zeros_like(mix[:1, None]))
    return {name: x for name, x in tokenwise(given).items() if name != "mix"} | zeros | named


def mixtures(outputs, inputs):
    return {"o": torch.stack(list(outputs.values())[: inputs["mix"].shape[0]], 2)}


def heads_in_a_row(given):
    # [B, T, H, V] here, [B, T, H V] there
    if given["q"].shape[-1] != given["v"].shape[-1]:
        raise Declined("gate_output_correction takes values as wide as keys")
    return tokenwise(given) | {name: given[name].flatten(2) for name in ("x", "g")}


def heads_apart(outputs, inputs):
    return {"o": outputs["o"].view_as(inputs["x"])}


def last_tokens_of_blocks(outputs, inputs):
    # a row for each block there
    x, size = inputs["x"], int(inputs.get("chunk_size", 64))
    offsets = inputs.get("cu_seqlens")
    bounds = [0, x.shape[1]] if offsets is None else offsets.tolist()
    last = [min(t + size, end) - 1 for start, end in zip(bounds, bounds[1:]) for t in range(start, end, size)]
    o = torch.zeros_like(x, dtype=outputs["o"].dtype)
    return {"o": o.index_copy(1, torch.tensor(last, dtype=torch.long, device=x.device), outputs["o"])}
