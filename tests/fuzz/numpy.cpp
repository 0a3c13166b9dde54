#include "tests/fuzz/numpy.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <unordered_map>

#include <fmt/ranges.h>

#include "compiler/ops/leaves.h"
#include "compiler/rewrite/specialize_shapes.h"

namespace arete::fuzz {

namespace {

constexpr std::size_t batch = 100;

// What has no name of its own there. Functions are computed in f64, as far as NumPy has them.
constexpr const char* prelude = R"py(
import math, struct, sys
import numpy
if LIBRARY == "jax":
    import jax
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as np
    from jax.scipy.special import erf as _erf, erfc as _erfc
else:
    np = numpy
    _erf = np.vectorize(math.erf, otypes=[np.float64])
    _erfc = np.vectorize(math.erfc, otypes=[np.float64])
numpy.seterr(all="ignore")

def erf(x): return _erf(x.astype(np.float64)).astype(x.dtype) if x.size else x
def erfc(x): return _erfc(x.astype(np.float64)).astype(x.dtype) if x.size else x
def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.ones_like(e)) / (1 + e)
def cast(x, t):
    if t == np.bool_: return x != 0
    if x.dtype.kind != "f" or numpy.dtype(t).kind == "f": return x.astype(t)
    info = numpy.iinfo(t)
    y = np.trunc(x)
    low, high = y <= float(info.min), y >= float(info.max)
    y = np.where(np.isnan(x) | low | high, np.zeros_like(x), y).astype(t)
    return np.where(low, t(info.min), np.where(high, t(info.max), y))
def window(x, starts, steps, sizes):
    for k, (a, s, n) in enumerate(zip(starts, steps, sizes)):
        x = np.take(x, numpy.arange(n) * s + a, axis=k)
    return x
def unwindow(g, starts, steps, sizes, t):
    out = numpy.zeros(sizes, t)
    if g.size: out[numpy.ix_(*[numpy.arange(n) * s + a for a, s, n in zip(starts, steps, g.shape)])] = numpy.asarray(g)
    return np.asarray(out)
def dimshuffle(x, order):
    kept = [k for k in order if k >= 0]
    dropped = tuple(k for k in range(x.ndim) if k not in kept)
    y = np.squeeze(x, dropped)
    left = [k for k in range(x.ndim) if k in kept]
    y = np.transpose(y, [left.index(k) for k in kept])
    return np.expand_dims(y, tuple(i for i, k in enumerate(order) if k < 0))
def extreme(f, x, axis, keep):
    if any(x.shape[k] == 0 for k in axis): raise NotImplementedError("no elements")
    return f(x, axis=axis, keepdims=keep)
def arg(f, x, axis, keep):
    if any(x.shape[k] == 0 for k in axis): raise NotImplementedError("no elements")
    if len(axis) == 1: return f(x, axis=axis[0], keepdims=keep).astype(np.int64)
    if len(axis) != x.ndim: raise NotImplementedError("several axes")
    y = np.asarray(f(x)).astype(np.int64)
    return y.reshape((1,) * x.ndim) if keep else y
def pad2d(x, a, b, c, d):
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(a, b), (c, d)])
def softmax(x, axis):
    if x.shape[axis] == 0: return x
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)
def log_softmax(x, axis):
    if x.shape[axis] == 0: return x
    d = x - np.max(x, axis=axis, keepdims=True)
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))
def check_index(i, n):
    i = i.astype(np.int64)
    return np.where(i < 0, i + n, i)

names = {"bool": np.bool_, "u8": np.uint8, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
codes = {"bool": 0, "uint8": 1, "int32": 2, "int64": 3, "float32": 4, "float64": 5}
source = open(sys.argv[1], "rb").read()
at = 0
def array(t, shape):
    global at
    n = int(numpy.prod(shape, dtype=numpy.int64)) * numpy.dtype(names[t]).itemsize
    a = numpy.frombuffer(source[at:at + n], dtype=names[t]).reshape(shape)
    at += n
    return np.asarray(a)
out = open(sys.argv[2], "wb")
def case(f, *leaves):
    try:
        results = [numpy.ascontiguousarray(numpy.asarray(r)).reshape(numpy.shape(r)) for r in f(*leaves)]
    except Exception as e:
        text = (type(e).__name__ + ": " + str(e)).encode()
        out.write(struct.pack("<qq", -1 if isinstance(e, NotImplementedError) else -2, len(text)) + text)
        return
    out.write(struct.pack("<q", len(results)))
    for r in results:
        out.write(struct.pack("<qq", codes[r.dtype.name], r.ndim) + struct.pack("<%dq" % r.ndim, *r.shape))
        out.write(r.tobytes())
)py";

