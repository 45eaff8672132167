#!/usr/bin/env python3
"""WikiText-2 by kinds of noise: dense, compressed and finetuned perplexity, and bytes, of a model with room to spare.

Rows: no noise; `pq` (blocks dropped), `mean`, `pq-exact` noise; quantization-aware training (`pq-exact` at rate 1); layer sharing
and pruning on top of `pq`. The validation perplexity of the compressed and finetuned model chooses every row's learning rate, in
runs of a quarter of the length (whole ones where those are within a hundredth of each other), and then its noise rate, in whole
runs (short ones prefer weak noise); without noise and with `pq` three seeds. --length trains the rows of the table longer, with
the rates chosen so. As many runs at a time as the machine has cores, one thread each; what a run says is in its folder. Each
finished run is kept in --out: an interrupted experiment goes on where it stopped. Five and a half hours on two cores."""
import argparse
import glob
import json
import lzma
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import lm_experiment as lm

LEARNING_RATES = ["2e-3", "4e-3"]
NOISE_RATES = ["0.05", "0.02", "0.1"]
# Short runs whose perplexities are within this factor leave the choice to whole ones.
NEAR = 1.01
# Of recipes/wiki2_train.yaml.
TRAIN_UPDATES, WARMUP_UPDATES = 16000, 400


def train_length(factor):
    """Options that make the recipe's training `factor` times as long: the learning rate falls to the last update."""
    updates = round(TRAIN_UPDATES * factor)
    return ["--max-update", str(updates), "--lr-period-updates", str(updates - WARMUP_UPDATES)]


# Runs that choose the learning rate: a quarter of the updates.
SHORT_TRAIN = train_length(1 / 4)
SHORT_FINETUNE = ["--max-update", "1125", "--lr-period-updates", "375"]
RECIPES = ("wiki2_train.yaml", "wiki2_ipq.yaml", "wiki2_finetune.yaml")
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
        embeddings = rate if rate == "1" else str(float(rate) / 2)  # as in `make quality-lm`
        return ["--quant-noise-kind", self.kind, "--quant-noise-pq", rate, "--quant-noise-pq-embeddings", embeddings,
                "--quant-noise-pq-block-size", "8"]


ROWS = [
    Row("no noise", seeds=SEEDS),
    Row("pq", "pq", NOISE_RATES, seeds=SEEDS),
    Row("mean", "mean", NOISE_RATES),
    Row("pq-exact", "pq-exact", NOISE_RATES),
    Row("QAT", "pq-exact", ("1",)),
    Row("pq, sharing", "pq", NOISE_RATES, model=["--share-layers", "2"]),
    Row("pq, pruning", "pq", NOISE_RATES, train=["--decoder-layerdrop", "0.2"], keep="0,2"),
]


def open_split(source, split):
    """Bytes of a split's text."""
    for name, opener in ((split + ".txt.xz", lzma.open), (split + ".txt", open)):
        path = os.path.join(source, name)
        if os.path.exists(path):
            return opener(path, "rb")
    sys.exit(f"error: --text {source}: found neither {split}.txt nor {split}.txt.xz")


def unpack_text(source, folder):
    """The three splits as plain text; .xz files are unpacked."""
    os.makedirs(folder, exist_ok=True)
    for split in ("train", "valid", "test"):
        target = os.path.join(folder, split + ".txt")
        if os.path.exists(target):
            continue
        with open_split(source, split) as text, open(target + ".part", "wb") as output:
            shutil.copyfileobj(text, output)
        os.replace(target + ".part", target)


def require_same_recipes(folder):
    """Results of other recipes are never taken for those of these."""
    recipes = {"short": [SHORT_TRAIN, SHORT_FINETUNE]}
    for name in RECIPES:
        with open(os.path.join(lm.ROOT, "recipes", name), encoding="utf-8") as recipe:
            recipes[name] = recipe.read()
    unknown = not os.path.exists(os.path.join(folder, "recipes.json")) and glob.glob(os.path.join(folder, "*", "result.json"))
    if unknown or lm.remembered(folder, "recipes", lambda: recipes) != recipes:
        sys.exit(f"error: --out {folder}: found results of other or unknown recipes (recipes.json), expected those of {', '.join(RECIPES)}; "
                 "hint: take another folder")


