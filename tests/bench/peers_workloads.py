"""The graphs of workloads.cpp in PyTorch and JAX, as their users would write them.

    peers_workloads.py PEER THREADS     PEER is torch, torch-compile or jax

For each line of the input, the JSON that bench_workloads --serve printed, with its folder as
"folder": prepares the workload, checks its values, and prints how far they are off and what it took
to compile. A line that is a number measures what was prepared last for as many seconds.
"""

import json
import math
import statistics
import sys
import time

import numpy as np

PEER, THREADS = sys.argv[1], int(sys.argv[2])
DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64}
SQRT_HALF, GELU = 0.70710678118654752, 0.7978845608028654

if PEER == "jax":
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as xp
else:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(THREADS)
    xp = torch


def black_scholes(s, k, t):
    erf = jax.scipy.special.erf if PEER == "jax" else torch.erf
    spread = 0.3 * xp.sqrt(t)
    d1 = (xp.log(s / k) + (0.02 + 0.045) * t) / spread
    return (s * 0.5 * (1 + erf(d1 * SQRT_HALF))
            - k * xp.exp(-0.02 * t) * 0.5 * (1 + erf((d1 - spread) * SQRT_HALF)))


def sigmoid(x):
    return jax.nn.sigmoid(x) if PEER == "jax" else torch.sigmoid(x)


def gelu(x):
    if PEER == "jax":
        return jax.nn.gelu(x, approximate=True)
    return F.gelu(x, approximate="tanh")


def softmax(x):
    return jax.nn.softmax(x, -1) if PEER == "jax" else torch.softmax(x, -1)


def layer_norm(x, scale, shift):
    if PEER != "jax":
        return F.layer_norm(x, x.shape[-1:], scale, shift)
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / xp.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + shift


def batch_norm(x, scale, shift):
    if PEER != "jax":
        return F.batch_norm(x, None, None, scale, shift, training=True)
    axes = (0, 2, 3)
    normal = (x - x.mean(axes, keepdims=True)) / xp.sqrt(x.var(axes, keepdims=True) + 1e-5)
    return normal * scale[:, None, None] + shift[:, None, None]


def cross_entropy(logits, y):
    if PEER != "jax":
        return F.cross_entropy(logits, y)
    return -jax.nn.log_softmax(logits)[xp.arange(y.shape[0]), y].mean()


def conv(padding, step=1, groups=1, dilation=1):
    def run(x, w):
        if PEER != "jax":
            return F.conv2d(x, w, None, step, padding, dilation, groups)
        return jax.lax.conv_general_dilated(x, w, (step, step), [(padding, padding)] * 2,
                                            rhs_dilation=(dilation, dilation),
                                            feature_group_count=groups)
    return run


def square_sum(f):
    return lambda *x: (f(*x) ** 2).sum()


def mean_square(f):
    return lambda *x: (f(*x) ** 2).mean()


def attend(x, w, b, t, heads, d):
    qkv = (x @ w).reshape(b, t, 3, heads, d)
    if PEER == "jax":
        q, k, v = (qkv[:, :, i] for i in range(3))
        out = jax.nn.dot_product_attention(q, k, v)
        return out.reshape(b * t, heads * d)
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b * t, heads * d)


def transformer(x, qkv, out, up, down, s1, h1, s2, h2):
    mixed = x + attend(layer_norm(x, s1, h1), qkv, 4, 128, 4, 64) @ out
    result = mixed + gelu(layer_norm(mixed, s2, h2) @ up) @ down
    return (result ** 2).mean()


def lstm(x, wx, wh, bias):
    def cell(h, c, row):
        sums = row @ wx + h @ wh + bias
        i, f, o, g = (sums[:, k * 128:(k + 1) * 128] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * xp.tanh(g)
        return sigmoid(o) * xp.tanh(c), c

    if PEER == "jax":
        zero = xp.zeros((16, 128), x.dtype)

        def step(state, row):
            state = cell(*state, row)
            return state, state[0]
        states = jax.lax.scan(step, (zero, zero), x)[1]
        return (states ** 2).mean()
    # nn.LSTM's own kernel; its gates are i, f, g, o.
    order = torch.cat([torch.arange(0, 256), torch.arange(384, 512), torch.arange(256, 384)])
    zero = torch.zeros(1, 16, 128)
    weights = [wx.T[order], wh.T[order], bias[order], torch.zeros(512)]
    states = torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, False)[0]
    return (states ** 2).mean()


