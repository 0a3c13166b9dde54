#include "compiler/rewrite/control.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ops/branch.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/rewrite/branches.h"
#include "compiler/rewrite/dsl.h"
#include "compiler/rewrite/loop.h"
#include "compiler/rewrite/pushout.h"

namespace arete {

namespace {

using Pairs = std::vector<std::pair<Expr, Expr>>;

// Who reads the results of a node.
struct Readers {
    struct Of {
        std::vector<std::shared_ptr<const Node>> nodes;
        bool result = false;  // of the graph
    };
    Readers(const Graph& graph, const Node& node) : of(node.types.size()) {
        for (NodeId u : graph.users(graph.id(node))) {
            const auto& user = graph.nodes()[u];
            for (const Expr& e : user->inputs)
                if (&e.node() == &node) {
                    auto& nodes = of[e.output()].nodes;
                    if (nodes.empty() || nodes.back() != user) nodes.push_back(user);
                }
        }
        for (const Expr& e : graph.outputs())
            if (&e.node() == &node) of[e.output()].result = true;
    }
    bool none(std::size_t output) const { return of[output].nodes.empty() && !of[output].result; }
    std::vector<Of> of;  // by output
};

// One loop of a graph, made better. What becomes of its results, and of slices of them, are pairs.
class Improver {
  public:
    Improver(const Graph& graph, const std::shared_ptr<const Node>& node)
        : node_(node), readers_(graph, *node), loop_(*node), steps_(loop_.steps.value()) {
        for (std::size_t k = 0; k < loop_.results().size(); ++k)
            now_.push_back(static_cast<int>(k));
    }

    /// Empty where there is nothing to change.
    Pairs run() {
        keep_last_rows();
        drop_results();
        bring_in_constants();
        turn_factors_outside();
        drop_inputs();
        PushOut push(loop_, only_last());
        if (!push.run() && !changed_) return {};
        return pairs(push.build());
    }

  private:
    bool has_until() const { return !loop_.until.empty(); }

    // Does a slice of a result read no row before `first`?
    static bool reads_from(const Node& user, std::int64_t first) {
        if (user.op->name != "slice") return false;
        const Dim& start = user.attrs.get<Shape>("starts")[0];
        const Dim& size = user.attrs.get<Shape>("sizes")[0];
        const std::int64_t step = user.attrs.get<Ints>("steps")[0];
        if (!start.is_const() || !size.is_const() || size.value() < 1) return false;
        return std::min(start.value(), start.value() + step * (size.value() - 1)) >= first;
    }

    bool only_from(std::size_t output, std::int64_t first) const {
        const Readers::Of& of = readers_.of[output];
        return !of.result && std::all_of(of.nodes.begin(), of.nodes.end(), [&](const auto& user) {
            return reads_from(*user, first);
        });
    }

    void keep_last_rows() {
        for (std::size_t j = 0; j < loop_.states.size(); ++j) {
            Loop::State& s = loop_.states[j];
            // Behind the end of a loop that ended early rows repeat, which a ring does not know.
            if (s.form.last || (has_until() && s.form.depth() > 1)) continue;
            if (!only_from(j, steps_)) continue;
            s.form.last = true;
            changed_ = true;
            shift_[j] = steps_;
        }
        if (steps_ < 1) return;
        for (std::size_t l = loop_.outputs.size(); l-- > 0;) {
            const std::size_t k = loop_.output_result(l);
            const Loop::Output& o = loop_.outputs[l];
            if (o.reversed || readers_.none(k) || !only_from(k, steps_ - 1)) continue;
            // A state that no step looks at.
            const TensorType& row = o.value.type();
            const Expr initial =
                full(rows_type(1, row).shape,
                     at(cast(at(scalar_constant(DType::F32, 0.0, loop_.loc), loop_.loc), row.dtype),
                        loop_.loc),
                     row.dtype);
            last_outputs_.push_back(k);
            added_.push_back({initial,
                              {make_leaf(param_op, row, loop_.loc)},
                              {.taps = {-1}, .last = true},
                              o.value});
            changed_ = true;
        }
    }

