#!/usr/bin/env python3
"""PyTorch's results of what networks are made of: normalisations, attention, recurrent cells, for
tests/ops/test_composites.cpp.

    venv/bin/pip install torch numpy
    venv/bin/python networks.py        writes networks.txt

The lines are those that composites.py describes.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

CASES = []
rng = np.random.default_rng(7)


def line(kind, a):
    a = a.numpy() if isinstance(a, torch.Tensor) else a
    return f"{kind} f64 {','.join(map(str, a.shape)) or '-'} {' '.join(float(v).hex() for v in a.ravel())}"


def case(name, inputs, outputs):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    CASES.append("\n".join([f"case {name}"] + [line("in", a) for a in inputs] + [line("out", a) for a in outputs]))


def normal(*sizes):
    return torch.from_numpy(np.round(rng.normal(size=sizes), 2))


x, images = normal(3, 7), normal(2, 4, 3, 2)
case("layer_norm", [x], F.layer_norm(x, (7,)))
w, b = normal(3, 2), normal(3, 2)
case("layer_norm of two axes", [images, w, b], F.layer_norm(images, (3, 2), w, b, 1e-3))
w = normal(7)
case("rms_norm", [x, w], F.rms_norm(x, (7,), w, 1e-6))
w, b, mean, deviation = normal(4), normal(4), normal(4), normal(4)
case("batch_norm", [images, w, b],
     [F.batch_norm(images, None, None, w, b, training=True), images.mean((0, 2, 3)), images.var((0, 2, 3), unbiased=False)])
case("batch_norm_inference", [images, w, b, mean, deviation], F.batch_norm(images, mean, deviation**2, w, b))
case("group_norm", [images, w, b], F.group_norm(images, 2, w, b))
case("instance_norm", [images, w, b], F.instance_norm(images, weight=w, bias=b))
case("local_response_norm", [images], F.local_response_norm(images, 3, 0.1, 0.75, 2))

q, k, v, mask = normal(2, 2, 3, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 3), normal(2, 1, 3, 5)
case("attention", [q, k, v], F.scaled_dot_product_attention(q, k, v))
square = [normal(2, 2, 4, 4) for _ in range(3)]
case("attention causal", square, F.scaled_dot_product_attention(*square, is_causal=True))
case("attention masked", [q, k, v, mask], F.scaled_dot_product_attention(q, k, v, attn_mask=mask > 0, scale=0.3))
case("attention biased", [q, k, v, mask], F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
many = normal(2, 6, 3, 4)
case("attention of groups", [many, k, v], F.scaled_dot_product_attention(many, k, v, enable_gqa=True))

turned, angles = normal(2, 3, 6), normal(3, 3)
planes = torch.polar(torch.ones_like(angles), angles)
case("rotary_embedding interleaved", [turned, angles],
     torch.view_as_real(torch.view_as_complex(turned.reshape(2, 3, 3, 2)) * planes).reshape(2, 3, 6))
halves = torch.complex(turned[..., :3].contiguous(), turned[..., 3:].contiguous()) * planes
case("rotary_embedding", [turned, angles], torch.cat([halves.real, halves.imag], -1))

n, i, s = 3, 4, 2
step, h, c = normal(n, i), normal(n, s), normal(n, s)
for name, gates in (("lstm_cell", 4), ("gru_cell", 3)):
    w, u, b, d = normal(gates * s, i), normal(gates * s, s), normal(gates * s), normal(gates * s)
    if gates == 4:
        cell = torch.nn.LSTMCell(i, s, dtype=torch.float64)
        d = torch.zeros_like(d)
    else:
        cell = torch.nn.GRUCell(i, s, dtype=torch.float64)
    with torch.no_grad():
        for p, value in zip((cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh), (w, u, b, d)):
            p.copy_(value)
        if gates == 4:
            case(name, [step, h, c, w, u, b], cell(step, (h, c)))
        else:
            case(name, [step, h, w, u, b, d], cell(step, h))

sound, filters = normal(2, 4, 9), normal(3, 4, 3)
case("conv1d", [sound, filters], F.conv1d(sound, filters, padding=2, stride=2, dilation=2))
filters = normal(6, 2, 3)
case("conv1d half in groups", [sound, filters], F.conv1d(sound, filters, padding=1, groups=2))
case("pool1d", [sound], F.max_pool1d(sound, 3, 2, 1))

text = "# PyTorch's results; written by networks.py.\n"
(pathlib.Path(__file__).resolve().parent / "networks.txt").write_text(text + "\n".join(CASES) + "\n")