def preprocess(text, data):
    if not os.path.exists(os.path.join(data, "test.bin")):
        lm.run(["preprocess", "--only-source", "--workers", "2", "--destdir", data] +
               [word for split in ("train", "valid", "test")
                for word in (f"--{split}pref", os.path.join(text, split + ".txt"))])


class Run:
    """One model of a row: trained, compressed, finetuned, measured, with one thread. `length`: times the updates of the
    recipe's training, or "short"."""

    def __init__(self, data, out, row, rate, learning_rate, seed, length):
        self.data, self.row, self.rate, self.learning_rate, self.seed, self.length = data, row, rate, learning_rate, seed, length
        self.short = length == "short"
        name = f"{row.name}_p{rate or 0}_lr{learning_rate}_seed{seed}" + (f"_{length}" if length != 1 else "")
        self.folder = os.path.join(out, name.replace(", ", "_").replace(" ", "_"))

    def result(self):
        """{"valid": perplexity of the finetuned model, "test": {step: {"bytes", "ppl"}}}; without "test" where short."""
        return lm.remembered(self.folder, "result", self.compute)

    def compute(self):
        os.makedirs(self.folder, exist_ok=True)
        watch = lm.Stopwatch()
        with open(os.path.join(self.folder, "log"), "w", encoding="utf-8") as log:
            result = self.measured(self.make_files(log), log)
        for leftover in ("dense", "ipq"):
            shutil.rmtree(os.path.join(self.folder, leftover))
        lm.say(f"{self.folder}: {watch.seconds():.0f} s, finetuned {result['valid']:.2f} on validation")
        return result

    def make_files(self, log):
        recipe = lambda name: os.path.join(lm.ROOT, "recipes", name)
        dense_folder, ipq_folder = os.path.join(self.folder, "dense"), os.path.join(self.folder, "ipq")
        files = {"dense": os.path.join(dense_folder, "model.qn"), "ipq_untuned": os.path.join(self.folder, "ipq_untuned.qn"),
                 "ipq": os.path.join(ipq_folder, "model.qn")}
        common = ["--seed", self.seed, "--threads", "1"]
        noise = self.row.noise(self.rate)
        lm.run(["train", self.data, "--config", recipe("wiki2_train.yaml"), "--lr", self.learning_rate, "--save-dir", dense_folder] +
               common + self.row.model + self.row.train + noise + (SHORT_TRAIN if self.short else train_length(self.length)), log=log)
        if self.row.keep:
            whole, files["dense"] = files["dense"], os.path.join(self.folder, "pruned.qn")
            lm.run(["export", whole, "--decoder-layers-to-keep", self.row.keep, "-o", files["dense"]], log=log)
        lm.run(["quantize", files["dense"], "--config", recipe("wiki2_ipq.yaml"), "-o", files["ipq_untuned"]] + common, log=log)
        lm.run(["train", self.data, "--config", recipe("wiki2_finetune.yaml"), "--save-dir", ipq_folder, "--restore-file",
                files["dense"], "--quantization-config-path", recipe("wiki2_ipq.yaml")] + common + noise +
               (SHORT_FINETUNE if self.short else []), log=log)
        return files

    def measured(self, files, log):
        evaluate = lambda step, subset: lm.evaluate(self.data, files[step], subset, log, ["--threads", "1"])
        result = {"valid": evaluate("ipq", "valid")["ppl"]}
        if not self.short:
            result["test"] = {step: evaluate(step, "test") for step in STEPS}
        return result