    // Results that nobody needs: states may need each other.
    void drop_results() {
        const std::vector<Expr> all = loop_.results();
        std::vector<char> needed(all.size(), 0);
        const std::size_t plain = loop_.states.size();
        for (std::size_t k = 0; k < all.size(); ++k) {
            const bool condition = has_until() && k + 1 == all.size();
            const bool becomes_state =
                std::find(last_outputs_.begin(), last_outputs_.end(), k) != last_outputs_.end();
            needed[k] = condition || (!becomes_state && !readers_.none(k));
        }
        for (bool more = true; more;) {
            more = false;
            std::vector<Expr> roots;
            for (std::size_t k = 0; k < all.size(); ++k)
                if (needed[k]) roots.push_back(all[k]);
            for (const Loop::State& s : added_) roots.push_back(s.next);
            const Graph graph(roots);
            for (std::size_t j = 0; j < plain; ++j)
                if (!needed[j] && reads_any(graph, loop_.states[j].params)) needed[j] = more = true;
        }
        std::vector<Loop::State> states;
        std::vector<Loop::Output> outputs;
        std::fill(now_.begin(), now_.end(), -1);
        for (std::size_t k = 0; k < plain; ++k)
            if (needed[k]) {
                now_[k] = static_cast<int>(states.size());
                states.push_back(loop_.states[k]);
            }
        for (std::size_t i = 0; i < added_.size(); ++i) {
            now_[last_outputs_[i]] = static_cast<int>(states.size());
            shift_[last_outputs_[i]] = steps_ - 1;
            states.push_back(added_[i]);
        }
        for (std::size_t l = 0; l < loop_.outputs.size(); ++l)
            if (needed[plain + l]) {
                now_[plain + l] = static_cast<int>(states.size() + outputs.size());
                outputs.push_back(loop_.outputs[l]);
            }
        changed_ = changed_ || states.size() != loop_.states.size() ||
                   outputs.size() != loop_.outputs.size();
        if (has_until()) now_.back() = static_cast<int>(states.size() + outputs.size());
        loop_.states = std::move(states);
        loop_.outputs = std::move(outputs);
    }

    static bool reads_any(const Graph& graph, const std::vector<Expr>& params) {
        return std::any_of(params.begin(), params.end(),
                           [&](const Expr& p) { return graph.contains(p.node()); });
    }

    // Constants, and sequences of which all rows are equal.
    void bring_in_constants() {
        Pairs inside;
        for (const Loop::Capture& c : loop_.captures)
            if (constant_value(c.value)) inside.emplace_back(c.param, c.value);
        for (const Loop::Sequence& s : loop_.sequences) {
            const Shape& row = s.param.shape();
            const Operand of = at(s.rows, loop_.loc);
            if (is_constant_scalar(s.rows)) {
                const Array& all = *constant_value(s.rows);
                Array one(all.dtype(), {});
                std::copy_n(static_cast<const char*>(all.raw()), size_of(all.dtype()),
                            static_cast<char*>(one.raw()));
                inside.emplace_back(s.param, broadcast_to(constant(one), row));
            } else if (rules::is_op(s.rows, "broadcast_to")) {
                const Expr& small = s.rows.node().inputs[0];
                const bool leading = small.rank() < s.rows.rank();
                if (!leading && !(small.shape()[0] == Dim(1))) continue;
                const Expr value =
                    leading ? small : reshape(at(small, loop_.loc), row_type(small.type()).shape);
                const Expr param = make_leaf(param_op, value.type(), loop_.loc);
                loop_.captures.push_back({value, param});
                inside.emplace_back(s.param, broadcast_to(at(param, loop_.loc), row));
            }
        }
        // One parameter for each value.
        for (std::size_t a = 0; a < loop_.sequences.size(); ++a)
            for (std::size_t b = a + 1; b < loop_.sequences.size(); ++b) {
                const Loop::Sequence &x = loop_.sequences[a], &y = loop_.sequences[b];
                if (same(x.rows, y.rows) && x.at.start == y.at.start &&
                    x.at.stride == y.at.stride && !is_replaced(inside, x.param) &&
                    !is_replaced(inside, y.param))
                    inside.emplace_back(y.param, x.param);
            }
        for (std::size_t a = 0; a < loop_.captures.size(); ++a)
            for (std::size_t b = a + 1; b < loop_.captures.size(); ++b)
                if (same(loop_.captures[a].value, loop_.captures[b].value) &&
                    !is_replaced(inside, loop_.captures[a].param) &&
                    !is_replaced(inside, loop_.captures[b].param))
                    inside.emplace_back(loop_.captures[b].param, loop_.captures[a].param);
        if (inside.empty()) return;
        loop_.replace_inside(inside);
        changed_ = true;
    }