def gru(x, wx, wh, bias):
    h = xp.zeros((16, 128), dtype=x.dtype)
    for t in range(20):
        a, b = x[t] @ wx + bias, h @ wh
        part = lambda e, k: e[:, k * 128:(k + 1) * 128]  # noqa: E731
        r, z = sigmoid(part(a, 0) + part(b, 0)), sigmoid(part(a, 1) + part(b, 1))
        h = z * h + (1 - z) * xp.tanh(part(a, 2) + r * part(b, 2))
    return (h ** 2).mean()


def cat(parts, axis=0):
    return xp.concatenate(parts, axis) if PEER == "jax" else torch.cat(parts, axis)


def heat(u):
    up, down = cat([u[:1], u[:-1]]), cat([u[1:], u[-1:]])
    left, right = cat([u[:, :1], u[:, :-1]], 1), cat([u[:, 1:], u[:, -1:]], 1)
    return u + 0.1 * (up + down + left + right - 4 * u)


def ring(u):
    if PEER == "jax":
        return u * 0.5 + 0.25 * (xp.roll(u, 1) + xp.roll(u, -1))
    return u * 0.5 + 0.25 * (torch.roll(u, 1) + torch.roll(u, -1))


def blur(x):
    p = xp.pad(x, 1) if PEER == "jax" else F.pad(x, (1, 1, 1, 1))
    return sum(p[i:i + 1000, j:j + 1000] for i in range(3) for j in range(3)) / 9


def n_body(x):
    d = x[:, None] - x[None]
    return (1 / xp.sqrt((d ** 2).sum(2) + 0.01)).sum()


def logistic(x, y, w, b):
    p = sigmoid(x @ w + b)
    return (-y * xp.log(p) - (1 - y) * xp.log(1 - p)).mean()


def mlp(x, y, w1, b1, w2, b2):
    return cross_entropy(xp.maximum(x @ w1 + b1, xp.zeros_like(b1)) @ w2 + b2, y)


def multiply_add(x, y):
    return x * 2 + y


def swish(x, y):
    return x * sigmoid(x) + y


def matmul(a, b):
    return a @ b


def variance(x):
    return x.var(1) if PEER == "jax" else x.var(1, unbiased=False)


def conv_both(name, f):
    return {name: f, name + "_gradient": square_sum(f)}


WORKLOADS = {
    **{f"multiply_add_{n}": multiply_add for n in ("1e3", "1e5", "1e7")},
    **{f"swish_{n}": swish for n in ("1e3", "1e5", "1e7")},
    "black_scholes_f32": black_scholes,
    "black_scholes_f64": black_scholes,
    "gelu_gradient_1e6": lambda x: gelu(x).sum(),
    "sum_rows": lambda x: x.sum(1),
    "sum_columns": lambda x: x.sum(0),
    "sum_all_1e7": lambda x: x.sum(),
    "variance_rows_f64": variance,
    "layer_norm": layer_norm,
    "layer_norm_gradient": lambda x, s, h: (layer_norm(x, s, h) ** 2 * x).sum(),
    "batch_norm_gradient": lambda x, s, h: (batch_norm(x, s, h) ** 2 * x).sum(),
    "softmax_1000": softmax,
    "cross_entropy_10": cross_entropy,
    "cross_entropy_50000": cross_entropy,
    **{name: matmul for name in ("product_nn_1024", "product_f64_1024", "product_odd",
                                 "product_odd_f64", "product_tall", "product_wide",
                                 "matrix_vector", "vector_matrix", "batched_product")},
    "product_nt_1024": lambda a, b: a @ b.T,
    "product_tn_1024": lambda a, b: a.T @ b,
    "conv_1x1": conv(0),
    **conv_both("conv_3x3", conv(1)),
    **conv_both("conv_3x3_stride2", conv(1, 2)),
    "conv_3x3_512": conv(1),
    "conv_5x5_gradient": square_sum(conv(0)),
    "conv_7x7_stride2": conv(3, 2),
    "conv_depthwise": conv(1, 1, 128),
    "conv_grouped": conv(1, 1, 4),
    "conv_dilated": conv(2, 1, 1, 2),
    "attention": lambda x, w: attend(x, w, 8, 128, 4, 64),
    "attention_gradient": mean_square(lambda x, w: attend(x, w, 8, 128, 4, 64)),
    "transformer_step": transformer,
    "lstm_step": lstm,
    "gru_step": gru,
    "embedding_step": lambda table, rows, g: (table[rows] * g).sum(),
    "embedding_forward": lambda table, rows: table[rows],
    "heat_1000": heat,
    "heat_gradient_500": square_sum(heat),
    "ring_1e6": lambda u: ring(ring(u)),
    "blur_1000": blur,
    "n_body_gradient": n_body,
    "logistic_regression_step": logistic,
    "mlp_step": mlp,
    "mlp_step_256": mlp,
}


