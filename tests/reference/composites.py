#!/usr/bin/env python3
"""NumPy's and SciPy's results of functions that are made of several ops, with which
tests/ops/test_composites.cpp compares Arete's: reductions, movement, products, losses.

    python3 -m venv venv && venv/bin/pip install numpy scipy
    venv/bin/python composites.py        writes composites.txt

A case is a line `case NAME`, then its operands and results, one a line: `in` or `out`, dtype, sizes
with commas, values.
"""

import pathlib
import warnings

import numpy as np
import scipy.special as sc

NAMES = {"float64": "f64", "int64": "i64", "int32": "i32", "bool": "bool", "uint8": "u8"}
CASES = []
rng = np.random.default_rng(42)


def line(kind, a):
    a = np.asarray(a)
    values = " ".join(str(int(v)) if a.dtype.kind in "biu" else float(v).hex() for v in a.ravel())
    return f"{kind} {NAMES[str(a.dtype)]} {','.join(map(str, a.shape)) or '-'} {values}".rstrip()


def case(name, inputs, outputs):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    CASES.append("\n".join([f"case {name}"] + [line("in", a) for a in inputs] + [line("out", a) for a in outputs]))


def normal(*sizes):
    return np.round(rng.normal(size=sizes) * 4, 2)


def integers(*sizes):
    return rng.integers(-9, 10, size=sizes)


x, cube, v, w = normal(4, 5), normal(3, 4, 5), normal(7), normal(6)
ints, empty = integers(4, 5), np.zeros((0, 3))
holes = x.copy()
holes[0, 1] = holes[2, 3] = holes[2, 1] = np.nan
holes[:, 4] = np.nan
zeros_in = x.copy()
zeros_in[1, 2] = zeros_in[3, 0] = 0

# ---- functions
below = np.array([-0.3, -0.5, -1.7, -2.2, -5.6, -20.25, -100.75])
case("i0", [v], sc.i0(v))
case("i1", [x], sc.i1(x))
case("lgamma below 0", [below], sc.gammaln(below))
case("digamma below 0", [below], sc.digamma(below))
case("reciprocal", [v], 1 / v)
case("rsqrt", [np.abs(v)], 1 / np.sqrt(np.abs(v)))

p, q = rng.integers(-60, 60, size=40), rng.integers(-60, 60, size=40)
p[0] = q[0] = p[1] = q[2] = 0
case("gcd", [p, q], np.gcd(p, q))
case("lcm", [p, q], np.lcm(p, q))

# ---- reductions
case("stddev", [x], np.std(x))
case("stddev 0", [x], np.std(x, axis=0))
case("stddev kept", [cube], np.std(cube, axis=(0, 2), keepdims=True))
for order, name in ((0, "0"), (1, "1"), (2, "2"), (3, "3"), (np.inf, "inf"), (-np.inf, "-inf"), (0.5, "half")):
    case(f"norm {name}", [zeros_in], np.linalg.norm(zeros_in, ord=order, axis=1) * 1.0)
case("norm of all", [cube], np.linalg.norm(cube.ravel()))
case("norm of none", [empty], np.linalg.norm(empty, axis=0))
case("norm of integers", [ints], np.linalg.norm(ints.astype(np.float64), axis=0))
case("count_nonzero", [zeros_in], np.count_nonzero(zeros_in))
case("count_nonzero 1", [ints], np.count_nonzero(ints, axis=1, keepdims=True))
case("count_nonzero of none", [empty], np.count_nonzero(empty, axis=0))
case("ptp", [x], np.ptp(x, axis=1))
case("nansum", [holes], np.nansum(holes, axis=0))
case("nanprod", [holes], np.nanprod(holes, axis=1))
with np.errstate(all="ignore"), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    case("nanmean", [holes], np.nanmean(holes, axis=0))
    case("nanmax", [holes], np.nanmax(holes, axis=0))
    case("nanmin", [holes], np.nanmin(holes, axis=0, keepdims=True))
    case("nanmax of integers", [ints], np.nanmax(ints, axis=0))
    case("mean of none", [empty], np.mean(empty, axis=0))
