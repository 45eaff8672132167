"""Golden updates: AdamW and SGD by torch; fairseq's Adam (fairseq/optim/adam.py) and NAG (fairseq/optim/nag.py) restated
in double precision.

Usage: optimizers.py [OUTPUT_FOLDER]   writes optimizers.json
"""
import json
import math
import pathlib
import random
import sys

import torch

STEPS = 6


class FairseqAdam:
    def __init__(self, parameter, betas, eps, weight_decay):
        self.p, self.betas, self.eps, self.decay = parameter, betas, eps, weight_decay
        self.m, self.v, self.t = torch.zeros_like(parameter), torch.zeros_like(parameter), 0

    def step(self, grad, lr):
        b1, b2 = self.betas
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * grad
        self.v = b2 * self.v + (1 - b2) * grad * grad
        self.p = self.p - self.decay * lr * self.p
        size = lr * math.sqrt(1 - b2 ** self.t) / (1 - b1 ** self.t)
        self.p = self.p - size * self.m / (self.v.sqrt() + self.eps)


class FairseqNag:
    def __init__(self, parameter, momentum, weight_decay, first_lr):
        self.p, self.momentum, self.decay, self.lr_old = parameter, momentum, weight_decay, first_lr
        self.buffer = torch.zeros_like(parameter)

    def step(self, grad, lr):
        correction = lr / self.lr_old if self.lr_old > 0 else lr
        if self.decay:
            self.p = self.p * (1 - lr * self.decay)
        self.p = self.p + self.momentum ** 2 * correction * self.buffer - (1 + self.momentum) * lr * grad
        self.buffer = self.momentum * correction * self.buffer - lr * grad
        self.lr_old = lr


class Torch:
    def __init__(self, parameter, make):
        self.leaf = torch.nn.Parameter(parameter.clone())
        self.optimizer = make([self.leaf])

    @property
    def p(self):
        return self.leaf.detach()

    def step(self, grad, lr):
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.leaf.grad = grad.clone()
        self.optimizer.step()


def make(name, o, parameter, first_lr):
    betas, eps, decay = (o.get("beta1", 0.9), o.get("beta2", 0.999)), o.get("eps", 1e-8), o.get("weight_decay", 0.0)
    if name == "adam":
        return FairseqAdam(parameter, betas, eps, decay)
    if name == "nag":
        return FairseqNag(parameter, o.get("momentum", 0.99), decay, first_lr)
    if name == "adamw":
        return Torch(parameter, lambda p: torch.optim.AdamW(p, lr=first_lr, betas=betas, eps=eps, weight_decay=decay))
    return Torch(parameter, lambda p: torch.optim.SGD(p, lr=first_lr, momentum=o.get("momentum", 0.0),
                                                      weight_decay=decay))


CASES = [("adamw", {}), ("adamw", {"beta2": 0.98, "eps": 1e-6, "weight_decay": 0.1}), ("adam", {}),
         ("adam", {"beta1": 0.8, "beta2": 0.98, "eps": 1e-3, "weight_decay": 0.01}), ("nag", {}),
         ("nag", {"momentum": 0.9, "weight_decay": 0.05}), ("sgd", {}), ("sgd", {"momentum": 0.9, "weight_decay": 0.02})]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    rng = random.Random(5)
    start = [rng.uniform(-1, 1) for _ in range(12)]
    gradients = [[rng.gauss(0, 0.3) for _ in start] for _ in range(STEPS)]
    rates = [0.01, 0.02, 0.05, 0.05, 0.03, 0.0]
    cases = []
    for name, options in CASES:
        optimizer = make(name, options, torch.tensor(start, dtype=torch.float64), rates[0])
        values = []
        for gradient, lr in zip(gradients, rates):
            optimizer.step(torch.tensor(gradient, dtype=torch.float64), lr)
            values.append(optimizer.p.tolist())
        cases.append({"name": name, "options": options, "values": values})
    (folder / "optimizers.json").write_text(
        json.dumps({"start": start, "gradients": gradients, "lr": rates, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