std::string list(const Sizes& s) {
    return fmt::format("[{}]", fmt::join(s, ","));
}
std::string tuple(const Ints& s) {
    return s.empty() ? "()" : fmt::format("({},)", fmt::join(s, ","));
}

const char* numpy_dtype(DType t) {
    switch (t) {
        case DType::Bool: return "np.bool_";
        case DType::U8: return "np.uint8";
        case DType::I32: return "np.int32";
        case DType::I64: return "np.int64";
        case DType::F32: return "np.float32";
        case DType::F64: break;
    }
    return "np.float64";
}

// Ops that have a function there, of the same arguments.
const std::map<std::string_view, const char*> called{{"add", "np.add"},
                                                     {"mul", "np.multiply"},
                                                     {"div", "np.true_divide"},
                                                     {"abs", "np.abs"},
                                                     {"sign", "np.sign"},
                                                     {"sqr", "np.square"},
                                                     {"sqrt", "np.sqrt"},
                                                     {"exp", "np.exp"},
                                                     {"expm1", "np.expm1"},
                                                     {"log", "np.log"},
                                                     {"log1p", "np.log1p"},
                                                     {"tanh", "np.tanh"},
                                                     {"sin", "np.sin"},
                                                     {"cos", "np.cos"},
                                                     {"erf", "erf"},
                                                     {"erfc", "erfc"},
                                                     {"pow", "np.power"},
                                                     {"sigmoid", "sigmoid"},
                                                     {"floor", "np.floor"},
                                                     {"ceil", "np.ceil"},
                                                     {"round", "np.rint"},
                                                     {"maximum", "np.maximum"},
                                                     {"minimum", "np.minimum"},
                                                     {"eq", "np.equal"},
                                                     {"neq", "np.not_equal"},
                                                     {"lt", "np.less"},
                                                     {"le", "np.less_equal"},
                                                     {"and", "np.logical_and"},
                                                     {"or", "np.logical_or"},
                                                     {"xor", "np.logical_xor"},
                                                     {"not", "np.logical_not"},
                                                     {"where", "np.where"},
                                                     {"floordiv", "np.floor_divide"},
                                                     {"mod", "np.mod"},
                                                     {"batched_dot", "np.matmul"},
                                                     {"logaddexp", "np.logaddexp"}};

