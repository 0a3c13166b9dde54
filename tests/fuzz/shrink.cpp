#include "tests/fuzz/shrink.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include <arete/arete.h>

#include "compiler/ops/leaves.h"
#include "compiler/rewrite/specialize_shapes.h"

namespace arete::fuzz {

namespace {

// What takes the place of a node; nothing where it stays, with operands that may have changed.
using Replace = std::function<std::optional<Expr>(const std::shared_ptr<const Node>&)>;

/// The case with nodes replaced. Throws what type rules throw.
Case rebuilt(const Case& c, const Replace& replace,
             const std::function<Attrs(const Attrs&)>& attrs = {}) {
    Case out = c;
    const bool gradient = !c.gradients.empty();
    std::vector<Expr> roots = c.results();
    if (gradient) roots = {c.gradients[0].cost, c.gradients[0].wrt};
    for (const auto& [variable, value] : c.updates) roots.push_back(variable);
    const std::vector<Expr> to = transform(
        roots, [&](const std::shared_ptr<const Node>& old, Node copy) -> std::vector<Expr> {
            if (const auto by = replace(old)) {
                std::vector<Expr> all = outputs_of(old);
                all[0] = *by;
                return all;
            }
            if (copy.is_leaf()) return outputs_of(old);
            if (attrs) copy.attrs = attrs(copy.attrs);
            copy.types = infer_types(copy);
            return outputs_of(std::make_shared<const Node>(std::move(copy)));
        });
    if (gradient) {
        const Expr g = grad(to[0], to[1], {.disconnected_inputs = Disconnected::zero});
        out.outputs = {to[0], g};
        out.gradients = {{to[0], to[1], g}};
        out.updates.clear();
    } else {
        for (std::size_t k = 0; k < out.outputs.size(); ++k) out.outputs[k] = to[k];
        for (std::size_t k = 0; k < out.updates.size(); ++k) {
            out.updates[k].second = to[out.outputs.size() + k];
            out.updates[k].first = to[out.outputs.size() + c.updates.size() + k];
        }
    }
    return out;
}

/// Without what nothing reads.
Case cleaned(Case c) {
    std::vector<Expr> roots = c.results();
    for (const auto& [variable, value] : c.updates) roots.push_back(variable);
    for (const GradientOf& g : c.gradients) roots.insert(roots.end(), {g.cost, g.wrt, g.gradient});
    const Graph graph(roots);
    std::set<std::uint64_t> symbols;
    const auto note = [&](const Dim& d) {
        d.for_each_symbol([&](DimSymbol s) { symbols.insert(s.variable); });
        return d;
    };
    for (const auto& node : graph.nodes()) {
        bind_sizes(node->attrs, note);
        for (const TensorType& t : node->types)
            for (const Dim& d : t.shape) note(d);
    }
    std::vector<Expr> inputs;
    std::vector<Array> values;
    for (std::size_t k = 0; k < c.inputs.size(); ++k) {
        if (!graph.contains(c.inputs[k].node()) && !symbols.count(c.inputs[k].node().id)) continue;
        inputs.push_back(c.inputs[k]);
        values.push_back(c.values[k]);
    }
    c.inputs = std::move(inputs);
    c.values = std::move(values);
    c.note_shared();
    return c;
}

Array simple_array(DType t, const Sizes& sizes, double v) {
    Array out(t, sizes);
    for (std::int64_t i = 0; i < out.size(); ++i)
        visit(t, [&](auto tag) { out.data<decltype(tag)>()[i] = static_cast<decltype(tag)>(v); });
    return out;
}

Array cropped(const Array& a, const Sizes& sizes) {
    Array out(a.dtype(), sizes);
    for (std::int64_t i = 0; i < out.size(); ++i) {
        std::int64_t rest = i, from = 0, stride = 1;
        for (std::size_t k = sizes.size(); k-- > 0;) {
            from += std::min(rest % sizes[k], std::max<std::int64_t>(0, a.shape()[k] - 1)) * stride;
            rest /= sizes[k];
            stride *= a.shape()[k];
        }
        visit(a.dtype(), [&](auto tag) {
            using T = decltype(tag);
            out.data<T>()[i] = a.size() ? a.data<T>()[from] : T{};
        });
    }
    return out;
}

class Shrinker {
  public:
    Shrinker(Case c, const Fails& fails, const ShrinkOptions& options)
        : best_(std::move(c)), fails_(fails), options_(options) {}

