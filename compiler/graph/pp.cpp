// pp: bottom up, one text a node, so that neither depth nor sharing matters.
#include "compiler/graph/pp.h"

#include <algorithm>
#include <array>

namespace arete {

namespace {

// How tightly a text binds. An operand that binds less tightly than its place asks for gets
// parentheses.
enum Binding { Loose, Or, And, Equality, Order, Sum, Product, Prefix, Postfix, Atom };

struct Text {
    std::string text;
    int binding = Atom;
};

// What a notation sees: a node and the texts of its inputs.
struct Part {
    const Node& node;
    std::span<const Text> args;
    bool checks = false;

    std::string at_least(std::size_t i, int binding) const {
        const Text& t = args[i];
        return t.binding >= binding ? t.text : "(" + t.text + ")";
    }
    const Expr& input(std::size_t i) const { return node.inputs[i]; }
};

struct Infix {
    std::string_view symbol;
    int binding;
};
// Left to right; comparisons do not chain.
constexpr Infix infixes[] = {{"||", Or},     {"&&", And},   {"==", Equality}, {"!=", Equality},
                             {"<", Order},   {"<=", Order}, {"+", Sum},       {"-", Sum},
                             {"*", Product}, {"/", Product}};

Text call(std::string_view name, const std::vector<std::string>& args) {
    return {fmt::format("{}({})", name, fmt::join(args, ", ")), Atom};
}

std::vector<std::string> plain_args(const Part& p) {
    std::vector<std::string> out;
    for (const Text& t : p.args) out.push_back(t.text);
    return out;
}

// name(args, key=value): false flags are left out.
Text generic(const Part& p) {
    std::vector<std::string> args = plain_args(p);
    for (const auto& [key, value] : p.node.attrs.items()) {
        if (const bool* flag = std::get_if<bool>(&value); flag && !*flag) continue;
        args.push_back(Attrs{{key, value}}.str());
    }
    return call(p.node.op->name, args);
}

Text reduction(const Part& p) {
    std::vector<std::string> args = plain_args(p);
    const Ints& axes = p.node.attrs.get<Ints>("axes");
    if (static_cast<int>(axes.size()) != p.input(0).rank())
        args.push_back(axes.size() == 1 ? fmt::format("axis={}", axes[0])
                                        : fmt::format("axis=[{}]", fmt::join(axes, ", ")));
    if (p.node.attrs.has("keepdims") && p.node.attrs.get<bool>("keepdims"))
        args.push_back("keepdims=true");
    return call(p.node.op->name, args);
}

// The last axis goes without saying.
Text along_axis(const Part& p) {
    std::vector<std::string> args = plain_args(p);
    const std::int64_t axis = p.node.attrs.get<std::int64_t>("axis");
    if (axis != p.input(0).rank() - 1) args.push_back(fmt::format("axis={}", axis));
    return call(p.node.op->name, args);
}

Text cast_to(const Part& p) {
    return call("cast", {p.args[0].text, std::string(name(p.node.types[0].dtype))});
}

Text shaped(const Part& p) {
    return call(p.node.op->name, {p.args[0].text, to_string(p.node.types[0].shape)});
}

Text shuffled(const Part& p) {
    const Ints& order = p.node.attrs.get<Ints>("order");
    const auto rank = static_cast<std::int64_t>(order.size());
    bool reversed = rank == p.input(0).rank() && rank >= 2;
    for (std::int64_t k = 0; reversed && k < rank; ++k) reversed = order[k] == rank - 1 - k;
    if (reversed) return {p.at_least(0, Postfix) + ".T", Postfix};
    std::vector<std::string> items;
    for (std::int64_t k : order) items.push_back(k < 0 ? "'x'" : std::to_string(k));
    return call("dimshuffle", {p.args[0].text, fmt::format("{{{}}}", fmt::join(items, ", "))});
}

Text indexed(const Part& p, std::vector<std::string> items) {
    while (items.size() > 1 && items.back() == ":") items.pop_back();
    return {fmt::format("{}[{}]", p.at_least(0, Postfix), fmt::join(items, ", ")), Postfix};
}

// start:stop:step with what goes without saying left out.
std::string window(const Text* dynamic, const Dim& start, std::int64_t step, const Dim& size,
                   const Dim& whole) {
    const Dim length = Dim(step) * size;
    if (!dynamic && start == Dim(0) && step == 1 && size == whole) return ":";
    std::string from, to;
    if (dynamic) {
        const std::string s = dynamic->binding >= Sum ? dynamic->text : "(" + dynamic->text + ")";
        from = s;
        to = fmt::format("{} {} {}", s, step < 0 ? "-" : "+",
                         (step < 0 ? Dim(0) - length : length).str());
    } else {
        if (start != Dim(0) || step < 0) from = start.str();
        // A slice that runs backwards to the first element has no end that can be said.
        const Dim stop = start + length;
        const bool before_first = step < 0 && stop.is_const() && stop.value() < 0;
        if (!before_first && !(step > 0 && stop == whole)) to = stop.str();
    }
    return step == 1 ? fmt::format("{}:{}", from, to) : fmt::format("{}:{}:{}", from, to, step);
}

Text sliced(const Part& p) {
    const Shape &starts = p.node.attrs.get<Shape>("starts"),
                &sizes = p.node.attrs.get<Shape>("sizes");
    const Ints& steps = p.node.attrs.get<Ints>("steps");
    std::vector<std::string> items;
    for (std::size_t k = 0; k < sizes.size(); ++k)
        items.push_back(window(nullptr, starts[k], steps[k], sizes[k], p.input(0).shape()[k]));
    return indexed(p, std::move(items));
}

const Array* scalar_of(const Expr& e) {
    if (e.node().op->kind != OpInfo::Kind::Constant || e.rank() != 0) return nullptr;
    return &e.node().attrs.get<Array>("value");
}

Text dynamically_sliced(const Part& p) {
    const Shape& sizes = p.node.attrs.get<Shape>("sizes");
    const Ints& steps = p.node.attrs.get<Ints>("steps");
    std::vector<std::string> items;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
        const Array* at = scalar_of(p.input(k + 1));
        items.push_back(window(at ? nullptr : &p.args[k + 1], at ? Dim(at->as_int()) : Dim(0),
                               steps[k], sizes[k], p.input(0).shape()[k]));
    }
    return indexed(p, std::move(items));
}

Text taken(const Part& p) {
    std::vector<std::string> items(static_cast<std::size_t>(p.node.attrs.get<std::int64_t>("axis")),
                                   ":");
    items.push_back(p.args[1].text);
    return indexed(p, std::move(items));
}

Text gathered(const Part& p) {
    std::vector<std::string> items = plain_args(p);
    items.erase(items.begin());
    return indexed(p, std::move(items));
}

Text size_of_axis(const Part& p) {
    return {
        fmt::format("{}.shape({})", p.at_least(0, Postfix), p.node.attrs.get<std::int64_t>("axis")),
        Postfix};
}

Text sequence(const Part& p) {
    const std::int64_t start = p.node.attrs.get<std::int64_t>("start"),
                       step = p.node.attrs.get<std::int64_t>("step");
    const Dim stop = Dim(start) + Dim(step) * p.node.attrs.get<Dim>("size");
    if (step != 1) return call("arange", {std::to_string(start), stop.str(), std::to_string(step)});
    if (start != 0) return call("arange", {std::to_string(start), stop.str()});
    return call("arange", {stop.str()});
}

// Notations that are no plain call. An op that is not listed is written name(operands, parameters).
struct Notation {
    std::string_view op;
    Text (*write)(const Part&);
};
constexpr Notation notations[] = {
    {"sum", reduction},
    {"mean", reduction},
    {"prod", reduction},
    {"max", reduction},
    {"min", reduction},
    {"argmax", reduction},
    {"argmin", reduction},
    {"softmax", along_axis},
    {"log_softmax", along_axis},
    {"cast", cast_to},
    {"reshape", shaped},
    {"broadcast_to", shaped},
    {"dimshuffle", shuffled},
    {"slice", sliced},
    {"dynamic_slice", dynamically_sliced},
    {"take", taken},
    {"advanced_index", gathered},
    {"shape", size_of_axis},
    {"arange", sequence},
};

Text leaf(const Node& n) {
    if (n.op->kind != OpInfo::Kind::Constant)
        return {n.name.empty() ? "<" + n.types[0].str() + ">" : n.name, Atom};
    constexpr std::int64_t shown = 8;
    const Array& value = n.attrs.get<Array>("value");
    if (value.rank() == 0) {
        std::string text = element_text(value, 0);
        return {text, text[0] == '-' ? Prefix : Atom};
    }
    if (value.rank() > 1 || value.size() > shown) return {"<" + n.types[0].str() + ">", Atom};
    std::vector<std::string> items;
    for (std::int64_t i = 0; i < value.size(); ++i) items.push_back(element_text(value, i));
    return {fmt::format("[{}]", fmt::join(items, ", ")), Atom};
}

Text apply_text(const Part& p) {
    const OpInfo& op = *p.node.op;
    // What a check returns is its operand, or the call fails.
    if (op.has(Trait::Checks) && p.args.size() == 1 && !p.checks) return p.args[0];
    if (p.args.size() == 2)
        for (const Infix& i : infixes)
            if (op.symbol == i.symbol) {
                const bool chains = i.binding >= Sum || i.binding <= And;
                return {fmt::format("{} {} {}", p.at_least(0, i.binding + (chains ? 0 : 1)),
                                    i.symbol, p.at_least(1, i.binding + 1)),
                        i.binding};
            }
    // "--x" would read as a decrement.
    if (p.args.size() == 1 && !op.symbol.empty()) {
        const bool twice = p.args[0].text.substr(0, 1) == "-" && op.symbol == "-";
        return {std::string(op.symbol) + p.at_least(0, twice ? Postfix : Prefix), Prefix};
    }
    for (const Notation& n : notations)
        if (op.name == n.op) return n.write(p);
    return generic(p);
}

// Above this many nodes, counted as often as they would be written, shared parts get names.
constexpr double whole_tree = 400;
// Longer texts get a name in any case.
constexpr std::size_t long_text = 2000;
// Shorter ones are repeated.
constexpr std::size_t short_text = 12;

}  // namespace