def embedding_sparse(table, rows, g):
    """As a PyTorch user writes it: a sparse gradient."""
    return (F.embedding(rows, table, sparse=True) * g).sum()


def prepare_torch(work, arrays):
    f, kind, wrt = WORKLOADS[work["name"]], work["kind"], work["wrt"]
    if work["name"] == "embedding_step":
        f = embedding_sparse
    x = [torch.from_numpy(a.copy()) for a in arrays]
    if work["group"] == "convolution":
        x = [a.to(memory_format=torch.channels_last) for a in x]
    if PEER == "torch-compile":
        torch._dynamo.reset()
        f = torch.compile(f)
    if kind == "forward":
        def run():
            with torch.no_grad():
                return [f(*x)]
        return run
    for k in wrt:
        x[k].requires_grad_()
    if kind == "gradient":
        def run():
            cost = f(*x)
            return [cost, *torch.autograd.grad(cost, [x[k] for k in wrt])]
        return run
    optimizer = torch.optim.SGD([x[k] for k in wrt], 0.001)

    def run():
        optimizer.zero_grad()
        cost = f(*x)
        cost.backward()
        optimizer.step()
        return [cost, *(x[k] for k in wrt)]
    return run


def prepare_jax(work, arrays):
    f, kind, wrt = WORKLOADS[work["name"]], work["kind"], tuple(work["wrt"])
    x = [xp.asarray(a) for a in arrays]
    if kind == "forward":
        g = jax.jit(f)
        return lambda: [jax.block_until_ready(g(*x))]
    slopes = jax.value_and_grad(f, wrt)
    if kind == "gradient":
        def both(*x):
            cost, g = slopes(*x)
            return [cost, *g]
        compiled = jax.jit(both)
        return lambda: jax.block_until_ready(compiled(*x))

    def step(*x):
        cost, g = slopes(*x)
        return [cost, *(x[k] - (0.001 * d).astype(x[k].dtype) for k, d in zip(wrt, g))]
    compiled = jax.jit(step, donate_argnums=wrt)

    def run():
        out = jax.block_until_ready(compiled(*x))
        for k, new in zip(wrt, out[1:]):
            x[k] = new
        return out
    return run


def read(folder, name, about):
    a = np.fromfile(f"{folder}/{name}.bin", DTYPES[about["dtype"]])
    return a.reshape(about["shape"])


def distance(got, want):
    """Largest difference, relative to the largest value."""
    got = np.asarray(got.detach() if hasattr(got, "detach") else got, np.float64)
    if got.shape != want.shape:
        return math.inf
    size = max(float(np.abs(want).max(initial=0)), 1e-30)
    return float(np.abs(got - want).max(initial=0)) / size


def main():
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        if not isinstance(request, dict):
            times, end = [], time.perf_counter() + request
            while len(times) < 3 or time.perf_counter() < end:
                start = time.perf_counter()
                run()
                times.append(1e6 * (time.perf_counter() - start))
            print(json.dumps(statistics.median(times)), flush=True)
            continue
        arrays = [read(request["folder"], f"x{k}", a) for k, a in enumerate(request["inputs"])]
        try:
            run = (prepare_jax if PEER == "jax" else prepare_torch)(request, arrays)
            start = time.perf_counter()
            out = run()
            ms = 1e3 * (time.perf_counter() - start)
            wrong = max(distance(got, read(request["folder"], f"y{k}", a))
                        for k, (got, a) in enumerate(zip(out, request["outputs"])))
            answer = {"off": wrong, "compile_ms": ms}
        except Exception as e:  # noqa: BLE001 - what a peer cannot do is left out, and said
            answer = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}
        print(json.dumps(answer), flush=True)


main()