case("sum of none", [empty], np.sum(empty, axis=0))
case("prod of none", [empty], np.prod(empty, axis=0))
case("any of none", [empty], np.any(empty, axis=0))
case("all of none", [empty], np.all(empty, axis=0))
case("argmin", [x], np.argmin(x, axis=1))
case("cumsum", [x], np.cumsum(x, axis=0))
case("cumsum 1", [cube], np.cumsum(cube, axis=1))
case("cumsum -1", [ints], np.cumsum(ints, axis=-1))
case("cumsum of a vector", [v], np.cumsum(v))
case("cumsum of none", [empty], np.cumsum(empty, axis=0))
case("cumprod", [zeros_in], np.cumprod(zeros_in, axis=1))
case("cummax", [x], np.maximum.accumulate(x, axis=0))
case("cummax of holes", [holes], np.maximum.accumulate(holes, axis=0))
case("cummin", [ints], np.minimum.accumulate(ints, axis=1))

# ---- movement
s = normal(6, 4)
case("split", [s], np.split(s, 3))
case("split 1", [s], np.split(s, 2, axis=1))
case("split sizes", [s], np.split(s, [1, 4]))
case("tile", [x], np.tile(x, (2, 3)))
case("tile more", [v], np.tile(v, (2, 1, 2)))
case("tile less", [cube], np.tile(cube, 2))
case("repeat", [x], np.repeat(x, 3))
case("repeat 0", [x], np.repeat(x, 2, axis=0))
case("repeat -1", [cube], np.repeat(cube, 2, axis=-1))
case("flip", [cube], np.flip(cube))
case("flip 1", [cube], np.flip(cube, 1))
case("flip 0 -1", [cube], np.flip(cube, (0, -1)))
case("flip of none", [empty], np.flip(empty))
case("roll", [x], np.roll(x, 3))
case("roll 1", [x], np.roll(x, -2, axis=1))
case("roll far", [x], np.roll(x, 11, axis=0))
case("roll two", [x], np.roll(x, (1, -2), axis=(0, 1)))
case("pad", [x], np.pad(x, ((1, 2), (0, 3))))
case("pad value", [x], np.pad(x, ((2, 0), (1, 1)), constant_values=7.5))
for mode in ("edge", "reflect", "symmetric", "wrap"):
    case(f"pad {mode}", [x], np.pad(x, ((1, 3), (2, 2)), mode=mode))
    short = normal(3)
    case(f"pad {mode} far", [short], np.pad(short, (7, 8), mode=mode))
    one = normal(1, 2)
    case(f"pad {mode} one", [one], np.pad(one, ((2, 1), (1, 1)), mode=mode))
case("pad cube", [cube], np.pad(cube, ((1, 0), (0, 1), (2, 0)), mode="edge"))
case("diag", [v], np.diag(v))
case("diag 2", [v], np.diag(v, 2))
case("diag -1", [v], np.diag(v, -1))
case("diag of a matrix", [x], np.diag(x, 1))
for k in (0, 2, -2, 6, -6):
    case(f"diagonal {k}", [x], np.diagonal(x, k))
case("diagonal of axes", [cube], np.diagonal(cube, 1, axis1=2, axis2=0))
case("trace", [x], np.trace(x))
case("trace of axes", [cube], np.trace(cube, -1, axis1=1, axis2=2))
case("tril", [x], np.tril(x))
case("tril 1", [cube], np.tril(cube, 1))
case("triu -1", [x], np.triu(x, -1))
case("swapaxes", [cube], np.swapaxes(cube, 0, -1))
case("moveaxis", [cube], np.moveaxis(cube, 0, -1))
case("moveaxis two", [cube], np.moveaxis(cube, (0, 2), (1, 0)))
case("meshgrid", [v, w], np.meshgrid(v, w))
case("meshgrid ij", [v, w], np.meshgrid(v, w, indexing="ij"))
labels = np.array([2, 0, 5, -1, 3])
case("one_hot", [labels], (labels[:, None] == np.arange(4)).astype(np.float64))
case("eye", [], np.eye(3))
case("eye 2", [], np.eye(3, 5, 1))
case("ones", [], np.ones((2, 3)))
case("zeros", [], np.zeros((2, 0)))
case("linspace", [], np.linspace(-1.5, 2, 8))
case("linspace open", [], np.linspace(0.0, 1, 5, endpoint=False))
case("linspace one", [], np.linspace(3.0, 9, 1))

