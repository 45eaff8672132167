#!/usr/bin/env python3
"""Three seeds of the experiment of `make demo`, on more text and longer, without and with noise: does noise pay at equal bytes?

Prints one row a seed and the means; results.json holds all numbers. A finished side is not run again, so an
interrupted run goes on where it stopped."""
import argparse
import json
import os
import sys

import lm_experiment as lm


def one_side(arguments, data, seed, noise):
    folder = os.path.join(arguments.out, f"seed{seed}", "noise" if noise else "plain")
    recipes = os.path.join(lm.ROOT, "recipes")
    return lm.remembered(folder, "result", lambda: lm.train_and_compress(
        data, folder, os.path.join(recipes, "quality_train.yaml"), os.path.join(recipes, "quality_finetune.yaml"),
        os.path.join(recipes, "demo_ipq.yaml"), lm.NOISE if noise else [], seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with train.txt, valid.txt, test.txt")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    data = os.path.join(arguments.out, "data")
    lm.preprocess(arguments.text, data)
    seeds = range(1, arguments.seeds + 1)
    results = {seed: {"plain": one_side(arguments, data, seed, False), "noise": one_side(arguments, data, seed, True)}
               for seed in seeds}
    with open(os.path.join(arguments.out, "results.json"), "w", encoding="utf-8") as output:
        json.dump(results, output, indent=1)

    print(f"{'seed':<6}" + "".join(f"{row + ' ' + side:>20}" for row in ("dense", "ipq_untuned", "ipq")
                                   for side in ("plain", "noise")))
    for seed in seeds:
        print(f"{seed:<6}" + "".join(f"{results[seed][side][row]['ppl']:>20.2f}"
                                     for row in ("dense", "ipq_untuned", "ipq") for side in ("plain", "noise")))
    plain = [results[seed]["plain"]["ipq"]["ppl"] for seed in seeds]
    noise = [results[seed]["noise"]["ipq"]["ppl"] for seed in seeds]
    gain = lm.mean(plain) - lm.mean(noise)
    widest = max(lm.spread(plain), lm.spread(noise))
    sizes = {results[seed][side]["ipq"]["bytes"] for seed in seeds for side in ("plain", "noise")}
    print(f"\ncompressed and finetuned: {lm.mean_and_spread(plain)} without noise, "
          f"{lm.mean_and_spread(noise)} with noise; gain {gain:.2f}, twice the spread {2 * widest:.2f}")
    print(f"bytes: {min(sizes):,} to {max(sizes):,}; Kneser-Ney 3-gram on the same text: {lm.kneser_ney(data):.2f}")


if __name__ == "__main__":
    sys.exit(main())
