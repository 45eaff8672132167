#!/usr/bin/env python3
"""The demo: train a small language model without and with quantization noise, compress both by three stages, and print
one table of perplexity and bytes. Writes results.json and report.html beside the models."""
import argparse
import html
import json
import os
import sys

import lm_experiment as lm

ROWS = [("dense", "dense fp32"), ("ipq_untuned", "compressed, not finetuned"), ("ipq", "compressed, finetuned")]
SIDES = [("plain", "without noise"), ("noise", "with noise")]


def text_table(results, baseline):
    dense_bytes = results["plain"]["dense"]["bytes"]
    lines = [f"{'model':<28}{'ppl without noise':>19}{'ppl with noise':>16}{'bytes':>14}{'ratio':>9}"]
    for key, label in ROWS:
        plain, noise = results["plain"][key], results["noise"][key]
        lines.append(f"{label:<28}{plain['ppl']:>19.2f}{noise['ppl']:>16.2f}{noise['bytes']:>14,}"
                     f"{dense_bytes / noise['bytes']:>8.1f}x")
    lines.append(f"{'Kneser-Ney 3-gram':<28}{baseline:>19.2f}")
    gain = results["plain"]["ipq"]["ppl"] - results["noise"]["ipq"]["ppl"]
    verdict = "lower" if gain > 0 else "higher"
    lines.append(f"\nAt equal bytes the compressed model trained with noise has a {verdict} perplexity: "
                 f"{results['noise']['ipq']['ppl']:.2f} against {results['plain']['ipq']['ppl']:.2f} "
                 f"(one seed; `make quality-lm` runs three).")
    return "\n".join(lines)


def picture(results):
    """Perplexity against bytes (logarithmic), one line a side."""
    import math
    points = {side: [(results[side][key]["bytes"], results[side][key]["ppl"]) for key, _ in ROWS] for side, _ in SIDES}
    every = [point for side in points.values() for point in side]
    x_low, x_high = math.log10(min(p[0] for p in every)) - 0.1, math.log10(max(p[0] for p in every)) + 0.1
    y_low, y_high = min(p[1] for p in every) * 0.95, max(p[1] for p in every) * 1.05
    left, top, width, height = 70, 20, 600, 320

    def place(point):
        return (left + (math.log10(point[0]) - x_low) / (x_high - x_low) * width,
                top + height - (point[1] - y_low) / (y_high - y_low) * height)

    parts = [f'<svg viewBox="0 0 {left + width + 30} {top + height + 60}" role="img" aria-label="perplexity against bytes">',
             f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>']
    for i in range(5):
        value = y_low + (y_high - y_low) * i / 4
        y = place((10 ** x_low, value))[1]
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
        size = 10 ** (x_low + (x_high - x_low) * i / 4)
        x = place((size, y_low))[0]
        parts.append(f'<text x="{x:.1f}" y="{top + height + 20}" text-anchor="middle">{size / 2**20:.2f} MiB</text>')
    for (side, label), color in zip(SIDES, ("#b5541c", "#1c6bb5")):
        for (key, row), point in zip(ROWS, points[side]):
            x, y = place(point)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{color}"><title>{html.escape(row)} {label}: '
                         f'ppl {point[1]:.2f}, {point[0]:,} bytes</title></circle>')
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points[side]))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="{left + 12}" y="{top + 20 + 18 * (side == "noise")}" fill="{color}">{label}</text>')
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 45}" text-anchor="middle">bytes of the file</text></svg>')
    return "".join(parts)


def write_report(path, results, table, samples):
    sentences = "".join(f"<li>{html.escape(sample)}</li>" for sample in samples)
    page = ("<!doctype html><html lang='en'><meta charset='utf-8'><title>quantnoise demo</title><style>"
            "body{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto;background:#f6f6f6;"
            "padding:1rem;font-size:13px}svg{width:100%;font-size:12px}</style><h1>From text to one small file</h1>"
            "<p>Perplexity on held-out text and bytes of the file, for two language models that differ in the noise option alone.</p>"
            f"<pre>{html.escape(table)}</pre>{picture(results)}<h2>Sampled from the compressed file</h2><ul>{sentences}</ul></html>")
    with open(path, "w", encoding="utf-8") as report:
        report.write(page)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="folder with train.txt, valid.txt, test.txt")
    parser.add_argument("--out", required=True, help="folder for data, models and the report")
    arguments = parser.parse_args()

    recipes = os.path.join(lm.ROOT, "recipes")
    data = os.path.join(arguments.out, "data")
    lm.preprocess(arguments.text, data)
    watch = lm.Stopwatch()
    results = {}
    for side, label in SIDES:
        lm.say(f"\n== {label}")
        results[side] = lm.train_and_compress(
            data, os.path.join(arguments.out, side), os.path.join(recipes, "demo_train.yaml"),
            os.path.join(recipes, "demo_finetune.yaml"), os.path.join(recipes, "demo_ipq.yaml"), lm.NOISE if side == "noise" else [], seed=1)
    lm.say(f"training and compression took {watch.seconds() / 60:.1f} minutes")
    compressed = os.path.join(arguments.out, "noise", "ipq", "model.qn")
    samples = lm.run(["generate", "--path", compressed, "--prompt", "In the beginning", "--prompt", "And he said to them ,",
                      "--prompt", "The king", "--max-len", "30", "--temperature", "0.8", "--seed", "1"],
                     capture=True).strip().splitlines()
    table = text_table(results, lm.kneser_ney(data))
    with open(os.path.join(arguments.out, "results.json"), "w", encoding="utf-8") as output:
        json.dump(results, output, indent=1)
    write_report(os.path.join(arguments.out, "report.html"), results, table, samples)
    print("\n" + table + "\n\nSampled from the compressed file:")
    print("\n".join("  " + sample for sample in samples))
    print(f"\nreport: {os.path.join(arguments.out, 'report.html')}")


if __name__ == "__main__":
    sys.exit(main())
