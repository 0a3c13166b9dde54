#include "tests/fuzz/print.h"

#include <cmath>
#include <functional>
#include <map>
#include <sstream>
#include <unordered_map>

#include <fmt/ranges.h>

#include "compiler/ops/leaves.h"

namespace arete::fuzz {

namespace {

std::string dtype_text(DType t) {
    switch (t) {
        case DType::Bool: return "DType::Bool";
        case DType::U8: return "DType::U8";
        case DType::I32: return "DType::I32";
        case DType::I64: return "DType::I64";
        case DType::F32: return "DType::F32";
        case DType::F64: break;
    }
    return "DType::F64";
}

const char* type_text(DType t) {
    switch (t) {
        case DType::Bool: return "bool";
        case DType::U8: return "std::uint8_t";
        case DType::I32: return "std::int32_t";
        case DType::I64: return "std::int64_t";
        case DType::F32: return "float";
        case DType::F64: break;
    }
    return "double";
}

std::string float_text(double v, int digits) {
    if (std::isnan(v)) return "NAN";
    if (std::isinf(v)) return v > 0 ? "INFINITY" : "-INFINITY";
    std::string out = fmt::format("{:.{}g}", v, digits);
    if (v == 0 && std::signbit(v)) out = "-0.";
    return out;
}

std::string element(const Array& a, std::int64_t i) {
    if (a.dtype() == DType::F32) {
        const std::string s = float_text(a.as_double(i), 9);
        if (s.find_first_of("NI") != std::string::npos) return s;
        return s.find_first_of(".e") == std::string::npos ? s + ".f" : s + "f";
    }
    if (a.dtype() == DType::F64) return float_text(a.as_double(i), 17);
    if (a.dtype() == DType::Bool) return a.as_int(i) ? "true" : "false";
    const std::int64_t v = a.as_int(i);
    if (v == INT64_MIN) return "INT64_MIN";
    if (v == INT32_MIN) return "INT32_MIN";
    return fmt::format("{}{}", v,
                       a.dtype() == DType::I64 && (v > INT32_MAX || v < INT32_MIN) ? "LL" : "");
}

std::string ints(const Ints& v) {
    return fmt::format("{{{}}}", fmt::join(v, ", "));
}

std::string array(const Array& a) {
    bool same = a.size() > 0;
    for (std::int64_t i = 1; same && i < a.size(); ++i) same = element(a, i) == element(a, 0);
    if (a.size() == 0) return fmt::format("zeros({}, {})", dtype_text(a.dtype()), ints(a.shape()));
    if (same && a.size() > 1)
        return fmt::format("full<{}>({}, {})", type_text(a.dtype()), ints(a.shape()),
                           element(a, 0));
    if (a.rank() == 0) return fmt::format("Array({}({}))", type_text(a.dtype()), element(a, 0));
    std::vector<std::string> all;
    for (std::int64_t i = 0; i < a.size(); ++i) all.push_back(element(a, i));
    return fmt::format("Array(std::vector<{}>{{{}}}, {})", type_text(a.dtype()),
                       fmt::join(all, ", "), ints(a.shape()));
}

std::string dim(const Dim& d, const Case& c) {
    const auto bound = [&](bool number) {
        return d.bind([&](DimSymbol s) -> std::optional<Dim> {
            for (std::size_t k = 0; k < c.inputs.size(); ++k) {
                if (c.inputs[k].node().id != s.variable) continue;
                if (s.axis < 0) return Dim(c.values[k].as_int());
                if (number) return Dim(c.values[k].shape()[s.axis]);
                return Dim::symbol(s, fmt::format("x{}.shape()[{}]", k, s.axis));
            }
            return std::nullopt;
        });
    };
    // A quotient has no such text: its value then.
    const Dim symbolic = bound(false);
    if (!symbolic.is_const() && symbolic.str().find("//") == std::string::npos)
        return "Dim(" + symbolic.str() + ")";
    const Dim value = bound(true);
    return value.is_const() ? fmt::format("{}", value.value()) : "/* " + d.str() + " */ 1";
}

std::string shape(const Shape& s, const Case& c) {
    std::vector<std::string> all;
    for (const Dim& d : s) all.push_back(dim(d, c));
    return fmt::format("{{{}}}", fmt::join(all, ", "));
}

std::string attribute(const Attr& a, const Case& c) {
    return std::visit(
        [&](const auto& v) -> std::string {
            using T = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<T, bool>)
                return v ? "true" : "false";
            else if constexpr (std::is_same_v<T, std::int64_t>)
                return fmt::format("std::int64_t{{{}}}", v);
            else if constexpr (std::is_same_v<T, double>)
                return fmt::format("double({})", float_text(v, 17));
            else if constexpr (std::is_same_v<T, DType>)
                return dtype_text(v);
            else if constexpr (std::is_same_v<T, std::string>)
                return fmt::format("std::string(\"{}\")", v);
            else if constexpr (std::is_same_v<T, Ints>)
                return "Ints" + ints(v);
            else if constexpr (std::is_same_v<T, Dim>)
                return "Dim(" + dim(v, c) + ")";
            else if constexpr (std::is_same_v<T, Shape>)
                return "Shape" + shape(v, c);
            else
                return array(v);
        },
        a);
}

class Printer {
  public:
    explicit Printer(const Case& c) : c_(c) {}