    Case run() {
        bool better = true;
        while (better && !over()) {
            better = false;
            better |= results();
            better |= sub_graphs();
            better |= nodes();
            better |= leaves();
            better |= sizes();
            better |= values();
        }
        return best_;
    }

  private:
    bool over() const {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
        return spent.count() > options_.seconds || attempts_ > options_.attempts;
    }

    // Takes what `make` makes, if that fails too.
    bool attempt(const std::function<Case()>& make) {
        if (over()) return false;
        try {
            Case c = cleaned(make());
            ++attempts_;
            if (!fails_(c)) return false;
            best_ = std::move(c);
            return true;
        } catch (const std::exception&) {
            return false;  // no graph at all
        }
    }

    // One result alone, or all but one.
    bool results() {
        bool any = false;
        if (!best_.gradients.empty()) return false;
        for (std::size_t k = 0; k < best_.outputs.size() && best_.results().size() > 1; ++k)
            any |= attempt([&] {
                Case c = best_;
                c.outputs = {best_.outputs[k]};
                c.updates.clear();
                return c;
            });
        for (std::size_t k = best_.outputs.size(); k-- > 0;)
            any |= attempt([&] {
                Case c = best_;
                if (c.results().size() < 2) throw std::runtime_error("the last");
                c.outputs.erase(c.outputs.begin() + static_cast<std::ptrdiff_t>(k));
                return c;
            });
        for (std::size_t k = best_.updates.size(); k-- > 0;)
            any |= attempt([&] {
                Case c = best_;
                if (c.results().size() < 2) throw std::runtime_error("the last");
                c.updates.erase(c.updates.begin() + static_cast<std::ptrdiff_t>(k));
                return c;
            });
        return any;
    }

    std::vector<std::shared_ptr<const Node>> applied() const {
        std::vector<Expr> roots = best_.results();
        if (!best_.gradients.empty()) roots = {best_.gradients[0].cost};
        std::vector<std::shared_ptr<const Node>> out;
        const Graph graph(roots);
        for (const auto& node : graph.nodes())
            if (!node->is_leaf()) out.push_back(node);
        return out;
    }

    // An operand that is wrong by itself.
    bool sub_graphs() {
        if (!best_.gradients.empty()) return false;
        for (const auto& node : applied()) {
            bool result = false;
            for (const Expr& e : best_.results()) result = result || e.node_ptr() == node;
            if (result && best_.results().size() == 1) continue;
            if (attempt([&] {
                    Case c = best_;
                    c.outputs = {Expr(node)};
                    c.updates.clear();
                    return c;
                }))
                return true;
        }
        return false;
    }

    bool replace(const std::shared_ptr<const Node>& node, const Expr& by,
                 const std::optional<Array>& value = {}) {
        return attempt([&] {
            Case c = rebuilt(best_, [&](const auto& n) -> std::optional<Expr> {
                if (n == node) return by;
                return std::nullopt;
            });
            if (value) {
                c.inputs.push_back(by);
                c.values.push_back(*value);
            }
            return c;
        });
    }

    Expr new_input(DType t, const Sizes& sizes) {
        return tensor(t, static_cast<int>(sizes.size()), fmt::format("y{}", ++names_),
                      Ints(sizes.begin(), sizes.end()));
    }

