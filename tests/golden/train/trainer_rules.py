"""Golden values of rules around the update: clipping over several tensors, the dynamic loss scale, and the
names of layers after pruning. Restated in plain Python.

Usage: trainer_rules.py [OUTPUT_FOLDER]   writes trainer_rules.json
"""
import json
import math
import pathlib
import random
import sys

import numpy


def clip(gradients, max_norm):
    """One norm over all tensors, in fp32."""
    squares = sum((numpy.square(numpy.float32(g)).sum(dtype=numpy.float32) for g in gradients), numpy.float32(0))
    norm = float(numpy.sqrt(squares))
    factor = 1.0 if max_norm <= 0 else min(1.0, max_norm / (norm + 1e-6))
    return {"max_norm": max_norm, "norm": norm, "factor": factor,
            "clipped": [[float(numpy.float32(x) * numpy.float32(factor)) for x in g] for g in gradients]}


class LossScale:
    """Doubled after `window` good updates in a row, counted from the last overflow; halved on every overflow."""

    def __init__(self, initial, window, threshold=None, smallest=1e-4):
        self.scale, self.window, self.threshold, self.smallest = initial, window, threshold, smallest
        self.iteration, self.last_overflow = 0, -1

    def good(self):
        if (self.iteration - self.last_overflow) % self.window == 0:
            self.scale *= 2
        self.iteration += 1

    def overflow(self):
        """False when there is no smaller scale: the run ends, and the scale stays."""
        next_scale = self.scale / 2 if self.threshold is None else max(self.scale / 2, self.threshold)
        self.last_overflow = self.iteration
        if next_scale <= self.smallest:
            return False
        self.scale = next_scale
        self.iteration += 1
        return True


def loss_scale_case(options, events):
    """events: '.' a good update, 'x' an overflow. The last one ends the run when there is no scale left for it."""
    state = LossScale(options["initial"], options["window"], options.get("threshold"))
    scales, num_updates, ended = [], 0, False
    for event in events:
        assert not ended
        if event == ".":
            state.good()
            num_updates += 1
        else:
            ended = not state.overflow()
        scales.append(state.scale)
    return {"options": options, "events": events, "ended": ended, "scales": scales, "num_updates": num_updates}


def default_window(world_size, update_freq):
    return int(2 ** 14 / world_size / update_freq)


LAYERS = ["fc1.weight", "fc1.bias", "self_attn.k_proj.weight"]
OTHERS = {"decoder": ["decoder.layer_norm.weight", "decoder.embed_tokens.weight", "decoder.adaptive_softmax.head.weight"],
          "encoder": ["encoder.layer_norm.weight", "encoder.embed_positions.weight"]}


def layers_to_keep(side, num_layers, text):
    """Kept layers in rising order get the numbers 0, 1, …; whatever is in no layer stays as it is."""
    kept = sorted(int(number) for number in text.split(","))
    number_of = {old: new for new, old in enumerate(kept)}
    renamed, dropped = {name: name for name in OTHERS[side]}, []
    for layer in range(num_layers):
        for tensor in LAYERS:
            name = f"{side}.layers.{layer}.{tensor}"
            if layer in number_of:
                renamed[name] = f"{side}.layers.{number_of[layer]}.{tensor}"
            else:
                dropped.append(name)
    return {"side": side, "num_layers": num_layers, "layers_to_keep": text, "kept": kept, "num_kept": len(kept),
            "renamed": renamed, "dropped": dropped}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(6)
    gradients = [[float(numpy.float32(rng.gauss(0, scale))) for _ in range(size)]
                 for size, scale in [(5, 1), (1, 0.01), (7, 3), (3, 0)]]
    norm = math.sqrt(sum(x * x for g in gradients for x in g))
    clipping = {"gradients": gradients,
                "cases": [clip(gradients, m) for m in (0.0, -1.0, 0.1, norm, 0.999 * norm, 1.001 * norm, 1e6)]}
    nothing = {"gradients": [[0.0, 0.0], [0.0]], "cases": [clip([[0.0, 0.0], [0.0]], 0.1)]}
    scaling = [loss_scale_case(options, events) for options, events in [
        ({"initial": 128.0, "window": 4}, "." * 17),
        ({"initial": 128.0, "window": 4}, "...x....x.....x...."),
        ({"initial": 128.0, "window": 3}, "xxx......x..x......"),
        ({"initial": 4.0, "window": 2, "threshold": 1.0}, "xxxx....xxxxx.."),
        ({"initial": 0.01, "window": 5}, "xx.xxxxx"),
        ({"initial": 8.0, "window": 1}, "..x..")]]
    windows = [{"world_size": w, "update_freq": u, "window": default_window(w, u)} for w in (1, 3, 8) for u in (1, 2, 3)]
    pruning = [layers_to_keep(*arguments) for arguments in [
        ("decoder", 16, "0,2,4,6,8,10,12,14"), ("decoder", 6, "5,1,3"), ("decoder", 3, "2"), ("decoder", 12, "11,2,10"),
        ("encoder", 4, "0,3"), ("decoder", 3, "0,1,2")]]
    (folder / "trainer_rules.json").write_text(json.dumps(
        {"clipping": [clipping, nothing], "loss_scale": scaling, "loss_scale_windows": windows, "pruning": pruning}) + "\n")


if __name__ == "__main__":
    main()