    std::string operand(const Expr& e) {
        std::string name = names_.at(&e.node());
        // Further outputs of a node have no name of their own.
        return e.output() == 0 ? name : fmt::format("Expr({}.node_ptr(), {})", name, e.output());
    }

    void define(const std::shared_ptr<const Node>& node, std::ostream& out) {
        std::string& name = names_[node.get()];
        if (node->op->kind == OpInfo::Kind::Input) {
            for (std::size_t k = 0; k < c_.inputs.size(); ++k)
                if (c_.inputs[k].node().id == node->id) {
                    name = fmt::format("x{}", k);
                    Ints known;
                    for (const Dim& d : node->types[0].shape)
                        known.push_back(d.is_const() ? d.value() : -1);
                    out << fmt::format("    const Expr {} = tensor({}, {}, \"{}\", {});\n", name,
                                       dtype_text(node->types[0].dtype), known.size(), name,
                                       ints(known));
                }
            return;
        }
        if (node->op->kind == OpInfo::Kind::Shared) {
            for (std::size_t k = 0; k < c_.shared.size(); ++k)
                if (c_.shared[k].node().id == node->id) {
                    name = fmt::format("s{}", k);
                    out << fmt::format("    const Expr {} = shared({}, \"{}\");\n", name,
                                       array(c_.state[k]), name);
                }
            return;
        }
        name = fmt::format("e{}", ++count_);
        const std::string value =
            node->op->kind == OpInfo::Kind::Constant
                ? fmt::format("constant({})", array(*constant_value(Expr(node))))
                : built(*node);
        out << fmt::format("    const Expr {} = {};  // {}\n", name, value, node->types[0].str());
    }

  private:
    std::string built(const Node& n) {
        static const std::map<std::string_view, const char*> infix{
            {"add", "+"}, {"sub", "-"}, {"mul", "*"},  {"div", "/"},
            {"lt", "<"},  {"le", "<="}, {"and", "&&"}, {"or", "||"}};
        static const std::map<std::string_view, const char*> call{
            {"floordiv", "floordiv"},
            {"mod", "mod"},
            {"abs", "abs"},
            {"sign", "sign"},
            {"sqr", "sqr"},
            {"sqrt", "sqrt"},
            {"exp", "exp"},
            {"expm1", "expm1"},
            {"log", "log"},
            {"log1p", "log1p"},
            {"tanh", "tanh"},
            {"sin", "sin"},
            {"cos", "cos"},
            {"erf", "erf"},
            {"floor", "floor"},
            {"ceil", "ceil"},
            {"round", "round"},
            {"sigmoid", "sigmoid"},
            {"relu", "relu"},
            {"softplus", "softplus"},
            {"pow", "pow"},
            {"maximum", "maximum"},
            {"minimum", "minimum"},
            {"eq", "eq"},
            {"neq", "neq"},
            {"xor", "logical_xor"},
            {"where", "where"},
            {"stop_gradient", "stop_gradient"},
            {"erfc", "erfc"},
            {"erfcx", "erfcx"},
            {"log_erfc", "log_erfc"},
            {"log1mexp", "log1mexp"},
            {"logaddexp", "logaddexp"},
            {"dot", "dot"},
            {"batched_dot", "batched_dot"},
            {"neg", "-"},
            {"not", "!"}};
        std::vector<std::string> x;
        for (const Expr& e : n.inputs) x.push_back(operand(e));
        const std::string_view name = n.op->name;
        if (const auto i = infix.find(name); i != infix.end())
            return fmt::format("{} {} {}", x[0], i->second, x[1]);
        if (const auto i = call.find(name); i != call.end())
            return fmt::format("{}({})", i->second, fmt::join(x, ", "));
        if (name == "cast") return fmt::format("cast({}, {})", x[0], dtype_text(n.types[0].dtype));
        if (name == "sum" || name == "prod" || name == "max" || name == "min" ||
            name == "logsumexp" ||
            ((name == "argmax" || name == "argmin") && n.attrs.get<Ints>("axes").size() == 1))
            return fmt::format("{}({}, Axes(Ints{}), {})", name, x[0],
                               ints(n.attrs.get<Ints>("axes")), n.attrs.get<bool>("keepdims"));
        if (name == "softmax" || name == "log_softmax")
            return fmt::format("{}({}, {})", name, x[0], n.attrs.get<std::int64_t>("axis"));
        if (name == "reshape" || name == "broadcast_to")
            return fmt::format("{}({}, Shape{})", name, x[0], shape(n.types[0].shape, c_));
        if (name == "concatenate")
            return fmt::format("concatenate({{{}}}, {})", fmt::join(x, ", "),
                               n.attrs.get<std::int64_t>("axis"));
        if (name == "dimshuffle") {
            std::vector<std::string> order;
            for (const std::int64_t k : n.attrs.get<Ints>("order"))
                order.push_back(k < 0 ? "'x'" : fmt::format("{}", k));
            return fmt::format("dimshuffle({}, std::vector<DimItem>{{{}}})", x[0],
                               fmt::join(order, ", "));
        }
        std::vector<std::string> attrs;
        for (const auto& [key, value] : n.attrs.items())
            attrs.push_back(fmt::format("{{\"{}\", {}}}", key, attribute(value, c_)));
        return fmt::format("apply(*find_op(\"{}\"), {{{}}}, {{{}}}, {{}})", name,
                           fmt::join(x, ", "), fmt::join(attrs, ", "));
    }