    // The value of a node, as the reference has it.
    std::optional<Array> value_of(const Expr& e) const {
        try {
            Binding leaves;
            for (std::size_t k = 0; k < best_.inputs.size(); ++k)
                leaves.emplace_back(best_.inputs[k], widen(best_.values[k]));
            best_.reset();
            const Wide w = evaluate({&e, 1}, leaves).values[0];
            Array out(w.dtype, w.sizes);
            for (std::int64_t i = 0; i < out.size(); ++i)
                visit(w.dtype, [&](auto tag) {
                    using T = decltype(tag);
                    const auto place = static_cast<std::size_t>(i) * lanes + nearest;
                    if constexpr (std::is_floating_point_v<T>)
                        out.data<T>()[i] = static_cast<T>(w.f[place]);
                    else
                        out.data<T>()[i] = static_cast<T>(w.i[place]);
                });
            return out;
        } catch (const std::exception&) {
            return std::nullopt;
        }
    }

    bool nodes() {
        bool any = false;
        for (const auto& node : applied()) {
            if (node->types.size() != 1) continue;
            const Expr e(node);
            bool here = false;
            for (const auto& n : applied()) here = here || n == node;
            if (!here) continue;  // went with another one
            // An input with its value takes everything below with it.
            if (const auto value = value_of(e);
                value && replace(node, new_input(value->dtype(), value->shape()), value)) {
                any = true;
                continue;
            }
            for (const Expr& x : node->inputs)
                if (x.dtype() == e.dtype() && x.shape() == e.shape() && replace(node, x)) {
                    any = true;
                    break;
                }
        }
        return any;
    }

    bool leaves() {
        bool any = false;
        // Sizes known from the start.
        for (std::size_t k = 0; k < best_.inputs.size(); ++k) {
            if (is_static(best_.inputs[k].shape())) continue;
            any |= attempt([&] { return with_leaf(best_.inputs[k], best_.values[k]); });
        }
        for (std::size_t k = 0; k < best_.shared.size(); ++k) {
            bool updated = false;
            for (const auto& [variable, value] : best_.updates)
                updated = updated || same(variable, best_.shared[k]);
            if (!updated)
                any |= attempt([&] { return with_leaf(best_.shared[k], best_.state[k]); });
        }
        return any;
    }

    // Another input of known sizes instead of a leaf; sizes that were said in terms of the old one
    // become numbers.
    Case with_leaf(const Expr& old, const Array& value) {
        const Expr leaf = new_input(value.dtype(), value.shape());
        const auto number = [&](const Dim& d) {
            return d.bind([&](DimSymbol s) -> std::optional<Dim> {
                if (s.variable != old.node().id) return std::nullopt;
                return s.axis < 0 ? Dim(value.as_int()) : Dim(value.shape()[s.axis]);
            });
        };
        Case c = rebuilt(
            best_,
            [&](const auto& n) -> std::optional<Expr> {
                if (n->is_leaf() && n->id == old.node().id && n->op == old.node().op) return leaf;
                return std::nullopt;
            },
            [&](const Attrs& a) { return bind_sizes(a, number); });
        c.inputs.push_back(leaf);
        c.values.push_back(value);
        return c;
    }

    // Every size n becomes m, wherever it stands.
    Case resized(std::int64_t n, std::int64_t m) {
        std::vector<std::pair<Expr, Array>> added;
        const auto changed = [&](Sizes sizes) {
            for (std::int64_t& s : sizes)
                if (s == n) s = m;
            return sizes;
        };
        std::vector<std::pair<Expr, Array>> shared_before;
        Case c = rebuilt(
            best_,
            [&](const std::shared_ptr<const Node>& node) -> std::optional<Expr> {
                if (!node->is_leaf()) return std::nullopt;
                if (node->op->kind == OpInfo::Kind::Constant) {
                    const Array& a = *constant_value(Expr(node));
                    if (changed(a.shape()) == a.shape()) return std::nullopt;
                    return constant(cropped(a, changed(a.shape())));
                }
                for (std::size_t k = 0; k < best_.inputs.size(); ++k) {
                    if (best_.inputs[k].node().id != node->id) continue;
                    const Array& a = best_.values[k];
                    if (changed(a.shape()) == a.shape()) return std::nullopt;
                    const Expr e = new_input(a.dtype(), changed(a.shape()));
                    added.emplace_back(e, cropped(a, changed(a.shape())));
                    return e;
                }
                for (std::size_t k = 0; k < best_.shared.size(); ++k) {
                    if (best_.shared[k].node().id != node->id) continue;
                    const Array& a = best_.state[k];
                    if (changed(a.shape()) == a.shape()) return std::nullopt;
                    return shared(cropped(a, changed(a.shape())), node->name);
                }
                return std::nullopt;
            },
            [&](const Attrs& a) {
                return bind_sizes(
                    a, [&](const Dim& d) { return d.is_const() && d.value() == n ? Dim(m) : d; });
            });
        for (const auto& [e, value] : added) {
            c.inputs.push_back(e);
            c.values.push_back(value);
        }
        return c;
    }