    // A product that reads a captured factor turned would turn it in each step.
    void turn_factors_outside() {
        if (steps_ < 2) return;
        const Graph body(loop_.results());
        Pairs inside;
        for (const auto& n : body.nodes()) {
            if (n->op->name != "dimshuffle" || n->op->has(Trait::Alias)) continue;
            const auto c =
                std::find_if(loop_.captures.begin(), loop_.captures.end(),
                             [&](const Loop::Capture& x) { return same(x.param, n->inputs[0]); });
            const std::vector<NodeId>& users = body.users(body.id(*n));
            const bool factor = std::any_of(users.begin(), users.end(), [&](NodeId u) {
                return rules::is_bilinear(def(*body.nodes()[u]));
            });
            if (c == loop_.captures.end() || !factor || !is_permutation(*n)) continue;
            const Expr turned = apply(def(*n), {c->value}, n->attrs, n->loc());
            const Expr param = make_leaf(param_op, n->types[0], n->loc());
            loop_.captures.push_back({turned, param});
            inside.emplace_back(Expr(n), param);
        }
        if (inside.empty()) return;
        loop_.replace_inside(inside);
        changed_ = true;
    }

    // Do axes change places that have more than one element?
    static bool is_permutation(const Node& shuffle) {
        std::int64_t last = -1;
        const Shape& sizes = shuffle.inputs[0].shape();
        for (std::int64_t k : shuffle.attrs.get<Ints>("order")) {
            if (k < 0 || sizes[k] == Dim(1)) continue;
            if (k < last) return true;
            last = k;
        }
        return false;
    }

    static bool is_replaced(const Pairs& pairs, const Expr& e) {
        return std::any_of(pairs.begin(), pairs.end(),
                           [&](const auto& p) { return same(p.first, e); });
    }

    void drop_inputs() {
        const Graph body(loop_.results());
        const auto unused = [&](const auto& input) { return !body.contains(input.param.node()); };
        changed_ |= std::erase_if(loop_.sequences, unused) > 0;
        changed_ |= std::erase_if(loop_.captures, unused) > 0;
    }

    // Of the loop as it is now: for each state, whether nothing but its last row is read.
    std::vector<char> only_last() const {
        std::vector<char> out;
        for (const Loop::State& s : loop_.states)
            out.push_back(s.form.last && s.form.depth() == 1 && !has_until());
        return out;
    }

    Pairs pairs(const std::vector<Expr>& made) const {
        Pairs out;
        for (std::size_t k = 0; k < now_.size(); ++k) {
            if (now_[k] < 0) continue;
            const Expr was(node_, static_cast<int>(k)), is = made[now_[k]];
            const auto shift = shift_.find(k);
            if (shift == shift_.end()) {
                out.emplace_back(was, is);
                continue;
            }
            for (const auto& user : readers_.of[k].nodes) {
                Shape starts = user->attrs.get<Shape>("starts");
                starts[0] = starts[0] - Dim(shift->second);
                out.emplace_back(
                    Expr(user),
                    apply(def(*user), {is}, user->attrs.with("starts", starts), user->loc()));
            }
        }
        return out;
    }

