"""Golden learning rates: fairseq's schedules (fairseq/optim/lr_scheduler/), restated in plain Python; reduce_lr_on_plateau
by torch itself.

Usage: schedules.py [OUTPUT_FOLDER]   writes schedules.json
"""
import json
import math
import pathlib
import sys

import torch


def warmup(start, end, updates, n):
    return start + n * ((end - start) / updates)


def cosine(o, n):
    high, low = o["lr"][0], min(o.get("min_lr", 0.0), o["lr"][0])
    warm = o.get("warmup_updates", 0)
    start = o.get("warmup_init_lr", -1)
    start = low if start < 0 else start
    if n < warm:
        return warmup(start, high, warm, n)
    period = o.get("lr_period_updates", o.get("max_update", 0) - warm)
    growth, shrink, c = o.get("t_mult", 1.0), o.get("lr_shrink", 0.1), n - warm
    # Walks through the periods instead of solving for them.
    i, begin, length = 0, 0.0, period
    while c >= begin + length:
        begin, length, i = begin + length, length * growth, i + 1
    low, high = low * shrink ** i, high * shrink ** i
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * (c - begin) / length))


def inverse_sqrt(o, n):
    warm, end = o.get("warmup_updates", 4000), o["lr"][0]
    start = max(o.get("warmup_init_lr", -1), 0)
    return warmup(start, end, warm, n) if n < warm else end * warm ** 0.5 * n ** -0.5


def polynomial_decay(o, n):
    warm, end = o.get("warmup_updates", 0), o.get("end_learning_rate", 0.0)
    total = o.get("total_num_update", o.get("max_update", 0))
    if warm > 0 and n <= warm:
        return n / warm * o["lr"][0]
    if n >= total:
        return end
    remaining = 1 - (n - warm) / (total - warm)
    return (o["lr"][0] - end) * remaining ** o.get("power", 1.0) + end


def triangular(o, n):
    half = o.get("lr_period_updates", 5000) // 2
    cycle = math.floor(n / (2 * half))
    shrink = o.get("lr_shrink", 0.1) ** cycle
    high, low = o["max_lr"] * shrink, o["lr"][0] * (shrink if o.get("shrink_min") else 1)
    x = abs(n / half - 2 * (cycle + 1) + 1)
    return low + (high - low) * max(0, 1 - x)


def fixed(o, epoch, n):
    anneal = o.get("force_anneal")
    if anneal is None or epoch < anneal:
        lr = o["lr"][min(epoch - 1, len(o["lr"]) - 1)]
    else:
        lr = o["lr"][-1] * o.get("lr_shrink", 0.1) ** (epoch + 1 - anneal)
    warm = o.get("warmup_updates", 0)
    return lr * (n + 1) / warm if n < warm else lr


def plateau(o, metrics):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=o["lr"][0])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if o.get("maximize_metric") else "min", patience=o.get("lr_patience", 0),
        factor=o.get("lr_shrink", 0.1), threshold=o.get("lr_threshold", 1e-4))
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


BY_UPDATE = {"cosine": cosine, "inverse_sqrt": inverse_sqrt, "polynomial_decay": polynomial_decay,
             "triangular": triangular}
CASES = [
    ("cosine", {"lr": [1.0], "min_lr": 1e-4, "warmup_updates": 16000, "warmup_init_lr": 1e-7, "t_mult": 2.0,
                "lr_period_updates": 270000, "lr_shrink": 0.75}),
    ("cosine", {"lr": [0.5], "max_update": 100}),
    ("cosine", {"lr": [0.5], "max_update": 110, "warmup_updates": 10, "min_lr": 0.1}),
    ("cosine", {"lr": [0.5], "lr_period_updates": 20, "t_mult": 3.0, "lr_shrink": 0.5, "min_lr": 0.01}),
    ("cosine", {"lr": [0.5], "lr_period_updates": 25, "lr_shrink": 0.9}),
    ("cosine", {"lr": [1e-5], "min_lr": 1e-4, "lr_period_updates": 50}),
    ("inverse_sqrt", {"lr": [5e-4]}),
    ("inverse_sqrt", {"lr": [5e-4], "warmup_updates": 10, "warmup_init_lr": 1e-7}),
    ("polynomial_decay", {"lr": [2e-5], "warmup_updates": 122, "total_num_update": 2036}),
    ("polynomial_decay", {"lr": [0.1], "max_update": 90, "end_learning_rate": 0.01, "power": 2.0}),
    ("triangular", {"lr": [0.1], "max_lr": 0.9, "lr_period_updates": 41, "lr_shrink": 0.5}),
    ("triangular", {"lr": [0.1], "max_lr": 0.9, "shrink_min": True}),
]
UPDATES = sorted(set(list(range(0, 130)) + [500, 3999, 4000, 4001, 9999, 15999, 16000, 16001, 150000, 285999, 286000,
                                            286001, 900000]))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    cases = [{"name": name, "options": options, "updates": UPDATES,
              "lr": [BY_UPDATE[name](options, n) for n in UPDATES]} for name, options in CASES]
    for options in [{"lr": [0.3, 0.2, 0.1]}, {"lr": [0.3], "force_anneal": 3, "lr_shrink": 0.5},
                    {"lr": [0.3, 0.2], "warmup_updates": 5}]:
        for epoch in range(1, 7):
            cases.append({"name": "fixed", "options": options, "epoch": epoch, "updates": list(range(8)),
                          "lr": [fixed(options, epoch, n) for n in range(8)]})
    metrics = [5.0, 4.0, 4.0, 3.99999, 3.9, 4.2, 4.1, 4.0, 3.0, 3.5, 3.5, 3.5]
    for options in [{"lr": [0.3]}, {"lr": [0.3], "lr_patience": 1, "lr_shrink": 0.5},
                    {"lr": [0.3], "maximize_metric": True, "lr_shrink": 0.5}, {"lr": [1e-8], "lr_shrink": 0.5}]:
        cases.append({"name": "reduce_lr_on_plateau", "options": options, "metrics": metrics,
                      "lr": plateau(options, metrics)})
    (folder / "schedules.json").write_text(json.dumps({"cases": cases}) + "\n")


if __name__ == "__main__":
    main()
