#!/usr/bin/env python3
"""Independent values of every elementwise row, with which tests/ops/test_reference.cpp compares Arete's.

Functions of floats are computed by mpmath with 60 digits and rounded once to f64; where an operand is
a NaN, an infinity or a zero, whose sign mpmath does not know, NumPy and SciPy say what the result is.
Integers are Python's, and NumPy's where they wrap.

    python3 -m venv venv && venv/bin/pip install numpy scipy mpmath
    venv/bin/python elementwise.py       writes elementwise.txt

Lines of elementwise.txt:

    set NAME DTYPE VALUES               operands, as hexadecimal bits
    op ROW ATTRIBUTES ULP SETS          a row, its bound in units in the last place, its operands
    DTYPE VALUES                        its results: those of f32 rows in f64, before they are rounded
"""

import math
import pathlib
import struct

import mpmath as mp
import numpy as np
import scipy.special as sc

mp.mp.dps = 60
INF, NAN = float("inf"), float("nan")
F = {"f32": np.float32, "f64": np.float64}
I = {"bool": np.bool_, "u8": np.uint8, "i32": np.int32, "i64": np.int64}
WIDTH = {"bool": 1, "u8": 1, "i32": 4, "i64": 8, "f32": 4, "f64": 8}


def bits(v, t):
    if t == "f32":
        return "%08x" % struct.unpack("<I", struct.pack("<f", float(v)))[0]
    if t == "f64":
        return "%016x" % struct.unpack("<Q", struct.pack("<d", float(v)))[0]
    return "%x" % (int(v) & (2 ** (8 * WIDTH[t]) - 1))


def distinct(values, t):
    seen, out = set(), []
    for v in values:
        v = F[t](v)
        if bits(v, t) not in seen:
            seen.add(bits(v, t))
            out.append(v)
    return out


SETS = {}


def make_sets():
    rng = np.random.default_rng(20240607)
    for t in ("f32", "f64"):
        info = np.finfo(F[t])
        tiny, least, most, eps = (float(v) for v in (info.tiny, info.smallest_subnormal, info.max, info.eps))
        both = lambda values: [w for v in values for w in (v, -v)]
        ends = both([0.0, INF, NAN, least, 7 * least, tiny, most, 1.0, 1 - eps / 2, 1 + eps])
        general = ends + both([0.5, 0.3, 1e-9, 1e-4, 0.1, 2, 3, 4.5, 5.5, 20, 100, 1e5, 1e10, 1e30, 0.70710678, 1.41421356,
                               3.14159265358979, 1.5707963267949, 88.5, 103.2, 700.1, 709.9, 745.0])
        general += list(rng.normal(size=16) * 2) + list(both(10.0 ** rng.uniform(-8, 8, 8)))
        SETS["general", t] = distinct(general, t)
        unit = ends + both([0.5, 0.3, 0.25, 0.499, 0.501, 1e-9, 1e-4, 0.9, 0.99, 0.9999, 2.0]) + list(rng.uniform(-1, 1, 24))
        SETS["unit", t] = distinct(unit, t)
        positive = both([0.0, INF, NAN]) + [-1.0, -3.7, least, 7 * least, tiny, most, 1.0, 1 - eps / 2, 1 + eps, 2 - eps, 2 + 2 * eps, 2,
                                            0.5, 0.3, 0.1, 1e-9, 1e-4, 1.46163214496836, 1.5, 2.5, 3, 4, 7.99, 8, 8.01, 10, 20, 100,
                                            1000, 1e5, 1e10, 1e30, 8.0, 1024.0, 0.125]
        positive += list(rng.uniform(0, 12, 24)) + list(10.0 ** rng.uniform(-8, 8, 8))
        SETS["positive", t] = distinct(positive, t)
        SETS["moderate", t] = distinct(list(rng.normal(size=30) * 3) + both([0.0, INF, NAN, 1.0, 0.5, 1e-3, 9.0, 25.0]), t)
        SETS["stepping", t] = distinct(ends + both([0.5, 1.5, 2.5, 0.49999997, 8388607.5, 4503599627370495.5, 1e30, 3.7]) +
                                       list(rng.uniform(-50, 50, 8)), t)
        corners = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 0.5, -2.5, 3.0, least, -tiny, most, -1e-4, 1e10]
        pairs = [(a, b) for a in corners for b in corners]
        pairs += list(zip(rng.normal(size=24) * 3, rng.normal(size=24) * 3))
        pairs += list(zip(10.0 ** rng.uniform(-6, 6, 12), -(10.0 ** rng.uniform(-6, 6, 12))))
        SETS["left", t] = [F[t](a) for a, _ in pairs]
        SETS["right", t] = [F[t](b) for _, b in pairs]
    for t in ("u8", "i32", "i64"):
        low, high = int(np.iinfo(I[t]).min), int(np.iinfo(I[t]).max)
        corners = sorted({v for v in (low, low + 1, -100, -7, -3, -1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 100, high - 1, high)
                          if low <= v <= high})
        SETS["left", t] = [a for a in corners for _ in corners]
        SETS["right", t] = [b for _ in corners for b in corners]
    SETS["left", "bool"], SETS["right", "bool"] = [0, 0, 1, 1], [0, 1, 0, 1]