class Experiment:
    def __init__(self, data, out, jobs):
        self.data, self.out, self.jobs = data, out, jobs

    def results(self, *runs):
        """What the runs give, in their order; each of `runs`: (row, rate, learning rate, seed, length)."""
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(Run(self.data, self.out, *run).result) for run in runs]
            try:
                return [one.result() for one in waiting]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def scores(self, tried):
        """{(row, value): validation perplexity}; tried: {(row, value): run}."""
        return {key: result["valid"] for key, result in zip(tried, self.results(*tried.values()))}

    def learning_rates(self, rows):
        """{row: learning rate}"""
        short = self.scores({(row, rate): (row, row.rates[0], rate, 1, "short") for row in rows for rate in LEARNING_RATES})
        best = lowest(short)
        near = [key for key, score in short.items() if score <= NEAR * short[key[0], best[key[0]]]]
        undecided = [row for row in rows if sum(key[0] is row for key in near) > 1]
        whole = self.scores({(row, rate): (row, row.rates[0], rate, 1, 1) for row, rate in near if row in undecided})
        return best | lowest(whole)

    def table(self, rows, length):
        """{row name: {"rate", "lr", "runs"}}"""
        rates = self.learning_rates(rows)
        noise = lowest(self.scores({(row, rate): (row, rate, rates[row], 1, 1) for row in rows for rate in row.rates}))
        keys = [(row, noise[row], rates[row], seed, length) for row in rows for seed in row.seeds]
        table = {row.name: {"rate": noise[row], "lr": rates[row], "runs": []} for row in rows}
        for key, result in zip(keys, self.results(*keys)):
            table[key[0].name]["runs"].append(result)
        return table


def lowest(scores):
    """{row: value of the lowest score}; scores: {(row, value): score}."""
    return {row: value for (row, value), _ in sorted(scores.items(), key=lambda item: -item[1])}


def table_line(name, rate, learning_rate, results):
    cells = [lm.mean_and_spread([result["test"][step]["ppl"] for result in results]) for step in STEPS]
    return (f"| {name} | {rate or '–'} | {learning_rate} | {cells[0]} | {results[0]['test']['dense']['bytes']:,} | {cells[1]} | "
            f"**{cells[2]}** | {results[0]['test']['ipq']['bytes']:,} |")


def rows_named(names):
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            sys.exit(f"error: --rows: found '{name}', expected some of: {'; '.join(known)}")
    return [known[name] for name in names]


def length_factor(text):
    factor = float(text)
    if not 0.1 <= factor <= 100:
        raise argparse.ArgumentTypeError(f"found {text}, expected 0.1 to 100")
    return factor


def print_gain(found):
    """What `pq` gains on no noise, seed by seed: both begin with the same weights and see the same batches."""
    plain, noise = ([run["test"]["ipq"]["ppl"] for run in found[name]["runs"]] for name in ("no noise", "pq"))
    gains = [without - with_noise for without, with_noise in zip(plain, noise)]
    print(f"\nfinetuned: {lm.mean_and_spread(plain)} without noise, {lm.mean_and_spread(noise)} with pq noise; "
          f"gain seed by seed {', '.join(f'{gain:.2f}' for gain in gains)}: {lm.mean_and_spread(gains)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with the tokenized WikiText-2: train.txt, valid.txt, test.txt, or .xz of them")
    parser.add_argument("--out", required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, one thread each")
    parser.add_argument("--rows", type=lambda text: text.split(";"), default=[row.name for row in ROWS],
                        help="some of the rows only: their names with ';' in between")
    parser.add_argument("--length", type=length_factor, default=1, help="times the updates of the recipe's training, for the rows of the table")
    arguments = parser.parse_args()

    rows = rows_named(arguments.rows)
    require_same_recipes(arguments.out)
    data = os.path.join(arguments.out, "data")
    unpack_text(arguments.text, os.path.join(arguments.out, "text"))
    preprocess(os.path.join(arguments.out, "text"), data)
    found = Experiment(data, arguments.out, arguments.jobs).table(rows, arguments.length)
    with open(os.path.join(arguments.out, "results.json"), "w", encoding="utf-8") as output:
        json.dump(found, output, indent=1)

    print("| noise | rate | lr | dense | bytes | compressed | finetuned | bytes |\n|---|---|---|---|---|---|---|---|")
    for name, row in found.items():
        print(table_line(name, row["rate"], row["lr"], row["runs"]))
    if {"no noise", "pq"} <= set(found):
        print_gain(found)


if __name__ == "__main__":
    sys.exit(main())
