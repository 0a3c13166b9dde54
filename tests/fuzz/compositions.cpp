// What users write: several calls together, arguments that no sample has, gradients.
#include <algorithm>
#include <cmath>

#include <arete/arete.h>

#include "tests/fuzz/draw.h"

namespace arete::fuzz {

namespace {

int axis_of(Drawer& d, const Item& x) {
    return d.below(x.rank());
}
std::int64_t extent(const Item& x, int axis) {
    return x.sizes[axis];
}

Axes some_axes(Drawer& d, const Item& x) {
    if (x.rank() == 0 || d.once_in(4)) return {};
    Ints axes;
    for (int k = 0; k < x.rank(); ++k)
        if (d.once_in(2)) axes.push_back(d.once_in(2) ? k : k - x.rank());
    return Axes(axes);
}

Expr reduction(Drawer& d) {
    const Item x = d.any();
    const Axes axes = some_axes(d, x);
    const bool keep = d.once_in(2);
    switch (d.below(10)) {
        case 0:
        case 1: return sum(x.e, axes, keep);
        case 2: return mean(x.e, axes, keep);
        case 3: return var(x.e, axes, keep);
        case 4: return max(x.e, axes, keep);
        case 5: return min(x.e, axes, keep);
        case 6: return prod(x.e, axes, keep);
        case 7: return any(x.e, axes, keep);
        case 8: return all(x.e, axes, keep);
        default: {
            const Axes one = x.rank() > 0 && !d.once_in(4) ? Axes(axis_of(d, x)) : Axes();
            return d.once_in(2) ? argmax(x.e, one, keep) : argmin(x.e, one, keep);
        }
    }
}

SliceArg slice_of(Drawer& d, std::int64_t n) {
    const std::int64_t step = std::vector<std::int64_t>{1, 1, 2, 3, 7, -1, -1, -2, -5}[d.below(9)];
    const auto bound = [&]() -> Bound {
        if (d.once_in(3)) return none;
        const std::int64_t b = d.below(2 * n + 3) - n - 1;
        return b;
    };
    const Bound start = bound();
    return slice(start, bound(), step);
}

Expr indexing(Drawer& d) {
    const Item x = d.of_rank(1, 5);
    std::vector<SliceArg> args;
    for (int k = 0; k < x.rank(); ++k) {
        const std::int64_t n = extent(x, k);
        if (d.once_in(7)) args.emplace_back(newaxis);
        switch (d.below(8)) {
            case 0: args.emplace_back(all); break;
            case 1:
                if (n > 0)
                    args.emplace_back(static_cast<std::int64_t>(d.below(2 * n)) - n);
                else
                    args.emplace_back(all);
                break;
            case 2:
                if (n > 0)
                    args.emplace_back(d.integers({1 + d.below(5)}, -n, n - 1));
                else
                    args.emplace_back(all);
                break;
            case 3:
                if (n > 0)
                    args.emplace_back(d.integers({}, -n, n - 1));
                else
                    args.emplace_back(all);
                break;
            default: args.push_back(slice_of(d, n)); break;
        }
        if (d.once_in(5)) break;
    }
    switch (args.size()) {
        case 0: return x.e;
        case 1: return x.e(args[0]);
        case 2: return x.e(args[0], args[1]);
        case 3: return x.e(args[0], args[1], args[2]);
        case 4: return x.e(args[0], args[1], args[2], args[3]);
        case 5: return x.e(args[0], args[1], args[2], args[3], args[4]);
        default: return x.e(args[0], args[1], args[2], args[3], args[4], args[5]);
    }
}

// A mini-batch: rows from a place that is known late.
Expr moving_window(Drawer& d) {
    const Item x = d.of_rank(1, 4);
    const std::int64_t n = extent(x, 0);
    if (n < 2) return x.e;
    const std::int64_t length = 1 + d.below(n - 1);
    const Expr start = d.integers({}, 0, n - length);
    return x.e(slice(start, start + length));
}

Expr movement(Drawer& d) {
    const Item x = d.of_rank(0, 5);
    switch (d.below(9)) {
        case 0: {
            std::vector<int> order;
            for (int k = 0; k < x.rank(); ++k) order.push_back(k);
            for (int k = x.rank(); k > 1; --k) std::swap(order[k - 1], order[d.below(k)]);
            return transpose(x.e, order);
        }
        case 1: return flatten(x.e, 1 + d.below(x.rank() + 1));
        case 2: return expand_dims(x.e, d.below(x.rank() + 1));
        case 3: return squeeze(x.e);
        case 4: {
            // Axes joined, or cut where a size divides.
            if (x.rank() == 0) return reshape(x.e, Shape{1, 1});
            const int k = axis_of(d, x);
            Shape shape = x.e.shape();
            const std::int64_t n = extent(x, k);
            if (d.once_in(2) && k + 1 < x.rank()) {
                shape[k] = shape[k] * shape[static_cast<std::size_t>(k) + 1];
                shape.erase(shape.begin() + k + 1);
                return reshape(x.e, shape);
            }
            for (const std::int64_t by : {2, 3, 4, 5, 7})
                if (n > 0 && n % by == 0 && !d.once_in(3)) {
                    shape[k] = floordiv(shape[k], by);
                    shape.insert(shape.begin() + k + d.below(2), Dim(by));
                    break;
                }
            return reshape(x.e, shape);
        }
        case 5: {
            Shape shape = x.e.shape();
            for (int k = 0; k < x.rank(); ++k)
                if (extent(x, k) == 1 && x.e.shape()[k].is_const()) shape[k] = Dim(d.size());
            if (d.once_in(2)) shape.insert(shape.begin(), Dim(1 + d.below(4)));
            return broadcast_to(x.e, shape);
        }
        case 6: return x.e.T();
        case 7: return reshape(x.e, Shape{Dim(-1)});
        default:
            if (x.rank() < 2) return x.e;
            return pad2d(x.e, Sides{d.below(3), d.below(3)}, Sides{d.below(3), d.below(4)});
    }
}

Expr joined(Drawer& d) {
    const Item x = d.of_rank(1, 4);
    const int k = axis_of(d, x);
    const std::int64_t n = extent(x, k);
    std::vector<Operand> parts;
    switch (d.below(4)) {
        case 0: {
            // Rotated.
            const std::int64_t by = d.below(n);
            const auto piece = [&](const Slice& s) {
                std::vector<SliceArg> args(static_cast<std::size_t>(k), SliceArg(all));
                args.emplace_back(s);
                return args.size() == 1   ? x.e(args[0])
                       : args.size() == 2 ? x.e(args[0], args[1])
                       : args.size() == 3 ? x.e(args[0], args[1], args[2])
                                          : x.e(args[0], args[1], args[2], args[3]);
            };
            return concatenate({piece(slice(by, none)), piece(slice(0, by))}, k);
        }
        case 1:
            for (int p = 0; p < 2 + d.below(3); ++p) {
                Sizes sizes = x.sizes;
                sizes[k] = d.below(5);
                parts.emplace_back(p == 1 ? x.e : d.fit(d.any(), sizes));
            }
            return concatenate(parts, k);
        case 2: return stack({x.e, x.e, d.fit(d.any(), x.sizes)}, d.below(x.rank() + 1));
        default: return concatenate({x.e, x.e}, k);
    }
}

Expr products(Drawer& d) {
    const Item x = d.of_rank(1, 3);
    const Expr& e = x.e;
    if (x.rank() == 1) {
        switch (d.below(3)) {
            case 0: return dot(e, e);
            case 1: return outer(e, d.of_rank(1, 1).e);
            default: return dot(e, d.leaf(e.dtype(), Sizes{extent(x, 0), d.size()}).e);
        }
    }
    if (x.rank() == 2) {
        switch (d.below(4)) {
            case 0: return dot(e, e.T());
            case 1: return dot(e.T(), e);
            case 2: return dot(e, d.leaf(e.dtype(), Sizes{extent(x, 1), d.size()}).e);
            default: return dot(e, d.fit(d.any(), {extent(x, 1)}));
        }
    }
    if (d.once_in(2)) return batched_dot(e, transpose(e, {0, 2, 1}));
    return dot(e, d.leaf(e.dtype(), Sizes{extent(x, 2), d.size()}).e);
}

Expr images(Drawer& d) {
    const std::int64_t c = 1 + d.below(3), h = 2 + d.below(7), w = 2 + d.below(9);
    const DType t = d.float_dtype();
    const Expr x = d.fit(d.floats(), {1 + d.below(2), c, h, w});
    if (d.once_in(2)) {
        Pool2dOptions o;
        o.ignore_border = !d.once_in(3);
        const std::array<std::int64_t, 2> ws{1 + d.below(3), 1 + d.below(3)};
        if (d.once_in(2)) o.stride = {1 + d.below(3), 1 + d.below(3)};
        if (o.ignore_border && d.once_in(3)) o.pad = {d.below(ws[0]), d.below(ws[1])};
        o.mode = static_cast<PoolMode>(d.below(4));
        return pool2d(x, ws, o);
    }
    Conv2dOptions o;
    if (d.once_in(2)) o.border_mode = static_cast<Border>(d.below(3));
    if (d.once_in(3)) o.border_mode = BorderMode(d.below(2), d.below(3));
    if (d.once_in(3)) o.subsample = {1 + d.below(2), 1 + d.below(3)};
    if (d.once_in(4)) o.filter_dilation = {1 + d.below(2), 1 + d.below(2)};
    o.filter_flip = d.once_in(2);
    const Expr f = d.leaf(t, Sizes{1 + d.below(4), c, 1 + d.below(3), 1 + d.below(3)}).e;
    return conv2d(cast(x, t), f, o);
}

Expr conversion(Drawer& d) {
    static const std::vector<DType> all_of(std::begin(all_dtypes), std::end(all_dtypes));
    return cast(d.any().e, d.one_of(all_of));
}

// A number written beside a tensor, which takes the tensor's dtype.
Expr with_literal(Drawer& d) {
    const Item x = d.any();
    const Expr& e = x.e;
    if (is_float(e.dtype())) {
        static const std::vector<double> numbers{0,    1,   -1,  2,    0.5,   0.1,  3,
                                                 1e-3, 1e3, 255, 1e30, 1e-30, -0.25};
        const double v = d.one_of(numbers);
        switch (d.below(14)) {
            case 0: return e + v;
            case 1: return v - e;
            case 2: return e * v;
            case 3: return e / v;
            case 4: return v / e;
            case 5: return pow(e, v);
            case 6: return maximum(e, v);
            case 7: return minimum(maximum(e, -v), v);
            case 8: return e > v;
            case 9: return eq(e, v);
            case 10: return where(e > v, e, v);
            case 11: return pow(e, std::vector<double>{-1, 0, 0.5, 2, 3, -2, 1.5}[d.below(7)]);
            case 12: return mod(e, v);
            default: return floordiv(e, v);
        }
    }
    static const std::vector<int> numbers{0, 1, 2, 3, 7, 16, 100};
    const int v = d.one_of(numbers);
    switch (d.below(10)) {
        case 0: return e + v;
        case 1: return e - v;
        case 2: return e * v;
        case 3: return e / v;
        case 4: return floordiv(e, v);
        case 5: return mod(e, v);
        case 6: return maximum(e, v);
        case 7: return e < v;
        case 8: return neq(e, v);
        default: return e * 0.5;
    }
}

Expr draws(Drawer& d) {
    RandomStream random(static_cast<std::uint64_t>(d.below(1 << 20)));
    const Sizes s = d.sizes(d.below(4), 200);
    const Shape shape(s.begin(), s.end());
    switch (d.below(4)) {
        case 0: return random.uniform(shape, -1, 2, d.float_dtype());
        case 1: return random.normal(shape, 0, 1, d.float_dtype());
        case 2: return random.bernoulli(shape, 0.3, d.float_dtype());
        default: {
            // Two draws of one stream.
            const Expr a = random.uniform(shape);
            return a - random.uniform(shape);
        }
    }
}

Expr gradients(Drawer& d) {
    const std::vector<Expr> leaves = d.float_leaves();
    if (leaves.empty()) return {};
    const Item x = d.floats();
    if (!is_float(x.e.dtype())) return {};
    Expr cost = x.e;
    if (x.rank() > 0) {
        const Expr flat = flatten(x.e);
        cost = d.once_in(3)   ? sum(flat)
               : d.once_in(3) ? sum(sqr(flat))
                              : sum(flat * (cast(arange(flat.shape(0)), x.e.dtype()) + 1));
    }
    const Expr wrt = d.one_of(leaves);
    const Expr g = grad(cost, wrt, {.disconnected_inputs = Disconnected::zero});
    d.made().gradients.push_back({cost, wrt, g});
    return g;
}

Expr twice(Drawer& d) {
    const Item x = d.any();
    const Expr& e = x.e;
    switch (d.below(7)) {
        case 0: return e + e;
        case 1: return e * e;
        case 2: return e - e;
        case 3: return maximum(e, e);
        case 4: return where(cast(e, DType::Bool), e, e);
        case 5: return e / e;
        default: return eq(e, e);
    }
}

Expr choice(Drawer& d) {
    const Item x = d.floats();
    const Expr& e = x.e;
    switch (d.below(6)) {
        case 0: return where(e > 0, sqrt(e), 0);
        case 1: return where(e > 0, log(e), -1);
        case 2: return where(abs(e) < 1, e / (1 - sqr(e)), e);
        case 3: return where(neq(e, 0), 1 / e, 0);
        case 4: return where(d.beside(x).e > 0, e, d.beside(x).e);
        default: return maximum(minimum(e, 1), -1);
    }
}

Expr softmaxes(Drawer& d) {
    const Item x = d.of_rank(1, 4);
    const int axis = axis_of(d, x);
    switch (d.below(6)) {
        case 0: return softmax(x.e, axis);
        case 1: return log_softmax(x.e, axis);
        case 2: return logsumexp(x.e, axis, d.once_in(2));
        case 3: return log(softmax(x.e, axis));
        case 4: return softmax(x.e, some_axes(d, x));
        default: {
            if (x.rank() != 2) return log(softmax(x.e, axis)(slice(0, 1)));
            return categorical_crossentropy(
                softmax(x.e),
                d.integers({extent(x, 0)}, 0, std::max<std::int64_t>(0, extent(x, 1) - 1)));
        }
    }
}

}  // namespace

const std::vector<Composition>& compositions() {
    static const std::vector<Composition> all{
        {"reduction", 5, reduction}, {"indexing", 4, indexing},     {"window", 1, moving_window},
        {"movement", 5, movement},   {"joined", 2, joined},         {"products", 3, products},
        {"images", 2, images},       {"conversion", 2, conversion}, {"literal", 5, with_literal},
        {"draws", 1, draws},         {"gradients", 7, gradients},   {"twice", 1, twice},
        {"choice", 2, choice},       {"softmaxes", 2, softmaxes}};
    return all;
}

const std::vector<Composition>& formulas() {
    using E = const Expr&;
    static const std::vector<Composition> all = [] {
        std::vector<Composition> out;
        const auto add = [&](const char* name, Expr (*f)(E)) {
            out.push_back({name, 1, [f](Drawer& d) { return f(d.floats().e); }});
        };
        add("log(1 + exp(x))", [](E x) { return log(1 + exp(x)); });
        add("log(1 + x)", [](E x) { return log(1 + x); });
        add("1 / (1 + exp(-x))", [](E x) { return 1 / (1 + exp(-x)); });
        add("log(sigmoid(x))", [](E x) { return log(sigmoid(x)); });
        add("log(1 - sigmoid(x))", [](E x) { return log(1 - sigmoid(x)); });
        add("p * (1 - p)", [](E x) {
            const Expr p = sigmoid(x);
            return p * (1 - p);
        });
        add("cross-entropy", [](E x) {
            const Expr p = sigmoid(x), y = stop_gradient(cast(x > 0.5, x.dtype()));
            return -y * log(p) - (1 - y) * log(1 - p);
        });
        add("exp(x) - 1", [](E x) { return exp(x) - 1; });
        add("e / (e + 1)", [](E x) {
            const Expr e = exp(x);
            return e / (e + 1);
        });
        add("exp(x) / sum(exp(x))", [](E x) {
            if (x.rank() == 0) return exp(x) / exp(x);
            return exp(x) / sum(exp(x), -1, true);
        });
        add("log(sum(exp(x)))", [](E x) { return log(sum(exp(x))); });
        add("1 - tanh(x)^2", [](E x) { return 1 - sqr(tanh(x)); });
        add("1 - erf(x)", [](E x) { return 1 - erf(x); });
        add("log(1 - erf(x))", [](E x) { return log(1 - erf(x)); });
        add("x / sqrt(sum(x^2))", [](E x) { return x / sqrt(sum(sqr(x))); });
        add("sqrt(sum(x^2))^2", [](E x) { return sqr(sqrt(sum(sqr(x)))); });
        add("log(exp(x))", [](E x) { return log(exp(x)); });
        add("exp(log(x))", [](E x) { return exp(log(x)); });
        add("sqrt(x^2)", [](E x) { return sqrt(sqr(x)); });
        add("(x * 1e10) * 1e-10", [](E x) { return x * 1e10 * 1e-10; });
        add("sum(x / 8)", [](E x) { return sum(x / 8); });
        add("mean(x * 1e-3)", [](E x) { return mean(x * 1e-3); });
        add("(x + 1) - x", [](E x) { return (x + 1) - x; });
        add("x * 2 + x * 3", [](E x) { return x * 2 + x * 3; });
        add("normalised", [](E x) { return (x - mean(x)) / sqrt(var(x) + 1e-5); });
        add("-log(softmax(x).T())", [](E x) {
            if (x.rank() == 0) return -x;
            return -log(softmax(x).T());
        });
        return out;
    }();
    return all;
}

}  // namespace arete::fuzz