def exactly(x):
    return mp.mpf(float(x))


def rounded(v):
    """A result in f64; of mpmath's numbers the nearest, through denormals and to infinity."""
    if isinstance(v, (mp.mpc,)):
        return NAN
    if not isinstance(v, mp.mpf):
        return float(v)
    if mp.isnan(v) or mp.isinf(v) or v == 0:
        return float(v)
    m, e = mp.frexp(v)
    last = max(int(e) - 53, -1074)
    n = int(mp.nint(mp.ldexp(v, -last)))  # ties to even
    if n == 0:
        return -0.0 if v < 0 else 0.0
    with np.errstate(all="ignore"):
        return float(np.ldexp(np.float64(n), last))


def ordinary(x):
    return np.isfinite(x) and x != 0


def unary(exact, special, poles=lambda x: False):
    """mpmath's function where x is an ordinary number, else `special`, a function of f64."""
    def f(x):
        with np.errstate(all="ignore"):
            if not ordinary(x) or poles(float(x)):
                return float(special(np.float64(x)))
            return rounded(exact(exactly(x)))
    return f


def binary(exact, special):
    def f(x, y):
        with np.errstate(all="ignore"):
            if not (ordinary(x) and ordinary(y)):
                return float(special(np.float64(x), np.float64(y)))
            return rounded(exact(exactly(x), exactly(y)))
    return f


def real(f):
    """NaN where mpmath's result is complex."""
    def g(x):
        v = f(x)
        return mp.nan if isinstance(v, mp.mpc) else v
    return g


def logarithm(f):
    return lambda x: mp.nan if x < 0 else f(x)


def within(low, high, f):
    return lambda x: f(x) if low <= x <= high else mp.nan


def lifted(digits, f):
    """With more digits, for what cancels or has huge arguments."""
    def g(*x):
        with mp.workdps(digits):
            return +f(*x)
    return g


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def log_erfc(x):
    if x < 2000:
        return mp.log(mp.erfc(x)) if x > 1 else mp.log1p(-mp.erf(x))
    return -x * x + mp.log(erfcx(x))


def erfcx(x):
    if x < 2000:
        return mp.exp(x * x) * mp.erfc(x)
    q, term, total = 1 / (2 * x * x), mp.mpf(1), mp.mpf(1)
    for k in range(1, 12):
        term *= -q * (2 * k - 1)
        total += term
    return total / (x * mp.sqrt(mp.pi))


def erfcx_slope(order):
    """By its recurrence, with as many digits as it cancels."""
    def f(x):
        digits = 60 + 2 * order * max(0, int(mp.log10(abs(x) + 1)) + 1)
        with mp.workdps(min(digits, 800)):
            e = [erfcx_long(x)]
            for n in range(1, order + 1):
                e.append(2 * x * e[-1] - 2 / mp.sqrt(mp.pi) if n == 1 else 2 * x * e[n - 1] + 2 * (n - 1) * e[n - 2])
            return +e[order]
    return f