std::optional<std::string> expression(const Node& n, const std::vector<std::string>& x, bool jax) {
    const std::string_view name = n.op->name;
    const DType t = n.types[0].dtype;
    const DType from = n.inputs.empty() ? t : n.inputs[0].dtype();
    const Attrs& a = n.attrs;
    const auto sizes = [&](const char* key) { return list(concrete(a.get<Shape>(key))); };
    // JAX says otherwise what a division of integers by zero is.
    if (jax && !is_float(t) && (name == "floordiv" || name == "mod")) return std::nullopt;
    if (const auto i = called.find(name); i != called.end()) {
        if (from == DType::Bool &&
            (name == "sqr" || name == "sign" || name == "floor" || name == "ceil" ||
             name == "round" || name == "floordiv" || name == "mod"))
            return std::nullopt;
        // Whole numbers stay what they are.
        if (!is_float(from) && (name == "floor" || name == "ceil" || name == "round")) return x[0];
        return fmt::format("{}({})", i->second, fmt::join(x, ", "));
    }
    if (name == "sub")
        return t == DType::Bool ? fmt::format("np.logical_xor({}, {})", x[0], x[1])
                                : fmt::format("np.subtract({}, {})", x[0], x[1]);
    if (name == "neg") return t == DType::Bool ? x[0] : fmt::format("np.negative({})", x[0]);
    if (name == "relu") return fmt::format("np.where({0} < 0, np.zeros_like({0}), {0})", x[0]);
    if (name == "softplus") return fmt::format("np.logaddexp(np.zeros_like({0}), {0})", x[0]);
    if (name == "cast") return fmt::format("cast({}, {})", x[0], numpy_dtype(t));
    if (name == "stop_gradient") return x[0];
    if (name == "sum" || name == "prod")
        return t == DType::Bool ? std::nullopt
                                : std::optional(fmt::format(
                                      "np.{}({}, axis={}, keepdims={}, dtype={})", name, x[0],
                                      tuple(a.get<Ints>("axes")),
                                      a.get<bool>("keepdims") ? "True" : "False", numpy_dtype(t)));
    if (name == "max" || name == "min" || name == "argmax" || name == "argmin")
        return fmt::format("{}(np.{}, {}, {}, {})", name.starts_with("arg") ? "arg" : "extreme",
                           name, x[0], tuple(a.get<Ints>("axes")),
                           a.get<bool>("keepdims") ? "True" : "False");
    if (name == "reshape")
        return fmt::format("np.reshape({}, {})", x[0], list(concrete(n.types[0].shape)));
    if (name == "broadcast_to")
        return fmt::format("np.broadcast_to({}, {})", x[0], list(concrete(n.types[0].shape)));
    if (name == "dimshuffle")
        return fmt::format("dimshuffle({}, {})", x[0], list(a.get<Ints>("order")));
    if (name == "concatenate")
        return fmt::format("np.concatenate([{}], axis={})", fmt::join(x, ", "),
                           a.get<std::int64_t>("axis"));
    if (name == "shape")
        return fmt::format("np.int64({}.shape[{}])", x[0], a.get<std::int64_t>("axis"));
    if (name == "slice")
        return fmt::format("window({}, {}, {}, {})", x[0], sizes("starts"),
                           list(a.get<Ints>("steps")), sizes("sizes"));
    if (name == "slice_grad")
        return fmt::format("unwindow({}, {}, {}, {}, {})", x[0], sizes("starts"),
                           list(a.get<Ints>("steps")), sizes("sizes"), numpy_dtype(t));
    if (name == "take")
        return fmt::format("np.take({}, {}, axis={})", x[0], x[1], a.get<std::int64_t>("axis"));
    if (name == "advanced_index")
        return fmt::format("{}[{}]", x[0],
                           fmt::join(std::vector<std::string>(x.begin() + 1, x.end()), ", "));
    if (name == "check_index")
        return fmt::format("check_index({}, {})", x[0], a.get<Dim>("size").value());
    if (name == "arange")
        return fmt::format("np.arange({}, dtype=np.int64) * {} + {}", a.get<Dim>("size").value(),
                           a.get<std::int64_t>("step"), a.get<std::int64_t>("start"));
    if (name == "dot") return fmt::format("np.dot({}, {})", x[0], x[1]);
    if (name == "pad2d" && !a.has("lowest")) {
        const Sizes p = concrete(a.get<Shape>("pad"));
        return fmt::format("pad2d({}, {})", x[0], fmt::join(p, ", "));
    }
    if (name == "softmax" || name == "log_softmax")
        return fmt::format("{}({}, {})", name, x[0], a.get<std::int64_t>("axis"));
    return std::nullopt;
}

void append(std::string& data, const Array& a) {
    if (a.bytes()) data.append(static_cast<const char*>(a.raw()), a.bytes());
}

std::vector<Expr> bound_results(const Case& c) {
    ShapeBinding binding;
    for (std::size_t k = 0; k < c.inputs.size(); ++k) {
        binding.sizes[c.inputs[k].node().id] = c.values[k].shape();
        if (c.values[k].rank() == 0 && !is_float(c.values[k].dtype()))
            binding.scalars[c.inputs[k].node().id] = c.values[k].as_int();
    }
    const std::vector<Expr> results = c.results();
    return bind_shapes(results, binding);
}

/// Leaves that hold arrays, in the order in which they are written.
std::vector<std::pair<const Node*, Array>> leaves_of(const Graph& graph, const Case& c) {
    std::vector<std::pair<const Node*, Array>> out;
    for (const auto& node : graph.nodes()) {
        if (node->op->kind == OpInfo::Kind::Constant)
            out.emplace_back(node.get(), *constant_value(Expr(node)));
        for (std::size_t k = 0; k < c.inputs.size(); ++k)
            if (node->op->kind == OpInfo::Kind::Input && c.inputs[k].node().id == node->id)
                out.emplace_back(node.get(), c.values[k]);
        for (std::size_t k = 0; k < c.shared.size(); ++k)
            if (node->op->kind == OpInfo::Kind::Shared && c.shared[k].node().id == node->id)
                out.emplace_back(node.get(), c.state[k]);
    }
    return out;
}

}  // namespace

