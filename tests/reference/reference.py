#!/usr/bin/env python3
"""An independent reference for the chapter's networks, in NumPy and float64.

Trains each network on the first 20 mini-batches of the digits in examples/mnist/data and writes the
20 costs to losses.txt, with which tests/end_to_end/test_reference_losses.cpp compares Arete's.
Forward and backward passes are written out by hand here; nothing is derived automatically.

    python3 reference.py           write losses.txt
    python3 reference.py --check   compare the gradients with central differences instead
"""

import argparse
import gzip
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "examples" / "mnist" / "data"
BATCH, STEPS, TRAINING_DIGITS = 10, 20, 8000

# name, filters of the convolutional layers, fully-connected neurons, activation, eta, lambda
NETS = [
    ("shallow", [], [100], "sigmoid", 0.1, 0.0),
    ("basic_conv", [20], [100], "sigmoid", 0.1, 0.0),
    ("dbl_conv", [20, 40], [100], "sigmoid", 0.1, 0.0),
    ("dbl_conv_tanh", [20, 40], [100], "tanh", 0.1, 0.0),
    ("dbl_conv_relu", [20, 40], [100], "relu", 0.03, 0.1),
]

# Activation, and its derivative given its value.
ACTIVATIONS = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(np.float64)),
}


def read_idx(path):
    raw = gzip.open(path).read()
    rank = raw[3]
    sizes = [int.from_bytes(raw[4 + 4 * i: 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def initial(salt, sizes, scale):
    """Values in [-scale/2, scale/2): a hash of the flat index, the same in C++ to the last bit."""
    x = (np.arange(np.prod(sizes), dtype=np.uint64) + 1000003 * salt).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    values = (x.astype(np.float64) / 2.0**32 - 0.5) * scale
    return values.astype(np.float32).astype(np.float64).reshape(sizes)


def windows(x, kh, kw):
    """[n, c, oh, ow, kh, kw]: the patch of x that each output element sees."""
    return np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))


class ConvPool:
    """Valid convolution (the filter flipped), 2x2 max-pooling, bias, activation."""

    def __init__(self, salt, channels, filters, activation):
        self.w = initial(2 * salt, (filters, channels, 5, 5), np.sqrt(12.0 / (channels * 25)))
        self.b = initial(2 * salt + 1, (filters,), 0.2)
        self.act, self.slope = ACTIVATIONS[activation]

    def forward(self, x):
        self.x = x
        flipped = self.w[:, :, ::-1, ::-1]
        conv = np.einsum("nchwuv,fcuv->nfhw", windows(x, 5, 5), flipped, optimize=True)
        n, f, h, w = conv.shape
        cells = conv.reshape(n, f, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        cells = cells.reshape(n, f, h // 2, w // 2, 4)
        self.winner = cells.argmax(axis=-1)  # the first of equal ones
        self.a = self.act(cells.max(axis=-1) + self.b[None, :, None, None])
        return self.a

    def backward(self, g):
        g = g.reshape(self.a.shape) * self.slope(self.a)
        self.db = g.sum(axis=(0, 2, 3))
        n, f, h, w = g.shape
        cells = np.zeros((n, f, h, w, 4))
        np.put_along_axis(cells, self.winner[..., None], g[..., None], axis=-1)
        conv = cells.reshape(n, f, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5)
        conv = conv.reshape(n, f, 2 * h, 2 * w)
        dw = np.einsum("nchwuv,nfhw->fcuv", windows(self.x, 5, 5), conv, optimize=True)
        self.dw = dw[:, :, ::-1, ::-1]
        dx = np.zeros_like(self.x)
        flipped = self.w[:, :, ::-1, ::-1]
        for u in range(5):
            for v in range(5):
                dx[:, :, u:u + 2 * h, v:v + 2 * w] += np.einsum(
                    "nfhw,fc->nchw", conv, flipped[:, :, u, v], optimize=True)
        return dx


class FullyConnected:
    def __init__(self, salt, n_in, n_out, activation):
        self.w = initial(2 * salt, (n_in, n_out), np.sqrt(12.0 / n_in))
        self.b = initial(2 * salt + 1, (n_out,), 0.2)
        self.act, self.slope = ACTIVATIONS[activation]

    def forward(self, x):
        self.x = x.reshape(len(x), -1)
        self.a = self.act(self.x @ self.w + self.b)
        return self.a

    def backward(self, g):
        g = g * self.slope(self.a)
        self.dw, self.db = self.x.T @ g, g.sum(axis=0)
        return g @ self.w.T


class Softmax:
    def __init__(self, salt, n_in, n_out):
        self.w = initial(2 * salt, (n_in, n_out), np.sqrt(12.0 / n_in))
        self.b = initial(2 * salt + 1, (n_out,), 0.2)

    def forward(self, x):
        self.x = x.reshape(len(x), -1)
        z = self.x @ self.w + self.b
        e = np.exp(z - z.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def cost(self, y):
        return -np.log(self.p[np.arange(len(y)), y]).mean()

    def backward(self, y):
        g = self.p.copy()
        g[np.arange(len(y)), y] -= 1
        g /= len(y)
        self.dw, self.db = self.x.T @ g, g.sum(axis=0)
        return g @ self.w.T


class Net:
    def __init__(self, filters, hidden, activation, lmbda):
        self.layers, channels, side = [], 1, 28
        for f in filters:
            self.layers.append(ConvPool(len(self.layers), channels, f, activation))
            channels, side = f, (side - 4) // 2
        n_in = channels * side * side
        for n_out in hidden:
            self.layers.append(FullyConnected(len(self.layers), n_in, n_out, activation))
            n_in = n_out
        self.layers.append(Softmax(len(self.layers), n_in, 10))
        self.decay = lmbda / (TRAINING_DIGITS // BATCH)

    def cost(self, x, y):
        for layer in self.layers:
            x = layer.forward(x)
        squares = sum((layer.w**2).sum() for layer in self.layers)
        return self.layers[-1].cost(y) + 0.5 * self.decay * squares

    def backward(self, y):
        g = y
        for layer in reversed(self.layers):
            g = layer.backward(g)
            layer.dw = layer.dw + self.decay * layer.w

    def step(self, x, y, eta):
        cost = self.cost(x, y)
        self.backward(y)
        for layer in self.layers:
            layer.w = layer.w - eta * layer.dw
            layer.b = layer.b - eta * layer.db
        return cost


def digits():
    images = read_idx(DATA / "digits-10k-images-idx3-ubyte.gz")[:BATCH * STEPS]
    labels = read_idx(DATA / "digits-10k-labels-idx1-ubyte.gz")[:BATCH * STEPS]
    x = (images.astype(np.float32) / np.float32(255)).astype(np.float64)
    return x.reshape(-1, 1, 28, 28), labels.astype(np.int64)


def check(x, y):
    """Largest difference between a gradient and its central difference, per net."""
    for name, filters, hidden, activation, _, lmbda in NETS:
        net = Net(filters, hidden, activation, lmbda)
        net.cost(x[:BATCH], y[:BATCH])
        net.backward(y[:BATCH])
        random, worst = np.random.default_rng(0), 0.0
        for layer in net.layers:
            for value, slope in ((layer.w, layer.dw), (layer.b, layer.db)):
                for _ in range(5):
                    at = tuple(random.integers(0, s) for s in value.shape)
                    old, h, costs = value[at], 1e-6, []
                    for sign in (1, -1):
                        value[at] = old + sign * h
                        costs.append(net.cost(x[:BATCH], y[:BATCH]))
                    value[at] = old
                    worst = max(worst, abs((costs[0] - costs[1]) / (2 * h) - slope[at]))
        print(f"{name}: largest difference {worst:.2e}")
        assert worst < 1e-7


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="check the gradients")
    arguments = parser.parse_args()
    x, y = digits()
    if arguments.check:
        check(x, y)
        return
    lines = ["# net, then the cost of each of the first 20 mini-batches; written by reference.py"]
    for name, filters, hidden, activation, eta, lmbda in NETS:
        net = Net(filters, hidden, activation, lmbda)
        costs = []
        for k in range(STEPS):
            rows = slice(k * BATCH, (k + 1) * BATCH)
            costs.append(net.step(x[rows], y[rows], eta))
        lines.append(" ".join([name] + [f"{c:.9f}" for c in costs]))
    (HERE / "losses.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
