#include "compiler/rewrite/pushout.h"

#include <algorithm>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/rewrite/dsl.h"

namespace arete {

using rules::is_op;

PushOut::PushOut(Loop& loop, const std::vector<char>& only_last)
    : loop_(loop),
      only_last_(only_last),
      steps_(loop.steps.value()),
      given_states_(loop.states.size()),
      given_outputs_(loop.outputs.size()) {
    for (std::size_t j = 0; j < given_states_; ++j) state_now_.push_back(static_cast<int>(j));
    // Against the order of the steps, if that is how sequences are read: their rows are in place.
    for (const Loop::Sequence& s : loop.sequences) backwards_ = backwards_ || s.at.stride < 0;
}

bool PushOut::run() {
    if (steps_ < 2) return false;
    const bool moved = before();
    return behind() || moved;
}

// Does a value depend on nothing but captures and constants?
bool PushOut::invariant(const Expr& e) const {
    const Graph graph({e});
    return std::all_of(graph.nodes().begin(), graph.nodes().end(), [&](const auto& n) {
        return n->op != &param_op.info ||
               std::any_of(loop_.captures.begin(), loop_.captures.end(),
                           [&](const Loop::Capture& c) { return &c.param.node() == n.get(); });
    });
}

// Such a value as it is outside of the loop.
Expr PushOut::outside(const Expr& e) const {
    std::vector<std::pair<Expr, Expr>> by;
    for (const Loop::Capture& c : loop_.captures) by.emplace_back(c.param, c.value);
    return replace({&e, 1}, by)[0];
}

const Loop::Sequence* PushOut::sequence(const Expr& param) const {
    for (const Loop::Sequence& s : loop_.sequences)
        if (same(s.param, param)) return &s;
    return nullptr;
}

bool PushOut::before() {
    bool moved = false;
    const Graph body(loop_.results());
    for (const auto& n : body.nodes())
        if (n->op->name == "dot") moved = move_product(n) || moved;
    return moved;
}

bool PushOut::move_product(const std::shared_ptr<const Node>& dot_node) {
    const Expr &a = dot_node->inputs[0], &b = dot_node->inputs[1];
    const Loc loc = dot_node->loc();
    Expr rows;
    ScanForm::Sequence where;
    if (const Loop::Sequence* s = sequence(a); s && invariant(b)) {
        // [L, ..., k] times what b is.
        where = s->at;
        rows = dot(at(s->rows, loc), outside(b));
    } else if (s = sequence(b); s && b.rank() == 1 && invariant(a)) {
        where = s->at;
        const Expr factor = outside(a);
        rows = dot(at(s->rows, loc), factor.rank() == 2 ? transpose(at(factor, loc)) : factor);
    } else {
        return false;
    }
    const Expr param = make_leaf(param_op, dot_node->types[0], loc);
    loop_.sequences.push_back({rows, param, where});
    const std::pair<Expr, Expr> by[] = {{Expr(dot_node), param}};
    loop_.replace_inside(by);
    return true;
}

// The terms that are added to a state from step to step, before they are converted to its dtype;
// none where it is not such a sum.
std::vector<Expr> PushOut::terms_of(const Loop::State& s) const {
    if (s.form.taps != Ints{-1} || !is_float(s.next.dtype())) return {};
    const Expr& before = s.params[0];
    const std::vector<Expr> results = loop_.results();
    const Graph body(results);
    // Nothing else may read the sum, before, behind or half way.
    const auto is_result = [&](const Expr& e) {
        return std::count_if(results.begin(), results.end(),
                             [&](const Expr& r) { return same(r, e); });
    };
    const auto users = [&](const Expr& e) { return body.users(body.id(e)).size(); };
    if (!body.contains(before.node()) || users(before) != 1 || is_result(before) != 0 ||
        users(s.next) != 0 || is_result(s.next) != 1)
        return {};
    std::vector<Expr> terms, pending{s.next};
    int times = 0;
    while (!pending.empty()) {
        const Expr e = pending.back();
        pending.pop_back();
        const bool inner = same(e, s.next) || (users(e) == 1 && is_result(e) == 0);
        if (same(e, before)) {
            ++times;
        } else if (is_op(e, "add") && e.shape() == s.next.shape() && inner) {
            for (const Expr& x : e.node().inputs) pending.push_back(x);
        } else if (is_op(e, "cast") && e.shape() == s.next.shape() && inner &&
                   e.dtype() == DType::F64 && e.node().inputs[0].dtype() == DType::F32) {
            pending.push_back(e.node().inputs[0]);
        } else if (e.shape() == s.next.shape()) {
            terms.push_back(e);
        } else {
            return {};
        }
    }
    return times == 1 ? terms : std::vector<Expr>();
}

// Is there a row of it for each step in any case?
bool PushOut::is_kept(const Expr& e) const {
    if (is_op(e, "dimshuffle")) return is_kept(e.node().inputs[0]);
    if (sequence(e)) return true;
    return std::any_of(loop_.outputs.begin(), loop_.outputs.end(), [&](const Loop::Output& o) {
        return same(o.value, e) && o.reversed == backwards_;
    });
}

PushOut::Stacked PushOut::stack(const Expr& e) {
    if (is_op(e, "dimshuffle")) {
        Stacked s = stack(e.node().inputs[0]);
        const Ints& order = e.node().attrs.get<Ints>("order");
        Ints all;
        for (std::int64_t k : order) all.push_back(k < 0 || s.order.empty() ? k : s.order[k]);
        s.order = all;
        return s;
    }
    if (const Loop::Sequence* s = sequence(e)) {
        const bool against = s->at.stride < 0;
        const std::int64_t first = s->at.start.value(), stride = s->at.stride;
        // The rows that are read, in the order in which outputs are kept.
        const Shape& sizes = s->rows.shape();
        Shape starts(sizes.size(), Dim(0)), window = sizes;
        Ints steps(sizes.size(), 1);
        const bool turned = against != backwards_;
        const std::int64_t low = against ? first + stride * (steps_ - 1) : first,
                           high = against ? first : first + stride * (steps_ - 1);
        const bool ascending = against == backwards_ ? true : !turned;
        starts[0] = ascending ? low : high;
        steps[0] = ascending ? std::abs(stride) : -std::abs(stride);
        window[0] = steps_;
        const bool all = ascending && low == 0 && std::abs(stride) == 1 && sizes[0] == Dim(steps_);
        return {all ? s->rows : slice_window(s->rows, starts, steps, window, loop_.loc), -1, {}};
    }
    for (std::size_t l = 0; l < loop_.outputs.size(); ++l)
        if (same(loop_.outputs[l].value, e) && loop_.outputs[l].reversed == backwards_)
            return {{}, static_cast<int>(l), {}};
    loop_.outputs.push_back({e, backwards_});
    return {{}, static_cast<int>(loop_.outputs.size()) - 1, {}};
}

// A column times a row: 0 or 1 says which operand is the column; -1 for others.
int PushOut::column_of(const Expr& e) const {
    if (!is_op(e, "mul") || e.rank() != 2) return -1;
    for (int k : {0, 1}) {
        const Expr &x = e.node().inputs[k], &y = e.node().inputs[1 - k];
        const bool column = x.rank() == 2 && x.shape()[1] == Dim(1);
        const bool row = y.rank() == 1 || (y.rank() == 2 && y.shape()[0] == Dim(1));
        if (column && row && !invariant(x) && !invariant(y)) return k;
    }
    return -1;
}

// The same elements as they were before they got another shape.
Expr PushOut::flat(Expr e) {
    while (!e.node().is_leaf() && e.node().op->has(Trait::Alias)) e = e.node().inputs[0];
    return e;
}

bool PushOut::behind() {
    const auto is_product = [&](const Expr& e) {
        return is_op(e, "dot") && !invariant(e.node().inputs[0]) && !invariant(e.node().inputs[1]);
    };
    const auto is_sum = [&](const Expr& e) {
        return is_op(e, "sum") && is_kept(e.node().inputs[0]) &&
               !e.node().attrs.get<bool>("keepdims");
    };
    std::vector<char> gone(loop_.states.size(), 0);
    bool moved = false;
    // Products first: what they keep makes reductions of it worth moving.
    for (const bool products : {true, false})
        for (std::size_t j = 0; j < given_states_; ++j) {
            if (!only_last_[j] || gone[j]) continue;
            std::vector<Expr> terms, all = terms_of(loop_.states[j]);
            for (const Expr& t : all)
                if (products ? is_product(t) || column_of(t) >= 0 : is_sum(t)) terms.push_back(t);
            if (terms.empty()) continue;
            split(j, terms, gone);
            moved = true;
        }
    if (!moved) return false;
    std::vector<Loop::State> states;
    for (std::size_t j = 0; j < given_states_; ++j) {
        state_now_[j] = gone[j] ? -1 : static_cast<int>(states.size());
        if (!gone[j]) states.push_back(loop_.states[j]);
    }
    for (Sum& s : sums_) s.alone = gone[s.state] != 0;
    loop_.states = std::move(states);
    return true;
}

// Takes terms out of a state's sum; the state goes where nothing is left.
void PushOut::split(std::size_t j, const std::vector<Expr>& terms, std::vector<char>& gone) {
    Loop::State& state = loop_.states[j];
    const std::vector<Expr> all = terms_of(state);
    Sum sum{j, state.initial, {}, true};
    for (const Expr& t : terms) {
        const std::vector<Expr>& x = t.node().inputs;
        const bool outer = is_op(t, "mul");
        Term term{t.node_ptr(), stack(outer ? flat(x[0]) : x[0]), {}};
        if (x.size() > 1) term.b = stack(outer ? flat(x[1]) : x[1]);
        sum.terms.push_back(std::move(term));
    }
    Expr left;
    for (const Expr& t : all) {
        if (std::any_of(terms.begin(), terms.end(), [&](const Expr& x) { return same(x, t); }))
            continue;
        const Expr own = cast(at(t, loop_.loc), state.next.dtype());
        left = left.empty() ? own : at(left, loop_.loc) + own;
    }
    gone[j] = left.empty();
    state.next = left.empty() ? state.params[0] : at(state.params[0], loop_.loc) + left;
    sums_.push_back(std::move(sum));
}

Expr PushOut::rows(const Stacked& s, const std::vector<Expr>& results) const {
    const Expr all =
        s.output < 0 ? s.rows : results[loop_.output_result(static_cast<std::size_t>(s.output))];
    if (s.order.empty()) return all;
    Ints order{0};
    for (std::int64_t k : s.order) order.push_back(k < 0 ? -1 : k + 1);
    std::vector<DimItem> items;
    for (std::int64_t k : order)
        items.push_back(k < 0 ? DimItem('x') : DimItem(static_cast<int>(k)));
    return dimshuffle(at(all, loop_.loc), items);
}

// The term summed over all steps.
Expr PushOut::total(const Term& t, const std::vector<Expr>& results) const {
    const Loc loc = t.node->loc();
    if (t.node->op->name == "sum") {
        Ints axes{0};
        for (std::int64_t k : t.node->attrs.get<Ints>("axes")) axes.push_back(k + 1);
        return sum(at(rows(t.a, results), loc), axes);
    }
    if (t.node->op->name == "mul") {
        const auto as_matrix = [&](const Stacked& s, const Dim& size) {
            return reshape(at(rows(s, results), loc), Shape{Dim(steps_), size});
        };
        const Shape& shape = t.node->types[0].shape;
        const bool first = column_of(Expr(t.node)) == 0;
        const Expr column = as_matrix(first ? t.a : t.b, shape[0]),
                   row = as_matrix(first ? t.b : t.a, shape[1]);
        return dot(at(transpose(at(column, loc)), loc), row);
    }
    // Steps and the summed axis become one axis. A transposed factor is turned as a whole.
    const Expr &x = t.node->inputs[0], &y = t.node->inputs[1];
    const Dim k = x.shape().back() * Dim(steps_);
    Expr a, b;
    if (x.rank() == 2 && t.a.order == Ints{1, 0}) {
        Stacked plain = t.a;
        plain.order.clear();
        a = transpose(at(reshape(at(rows(plain, results), loc), Shape{k, x.shape()[0]}), loc));
    } else {
        a = rows(t.a, results);
        if (x.rank() == 2) a = transpose(at(a, loc), {1, 0, 2});
        a = reshape(at(a, loc), x.rank() == 2 ? Shape{x.shape()[0], k} : Shape{k});
    }
    b = rows(t.b, results);
    b = reshape(at(b, loc), y.rank() == 2 ? Shape{k, y.shape()[1]} : Shape{k});
    return dot(at(a, loc), b);
}

std::vector<Expr> PushOut::build() const {
    const std::vector<Expr> made = loop_.results().empty() ? std::vector<Expr>() : loop_.build();
    std::vector<Expr> out;
    for (std::size_t j = 0; j < given_states_; ++j) {
        Expr e = state_now_[j] < 0 ? Expr() : made[state_now_[j]];
        for (const Sum& s : sums_) {
            if (s.state != j) continue;
            if (e.empty()) e = s.initial;
            for (const Term& t : s.terms) {
                const Expr all = cast(at(total(t, made), t.node->loc()), e.dtype());
                e = at(e, loop_.loc) + expand_dims(at(all, t.node->loc()), 0);
            }
        }
        out.push_back(e);
    }
    for (std::size_t l = 0; l < given_outputs_; ++l) out.push_back(made[loop_.output_result(l)]);
    if (!loop_.until.empty()) out.push_back(made.back());
    return out;
}

}  // namespace arete
