#!/usr/bin/env python3
"""WikiText-2 by kinds of noise: dense, compressed and finetuned perplexity, and bytes, of a model with room to spare.

Rows: no noise; `pq` (blocks dropped), `mean`, `pq-exact` noise; quantization-aware training (`pq-exact` at rate 1); layer sharing
and pruning on top of `pq`. Every row's learning rate, then its noise rate, is chosen by the validation perplexity of the
compressed and finetuned model; without noise and with `pq` three seeds. Each finished run is kept in --out: an
interrupted experiment goes on where it stopped. Three to six hours on two cores."""
import argparse
import json
import lzma
import os
import shutil
import sys

import lm_experiment as lm

LEARNING_RATES = ["1e-3", "5e-4"]
NOISE_RATES = ["0.1", "0.05", "0.2"]
STEPS = ("dense", "ipq_untuned", "ipq")
SEEDS = (1, 2, 3)


class Row:
    """One line of the table: which options it trains with, and what it searches."""

    def __init__(self, name, kind=None, rates=(None,), model=(), train=(), keep=None, seeds=(1,)):
        self.name, self.kind, self.rates, self.seeds = name, kind, rates, seeds
        self.model, self.train, self.keep = list(model), list(train), keep

    def noise(self, rate):
        if rate is None:
            return []
        return ["--quant-noise-kind", self.kind, "--quant-noise-pq", rate, "--quant-noise-pq-block-size", "8"]


ROWS = [
    Row("no noise", seeds=SEEDS),
    Row("pq", "pq", NOISE_RATES, seeds=SEEDS),
    Row("mean", "mean", NOISE_RATES),
    Row("pq-exact", "pq-exact", NOISE_RATES),
    Row("QAT", "pq-exact", ("1",)),
    Row("pq, sharing", "pq", ("0.1",), model=["--share-layers", "2"]),
    Row("pq, pruning", "pq", ("0.1",), train=["--decoder-layerdrop", "0.2"], keep="0,2"),
]


def unpack_text(source, folder):
    """The three splits as plain text; .xz files are unpacked."""
    os.makedirs(folder, exist_ok=True)
    for split in ("train", "valid", "test"):
        target = os.path.join(folder, split + ".txt")
        packed = os.path.join(source, split + ".txt.xz")
        if os.path.exists(target):
            continue
        opener = lzma.open if os.path.exists(packed) else open
        with opener(packed if opener is lzma.open else os.path.join(source, split + ".txt"), "rb") as text:
            with open(target, "wb") as output:
                shutil.copyfileobj(text, output)


def preprocess(text, data):
    if not os.path.exists(os.path.join(data, "test.bin")):
        lm.run(["preprocess", "--only-source", "--workers", "2", "--destdir", data] +
               [word for split in ("train", "valid", "test")
                for word in (f"--{split}pref", os.path.join(text, split + ".txt"))])


def pruned(dense, keep, folder):
    path = os.path.join(folder, "pruned.qn")
    lm.run(["export", dense, "--decoder-layers-to-keep", keep, "-o", path])
    return path


def one_run(data, folder, row, rate, learning_rate, seed):
    """{step: {"bytes", "valid", "test"}} of the dense, the compressed and the finetuned model."""
    recipe = lambda name: os.path.join(lm.ROOT, "recipes", name)
    dense_folder, ipq_folder = os.path.join(folder, "dense"), os.path.join(folder, "ipq")
    files = {"dense": os.path.join(dense_folder, "model.qn"), "ipq_untuned": os.path.join(folder, "ipq_untuned.qn"),
             "ipq": os.path.join(ipq_folder, "model.qn")}
    lm.run(["train", data, "--config", recipe("wiki2_train.yaml"), "--lr", learning_rate, "--seed", seed,
            "--save-dir", dense_folder] + row.model + row.train + row.noise(rate))
    if row.keep:
        files["dense"] = pruned(files["dense"], row.keep, folder)
    lm.run(["quantize", files["dense"], "--config", recipe("wiki103_ipq.yaml"), "-o", files["ipq_untuned"], "--seed", seed])
    lm.run(["train", data, "--config", recipe("wiki2_finetune.yaml"), "--seed", seed, "--save-dir", ipq_folder, "--restore-file",
            files["dense"], "--quantization-config-path", recipe("wiki103_ipq.yaml")] + row.noise(rate))
    result = {}
    for step, path in files.items():
        valid, test = lm.evaluate(data, path, "valid"), lm.evaluate(data, path, "test")
        result[step] = {"bytes": valid["bytes"], "valid": valid["ppl"], "test": test["ppl"]}
    for leftover in (dense_folder, ipq_folder):
        shutil.rmtree(leftover)
    return result


class Search:
    def __init__(self, data, out):
        self.data, self.out = data, out

    def run(self, row, rate, learning_rate, seed):
        name = f"{row.name}_p{rate or 0}_lr{learning_rate}_seed{seed}".replace(", ", "_").replace(" ", "_")
        folder = os.path.join(self.out, name)
        return lm.remembered(folder, "result", lambda: one_run(self.data, folder, row, rate, learning_rate, seed))

    def best(self, row):
        """(rate, learning rate): first the learning rate at the first noise rate, then the noise rate."""
        score = lambda rate, learning_rate: self.run(row, rate, learning_rate, 1)["ipq"]["valid"]
        learning_rate = min(LEARNING_RATES, key=lambda lr: score(row.rates[0], lr))
        return min(row.rates, key=lambda rate: score(rate, learning_rate)), learning_rate


def table_line(name, rate, learning_rate, results):
    cells = []
    for step in STEPS:
        values = [result[step]["test"] for result in results]
        spread = f" ± {lm.spread(values):.2f}" if len(values) > 1 else ""
        cells.append(f"{lm.mean(values):.2f}{spread}")
    return (f"| {name} | {rate or '–'} | {learning_rate} | {cells[0]} | {results[0]['dense']['bytes']:,} | {cells[1]} | "
            f"**{cells[2]}** | {results[0]['ipq']['bytes']:,} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with the tokenized WikiText-2: train.txt, valid.txt, test.txt, or .xz of them")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()

    data = os.path.join(arguments.out, "data")
    unpack_text(arguments.text, os.path.join(arguments.out, "text"))
    preprocess(os.path.join(arguments.out, "text"), data)
    search = Search(data, arguments.out)
    found = {}
    for row in ROWS:
        rate, learning_rate = search.best(row)
        found[row.name] = {"rate": rate, "lr": learning_rate,
                           "runs": [search.run(row, rate, learning_rate, seed) for seed in row.seeds]}
    with open(os.path.join(arguments.out, "results.json"), "w", encoding="utf-8") as output:
        json.dump(found, output, indent=1)

    print("| noise | rate | lr | dense | bytes | compressed | finetuned | bytes |\n|---|---|---|---|---|---|---|---|")
    for name, row in found.items():
        print(table_line(name, row["rate"], row["lr"], row["runs"]))
    plain, noise = ([run["ipq"]["test"] for run in found[name]["runs"]] for name in ("no noise", "pq"))
    print(f"\nfinetuned, three seeds: gain of pq noise {lm.mean(plain) - lm.mean(noise):.2f}, "
          f"twice the spread {2 * max(lm.spread(plain), lm.spread(noise)):.2f}")


if __name__ == "__main__":
    sys.exit(main())
