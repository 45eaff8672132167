"""Golden values of affine quantization by torch: fake quantization, the grids of its min-max observers, and the squared
errors that its histogram observer reaches.

Inputs are drawn by a formula in exact arithmetic, so that they need not be stored: u(seed, i) is the splitmix64 hash of
seed · 2^32 + i as a fraction of 2^53; a normal number is the sum of twelve of them less 6.

Usage: affine.py [OUTPUT_FOLDER]   writes affine.json
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import torch
from torch.ao.quantization.observer import HistogramObserver, MinMaxObserver, PerChannelMinMaxObserver

DISTRIBUTIONS = {
    "gaussian": lambda g, i: g,
    "heavy": lambda g, i: g * g * g,
    "relu": lambda g, i: np.maximum(g, 0.0),
    "positive": lambda g, i: g * g,
    "shifted": lambda g, i: 0.001 * (g + 10),
    "outliers": lambda g, i: g * np.where(i % 500 == 7, 40, 1),
}


def uniform(seed, i):
    """i: array of uint64; arithmetic modulo 2^64."""
    z = (np.uint64(seed << 32) + i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(distribution, seed, count):
    i = np.arange(count, dtype=np.uint64)
    g = np.zeros(count)
    for j in range(12):
        g = g + uniform(seed, np.uint64(12) * i + np.uint64(j))
    return torch.from_numpy(DISTRIBUTIONS[distribution](g - 6, i).astype(np.float32))


def floats(tensor):
    return [float(value) for value in tensor.reshape(-1)]


def per_tensor(name, x, scale, zero_point, bits):
    y = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 2**bits - 1)
    return {"name": name, "bits": bits, "axis": -1, "shape": list(x.shape), "x": floats(x), "y": floats(y),
            "scales": floats(torch.tensor([scale], dtype=torch.float32)), "zero_points": [zero_point]}


def per_channel(name, x, scales, zero_points, axis, bits):
    y = torch.fake_quantize_per_channel_affine(x, scales, zero_points, axis, 0, 2**bits - 1)
    return {"name": name, "bits": bits, "axis": axis, "shape": list(x.shape), "x": floats(x), "y": floats(y),
            "scales": floats(scales), "zero_points": zero_points.tolist()}


def fake_quantization():
    x = draw("heavy", 3, 300)
    # Ends, halves between codes, what lies far outside, zeros of both signs.
    special = torch.tensor([0.0, -0.0, 0.25, 0.5, 0.75, 1.0, 1.25, -0.25, -0.75, 63.5, 64.0, -64.0, 1000.0, -1000.0, 1e6,
                            -1e6, 1e-30, -1e-30], dtype=torch.float32)
    cases = [per_tensor("a range in use", x, 0.037, 121, 8), per_tensor("positive", x, 0.05, 0, 8),
             per_tensor("negative", x, 0.05, 255, 8), per_tensor("exact halves", special, 0.5, 128, 8),
             per_tensor("four bits", x, 0.6, 7, 4), per_tensor("two bits", x, 1.1, 2, 2)]
    for axis, shape in ((0, (6, 40)), (1, (30, 8)), (1, (5, 4, 12))):
        weight = draw("gaussian", 11 + axis + len(shape), 240).reshape(shape)
        observer = PerChannelMinMaxObserver(ch_axis=axis, dtype=torch.quint8)
        # Half the weight sets the range, all of it is quantized: some values clip.
        observer(weight * 0.5)
        scales, zero_points = observer.calculate_qparams()
        cases.append(per_channel(f"channels of axis {axis}, {len(shape)} dimensions", weight, scales,
                                 zero_points.to(torch.int32), axis, 8))
    return cases


def rows():
    """Dynamic quantization: every row on the grid of its own extremes."""
    cases = []
    for name, x in (("gaussian", draw("gaussian", 21, 320).reshape(8, 40)), ("relu", draw("relu", 22, 320).reshape(8, 40)),
                    ("rows of many sizes", draw("heavy", 23, 320).reshape(8, 40) * torch.logspace(-3, 3, 8).unsqueeze(1))):
        observer = PerChannelMinMaxObserver(ch_axis=0, dtype=torch.quint8)
        observer(x)
        scales, zero_points = observer.calculate_qparams()
        cases.append(per_channel(name, x, scales, zero_points.to(torch.int32), 0, 8))
    return cases


def min_max_ranges():
    cases = []
    for distribution in DISTRIBUTIONS:
        x = draw(distribution, 31, 600)
        # Symmetric grids of fewer bits have another zero point in torch: (2^bits - 1) // 2.
        for bits, symmetric in ((8, False), (4, False), (2, False), (8, True)):
            scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
            limits = {} if bits == 8 else {"quant_min": 0, "quant_max": 2**bits - 1}
            observer = MinMaxObserver(dtype=torch.quint8, qscheme=scheme, **limits)
            observer(x)
            scale, zero_point = observer.calculate_qparams()
            cases.append({"distribution": distribution, "seed": 31, "count": 600, "bits": bits, "symmetric": symmetric,
                          "scale": float(scale), "zero_point": int(zero_point)})
    return cases


def histogram_error(batches, bits):
    observer = HistogramObserver(dtype=torch.quint8, quant_min=0, quant_max=2**bits - 1)
    for batch in batches:
        observer(batch)
    scale, zero_point = observer.calculate_qparams()
    x = torch.cat(batches)
    y = torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), 0, 2**bits - 1)
    return float(((x.double() - y.double()) ** 2).sum())


def histogram_ranges(sizes):
    cases = []
    for number, distribution in enumerate(DISTRIBUTIONS):
        for num_batches, count in sizes:
            seed = 100 + number
            batches = [draw(distribution, seed + 50 * b, count) * 2.0 ** (b % 3) for b in range(num_batches)]
            for bits in (8, 4, 2):
                cases.append({"distribution": distribution, "seed": seed, "count": count, "num_batches": num_batches,
                              "bits": bits, "squared_error": histogram_error(batches, bits)})
    return cases


def main():
    warnings.simplefilter("ignore")
    np.seterr(over="ignore")
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    # Who sees bins alone, as observers of activations do, cannot foresee how a few thousand single values round: that is
    # compared on more of them.
    result = {"weight_histograms": histogram_ranges([(1, 6000), (5, 2000)]),
              "activation_histograms": histogram_ranges([(1, 200000), (5, 40000)]),
              "draws": {name: floats(draw(name, 1, 16)) for name in DISTRIBUTIONS}, "fake_quantization": fake_quantization(),
              "rows": rows(), "min_max_ranges": min_max_ranges()}
    (folder / "affine.json").write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
