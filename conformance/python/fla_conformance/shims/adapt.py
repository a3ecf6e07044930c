"""How the arguments and results of fla's functions differ from the spec's where a name alone does not do."""

from fla_conformance.shim import Declined


def flat_bias(given):
    # [HV, K] here, [HV K] there
    return given | {"dt_bias": given["dt_bias"].flatten()} if "dt_bias" in given else given


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
    return {"rms_weight": ones} | rest | {"residuals": given["residuals"].unbind(0)}


def with_scale_and_gate(given):
    q = given["q"]
    return {"scale": q.shape[-1] ** -0.5, "g": q.new_zeros(q.shape[:3])} | given


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
        offsets = given["q"].new_tensor([0, tokens]).long()
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


def parallax_in_16_bits(given):
    if given["q"].element_size() != 2:
        raise Declined("parallel_parallax takes 16-bit inputs")
    return whole_window(given)


def tokenwise(given):
    # tokens never meet, so packing says nothing
    return {name: x for name, x in given.items() if name != "cu_seqlens"}


def flat_gate(given):
    return tokenwise(flat_bias(given))


def whole(name, default):
    return lambda given: given | {name: int(given.get(name, default))}


def rates_of_one_channel(given):
    # [B, T, H] here, [B, T, H, 1] there
    rates = {name: given[name].unsqueeze(-1) for name in ("theta", "alpha", "eta")}
    return whole("chunk_size", 16)(given | rates)


def strictly_lower(given):
    # rows are counted from the start of each sequence
    a, size = given["a"], given["a"].shape[-1]
    offsets = given.get("cu_seqlens", [0, a.shape[1]])
    row = a.new_zeros(a.shape[1]).long()
    for start, end in zip(offsets[:-1], offsets[1:]):
        row[start:end] = row.new_tensor(range(int(end) - int(start))) % size
    below = row[:, None] > row.new_tensor(range(size))
    return given | {"a": a * below[None, :, None, :]}


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


def paired(*names):
    """Initial states that go into one argument, as a tuple."""

    def adapt(given):
        states = [given.get(name) for name in names]
        rest = {name: x for name, x in given.items() if name not in names}
        return rest if all(x is None for x in states) else rest | {"h0": tuple(states)}

    return adapt


def both_slot_memories(given):
    if ("hk0" in given) != ("hv0" in given):
        raise Declined("states come in pairs")
    return paired("hk0", "hv0")(given)


def rows_of_one(given):
    # [B, T, H] and [N, H, V] here, [B, T, H, 1] and [N, H, 1, V] there
    bias = {"hb0": given["hb0"].unsqueeze(2)} if "hb0" in given else {}
    return whole("chunk_size", 16)(given | bias | {"eta": given["eta"].unsqueeze(-1)})


def logarithm_of_a_token(given):
    # [N, H, K] here, [N, 1, H, K] there
    z0 = {"z0": given["z0"].unsqueeze(1)} if "z0" in given else {}
    return paired("h0", "z0")(given | z0)


def logarithm(outputs):
    return outputs | {"zt": outputs["zt"].squeeze(1)} if outputs.get("zt") is not None else outputs


def bias_as_vector(outputs):
    return outputs | {"hbt": outputs["hbt"].squeeze(2)} if outputs.get("hbt") is not None else outputs