std::optional<std::string> to_python(const Case& c, const std::string& name, bool jax) {
    const std::vector<Expr> results = bound_results(c);
    const Graph graph(results);
    std::unordered_map<const Node*, std::string> names;
    std::vector<std::string> parameters;
    for (const auto& [node, value] : leaves_of(graph, c))
        parameters.push_back(names[node] = fmt::format("a{}", parameters.size()));
    std::string body;
    for (const auto& node : graph.nodes()) {
        if (node->is_leaf()) continue;
        if (node->types.size() != 1) return std::nullopt;
        std::vector<std::string> x;
        for (const Expr& e : node->inputs) x.push_back(names.at(&e.node()));
        const auto text = expression(*node, x, jax);
        if (!text) return std::nullopt;
        std::string& own = names[node.get()];
        own = fmt::format("v{}", names.size());
        body += fmt::format("    {} = {}\n", own, *text);
    }
    std::vector<std::string> returned;
    for (const Expr& e : results) returned.push_back(names.at(&e.node()));
    return fmt::format("def {}({}):\n{}    return [{}]\n", name, fmt::join(parameters, ", "), body,
                       fmt::join(returned, ", "));
}

Beside::Beside(std::string library, std::string python, OnFinding on_finding)
    : library_(std::move(library)), python_(std::move(python)), on_finding_(std::move(on_finding)) {
    if (library_ != "numpy" && library_ != "jax")
        fail<ArgumentError>({}, "nothing called '{}' to compare with: numpy or jax", library_);
    if (std::system(
            fmt::format("{} -c 'import numpy, {}' 2>/dev/null", python_, library_).c_str()) != 0)
        fail<ArgumentError>({}, "{} has no {}", python_, library_);
    folder_ = (std::filesystem::temp_directory_path() / "arete_fuzz_XXXXXX").string();
    if (!::mkdtemp(folder_.data())) fail<ArgumentError>({}, "cannot write to {}", folder_);
}

Beside::~Beside() {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
}

bool Beside::add(const Case& c, Expected expected) {
    const bool jax = library_ == "jax";
    const std::string name = fmt::format("c{}", waiting_.size());
    const auto text = to_python(c, name, jax);
    if (!text) return false;
    script_ += *text;
    std::string arguments;
    const Graph graph(bound_results(c));
    for (const auto& [node, value] : leaves_of(graph, c)) {
        arguments +=
            fmt::format(", array(\"{}\", {})", arete::name(value.dtype()), list(value.shape()));
        append(data_, value);
    }
    script_ += fmt::format("case({}{})\n", name, arguments);
    waiting_.push_back({c, std::move(expected)});
    if (waiting_.size() >= batch) flush();
    return true;
}

void Beside::flush() {
    if (waiting_.empty()) return;
    const std::string script = folder_ + "/batch.py", data = folder_ + "/data",
                      results = folder_ + "/results";
    std::ofstream(script) << "LIBRARY = \"" << library_ << "\"\n"
                          << prelude << script_ << "out.close()\n";
    std::ofstream(data, std::ios::binary) << data_;
    std::filesystem::remove(results);
    const int status =
        std::system(fmt::format("{} {} {} {}", python_, script, data, results).c_str());
    std::ifstream in(results, std::ios::binary);
    const auto read = [&] {
        std::int64_t v = 0;
        in.read(reinterpret_cast<char*>(&v), sizeof v);
        return in ? v : std::int64_t{-3};
    };
    for (Waiting& w : waiting_) {
        const std::int64_t n = read();
        if (n == -3) {
            on_finding_(w.c.seed, {Finding::Kind::Crash, library_,
                                   fmt::format("Python ended with {}", status)});
            break;
        }
        if (n < 0) {
            std::string text(static_cast<std::size_t>(read()), ' ');
            in.read(text.data(), static_cast<std::streamsize>(text.size()));
            if (n == -2) on_finding_(w.c.seed, {Finding::Kind::Exception, library_, text});
            continue;
        }
        std::vector<Array> got;
        for (std::int64_t k = 0; k < n; ++k) {
            const auto t = static_cast<DType>(read());
            Sizes sizes(static_cast<std::size_t>(read()));
            for (std::int64_t& s : sizes) s = read();
            Array a(t, sizes);
            in.read(static_cast<char*>(a.raw()), static_cast<std::streamsize>(a.bytes()));
            got.push_back(std::move(a));
        }
        std::optional<Finding> wrong = compare(w.c, w.expected, got, library_);
        if (wrong) {
            Binding leaves;
            for (std::size_t k = 0; k < w.c.inputs.size(); ++k)
                leaves.emplace_back(w.c.inputs[k], widen(w.c.values[k]));
            w.c.reset();
            for (std::uint64_t s = 0; s < 24; ++s)
                w.expected.add(evaluate(w.c.results(), leaves, {100 + s, s < 8 ? 1. : 4.}));
            wrong = compare(w.c, w.expected, got, library_);
        }
        if (wrong) on_finding_(w.c.seed, *wrong);
    }
    waiting_.clear();
    script_.clear();
    data_.clear();
}

}  // namespace arete::fuzz
