"""The chapter's nets in PyTorch and JAX, for tests/bench/compare, which runs this file in a process
of its own for each peer:

    peers.py PEER NET BATCH THREADS train|test
"""

import json
import statistics
import sys
import time

# As in examples/mnist/nets.cpp: filters, fully-connected neurons, activation, dropout, lambda.
NETS = {
    "shallow": ([], [100], "sigmoid", 0.0, 0.0),
    "basic_conv": ([20], [100], "sigmoid", 0.0, 0.0),
    "omit_fc": ([20], [], "sigmoid", 0.0, 0.0),
    "dbl_conv": ([20, 40], [100], "sigmoid", 0.0, 0.0),
    "dbl_conv_tanh": ([20, 40], [100], "tanh", 0.0, 0.0),
    "dbl_conv_relu": ([20, 40], [100], "relu", 0.0, 0.1),
    "dropout": ([20, 40], [1000, 1000], "relu", 0.5, 0.0),
    "ciresan": ([], [2500, 2000, 1500, 1000, 500], "tanh", 0.0, 0.0),
}
BATCHES, ETA = 20, 1e-4  # as in bench_step


# Each maker returns step(i), which trains or tests on mini-batch i and waits for the result.

def initial(filters, hidden):
    """Weights N(0, 1/n_in), biases N(0, 1) and softmax zeros; a convolution is [f, c, 5, 5]."""
    import numpy as np
    random = np.random.default_rng(1)
    params, channels, side = [], 1, 28
    for f in filters:
        params += [random.normal(0, (channels * 25) ** -0.5, (f, channels, 5, 5)),
                   random.normal(0, 1, f)]
        channels, side = f, (side - 4) // 2
    n_in = channels * side * side
    for n in hidden:
        params += [random.normal(0, n_in ** -0.5, (n_in, n)), random.normal(0, 1, n)]
        n_in = n
    params += [np.zeros((n_in, 10)), np.zeros(10)]
    return [p.astype(np.float32) for p in params]


def random_data(batch):
    import numpy as np
    random = np.random.default_rng(2)
    rows = BATCHES * batch
    return (random.random((rows, 784), np.float32),
            random.permutation(rows) % 10)


def torch_step(net, batch, threads, inference, compiled):
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    filters, hidden, activation, p_dropout, lmbda = NETS[net]
    act = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[activation]
    params = [torch.from_numpy(p).requires_grad_() for p in initial(filters, hidden)]
    weights = params[::2]
    data_x, data_y = random_data(batch)
    data_x, data_y = torch.from_numpy(data_x), torch.from_numpy(data_y)
    decay = lmbda / BATCHES

    def logits(x, *params):
        params = iter(params)
        if filters:
            x = x.view(batch, 1, 28, 28)
        for _ in filters:
            w, b = next(params), next(params)
            x = act(F.max_pool2d(F.conv2d(x, w), 2) + b.view(1, -1, 1, 1))
        x = x.reshape(batch, -1)
        for k in range(len(hidden) + 1):
            w, b = next(params), next(params)
            if p_dropout:
                x = x * (1 - p_dropout) if inference else F.dropout(x, p_dropout)
            x = torch.addmm(b, x, w)
            if k < len(hidden):
                x = act(x)
        return x

    def cost(x, y, *params):
        return F.cross_entropy(logits(x, *params), y)

    def accuracy(x, y, *params):
        return (logits(x, *params).argmax(1) == y).float().mean()

    def update(params, grads):
        # The L2 term's gradient goes in here, as in torch.optim.SGD: faster than in the cost.
        grads = list(grads)
        if decay:
            torch._foreach_add_(grads[::2], weights, alpha=decay)
        torch._foreach_add_(params, grads, alpha=-ETA)

    if compiled:
        cost, update = torch.compile(cost), torch.compile(update)
        accuracy = torch.compile(accuracy)

    def rows(i):
        return data_x[i * batch:(i + 1) * batch], data_y[i * batch:(i + 1) * batch]

    def test(i):
        with torch.inference_mode():
            return accuracy(*rows(i), *params).item()

    def train(i):
        x, y = rows(i)
        c = cost(x, y, *params)
        grads = torch.autograd.grad(c, params)
        with torch.no_grad():
            update(params, grads)
        return c.item()

    return test if inference else train


