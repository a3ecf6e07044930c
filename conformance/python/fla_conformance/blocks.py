"""Inputs that are integers: blocks that tokens look at (the domain `blocks`, or `blocks <attribute>` when an attribute
says how large they are), symbols of the vocabulary (`symbols`, `targets`) and what counts (`mask`)."""

import zlib

import numpy as np


def blocks(seed, port, sizes, attrs, lengths=()):
    """Block indices of an input, int64.

    For each token as many different blocks of its sequence as the last dimension has room for, in ascending order: its
    own one always, none that is later, the others at random. Where there are fewer, -1 comes first.
    """
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(port.name.encode())]))
    size = max(int(attrs[port.domain.split()[1]]), 1) if " " in port.domain else 1
    shape, time = [sizes[d] for d in port.dims], port.dims.index("T")
    chosen = np.full(shape, -1, np.int64)
    positions = np.concatenate([np.arange(n) for n in lengths or (sizes["T"],)])
    room = shape[-1]
    by_token = np.moveaxis(chosen, time, 0)
    for place in np.ndindex(by_token.shape[:-1]):
        own = positions[place[0]] // size
        others = np.sort(rng.choice(own, min(own, room - 1), replace=False))
        by_token[place][room - 1 - len(others) :] = [*others, own]
    return chosen


def symbols(rng, port, sizes, lengths=()):
    """Indices of the vocabulary, int64; of targets some, and the last of each sequence, are none: -100."""
    x = rng.integers(0, sizes["S"], [sizes[d] for d in port.dims])
    if port.domain == "targets":
        x[rng.random(x.shape) < 0.125] = -100
        ends = np.cumsum(lengths) if lengths else [sizes["T"]]
        x[:, [end - 1 for end in ends if end]] = -100
    return x


def mask(rng, port, sizes):
    """One where something counts, and else zero, int64."""
    return (rng.random([sizes[d] for d in port.dims]) >= 0.125).astype(np.int64)


def integers(seed, port, sizes, attrs, lengths=()):
    """An input of integers by its domain."""
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(port.name.encode())]))
    if port.domain in ("symbols", "targets"):
        return symbols(rng, port, sizes, lengths)
    return mask(rng, port, sizes) if port.domain == "mask" else blocks(seed, port, sizes, attrs, lengths)