std::string pp(const Expr& e) {
    return pp(e, PrettyPrint{});
}

std::string pp(const Expr& e, const PrettyPrint& options) {
    const auto name_of = [&](const Expr& x) -> const std::string* {
        for (const auto& [what, name] : options.names)
            if (same(what, x)) return &name;
        return nullptr;
    };
    if (const std::string* name = name_of(e)) return *name;
    const Graph graph({e});
    const std::size_t n = graph.size();
    // What stands below a named value only is not written.
    IdVector<NodeId, char> needed(n);
    needed[graph.id(e)] = 1;
    for (NodeId i : graph.ids().reversed())
        if (needed[i])
            for (const Expr& x : graph.nodes()[i]->inputs)
                if (!name_of(x)) needed[graph.id(x)] = 1;
    IdVector<NodeId, int> uses(n);
    IdVector<NodeId, double> tree(n, 1);
    for (NodeId i : graph.ids())
        if (needed[i])
            for (const Expr& x : graph.nodes()[i]->inputs) {
                const NodeId k = graph.id(x);
                ++uses[k];
                tree[i] += tree[k];
            }
    const bool name_shared = tree[graph.id(e)] > whole_tree;
    IdVector<NodeId, Text> texts(n);
    IdVector<NodeId, int> left = uses;
    std::string where;
    int names = 0;
    std::vector<Text> args;
    for (NodeId i : graph.ids()) {
        if (!needed[i]) continue;
        const Node& node = *graph.nodes()[i];
        Text t;
        if (node.is_leaf()) {
            t = leaf(node);
        } else {
            args.clear();
            for (const Expr& x : node.inputs) {
                if (const std::string* name = name_of(x)) {
                    args.push_back({*name, Atom});
                    continue;
                }
                const NodeId k = graph.id(x);
                Text a = texts[k];
                if (x.node().types.size() > 1)
                    a = {fmt::format("{}.{}", a.binding >= Postfix ? a.text : "(" + a.text + ")",
                                     x.output()),
                         Postfix};
                args.push_back(std::move(a));
                if (--left[k] == 0) texts[k] = {};
            }
            t = apply_text({node, args, options.checks});
            const bool shared = name_shared && uses[i] > 1 && t.text.size() > short_text;
            if (&node != &e.node() && (shared || t.text.size() > long_text)) {
                std::string label = fmt::format("${}", ++names);
                where += fmt::format("{}{} = {}", where.empty() ? "" : "; ", label, t.text);
                t = {std::move(label), Atom};
            }
        }
        texts[i] = std::move(t);
    }
    std::string out = texts[graph.id(e)].text;
    if (e.node().types.size() > 1) out += fmt::format(".{}", e.output());
    return where.empty() ? out : out + " where " + where;
}