def jax_step(net, batch, inference):
    import jax
    import jax.numpy as jnp
    from jax import lax
    filters, hidden, activation, p_dropout, lmbda = NETS[net]
    act = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}[activation]
    data_x, data_y = map(jnp.asarray, random_data(batch))

    def logits(params, x, key):
        params = iter(params)
        if filters:
            x = x.reshape(batch, 1, 28, 28)
        for _ in filters:
            w, b = next(params), next(params)
            z = lax.conv_general_dilated(x, w, (1, 1), "VALID",
                                         dimension_numbers=("NCHW", "OIHW", "NCHW"))
            z = lax.reduce_window(z, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            x = act(z + b[None, :, None, None])
        x = x.reshape(batch, -1)
        for k in range(len(hidden) + 1):
            w, b = next(params), next(params)
            if p_dropout and inference:
                x = x * (1 - p_dropout)
            elif p_dropout:
                mask = jax.random.bernoulli(jax.random.fold_in(key, k), 1 - p_dropout, x.shape)
                x = x * mask / (1 - p_dropout)
            x = x @ w + b
            if k < len(hidden):
                x = act(x)
        return x

    def cost(params, x, y, key):
        log_p = jax.nn.log_softmax(logits(params, x, key))
        nll = -jnp.mean(jnp.take_along_axis(log_p, y[:, None], 1))
        squares = sum(jnp.sum(w * w) for w in params[::2])
        return nll + 0.5 * lmbda / BATCHES * squares if lmbda else nll

    def rows(i, *data):
        return [lax.dynamic_slice_in_dim(d, i * batch, batch) for d in data]

    def test(params, i, data_x, data_y):
        x, y = rows(i, data_x, data_y)
        return jnp.mean(jnp.argmax(logits(params, x, None), 1) == y)

    def train(params, key, i, data_x, data_y):
        x, y = rows(i, data_x, data_y)
        key, now = jax.random.split(key) if p_dropout else (key, key)
        c, grads = jax.value_and_grad(cost)(params, x, y, now)
        return [p - ETA * g for p, g in zip(params, grads)], key, c

    test, train = jax.jit(test), jax.jit(train, donate_argnums=0)
    state = [[jnp.asarray(p) for p in initial(filters, hidden)], jax.random.key(1)]

    def test_step(i):
        return float(test(state[0], i, data_x, data_y))

    def train_step(i):
        state[0], state[1], c = train(state[0], state[1], i, data_x, data_y)
        jax.block_until_ready(state[0])
        return float(c)

    return test_step if inference else train_step


def work(peer, net, batch, threads, inference):
    """A peer's process: answers each line on its input, a number of seconds, with a measurement."""
    begin = time.perf_counter()
    if peer == "jax":
        import jax as library
        step = jax_step(net, batch, inference)
    else:
        import torch as library
        step = torch_step(net, batch, threads, inference, peer == "torch-compile")
    for i in range(BATCHES):
        step(i)
    print(json.dumps({"version": library.__version__.split("+")[0],
                      "ready_s": time.perf_counter() - begin}), flush=True)
    for line in sys.stdin:
        times, i, end = [], 0, time.perf_counter() + float(line)
        while len(times) < 20 or time.perf_counter() < end:
            start = time.perf_counter()
            step(i % BATCHES)
            times.append(time.perf_counter() - start)
            i += 1
        print(json.dumps({"median_us": 1e6 * statistics.median(times)}), flush=True)


if __name__ == "__main__":
    peer, net, batch, threads, mode = sys.argv[1:]
    work(peer, net, int(batch), int(threads), mode == "test")