def erfcx_long(x):
    return mp.exp(x * x) * mp.erfc(x) if x < 50 else series_erfcx(x)


def series_erfcx(x):
    q, term, total, k = 1 / (2 * x * x), mp.mpf(1), mp.mpf(1), 1
    while abs(term) > mp.mpf(10) ** -(mp.mp.dps + 5) and k < 1200:
        term *= -q * (2 * k - 1)
        total += term
        k += 1
    return total / (x * mp.sqrt(mp.pi))


def hazard(x):
    return 2 / mp.sqrt(mp.pi) / erfcx_long(x)


def hazard_slope(order):
    def f(x):
        with mp.workdps(400):
            h = [hazard(x)]
            for n in range(order):
                total = mp.mpf(0)
                for j in range(n + 1):
                    rest = n - j
                    slope = 2 * x if rest == 0 else 2 if rest == 1 else 0
                    total += mp.binomial(n, j) * h[j] * (h[rest] - slope)
                h.append(total)
            return +h[order]
    return f


def erfinv(x):
    if abs(x) > 1:
        return mp.nan
    if abs(x) == 1:
        return x * mp.inf
    a = abs(x)
    y = mp.mpf(float(sc.erfinv(float(a)))) if a < 1 - mp.mpf(2) ** -40 else mp.sqrt(-mp.log(1 - a))
    for _ in range(60):
        step = (mp.erfc(y) - (1 - a)) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < abs(y) * mp.mpf(10) ** -50:
            break
    return y if x > 0 else -y