    const Case& c_;
    std::unordered_map<const Node*, std::string> names_;
    int count_ = 0;
};

const char* mode_text(Mode m) {
    switch (m) {
        case Mode::fast_run: return "Mode::fast_run";
        case Mode::fast_compile: return "Mode::fast_compile";
        case Mode::fast_math: return "Mode::fast_math";
        case Mode::debug: return "Mode::debug";
        case Mode::nan_guard: return "Mode::nan_guard";
        case Mode::interpret: break;
    }
    return "Mode::interpret";
}

}  // namespace

std::string to_program(const Case& c, const Setting& setting, const std::string& comment) {
    std::ostringstream out;
    std::istringstream lines(comment);
    for (std::string line; std::getline(lines, line);) out << "// " << line << '\n';
    out << "#include <cmath>\n#include <cstdint>\n\n#include <arete/arete.h>\n#include "
           "<fmt/format.h>\n\nint main() {\n    using namespace arete;\n";
    Printer printer(c);
    std::vector<Expr> roots;
    if (c.gradients.empty()) roots = c.results();
    for (const auto& [variable, value] : c.updates) roots.push_back(variable);
    for (const Expr& e : c.inputs) roots.push_back(e);
    for (const GradientOf& g : c.gradients) {
        roots.push_back(g.cost);
        roots.push_back(g.wrt);
    }
    const Graph graph(roots);
    // Inputs first: sizes are said in terms of them.
    for (const Expr& e : c.inputs) printer.define(e.node_ptr(), out);
    for (const auto& node : graph.nodes())
        if (node->op->kind != OpInfo::Kind::Input) printer.define(node, out);
    std::vector<std::string> inputs, outputs, updates, values;
    for (const Expr& e : c.inputs) inputs.push_back(printer.operand(e));
    for (const Expr& e : c.outputs)
        if (c.gradients.empty()) outputs.push_back(printer.operand(e));
    for (std::size_t k = 0; k < c.gradients.size(); ++k) {
        const GradientOf& g = c.gradients[k];
        out << fmt::format(
            "    const Expr g{} = grad({}, {}, {{.disconnected_inputs = "
            "Disconnected::zero}});\n",
            k, printer.operand(g.cost), printer.operand(g.wrt));
        outputs.push_back(printer.operand(g.cost));
        outputs.push_back(fmt::format("g{}", k));
    }
    for (const auto& [variable, value] : c.updates)
        updates.push_back(
            fmt::format("{{{}, {}}}", printer.operand(variable), printer.operand(value)));
    for (const Array& v : c.values) values.push_back(array(v));
    out << "    Options options = Options::from_environment();\n";
    if (setting.cpu != "native" && !setting.objects_only)
        out << fmt::format("    options.cpu = \"{}\";\n", setting.cpu);
    out << fmt::format("    options.num_threads = {};\n", setting.threads);
    out << fmt::format(
        "    const Function f = function({{.inputs = {{{}}},\n"
        "                                 .outputs = {{{}}},\n"
        "                                 .updates = {{{}}},\n"
        "                                 .on_unused_input = OnUnusedInput::ignore,\n"
        "                                 .mode = {},\n"
        "                                 .options = options}});\n",
        fmt::join(inputs, ", "), fmt::join(outputs, ", "), fmt::join(updates, ", "),
        mode_text(setting.mode));
    out << fmt::format("    const std::vector<Array> arguments{{{}}};\n", fmt::join(values, ", "));
    out << "    for (const Array& a : f.call(arguments)) fmt::print(\"{}\\n\", a.str());\n";
    for (const auto& [variable, value] : c.updates)
        out << fmt::format("    fmt::print(\"{{}}\\n\", Shared({}).get_value().str());\n",
                           printer.operand(variable));
    out << "}\n";
    return out.str();
}

}  // namespace arete::fuzz
