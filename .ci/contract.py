"""The committed contract: what each kernel takes of a GPU, and what each call launches and allocates.

`optimized/contract.json` has a line for each kernel and architecture, and one for each plan. Whatever differs from it
fails, in either direction: an increase must be announced by changing the contract in the same commit, and a decrease
that is not written down could be lost again unseen.
"""

import json

# by section: what its numbers are called where there is room for a sentence
SECTIONS = {"kernels": "kernel", "plans": "call"}
# of a kernel's numbers the one that is none: which text they were read off
TEXT = "text"


def load(path):
    """The contract, empty where there is none yet."""
    if not path.exists():
        return {"compilers": {}} | {section: {} for section in SECTIONS}
    return json.loads(path.read_text())


def save(path, contract):
    """Writes it with one line for each entry, so that a diff shows what changed."""

    def section(entries):
        lines = [f"    {json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
        return "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"

    parts = [f"  {json.dumps(name)}: {section(contract[name])}" for name in ("compilers", *SECTIONS)]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def counted(numbers):
    """What is compared: another text with the same numbers keeps the contract."""
    return {what: number for what, number in numbers.items() if what != TEXT}


def differences(contract, found, section, names):
    """A sentence for each number that is not the contract's; `names`: of all there is, unless a part was asked."""
    agreed, sentences = contract[section], []
    for name, numbers in sorted(found.items()):
        if name not in agreed:
            sentences.append(f"{name}: a {SECTIONS[section]} that the contract does not know")
            continue
        now, then = counted(numbers), counted(agreed[name])
        for what in sorted(now.keys() | then.keys()):
            sentence = _difference(what, then.get(what), now.get(what))
            if sentence:
                sentences.append(f"{name}: {sentence}")
    if names is not None:
        gone = sorted(agreed.keys() - names)
        sentences += [f"{name}: a {SECTIONS[section]} of the contract that there is no more" for name in gone]
    return sentences


def settled(contract, results):
    """What stands for a kernel compiled several times: the contract's numbers if they came, else the commonest.

    The same source does not always give the same binary: ptxas chooses by where things lie in memory.
    """
    return contract if contract in results else max(results, key=results.count)


def _difference(what, agreed, now):
    if agreed == now:
        return None
    if agreed is None or now is None:
        return f"{what} is {now}, the contract says {agreed}"
    if now > agreed:
        return f"{what} rose from {agreed} to {now}, which the contract does not announce"
    return f"{what} fell from {agreed} to {now}: tighten the contract, so that it stays there"


def compilers(contract, found):
    """A sentence for each compiler that is not the contract's: its numbers may differ for that reason alone."""
    return [
        f"the contract was made with {name} {contract['compilers'][name]}, and this is {version}"
        for name, version in sorted(found.items())
        if contract["compilers"].get(name, version) != version
    ]


def update(contract, found, section, names):
    """Takes over what was found; what there is no more, by the names of everything, goes."""
    agreed = contract[section]
    kept = agreed if names is None else {name: agreed[name] for name in agreed.keys() & names}
    contract[section] = kept | found