    bool sizes() {
        bool any = false;
        for (std::size_t k = 0; k < best_.inputs.size(); ++k)
            if (!is_static(best_.inputs[k].shape())) return false;
        std::set<std::int64_t, std::greater<>> present;
        const auto note = [&](const Sizes& s) { present.insert(s.begin(), s.end()); };
        for (const Array& a : best_.values) note(a.shape());
        for (const Array& a : best_.state) note(a.shape());
        for (const std::int64_t n : present)
            for (const std::int64_t m :
                 {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, n / 2, n - 1})
                if (m > 0 && m < n && attempt([&] { return resized(n, m); })) {
                    any = true;
                    break;
                }
        return any;
    }

    // All elements alike, or one after another.
    bool values() {
        bool any = false;
        const auto simplify = [&](const std::function<Array&(Case&)>& of) {
            const Array now = of(best_).copy();
            for (const double v : {1.0, 0.0, 2.0}) {
                const Array all = simple_array(now.dtype(), now.shape(), v);
                if (all.equals(now)) return;
                if (attempt([&] {
                        Case c = best_;
                        of(c) = all;
                        return c;
                    })) {
                    any = true;
                    return;
                }
            }
            const std::int64_t most = std::min<std::int64_t>(now.size(), 24);
            for (std::int64_t i = 0; i < most; ++i)
                for (const double v : {1.0, 0.0, std::round(now.as_double(i))}) {
                    const double is = of(best_).as_double(i);
                    if (is == v || (is == 1 && v == 0)) break;
                    if (!std::isfinite(v) || std::fabs(v) > 1e6) continue;
                    if (attempt([&] {
                            Case c = best_;
                            Array a = of(best_).copy();
                            visit(a.dtype(), [&](auto tag) {
                                using T = decltype(tag);
                                a.data<T>()[i] = static_cast<T>(v);
                            });
                            of(c) = a;
                            return c;
                        })) {
                        any = true;
                        break;
                    }
                }
        };
        for (std::size_t k = 0; k < best_.values.size(); ++k)
            simplify([k](Case& c) -> Array& { return c.values[k]; });
        for (std::size_t k = 0; k < best_.state.size(); ++k)
            if (best_.state[k].rank() > 0) simplify([k](Case& c) -> Array& { return c.state[k]; });
        return any;
    }

    Case best_;
    const Fails& fails_;
    ShrinkOptions options_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    int attempts_ = 0, names_ = 0;
};

}  // namespace

Case shrink(Case c, const Fails& fails, const ShrinkOptions& options) {
    // The gradients that were asked for are results like any other, unless they are what is wrong.
    return Shrinker(cleaned(std::move(c)), fails, options).run();
}

std::size_t operations(const Case& c) {
    std::size_t n = 0;
    std::vector<Expr> roots = c.results();
    if (!c.gradients.empty()) roots = {c.gradients[0].cost};
    const Graph graph(roots);
    for (const auto& node : graph.nodes()) n += !node->is_leaf();
    return n;
}

}  // namespace arete::fuzz
