#!/usr/bin/env python3
"""The training step of bench_loops' LSTM in JAX (lax.scan), torch.compile and PyTorch's nn.LSTM.

    tests/bench/peers_loops.py build/release/bin/bench_loops

One thread; each round measures Arete and the peers once, and the ratios' medians are printed. Needs
torch and jax.
"""

import os
import statistics
import subprocess
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import jax
import jax.numpy as jnp
import numpy as np
import torch

STEPS, BATCH, SYMBOLS, HIDDEN = 50, 16, 32, 128
ROUNDS = 5

torch.set_num_threads(1)
rng = np.random.default_rng(1)
x = rng.random((STEPS, BATCH, SYMBOLS), dtype=np.float32)
y = np.zeros((STEPS, BATCH), dtype=np.int64)
shapes = {"wx": (SYMBOLS, 4 * HIDDEN), "wh": (HIDDEN, 4 * HIDDEN), "b": (4 * HIDDEN,),
          "wy": (HIDDEN, SYMBOLS)}
weights = {k: rng.normal(0, 0.1, s).astype(np.float32) for k, s in shapes.items()}


def median_ms(run, times=60):
    all_ms = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        all_ms.append(1e3 * (time.perf_counter() - start))
    return statistics.median(all_ms)


def jax_loss(p, x, y):
    def cell(state, row):
        h, c = state
        i, f, o, g = jnp.split(row @ p["wx"] + h @ p["wh"] + p["b"], 4, 1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((BATCH, HIDDEN))
    _, states = jax.lax.scan(cell, (zero, zero), x)
    logits = jax.nn.log_softmax(states.reshape(-1, HIDDEN) @ p["wy"])
    return -logits[jnp.arange(STEPS * BATCH), y.reshape(-1)].mean()


@jax.jit
def jax_step(p, x, y):
    cost, g = jax.value_and_grad(jax_loss)(p, x, y)
    return cost, {k: p[k] - 0.1 * g[k] for k in p}


def make_jax():
    state = [{k: jnp.array(v) for k, v in weights.items()}]

    def run():
        _, state[0] = jax_step(state[0], x, y)
        jax.block_until_ready(state[0])

    return run


def torch_loss(x, y, wx, wh, b, wy):
    h, c, states = torch.zeros(BATCH, HIDDEN), torch.zeros(BATCH, HIDDEN), []
    for t in range(STEPS):
        i, f, o, g = (x[t] @ wx + h @ wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return torch.nn.functional.cross_entropy(torch.stack(states).reshape(-1, HIDDEN) @ wy, y)


def make_torch_compile():
    parameters = [torch.tensor(weights[k], requires_grad=True) for k in ("wx", "wh", "b", "wy")]
    inputs = torch.tensor(x), torch.tensor(y.reshape(-1))
    compiled = torch.compile(torch_loss)

    def run():
        g = torch.autograd.grad(compiled(*inputs, *parameters), parameters)
        with torch.no_grad():
            for p, d in zip(parameters, g):
                p -= 0.1 * d

    return run


def make_torch_lstm():
    cell, last = torch.nn.LSTM(SYMBOLS, HIDDEN), torch.nn.Linear(HIDDEN, SYMBOLS, bias=False)
    optimizer = torch.optim.SGD([*cell.parameters(), *last.parameters()], lr=0.1)
    inputs, labels = torch.tensor(x), torch.tensor(y.reshape(-1))

    def run():
        optimizer.zero_grad()
        states, _ = cell(inputs)
        torch.nn.functional.cross_entropy(last(states.reshape(-1, HIDDEN)), labels).backward()
        optimizer.step()

    return run


peers = {"JAX lax.scan": make_jax(), "torch.compile": make_torch_compile(),
         "PyTorch nn.LSTM": make_torch_lstm()}
for run in peers.values():
    run()
ours, theirs = [], {name: [] for name in peers}
for _ in range(ROUNDS):
    ours.append(float(subprocess.check_output([sys.argv[1], "--step-only"], text=True)))
    for name, run in peers.items():
        theirs[name].append(median_ms(run))
print(f"Arete {statistics.median(ours):.2f} ms")
for name, times in theirs.items():
    ratio = statistics.median(t / o for t, o in zip(times, ours))
    print(f"{name} {statistics.median(times):.2f} ms, {ratio:.2f} times as long")
