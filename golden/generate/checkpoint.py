"""A checkpoint that fla itself saves, and the logits that fla computes with it.

    python3 -O golden/generate/checkpoint.py                       # golden/checkpoints/gla: one file, and several
    python3 golden/generate/checkpoint.py --random DIR [--layers 24 --hidden 1024]   # a large one, to measure with

The logits come from fla's own kernels, by Triton's interpreter.
"""

import argparse
import json
import shutil
from pathlib import Path

TOKENS = [3, 14, 15, 9, 26, 5, 3, 5, 8, 9, 7, 9, 31, 2, 0, 11, 23, 1, 30, 17]
SMALL = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_heads": 2,
    "intermediate_size": 24,
    "use_short_conv": True,
    "fuse_cross_entropy": False,
}


def committed():
    from interpreter import after_import, prepare

    prepare()
    import torch
    from fla.models import GLAConfig, GLAForCausalLM

    after_import()
    torch.manual_seed(1)
    model = GLAForCausalLM(GLAConfig(**SMALL)).eval()
    with torch.no_grad():
        # as they begin, norms and biases hide what is done to them
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.25 * torch.randn_like(parameter))
            else:
                parameter.mul_(8)
        logits = model(torch.tensor([TOKENS])).logits[0]
        added, state, ids = [], None, TOKENS
        for _ in range(6):
            # by its cache, token by token: `generate` loses the cache under transformers 5.24
            answer = model(torch.tensor([ids]), use_cache=True, past_key_values=state)
            state, ids = answer.past_key_values, [int(answer.logits[0, -1].argmax())]
            added += ids
    for folder, most in ((FOLDER, "1GB"), (FOLDER.with_name("gla-in-parts"), "12KB")):
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder, max_shard_size=most)
        (folder / "generation_config.json").unlink(missing_ok=True)
    answer = {"input_ids": TOKENS, "logits": logits.double().tolist(), "generated": added}
    (FOLDER / "logits.json").write_text(json.dumps(answer) + "\n")


FOLDER = Path(__file__).parents[1] / "checkpoints" / "gla"


def random(folder, layers, hidden):
    """Written file by file as it would be trained: nothing of it is computed."""
    import torch
    from fla.models import GLAConfig, GLAForCausalLM

    torch.manual_seed(0)
    model = GLAForCausalLM(GLAConfig(hidden_size=hidden, num_hidden_layers=layers))
    model.save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=Path, metavar="DIR")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=1024)
    options = parser.parse_args()
    if options.random:
        random(options.random, options.layers, options.hidden)
    else:
        committed()


if __name__ == "__main__":
    main()
