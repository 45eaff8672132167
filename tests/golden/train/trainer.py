"""Golden updates of a whole trainer: gradients of several batches are summed, divided by all targets, clipped, applied
(fairseq/trainer.py), by torch in double precision. The model is a table of logits: row = token seen.

Usage: trainer.py [OUTPUT_FOLDER]   writes trainer.json
"""
import json
import pathlib
import random
import sys

import torch

VOCABULARY, PAD = 7, 1


def make_batch(rng, sentences, length):
    batch = []
    for _ in range(sentences):
        used = rng.randint(1, length)
        tokens = [rng.randint(2, VOCABULARY - 1) for _ in range(used + 1)]
        batch.append({"tokens": tokens[:-1] + [PAD] * (length - used), "target": tokens[1:] + [PAD] * (length - used)})
    return batch


def run(start, updates, clip_norm, per_sentence):
    table = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = torch.optim.SGD([table], lr=0.5)
    results = []
    for batches in updates:
        optimizer.zero_grad()
        size = tokens = 0
        total = 0.0
        for batch in batches:
            source = torch.tensor([s["tokens"] for s in batch])
            target = torch.tensor([s["target"] for s in batch])
            loss = torch.nn.functional.cross_entropy(table[source].reshape(-1, VOCABULARY), target.reshape(-1),
                                                     ignore_index=PAD, reduction="sum")
            loss.backward()
            total += loss.item()
            tokens += int((target != PAD).sum())
            size += len(batch) if per_sentence else int((target != PAD).sum())
        table.grad /= size
        norm = torch.nn.utils.get_total_norm([table.grad]).item()
        if clip_norm > 0:
            table.grad *= min(1.0, clip_norm / (norm + 1e-6))
        optimizer.step()
        results.append({"loss": total, "sample_size": size, "tokens": tokens, "norm": norm,
                        "table": table.detach().tolist()})
    return results


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(12)
    start = [[rng.gauss(0, 1) for _ in range(VOCABULARY)] for _ in range(VOCABULARY)]
    updates = [[make_batch(rng, rng.randint(1, 3), rng.randint(2, 5)) for _ in range(count)] for count in [1, 3, 2]]
    cases = [{"clip_norm": clip, "sentence_avg": per_sentence, "results": run(start, updates, clip, per_sentence)}
             for clip, per_sentence in [(0.0, False), (0.1, False), (100.0, False), (0.2, True)]]
    (folder / "trainer.json").write_text(json.dumps({"start": start, "updates": updates, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
