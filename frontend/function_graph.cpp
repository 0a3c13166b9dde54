#include "frontend/function_graph.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include "compiler/ops/dims.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/scan.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "runtime/shared_value.h"

namespace arete {

namespace {

using Kind = OpInfo::Kind;

std::string label(const Expr& e) {
    const Node& n = e.node();
    if (!n.name.empty()) return fmt::format("'{}'", n.name);
    return n.loc() ? fmt::format("the {} of {}", n.op->name, n.loc().str())
                   : fmt::format("an unnamed {}", n.op->name);
}

bool sizes_may_agree(const Shape& a, const Shape& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i].is_const() && b[i].is_const() && !(a[i] == b[i])) return false;
    return true;
}

void check_inputs(const FunctionOptions& o, Loc loc) {
    for (std::size_t i = 0; i < o.inputs.size(); ++i) {
        const Expr& e = o.inputs[i];
        if (e.empty())
            fail<GraphError>(loc, "function '{}': input {} is an empty expression", o.name, i + 1);
        if (e.node().op != &input_op.info)
            fail<GraphError>(loc, "function '{}': input {} is not an input variable but {}: {}",
                             o.name, i + 1, e.node().op->name, e.type().str());
        for (std::size_t j = 0; j < i; ++j)
            if (same(o.inputs[j], e))
                fail<GraphError>(loc, "function '{}': input {} is given twice", o.name, label(e));
    }
}

std::vector<std::pair<Expr, Expr>> check_updates(const FunctionOptions& o) {
    std::vector<std::pair<Expr, Expr>> out;
    for (const Update& u : o.updates) {
        if (u.variable.empty())
            fail<GraphError>(u.loc, "function '{}': update of an empty expression", o.name);
        const Node& n = u.variable.node();
        if (n.op->kind != Kind::Shared)
            fail<GraphError>(
                u.loc, "function '{}': update of {}, which is not a shared variable but {}: {}",
                o.name, label(u.variable), n.op->name, u.variable.type().str());
        Expr value = u.value.beside(u.variable.dtype());
        if (value.dtype() != u.variable.dtype() ||
            !sizes_may_agree(value.shape(), u.variable.shape()))
            fail<GraphError>(
                u.loc, "function '{}': update of shared variable {}: it is {}, its new value is {}",
                o.name, label(u.variable), u.variable.type().str(), value.type().str());
        for (const auto& [variable, earlier] : out)
            if (same(variable, u.variable))
                fail<GraphError>(u.loc, "function '{}': shared variable {} is updated twice",
                                 o.name, label(variable));
        // Sizes that are not known yet are checked when they are.
        value = specify_shape(
            Operand(value, u.loc.file, u.loc.line), u.variable.shape(),
            fmt::format("function '{}': update of shared variable {}", o.name, label(u.variable)));
        out.emplace_back(u.variable, value);
    }
    return out;
}

// Replaces expressions, and sizes that were said in terms of replaced inputs.
std::vector<Expr> apply_givens(const std::vector<Expr>& roots, const FunctionOptions& o, Loc loc) {
    std::vector<std::pair<Expr, Expr>> pairs;
    for (const Given& g : o.givens) {
        if (g.what.empty())
            fail<GraphError>(loc, "function '{}': given for an empty expression", o.name);
        Expr by = g.replacement.beside(g.what.dtype());
        if (by.dtype() != g.what.dtype() || !sizes_may_agree(by.shape(), g.what.shape()))
            fail<GraphError>(g.replacement.loc,
                             "function '{}': given for {}: it is {}, the replacement is {}", o.name,
                             label(g.what), g.what.type().str(), by.type().str());
        pairs.emplace_back(g.what, by);
    }
    if (pairs.empty()) return roots;
    const std::vector<std::pair<Expr, Expr>> given = pairs;
    auto symbol = [&](DimSymbol s) -> std::optional<Dim> {
        for (const auto& [what, by] : given) {
            if (what.node().op->kind != Kind::Input || what.node().id != s.variable) continue;
            return s.axis < 0 ? as_dim(by) : by.shape()[s.axis];
        }
        return std::nullopt;
    };
    const auto is_known = [&](const Dim& d) {
        bool known = true;
        d.for_each_symbol([&](DimSymbol s) {
            known = known && std::any_of(o.inputs.begin(), o.inputs.end(),
                                         [&](const Expr& e) { return e.node().id == s.variable; });
        });
        return known;
    };
    // What is replaced promised a shape, which others may have relied upon.
    for (std::size_t k = 0; k < pairs.size(); ++k) {
        auto& [what, by] = pairs[k];
        Shape promised = what.shape();
        for (std::size_t axis = 0; axis < promised.size(); ++axis) {
            Dim& d = promised[axis];
            d = d.bind(symbol);
            // Of an intermediate value, whose own inputs may be no longer needed.
            if (!is_known(d)) d = by.shape()[axis];
        }
        const Loc at = o.givens[k].replacement.loc;
        by = specify_shape(Operand(by, at.file, at.line), promised,
                           fmt::format("function '{}': given for {}", o.name, label(what)));
    }
    return arete::substitute(roots, pairs);
}