# ---- products
a, b = normal(3, 4, 5), normal(5, 4, 2)
case("tensordot", [a, b], np.tensordot(a, b, axes=([1, 2], [1, 0])))
case("tensordot 1", [a, b], np.tensordot(a, b, axes=1))
case("tensordot 0", [v, w], np.tensordot(v, w, axes=0))
case("inner", [cube, x], np.inner(cube, x))
case("inner of vectors", [v, v], np.inner(v, v))
case("outer", [v, w], np.outer(v, w))
m, n = normal(2, 1, 3, 4), normal(5, 4, 2)
case("matmul", [m, n], np.matmul(m, n))
row, column = normal(4), normal(5)
case("matmul of a column", [cube, column], np.matmul(cube, column))
case("matmul of a row", [row, cube], np.matmul(row, cube))
case("matmul of matrices", [x, x.T], np.matmul(x, x.T))
p, q = integers(2, 3, 4), integers(4, 2)
case("matmul of integers", [p, q], np.matmul(p, q))
k1, k2 = normal(2, 3), normal(3, 2)
case("kron", [k1, k2], np.kron(k1, k2))
case("kron of a vector", [w, k1], np.kron(w, k1))

# ---- losses
logits = np.concatenate([normal(12), [40.0, -40.0, 800.0, -800.0]])
targets = rng.integers(0, 2, size=16).astype(np.float64)
soft = np.round(rng.uniform(0, 1, size=16), 3)
case("sigmoid_binary_crossentropy", [logits, soft], np.logaddexp(0, logits) - logits * soft)
case("binary_crossentropy", [np.clip(soft, 0.01, 0.99), targets], sc.xlogy(-targets, np.clip(soft, 0.01, 0.99)) -
     sc.xlog1py(1 - targets, -np.clip(soft, 0.01, 0.99)))
case("huber", [logits, soft], sc.huber(1.0, logits - soft))
case("huber 2.5", [logits, soft], sc.huber(2.5, logits - soft))
signs = 2 * targets - 1
case("hinge", [logits, signs], np.maximum(0, 1 - logits * signs))
distribution = np.round(rng.uniform(0.1, 1, size=(4, 5)), 2)
distribution /= distribution.sum(1, keepdims=True)
other = np.abs(x) + 0.1
other /= other.sum(1, keepdims=True)
sparse = distribution.copy()
sparse[0, 0] = sparse[2, 3] = 0
case("kl_divergence", [sparse, other], sc.rel_entr(sparse, other))
hot = np.eye(5)[[1, 0, 4, 2]]
case("smooth_labels", [hot], hot * 0.9 + 0.1 / 5)