PrettyPair pp_pair(const Expr& first, const Expr& second) {
    const Graph a({first}), b({second});
    PrettyPrint options{.checks = true, .names = {}};
    PrettyPair out;
    // From either side down to what both have.
    const auto give_name = [&](const Expr& e) {
        const bool named = std::any_of(options.names.begin(), options.names.end(),
                                       [&](const auto& n) { return same(n.first, e); });
        if (named || e.node().is_leaf()) return;
        std::string text = pp(e, {.checks = true, .names = {}});
        if (text.size() <= short_text) return;
        std::string label(1, static_cast<char>('a' + options.names.size() % 26));
        out.where.push_back(fmt::format("{} = {}", label, text));
        options.names.emplace_back(e, std::move(label));
    };
    const auto name_common = [&](const Expr& root, const Graph& other) {
        std::vector<Expr> pending{root};
        std::vector<const Node*> seen;
        while (!pending.empty()) {
            const Expr e = pending.back();
            pending.pop_back();
            if (std::find(seen.begin(), seen.end(), &e.node()) != seen.end()) continue;
            if (e.node().types.size() == 1) seen.push_back(&e.node());
            if (!other.contains(e.node())) {
                pending.insert(pending.end(), e.node().inputs.rbegin(), e.node().inputs.rend());
                continue;
            }
            give_name(e);
        }
    };
    name_common(first, b);
    name_common(second, a);
    // Of what is still long, the upper levels are what the rule is about.
    constexpr std::size_t readable = 120;
    const auto written = [&](const Expr& root) {
        std::string text = pp(root, options);
        if (text.size() <= readable) return text;
        for (const Expr& x : root.node().inputs)
            for (const Expr& deep : x.node().inputs)
                if (pp(deep, options).size() > readable / 4) give_name(deep);
        return pp(root, options);
    };
    out.first = written(first);
    out.second = written(second);
    return out;
}

std::string to_dot(const Expr& e) {
    return to_dot(Graph({e}));
}

std::string element_text(const Array& a, std::int64_t i) {
    return visit(a.dtype(), [&](auto tag) {
        const auto v = a.data<decltype(tag)>()[i];
        if constexpr (std::is_same_v<decltype(tag), std::uint8_t>)
            return std::to_string(static_cast<int>(v));
        else
            return fmt::format("{}", v);
    });
}

std::string shortened(std::string text, std::size_t most) {
    return text.size() <= most ? text : text.substr(0, most - 3) + "...";
}

}  // namespace arete