void add_default_updates(FunctionGraph& f, const Graph& graph) {
    for (const Expr& s : f.shared) {
        const std::int64_t step = shared_value(s.node()).default_increment();
        bool updated = std::any_of(f.updates.begin(), f.updates.end(),
                                   [&](const auto& u) { return same(u.first, s); });
        if (step == 0 || updated) continue;
        // Loops that draw advance it once for each draw.
        const Expr advanced = advanced_counter(s, graph);
        f.updates.emplace_back(s, advanced.empty() ? s + step : advanced);
    }
}

}  // namespace

FunctionGraph prepare_function(FunctionOptions o, Loc loc) {
    check_inputs(o, loc);
    for (const Expr& e : o.outputs)
        if (e.empty())
            fail<GraphError>(loc, "function '{}': an output is an empty expression", o.name);
    FunctionGraph f{o.name, loc, o.inputs, {}, check_updates(o), {}, {}};

    std::vector<Expr> roots = o.outputs;
    for (const auto& [variable, value] : f.updates) roots.push_back(value);
    roots = apply_givens(roots, o, loc);
    f.outputs.assign(roots.begin(), roots.begin() + static_cast<std::ptrdiff_t>(o.outputs.size()));
    for (std::size_t k = 0; k < f.updates.size(); ++k)
        f.updates[k].second = roots[o.outputs.size() + k];

    for (const auto& [variable, value] : f.updates) roots.push_back(variable);
    Graph graph(roots);
    for (const auto& node : graph.nodes()) {
        Expr e(node);
        if (node->op->kind == Kind::Shared) f.shared.push_back(e);
        if (node->op->kind != Kind::Input) continue;
        if (node->op == &param_op.info)
            fail<GraphError>(loc,
                             "function '{}': {} is used outside of the step of a loop that it is a "
                             "value of ({})",
                             f.name, label(e), e.type().str());
        if (std::none_of(f.inputs.begin(), f.inputs.end(),
                         [&](const Expr& i) { return same(i, e); }))
            fail<GraphError>(loc, "function '{}': input {} ({}) is needed but not among the inputs",
                             f.name, label(e), e.type().str());
    }
    std::sort(f.shared.begin(), f.shared.end(),
              [](const Expr& a, const Expr& b) { return a.node().id < b.node().id; });
    const InputsInShapes sizes = inputs_in_shapes(roots);
    for (const Expr& input : f.inputs) {
        const std::uint64_t id = input.node().id;
        const bool sized = sizes.scalars.count(id) != 0 || sizes.tensors.count(id) != 0;
        if (graph.contains(input.node()) || sized || o.on_unused_input == OnUnusedInput::ignore)
            continue;
        std::string message = fmt::format(
            "function '{}': input {} is not used by any output or update", f.name, label(input));
        if (o.on_unused_input == OnUnusedInput::error) throw GraphError(loc, message);
        fmt::print(stderr, "warning: {}: {}\n", loc.str(), message);
    }
    f.size_scalars.assign(sizes.scalars.begin(), sizes.scalars.end());
    add_default_updates(f, graph);
    return f;
}

}  // namespace arete