# ---- copies with other elements
HOW = {"set": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def written(a, place, values, how):
    out = a.copy()
    if how == "set":
        out[place] = values  # the last of equal places stays
    else:
        HOW[how].at(out, place, values)
    return out


rows_at, columns_at = np.array([1, -1, 1, 0, 1]), np.array([[0], [4], [-5]])
deep_at = np.array([0, 3, 0, -1])
for how in HOW:
    v1, v2 = normal(2, 3), normal(5, 5)
    case(f"{how} slices", [x, v1], written(x, np.s_[3:0:-2, ::2], v1, how))
    case(f"{how} element", [x, v1[0, 0]], written(x, np.s_[-1, 2], v1[0, 0], how))
    case(f"{how} rows", [x, v2, rows_at], written(x, rows_at, v2, how))
    case(f"{how} number for rows", [x, v1[0, 1], rows_at], written(x, rows_at, v1[0, 1], how))
    case(f"{how} pairs", [x, v2[:3, :4], columns_at, deep_at], written(x, (deep_at, columns_at), v2[:3, :4], how))
    v3, v4 = normal(3, 4), normal(3, 3, 4)
    case(f"{how} behind", [cube, v3, deep_at], written(cube, np.s_[:, deep_at, 1], v3, how))
    case(f"{how} apart", [cube, v3[:, :2], rows_at[:3]],
         written(cube, (rows_at[:3], slice(None, None, 2), rows_at[:3]), v3[:, :2], how))
    case(f"{how} middle", [cube, v4, columns_at, deep_at],
         written(cube, (slice(None), deep_at, columns_at), v4, how))
    elements = np.array([[0, -1, 2, 2], [0, 1, 2, -2]])
    along = np.broadcast_to(np.arange(4), elements.shape)
    case(f"{how} elements", [x, v2[:2, :4], elements], written(x, (elements, along), v2[:2, :4], how))
    case(f"{how} elements along rows", [x, v2[:2, :4], elements],
         written(x, (np.broadcast_to(np.arange(2)[:, None], elements.shape), elements), v2[:2, :4], how))
    where_to = np.array([[1, 2], [-1, 0], [1, 2], [0, -4]])
    case(f"{how} places", [cube, v2[:4], where_to], written(cube, tuple(where_to.T), v2[:4], how))
    whole = integers(5, 5)
    case(f"{how} integers", [ints, whole, rows_at], written(ints, rows_at, whole, how))
    case(f"{how} of nothing", [empty, empty, np.zeros(0, np.int64)], empty)

# ---- orders
odd = np.array([3.5, np.nan, -0.0, 0.0, np.inf, -np.inf, 3.5, -2.0, np.nan, 5e-324, -5e-324, 1e308])
long = np.round(rng.normal(size=1500) * 40)
tied = rng.integers(0, 4, size=(5, 9))
case("sort", [x], np.sort(x))
case("sort columns", [cube], np.sort(cube, axis=1))
case("sort down", [x], -np.sort(-x, axis=0))
case("sort odd", [odd], np.sort(odd))
case("sort of integers", [ints], np.sort(ints, axis=0))
case("argsort", [tied], np.argsort(tied, axis=1, kind="stable"))
case("argsort odd", [odd], np.argsort(odd, kind="stable"))
case("argsort down", [tied], np.argsort(-tied, axis=0, kind="stable"))
case("argsort long", [long], np.argsort(long, kind="stable"))
case("argsort of bytes", [tied.astype(np.uint8)], np.argsort(tied, axis=1, kind="stable"))
case("argsort of extremes", [np.array([0, -2**63, 2**63 - 1, -1, 1, -2**63])], np.array([1, 5, 3, 0, 4, 2]))
order = np.argsort(-tied, axis=1, kind="stable")[:, :3]
case("topk", [tied], [np.take_along_axis(tied, order, 1), order])
order = np.argsort(long, kind="stable")[:7]
case("topk of many", [long], [long[order], order])
edges = np.sort(normal(9))
edges[3] = edges[4]
probes = np.concatenate([edges, normal(12), [np.nan, np.inf, -np.inf]])
case("searchsorted", [edges, probes], np.searchsorted(edges, probes))
case("searchsorted right", [edges, probes], np.searchsorted(edges, probes, side="right"))
with_nan = np.concatenate([edges, [np.nan, np.nan]])
case("searchsorted among nan", [with_nan, probes], np.searchsorted(with_nan, probes))
case("searchsorted right among nan", [with_nan, probes], np.searchsorted(with_nan, probes, side="right"))
case("searchsorted in none", [np.zeros(0), v], np.searchsorted(np.zeros(0), v))
case("searchsorted of integers", [np.sort(tied[0]), tied], np.searchsorted(np.sort(tied[0]), tied))
case("bincount", [tied], np.bincount(tied.ravel(), minlength=6))
heavy = normal(5, 9)
case("bincount of weights", [tied, heavy], np.bincount(tied.ravel(), heavy.ravel(), minlength=4))
case("histogram", [cube], np.histogram(cube, bins=7, range=(-4, 5))[0])
case("histogram of edges", [cube, np.array([-3.0, -1.0, 0.5, 4.0])], np.histogram(cube, bins=[-3.0, -1.0, 0.5, 4.0])[0])
case("histogram at its edges", [np.array([0.0, 1.0, 2.0, 2.5, -0.1, 2.0])], np.histogram([0.0, 1.0, 2.0, 2.5, -0.1, 2.0], bins=2, range=(0, 2))[0])
case("median", [x], np.median(x))
case("median of an odd number", [v], np.median(v))
case("median kept", [cube], np.median(cube, axis=1, keepdims=True))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    case("median with nan", [holes], np.median(holes, axis=1))
for q in (0, 0.1, 0.5, 0.77, 1):
    case(f"quantile {q}", [x], np.quantile(x, q, axis=0))
case("quantile of all", [cube], np.quantile(cube, 0.3))
case("take_along_axis", [x, np.argsort(x, axis=0)[:2]], np.take_along_axis(x, np.argsort(x, axis=0)[:2], 0))
case("take_along_axis of one row", [x, np.array([[1, -1, 0]])], np.take_along_axis(x, np.array([[1, -1, 0]]), 1))
case("gather_nd", [cube, where_to], cube[tuple(where_to.T)])
case("nonzero", [zeros_in], [*(np.pad(a, (0, 20 - len(a))) for a in np.nonzero(zeros_in)), np.count_nonzero(zeros_in)])
case("nonzero too many", [zeros_in], [*(a[:5] for a in np.nonzero(zeros_in)), np.count_nonzero(zeros_in)])
chosen = x > 0
case("boolean_mask", [x, chosen], [np.pad(x[chosen], (0, 20 - chosen.sum())), chosen.sum()])
case("boolean_mask of rows", [x, chosen[:, 0]], [np.pad(x[chosen[:, 0]], ((0, 4 - chosen[:, 0].sum()), (0, 0))), chosen[:, 0].sum()])
for name, of in (("integers", tied), ("odd", odd)):
    values, back, times = np.unique(of, return_inverse=True, return_counts=True)
    more = 15 - len(values)
    case(f"unique {name}", [of], [np.pad(values, (0, more), mode="edge"), np.pad(times, (0, more)), back.reshape(of.shape), len(values)])

# ---- sums of products by letters
EINSUMS = {
    "ij,jk->ik": [(3, 4), (4, 5)], "ij,jk": [(3, 4), (4, 5)], "ji,jk": [(3, 4), (3, 2)], "ii": [(4, 4)], "ii->i": [(4, 4)],
    "iij->j": [(3, 3, 2)], "ijij->ij": [(2, 3, 2, 3)], "ij->ji": [(2, 3)], "ij->": [(2, 3)], "ijk->k": [(2, 3, 4)],
    "i,j": [(3,), (4,)], "i,i": [(5,), (5,)], "i,i->i": [(5,), (5,)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 2)],
    "bhid,bhjd->bhij": [(2, 2, 3, 4), (2, 2, 5, 4)], "ij,kl->ikjl": [(2, 2), (3, 2)], "ij,jk,kl,lm->im": [(2, 9), (9, 3), (3, 8), (8, 2)],
    "ab,bc,ca": [(2, 3), (3, 4), (4, 2)], "a,ab,abc->c": [(2,), (2, 3), (2, 3, 4)], "...ij,...jk->...ik": [(2, 1, 3, 4), (5, 4, 2)],
    "i...,i->...": [(3, 2, 4), (3,)], "...": [(2, 3)], "ij,ij->i": [(3, 1), (3, 4)], "aab,bcc->ac": [(2, 2, 3), (3, 4, 4)], ",i": [(), (3,)],
    "ij , jk -> ki": [(2, 3), (3, 2)], "ibc,ijc,ij->bi": [(2, 3, 4), (2, 2, 4), (2, 2)],
}
for letters, shapes in EINSUMS.items():
    operands = [normal(*s) if s else np.float64(1.5) for s in shapes]
    case(f"einsum {letters}", operands, np.einsum(letters, *operands))
p, q = integers(3, 4), integers(4, 2)
case("einsum of integers", [p, q], np.einsum("ij,jk->ki", p, q))

text = "# Results of functions made of several ops; written by composites.py, which says what the lines are.\n"
(pathlib.Path(__file__).resolve().parent / "composites.txt").write_text(text + "\n".join(CASES) + "\n")
