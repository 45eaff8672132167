#!/usr/bin/env python3
"""int8 and int4 on the text of `make demo`: after training, with noise in training, and quantization-aware training (rate 1).

One dense model is trained for each seed. From it every row trains on for the same number of updates, with noise of its own;
the rows without noise share one such run and quantize its result. Learning rate, then noise rate, of every row are chosen by
the validation perplexity of the quantized model, on the first seed. Two more rows compress the model without noise to product
codes, by the stages and the finetuning of `make demo`: with fp16 centroids, and with centroids and inputs of int8. Finished
runs are kept in --out: an interrupted experiment goes on where it stopped."""
import argparse
import json
import os
import sys

import lm_experiment as lm

LEARNING_RATES = ["3e-4", "1e-3"]
NOISE_RATES = ["0.5", "0.8"]
GRIDS = {"int8": ["--scalar-bits", "8", "--scalar-method", "histogram"],
         "int4": ["--scalar-bits", "4", "--scalar-method", "histogram"],
         "int4 per channel": ["--scalar-bits", "4", "--scalar-method", "channel"]}
PRODUCT_CODES = {"iPQ": [], "iPQ + int8": ["--pq-centroid-type", "int8", "--scalar-act-bits", "8"]}
KINDS = {"post-training": None, "noise": NOISE_RATES, "QAT": ["1"]}


class Experiment:
    def __init__(self, data, out):
        self.data, self.out = data, out

    def base(self, seed):
        """The dense model that every row of this seed goes on from."""
        folder = os.path.join(self.out, f"seed{seed}", "base")

        def train():
            lm.run(["train", self.data, "--config", recipe("scalar_base.yaml"), "--seed", seed, "--save-dir", folder])
            return os.path.join(folder, "model.qn")
        return lm.remembered(folder, "result", train)

    def trained_on(self, seed, learning_rate, rate=None, grid=None):
        """The model trained on from the base, with noise on the grid when there is a rate: path, perplexities, bytes."""
        name = f"lr{learning_rate}" + (f"_{grid.replace(' ', '_')}_p{rate}" if rate else "")
        folder = os.path.join(self.out, f"seed{seed}", name)

        def train():
            noise = ["--quant-noise-scalar", rate] + GRIDS[grid] if rate else []
            lm.run(["train", self.data, "--config", recipe("scalar_continue.yaml"), "--seed", seed, "--save-dir", folder, "--lr",
                    learning_rate, "--finetune-from-model", self.base(seed)] + noise)
            return self.measured(os.path.join(folder, "model.qn"))
        return lm.remembered(folder, "result", train)

    def quantized(self, seed, learning_rate, grid):
        """The model trained on without noise, quantized afterwards."""
        folder = os.path.join(self.out, f"seed{seed}", f"lr{learning_rate}")

        def quantize():
            path = os.path.join(folder, grid.replace(" ", "_") + ".qn")
            lm.run(["quantize", self.trained_on(seed, learning_rate)["path"], "--scheme", grid.split()[0], "--calibrate", self.data,
                    "-o", path] + GRIDS[grid][2:])
            return self.measured(path)
        return lm.remembered(folder, grid.replace(" ", "_"), quantize)

    def product_codes(self, seed, learning_rate, scheme):
        """The model trained on without noise, compressed to product codes in three finetuned stages."""
        folder = os.path.join(self.out, f"seed{seed}", scheme.replace(" ", ""))

        def train():
            lm.run(["train", self.data, "--config", recipe("demo_finetune.yaml"), "--seed", seed, "--save-dir", folder, "--restore-file",
                    self.trained_on(seed, learning_rate)["path"], "--quantization-config-path", recipe("demo_ipq.yaml")] +
                   PRODUCT_CODES[scheme])
            return self.measured(os.path.join(folder, "model.qn"))
        return lm.remembered(folder, "result", train)

    def measured(self, path):
        valid, test = lm.evaluate(self.data, path, "valid"), lm.evaluate(self.data, path, "test")
        return {"path": path, "bytes": valid["bytes"], "valid": valid["ppl"], "test": test["ppl"]}

    def run(self, seed, grid, kind, learning_rate, rate):
        if grid is None:
            return self.trained_on(seed, learning_rate)
        if KINDS[kind] is None:
            return self.quantized(seed, learning_rate, grid)
        return self.trained_on(seed, learning_rate, rate, grid)

    def best(self, grid, kind):
        """(learning rate, noise rate) of a row, by the first seed."""
        rates = (KINDS[kind] if kind else None) or [None]
        score = lambda learning_rate, rate: self.run(1, grid, kind, learning_rate, rate)["valid"]
        learning_rate = min(LEARNING_RATES, key=lambda lr: score(lr, rates[0]))
        return learning_rate, min(rates, key=lambda rate: score(learning_rate, rate))


def recipe(name):
    return os.path.join(lm.ROOT, "recipes", name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with train.txt, valid.txt, test.txt")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    data = os.path.join(arguments.out, "data")
    lm.preprocess(arguments.text, data)
    experiment = Experiment(data, arguments.out)
    table = []
    for grid, kind in [(None, None)] + [(grid, kind) for grid in GRIDS for kind in KINDS]:
        learning_rate, rate = experiment.best(grid, kind)
        runs = [experiment.run(seed, grid, kind, learning_rate, rate) for seed in range(1, arguments.seeds + 1)]
        table.append({"grid": grid or "dense fp32", "kind": kind or "", "lr": learning_rate, "rate": rate, "runs": runs})
    dense_rate = table[0]["lr"]
    for scheme in PRODUCT_CODES:
        runs = [experiment.product_codes(seed, dense_rate, scheme) for seed in range(1, arguments.seeds + 1)]
        table.append({"grid": scheme, "kind": "finetuned", "lr": dense_rate, "rate": None, "runs": runs})
    with open(os.path.join(arguments.out, "results.json"), "w", encoding="utf-8") as output:
        json.dump(table, output, indent=1)

    dense = lm.mean([run["test"] for run in table[0]["runs"]])
    print("| weights | training | rate | lr | perplexity | against dense | bytes |\n|---|---|---|---|---|---|---|")
    for row in table:
        values = [run["test"] for run in row["runs"]]
        print(f"| {row['grid']} | {row['kind'] or 'no noise'} | {row['rate'] or '–'} | {row['lr']} | {lm.mean_and_spread(values)} | "
              f"{100 * (lm.mean(values) / dense - 1):+.2f} % | {row['runs'][0]['bytes']:,} |")
    print_gains(table)


def print_gains(table):
    """How much lower each trained row is than its weights quantized after training. The runs of a seed go on from one model, so
    the difference is taken seed by seed."""
    tests = {(row["grid"], row["kind"]): [run["test"] for run in row["runs"]] for row in table}
    print("\n| weights | training | lower than post-training, by seed | mean |\n|---|---|---|---|")
    for grid in GRIDS:
        for kind in [kind for kind, rates in KINDS.items() if rates]:
            gains = [after - trained for after, trained in zip(tests[grid, "post-training"], tests[grid, kind])]
            print(f"| {grid} | {kind} | {', '.join(f'{gain:.2f}' for gain in gains)} | {lm.mean_and_spread(gains)} |")


if __name__ == "__main__":
    sys.exit(main())