    const std::shared_ptr<const Node> node_;
    const Readers readers_;
    Loop loop_;
    const std::int64_t steps_;
    bool changed_ = false;
    std::vector<int> now_;  // by result of the node: which result it is now; -1: gone
    std::unordered_map<std::size_t, std::int64_t> shift_;  // rows that were dropped before
    std::vector<Loop::State> added_;                       // outputs that have become states
    std::vector<std::size_t> last_outputs_;                // which ones, by result
};

bool is_loop(const Node& n) {
    return n.op == &scan_op.info;
}

std::vector<std::shared_ptr<const Node>> loops_of(const Graph& graph) {
    std::vector<std::shared_ptr<const Node>> out;
    for (const auto& n : graph.nodes())
        if (is_loop(*n)) out.push_back(n);
    return out;
}

// True where a pair was merged.
bool merge_one(std::vector<Expr>& roots) {
    const auto loops = loops_of(Graph(roots));
    for (std::size_t a = 0; a < loops.size(); ++a)
        for (std::size_t b = a + 1; b < loops.size(); ++b)
            if (const Pairs pairs = merge_loops(loops[a], loops[b]); !pairs.empty()) {
                roots = replace(roots, pairs);
                return true;
            }
    return false;
}

// Loops, branches and what computes again, inputs first.
std::vector<std::shared_ptr<const Node>> control_of(const Graph& graph) {
    std::vector<std::shared_ptr<const Node>> out;
    for (const auto& n : graph.nodes())
        if (is_loop(*n) || n->op == &ifelse_op.info || n->op == &recompute_op.info)
            out.push_back(n);
    return out;
}

// Results that nothing reads go, and inputs that they alone needed.
Pairs improve_recompute(const Graph& graph, const std::shared_ptr<const Node>& node) {
    std::unordered_set<int> read;
    const auto note = [&](const Expr& e) {
        if (&e.node() == node.get()) read.insert(e.output());
    };
    for (NodeId u : graph.users(graph.id(*node)))
        for (const Expr& e : graph.nodes()[u]->inputs) note(e);
    for (const Expr& e : graph.outputs()) note(e);
    const Region& old = node->regions[0];
    Region now;
    std::vector<Expr> inputs;
    Pairs out;
    for (std::size_t k = 0; k < old.results.size(); ++k) {
        if (!read.count(static_cast<int>(k))) continue;
        out.emplace_back(Expr(node, static_cast<int>(k)), Expr());
        now.results.push_back(old.results[k]);
    }
    const Graph body(now.results);
    for (std::size_t k = 0; k < old.params.size(); ++k) {
        if (!body.contains(old.params[k].node())) continue;
        now.params.push_back(old.params[k]);
        inputs.push_back(node->inputs[k]);
    }
    if (now.results.size() == old.results.size() && now.params.size() == old.params.size())
        return {};
    const std::vector<Expr> made =
        apply_all(recompute_op, std::move(inputs), {}, node->loc(), {std::move(now)});
    for (std::size_t k = 0; k < out.size(); ++k) out[k].second = made[k];
    return out;
}

std::vector<Expr> inside_first(const std::vector<Expr>& roots) {
    const auto has_loops = [](const Region& r) { return !control_of(Graph(r.results)).empty(); };
    const Graph graph(roots);
    if (std::none_of(graph.nodes().begin(), graph.nodes().end(), [&](const auto& n) {
            return std::any_of(n->regions.begin(), n->regions.end(), has_loops);
        }))
        return roots;
    std::unordered_map<const Node*, std::vector<Expr>> done;
    const auto replaced = [&](const Expr& e) { return done.at(&e.node())[e.output()]; };
    for (const auto& n : graph.nodes()) {
        Node copy = *n;
        bool changed = false;
        for (Expr& e : copy.inputs) {
            const Expr now = replaced(e);
            changed = changed || !same(now, e);
            e = now;
        }
        for (Region& r : copy.regions)
            if (has_loops(r)) {
                r.results = simplify_control(r.results);
                changed = true;
            }
        done[n.get()] = outputs_of(changed ? std::make_shared<const Node>(std::move(copy)) : n);
    }
    std::vector<Expr> out;
    for (const Expr& e : roots) out.push_back(replaced(e));
    return out;
}

}  // namespace

std::vector<Expr> simplify_control(std::vector<Expr> outputs) {
    if (control_of(Graph(outputs)).empty()) return outputs;
    outputs = inside_first(outputs);
    while (merge_one(outputs)) {
    }
    // From the results' side: what a loop no longer reads need not be kept by those before it.
    std::unordered_set<const Node*> done;
    std::vector<std::shared_ptr<const Node>> keep;  // so that addresses are not reused
    // A branch whose operands have changed and nothing else is as good as before.
    const auto body_of = [](const Node& branch) {
        const std::vector<Expr>& params = branch.regions[0].params;
        return params.empty() ? &branch : &params[0].node();
    };
    std::unordered_set<const Node*> done_bodies;
    for (bool more = true; more;) {
        more = false;
        const Graph graph(outputs);
        auto loops = control_of(graph);
        std::reverse(loops.begin(), loops.end());
        std::optional<GraphValues> values;
        for (const auto& node : loops) {
            if (!done.insert(node.get()).second) continue;
            keep.push_back(node);
            Pairs pairs;
            if (is_loop(*node)) {
                pairs = Improver(graph, node).run();
            } else if (node->op == &recompute_op.info) {
                pairs = improve_recompute(graph, node);
            } else {
                if (!done_bodies.insert(body_of(*node)).second) continue;
                if (!values) values.emplace(graph);
                pairs = improve_branch(graph, *values, node);
            }
            if (pairs.empty()) continue;
            outputs = replace(outputs, pairs);
            more = true;
            break;
        }
    }
    return outputs;
}

}  // namespace arete