def lgamma(x):
    if x < 0:  # log|gamma(x)| by reflection
        return mp.log(mp.pi / abs(mp.sinpi(x))) - mp.loggamma(1 - x)
    if x > mp.mpf(10) ** 40:
        return (x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2
    return mp.loggamma(x).real


def polygamma(n):
    return lambda x: mp.polygamma(n, x) if x < mp.mpf(10) ** 40 else (-1) ** (n + 1) * mp.factorial(n - 1) / x**n


def trunc_div(a, b):
    """a / b without its fraction, from the exact quotient; NumPy's for special operands."""
    if ordinary(a) and ordinary(b):
        with mp.workdps(700):
            q = exactly(a) / exactly(b)
            whole = mp.floor(abs(q))
            v = rounded(whole)
    else:
        with np.errstate(all="ignore"):
            v = abs(float(np.trunc(np.float64(a) / np.float64(b))))
    return v if np.isnan(v) else float(np.copysign(v, 1.0 if np.signbit(a) == np.signbit(b) else -1.0))


def power(x, y):
    if x < 0 and y != mp.floor(y):
        return mp.nan
    big = y * mp.log(abs(x))
    odd = y == mp.floor(y) and mp.floor(y / 2) * 2 != y
    sign = -1 if x < 0 and odd else 1
    return sign * (mp.inf if big > 4000 else mp.mpf(0) if big < -4000 else mp.exp(big))


def big(f, above, value):
    """`f` below a point from which the result overflows."""
    return lambda x: f(x) if x < above else value


def wide(f):
    """With the digits that a huge argument of a periodic function takes."""
    return lifted(800, f)


NORMAL = {
    "sqrt": ("general", 0.5, unary(logarithm(mp.sqrt), np.sqrt)),
    "exp": ("general", 2, unary(big(lambda x: mp.exp(x) if x > -4000 else mp.mpf(0), 4000, mp.inf), np.exp)),
    "expm1": ("general", 2, unary(big(lambda x: mp.expm1(x) if x > -4000 else mp.mpf(-1), 4000, mp.inf), np.expm1)),
    "exp2": ("general", 2, unary(big(lambda x: mp.power(2, x) if x > -4000 else mp.mpf(0), 4000, mp.inf), np.exp2)),
    "log": ("positive", 2, unary(logarithm(mp.log), np.log)),
    "log1p": ("general", 2, unary(lambda x: mp.log1p(x) if x > -1 else -mp.inf if x == -1 else mp.nan, np.log1p)),
    "log2": ("positive", 2, unary(logarithm(lambda x: mp.log(x, 2)), np.log2)),
    "log10": ("positive", 2, unary(logarithm(mp.log10), np.log10)),
    "cbrt": ("general", 2, unary(lambda x: mp.sign(x) * mp.cbrt(abs(x)), np.cbrt)),
    "sin": ("general", 2, unary(wide(mp.sin), np.sin)),
    "cos": ("general", 2, unary(wide(mp.cos), np.cos)),
    "tan": ("general", 2, unary(wide(mp.tan), np.tan)),
    "one_minus_sqr": ("general", 2, unary(lambda x: 1 - x * x, lambda x: 1 - x * x)),
    "asin": ("unit", 2, unary(within(-1, 1, mp.asin), np.arcsin)),
    "acos": ("unit", 2, unary(within(-1, 1, mp.acos), np.arccos)),
    "atan": ("general", 2, unary(mp.atan, np.arctan)),
    "sinh": ("general", 2, unary(lambda x: mp.sinh(x) if abs(x) < 4000 else x * mp.inf, np.sinh)),
    "cosh": ("general", 2, unary(lambda x: mp.cosh(x) if abs(x) < 4000 else mp.inf, np.cosh)),
    "tanh": ("general", 2, unary(lambda x: mp.tanh(x) if abs(x) < 4000 else mp.sign(x), np.tanh)),
    "asinh": ("general", 2, unary(lambda x: mp.sign(x) * mp.asinh(abs(x)), np.arcsinh)),
    "acosh": ("positive", 2, unary(lambda x: mp.acosh(x) if x >= 1 else mp.nan, np.arccosh)),
    "atanh": ("unit", 2, unary(lambda x: mp.atanh(x) if abs(x) < 1 else x * mp.inf if abs(x) == 1 else mp.nan, np.arctanh)),
    "erf": ("general", 2, unary(mp.erf, sc.erf)),
    "erfc": ("general", 4, unary(lambda x: mp.erfc(x) if x < 2000 else mp.mpf(0), sc.erfc)),
    "erfinv": ("unit", 4, unary(erfinv, lambda x: x if x == 0 else sc.erfinv(x))),
    "lgamma": ("positive", 4, unary(lgamma, lambda x: abs(x) if np.isinf(x) else sc.gammaln(x), lambda x: x < 0 and x == np.floor(x))),
    "digamma": ("positive", 8, unary(lambda x: mp.digamma(x) if x < mp.mpf(10) ** 40 else mp.log(x), sc.digamma,
                                     lambda x: x < 0 and x == np.floor(x))),
    "sigmoid": ("general", 2, unary(lambda x: sigmoid(x) if abs(x) < 4000 else mp.mpf(0 if x < 0 else 1), sc.expit)),
    "softplus": ("general", 4, unary(lambda x: mp.log1p(mp.exp(x)) if x < 4000 and x > -4000 else max(x, 0 * x),
                                     lambda x: np.logaddexp(0, x))),
    "softsign": ("general", 2, unary(lambda x: x / (1 + abs(x)), lambda x: np.sign(x) if np.isinf(x) else x)),
    "bell": ("general", 400, unary(lambda x: mp.exp(-x * x) if abs(x) < 100 else mp.mpf(0), lambda x: np.exp(-x * x))),
    "erfcx": ("general", 4, unary(lambda x: erfcx(x) if x > -60 else mp.inf, sc.erfcx)),
    "log_erfc": ("general", 4, unary(log_erfc, lambda x: sc.log_ndtr(-x * np.sqrt(2)) + np.log(2) if x != 0 else -x)),
    "log1mexp": ("general", 4, unary(lambda x: (mp.log1p(-mp.exp(x)) if x < -1 else mp.log(-mp.expm1(x))) if -4000 < x < 0 else mp.mpf("-1e-400") if x < 0 else mp.nan,
                                     lambda x: -0.0 if x == -INF else np.log(-np.expm1(x)))),
    "log_cosh": ("general", 4, unary(lambda x: mp.log(mp.cosh(x)) if abs(x) < 4000 else abs(x) - mp.log(2),
                                     lambda x: abs(x) if np.isinf(x) else x * x)),
    "log_softplus": ("general", 64, unary(lambda x: mp.log(mp.log1p(mp.exp(x))) if -100 < x < 4000 else mp.log(x) if x > 0
                                         else x - mp.exp(max(x, mp.mpf(-4000))) / 2,
                                         lambda x: np.log(np.logaddexp(0, x)) if x != -INF else x)),
}


def gumbel(order):
    def f(x):
        return mp.mpf(0) if x > 20 else mp.exp(order * x - mp.exp(x)) if order * x > -4000 else mp.mpf(0)
    return unary(f, lambda x: (0.0 if x > 0 else np.exp((0.0 if order == 0 else order * x) - np.exp(x))) if not np.isnan(x) else x)


def polygamma_special(k):
    """At poles and infinities: of an even order limits from both sides differ at -1, -2, ..."""
    def f(x):
        if np.isnan(x):
            return NAN
        if x == 0:
            return INF if k % 2 else -np.copysign(INF, x)
        if x < 0:
            return INF if k % 2 else NAN
        return 0.0 if k % 2 else -0.0
    return f


def bessel_ratio(n):
    return lambda x: mp.besseli(n, x) / x**n if abs(x) < 2000 else mp.inf


def bessel_special(n):
    return lambda x: rounded(1 / (mp.mpf(2) ** n * mp.factorial(n))) if x == 0 else abs(x)


ORDERED = {
    "gumbel": [(k, "moderate", 256, gumbel(k)) for k in (0, 1, 2)],
    "erfcx_slope": [(k, "moderate", 8.0 ** k * 2, unary(lambda x, k=k: erfcx_slope(k)(x), None)) for k in (1, 2, 3)],
    "erfc_hazard_slope": [(k, "moderate", 16.0 ** k * 32, unary(lambda x, k=k: hazard_slope(k)(x), None)) for k in (1, 2)],
    "polygamma": [(k, "positive", 16, unary(polygamma(k), polygamma_special(k), lambda x: x < 0 and x == np.floor(x)))
                  for k in (1, 2, 3, 6)],
}

ORDERED["bessel_ratio"] = [(k, "general", 4, unary(bessel_ratio(k), bessel_special(k))) for k in (0, 1, 2, 4)]

NORMAL["erfc_hazard"] = ("moderate", 8, unary(lambda x: hazard(x), None))
NORMAL["gumbel_cdf"] = ("moderate", 8, unary(lambda x: -mp.expm1(-mp.exp(x)), lambda x: -np.expm1(-np.exp(x))))
NORMAL["log_gumbel_cdf"] = ("moderate", 256, unary(lifted(800, lambda x: mp.log(-mp.expm1(-mp.exp(x))) if x < 7 else mp.mpf("-1e-400")),
                                                 lambda x: x if x == -INF else -0.0 if x == INF else np.log(-np.expm1(-np.exp(x)))))

PAIRS = {
    "add": (0.5, binary(lambda a, b: a + b, np.add)),
    "sub": (0.5, binary(lambda a, b: a - b, np.subtract)),
    "mul": (0.5, binary(lambda a, b: a * b, np.multiply)),
    "div": (0.5, binary(lambda a, b: a / b, np.true_divide)),
    "trunc_div": (1, trunc_div),
    "pow": (2, binary(power, lambda x, y: abs(x) if y == 0.5 and x in (0, -INF) else np.power(x, y))),
    "hypot": (2, binary(lambda a, b: mp.sqrt(a * a + b * b), np.hypot)),
    "atan2": (2, binary(mp.atan2, np.arctan2)),
    "logaddexp": (4, binary(lambda a, b: max(a, b) + mp.log1p(mp.exp(-min(abs(a - b), mp.mpf(4000)))), np.logaddexp)),
    "maximum": (0, lambda a, b: float(np.maximum(a, b)) if a != b else float(a + b) if a == 0 else float(a)),
    "minimum": (0, lambda a, b: float(np.minimum(a, b)) if a != b else -float(-a - b) if a == 0 else float(a)),
}

# Rows that NumPy computes exactly in the dtype itself.
NUMPY_UNARY = {
    "neg": np.negative, "abs": np.abs, "sign": lambda x: np.where(x == 0, x, np.sign(x)), "sqr": np.square, "floor": np.floor, "ceil": np.ceil,
    "round": np.rint, "trunc": np.trunc, "relu": lambda x: np.where(x < 0, x.dtype.type(0), x), "signbit": lambda x: np.signbit(x) & ~np.isnan(x),  # a NaN has no sign
    "stop_gradient": lambda x: x,
}
NUMPY_BINARY = {
    "eq": np.equal, "neq": np.not_equal, "lt": np.less, "le": np.less_equal, "copysign": lambda a, b: np.copysign(a, np.where(np.isnan(b), 1, b)),
    "nextafter": np.nextafter, "fmod": np.fmod, "floordiv": np.floor_divide, "mod": np.remainder,
}


def wrapped(v, t):
    return int(np.array(v & (2 ** (8 * WIDTH[t]) - 1), dtype=np.uint64).astype(I[t]))


def shift_right(a, b, t):
    return a >> b if 0 <= b < 8 * WIDTH[t] else (-1 if a < 0 else 0)


INTEGER_BINARY = {
    "add": lambda a, b, t: wrapped(a + b, t), "sub": lambda a, b, t: wrapped(a - b, t),
    "mul": lambda a, b, t: wrapped(a * b, t),
    "floordiv": lambda a, b, t: wrapped(a // b, t) if b else 0, "mod": lambda a, b, t: a % b if b else 0,
    "trunc_div": lambda a, b, t: wrapped(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1), t) if b else 0,
    "fmod": lambda a, b, t: abs(a) % abs(b) * (-1 if a < 0 else 1) if b else 0,
    "maximum": lambda a, b, t: max(a, b), "minimum": lambda a, b, t: min(a, b),
    "gcd": lambda a, b, t: wrapped(math.gcd(a, b), t),
    "bitwise_and": lambda a, b, t: a & b, "bitwise_or": lambda a, b, t: a | b, "bitwise_xor": lambda a, b, t: a ^ b,
    "left_shift": lambda a, b, t: wrapped(a << b, t) if 0 <= b < 8 * WIDTH[t] else 0, "right_shift": shift_right,
}
INTEGER_RELATIONS = {"eq": lambda a, b: a == b, "neq": lambda a, b: a != b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b}
INTEGER_UNARY = {
    "neg": lambda a, t: wrapped(-a, t), "abs": lambda a, t: wrapped(abs(a), t), "sign": lambda a, t: (a > 0) - (a < 0),
    "sqr": lambda a, t: wrapped(a * a, t), "bitwise_not": lambda a, t: wrapped(~a, t), "trunc": lambda a, t: a,
    "floor": lambda a, t: a, "ceil": lambda a, t: a, "round": lambda a, t: a, "relu": lambda a, t: max(a, 0),
    "stop_gradient": lambda a, t: a,
}
BOOL_BINARY = {"and": lambda a, b: a and b, "or": lambda a, b: a or b, "xor": lambda a, b: a != b}


def cast(v, to):
    if to == "bool":
        return int(v != 0)
    if np.isnan(v):
        return 0
    info = np.iinfo(I[to])
    return int(min(max(v, float(info.min)), float(info.max))) if abs(v) < 2.0**63 else int(info.max if v > 0 else info.min)


def main():
    make_sets()
    used, lines = {}, []

    def operands(names, t):
        for n in names:
            used.setdefault((n, t), None)
        return " ".join(f"{n}:{t}" for n in names)

    def emit(row, attributes, ulp, sets, t, result, values):
        lines.append(f"op {row} {attributes or '-'} {ulp:g} {operands(sets, t)}")
        lines.append(result + " " + " ".join(bits(v, result) for v in values))

    for t in ("f32", "f64"):
        for row, (of, ulp, f) in sorted(NORMAL.items()):
            values = [v for v in SETS[of, t]]
            if row == "erfc_hazard":
                f = with_limits(f, lambda x: NAN if np.isnan(x) else INF if x == INF else 0.0 if x == -INF else 2 / np.sqrt(np.pi))
            emit(row, "", ulp, [of], t, "f64", [f(x) for x in values])
        for row, cases in sorted(ORDERED.items()):
            for k, of, ulp, f in cases:
                if row in ("erfcx_slope", "erfc_hazard_slope"):
                    f = with_limits(f, LIMITS[row](k))
                emit(row, f"order={k}", ulp, [of], t, "f64", [f(x) for x in SETS[of, t]])
        left, right = SETS["left", t], SETS["right", t]
        for row, (ulp, f) in sorted(PAIRS.items()):
            emit(row, "", ulp, ["left", "right"], t, "f64", [f(a, b) for a, b in zip(left, right)])
        with np.errstate(all="ignore"):
            for row, f in sorted(NUMPY_UNARY.items()):
                values = f(np.array(SETS["stepping", t], dtype=F[t]))
                emit(row, "", 0, ["stepping"], t, "bool" if values.dtype == np.bool_ else "f64", values)
            for row, f in sorted(NUMPY_BINARY.items()):
                values = f(np.array(left, dtype=F[t]), np.array(right, dtype=F[t]))
                emit(row, "", 0, ["left", "right"], t, "bool" if values.dtype == np.bool_ else "f64", values)
        for to in ("bool", "u8", "i32", "i64"):
            emit("cast", f"dtype={to}", 0, ["stepping"], t, to, [cast(float(v), to) for v in SETS["stepping", t]])
    for t in ("u8", "i32", "i64"):
        left, right = SETS["left", t], SETS["right", t]
        for row, f in sorted(INTEGER_BINARY.items()):
            emit(row, "", 0, ["left", "right"], t, t, [f(a, b, t) for a, b in zip(left, right)])
        for row, f in sorted(INTEGER_RELATIONS.items()):
            emit(row, "", 0, ["left", "right"], t, "bool", [f(a, b) for a, b in zip(left, right)])
        for row, f in sorted(INTEGER_UNARY.items()):
            emit(row, "", 0, ["right"], t, t, [f(b, t) for b in right])
    left, right = SETS["left", "bool"], SETS["right", "bool"]
    for row, f in sorted(BOOL_BINARY.items()):
        emit(row, "", 0, ["left", "right"], "bool", "bool", [int(f(a, b)) for a, b in zip(left, right)])
    emit("not", "", 0, ["left"], "bool", "bool", [1 - a for a in left])
    lines.append(f"op where - 0 {operands(['left', 'right', 'left'], 'bool')}")
    lines.append("bool " + " ".join(str(b if a else a) for a, b in zip(left, right)))

    head = [f"set {n} {t} " + " ".join(bits(v, t) for v in SETS[n, t]) for n, t in sorted(used)]
    text = "# Values of elementwise rows; written by elementwise.py, which says what the lines are.\n"
    (pathlib.Path(__file__).resolve().parent / "elementwise.txt").write_text(text + "\n".join(head + lines) + "\n")


def with_limits(f, special):
    return lambda x: f(x) if ordinary(x) else float(special(float(x)))


def erfcx_slope_limit(k):
    at_zero = {1: -2 / mp.sqrt(mp.pi), 2: mp.mpf(2), 3: -8 / mp.sqrt(mp.pi)}[k]
    return lambda x: NAN if np.isnan(x) else rounded(at_zero) if x == 0 else -0.0 if x > 0 and k % 2 else 0.0 if x > 0 else (
        -INF if k % 2 else INF)


def hazard_slope_limit(k):
    def at_zero():
        h = 2 / mp.sqrt(mp.pi)
        return h * h if k == 1 else 2 * h**3 - 2 * h
    return lambda x: NAN if np.isnan(x) else rounded(at_zero()) if x == 0 else (2.0 if k == 1 else 0.0) if x > 0 else 0.0


LIMITS = {"erfcx_slope": erfcx_slope_limit, "erfc_hazard_slope": hazard_slope_limit}

if __name__ == "__main__":
    main()
