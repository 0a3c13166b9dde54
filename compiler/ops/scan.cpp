// The row of scan, and the builder of its nodes.
#include "compiler/ops/scan.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ops/branch.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/branch.h"
#include "compiler/ops/families.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

TensorType row_type(const TensorType& rows) {
    return {rows.dtype, {rows.shape.begin() + 1, rows.shape.end()}};
}

TensorType rows_type(const Dim& rows, const TensorType& row) {
    TensorType out{row.dtype, {rows}};
    out.shape.insert(out.shape.end(), row.shape.begin(), row.shape.end());
    return out;
}

// Taps of all states stand in one list, each state's behind their number.
ScanForm::ScanForm(const Node& node) {
    const Attrs& a = node.attrs;
    steps = a.get<Dim>("steps");
    const Shape& starts = a.get<Shape>("starts");
    const Ints& strides = a.get<Ints>("strides");
    for (std::size_t k = 0; k < starts.size(); ++k) sequences.push_back({starts[k], strides[k]});
    const Ints &taps = a.get<Ints>("taps"), &last = a.get<Ints>("last"),
               &counters = a.get<Ints>("counters");
    for (std::size_t at = 0; at < taps.size();) {
        const auto count = static_cast<std::size_t>(taps[at++]);
        const auto first = taps.begin() + static_cast<std::ptrdiff_t>(at);
        const std::size_t j = states.size();
        states.push_back(
            {{first, first + static_cast<std::ptrdiff_t>(count)}, last[j] != 0, counters[j] != 0});
        at += count;
    }
    for (std::int64_t reversed : a.get<Ints>("reversed")) outputs.push_back({reversed != 0});
    until = a.get<bool>("until");
    truncate_gradient = a.get<std::int64_t>("truncate_gradient");
}

Attrs ScanForm::attrs() const {
    Shape starts;
    Ints strides, taps, last, counters, reversed;
    for (const Sequence& s : sequences) {
        starts.push_back(s.start);
        strides.push_back(s.stride);
    }
    for (const State& s : states) {
        taps.push_back(static_cast<std::int64_t>(s.taps.size()));
        taps.insert(taps.end(), s.taps.begin(), s.taps.end());
        last.push_back(s.last);
        counters.push_back(s.counter);
    }
    for (const Output& o : outputs) reversed.push_back(o.reversed);
    return {{"steps", steps},       {"starts", starts}, {"strides", strides},
            {"taps", taps},         {"last", last},     {"counters", counters},
            {"reversed", reversed}, {"until", until},   {"truncate_gradient", truncate_gradient}};
}

std::size_t ScanForm::tap_param(std::size_t state) const {
    std::size_t at = sequences.size();
    for (std::size_t j = 0; j < state; ++j) at += states[j].taps.size();
    return at;
}

namespace {

void require_equal(const InferArgs& a, const TensorType& is, const TensorType& want,
                   const std::string& what) {
    bool fits = is.dtype == want.dtype && is.rank() == want.rank();
    for (std::size_t k = 0; fits && k < is.shape.size(); ++k)
        fits = !differ(is.shape[k], want.shape[k]);
    if (!fits) a.error(fmt::format("{} is {}, it must be {}", what, is.str(), want.str()));
}

std::vector<TensorType> infer_scan(const InferArgs& a) {
    // A form is made of attributes alone.
    Node node;
    node.attrs = a.attrs;
    const ScanForm f(node);
    ARETE_CHECK(a.regions.size() == 1, "scan without a body");
    const Region& body = a.regions[0];
    const std::size_t results = f.until_result() + (f.until ? 1 : 0);
    ARETE_CHECK(body.results.size() == results && a.inputs.size() >= f.first_capture() &&
                    body.params.size() == f.capture_param() + a.inputs.size() - f.first_capture(),
                "scan's body does not fit its inputs");
    if (f.steps.is_const() && f.steps.value() < 0)
        a.error(fmt::format("{} steps", f.steps.value()));
    for (std::size_t k = 0; k < f.sequences.size(); ++k) {
        const auto& [start, stride] = f.sequences[k];
        const std::string what = fmt::format("sequence {} ({})", k + 1, a.describe(k));
        if (a.type(k).rank() < 1) a.error(what + " has no rows");
        require_equal(a, body.params[k].type(), row_type(a.type(k)), "a row of " + what);
        const Dim& rows = a.type(k).shape[0];
        if (!rows.is_const() || !start.is_const() || !f.steps.is_const()) continue;
        const std::int64_t n = f.steps.value(), first = start.value(),
                           last = first + stride * (n - 1);
        if (n > 0 && (std::min(first, last) < 0 || std::max(first, last) >= rows.value()))
            a.error(fmt::format("{} has {} rows, and {} steps read rows {} to {}", what,
                                rows.value(), n, first, last));
    }
    std::vector<TensorType> types;
    for (std::size_t j = 0; j < f.states.size(); ++j) {
        const TensorType& initial = a.type(f.state_input(j));
        const std::int64_t depth = f.states[j].depth();
        const std::string what = fmt::format("state {}", j + 1);
        if (initial.rank() < 1 || differ(initial.shape[0], Dim(depth)))
            a.error(fmt::format("the initial value of {} must have {} rows: it is {}", what, depth,
                                initial.str()));
        const TensorType row = row_type(initial);
        for (std::size_t t = 0; t < f.states[j].taps.size(); ++t)
            require_equal(a, body.params[f.tap_param(j) + t].type(), row, what);
        require_equal(a, body.results[j].type(), row, "the new value of " + what);
        types.push_back(rows_type(f.states[j].last ? Dim(depth) : Dim(depth) + f.steps, row));
    }
    for (std::size_t c = f.first_capture(); c < a.inputs.size(); ++c)
        require_equal(a, body.params[f.capture_param() + c - f.first_capture()].type(), a.type(c),
                      "a captured value");
    for (std::size_t l = 0; l < f.outputs.size(); ++l)
        types.push_back(rows_type(f.steps, body.results[f.output_result(l)].type()));
    if (f.until) {
        require_equal(a, body.results[f.until_result()].type(), {DType::Bool, {}}, "the condition");
        types.push_back({DType::I64, {}});
    }
    return types;
}

using Inputs = std::span<const Expr>;

Expr rows_of(const Expr& result, std::int64_t from) {
    return result(slice(from, none));
}

std::vector<Sample> scan_samples() {
    return {{"recurrence",
             {{{1, 3}}, {{4, 3}}, {{3, 3}}},
             [](Inputs x) {
                 ScanBuilder b(4, {});
                 const Expr row = b.sequence(x[1]), h = b.state(x[0])[0];
                 b.next(0, tanh(dot(h, x[2]) + row));
                 return rows_of(b.build()[0], 1);
             },
             true,
             true},
            {"taps",
             {{{2, 3}}},
             [](Inputs x) {
                 ScanBuilder b(5, {});
                 const std::vector<Expr> h = b.state(x[0], {-2, -1});
                 b.next(0, h[0] - h[1] * 2);
                 return b.build()[0];
             }},
            {"outputs of each step, backwards",
             {{{4, 2}}, {{2}}},
             [](Inputs x) {
                 ScanBuilder b(3, {});
                 const Expr row = b.sequence(x[0], 3, -1);
                 b.output(row * x[1]);
                 return b.build()[0];
             }},
            {"no steps",
             {{{1, 2}}},
             [](Inputs x) {
                 ScanBuilder b(0, {});
                 const Expr h = b.state(x[0])[0];
                 b.next(0, h * h);
                 return b.build()[0];
             }},
            {"until",
             {{{1, 2}, 1.5, 2.5}},
             [](Inputs x) {
                 ScanBuilder b(6, {});
                 const Expr h = b.state(x[0])[0], now = h * h;
                 b.next(0, now);
                 b.output(now + h);
                 b.until(sum(now) > 30);
                 const std::vector<Expr> r = b.build();
                 return concatenate({r[0], r[1]});
             },
             true,
             true}};
}

}  // namespace

constinit const OpDef scan_op{.info = {.name = "scan", .traits = Trait::Step},
                              .doc = "a loop: steps of the body, see ops/scan.h",
                              .arity = -1,
                              .infer = infer_scan,
                              .pullback = pullback_scan,
                              .samples = scan_samples};

ScanBuilder::ScanBuilder(Dim steps, Loc loc) : loc_(loc) {
    form_.steps = std::move(steps);
}

Expr ScanBuilder::parameter(TensorType type, const Node& of) {
    return make_leaf(param_op, std::move(type), loc_ ? loc_ : of.loc(), of.name);
}

Expr ScanBuilder::sequence(const Expr& rows, const Dim& start, std::int64_t stride) {
    if (rows.rank() < 1)
        fail<GraphError>(loc_, "scan: a sequence needs a leading axis, but {}", describe(rows));
    form_.sequences.push_back({start, stride});
    sequences_.push_back(rows);
    sequence_params_.push_back(parameter(row_type(rows.type()), rows.node()));
    return sequence_params_.back();
}

std::vector<Expr> ScanBuilder::state(const Expr& initial, const Ints& taps) {
    ARETE_CHECK(!taps.empty() && std::is_sorted(taps.begin(), taps.end()) && taps.back() < 0,
                "taps of a state");
    if (initial.rank() < 1)
        fail<GraphError>(loc_, "scan: the initial rows of a state need a leading axis, but {}",
                         describe(initial));
    form_.states.push_back({taps, false});
    initials_.push_back(initial);
    next_.emplace_back();
    std::vector<Expr> out;
    for (std::size_t t = 0; t < taps.size(); ++t)
        out.push_back(parameter(row_type(initial.type()), initial.node()));
    tap_params_.insert(tap_params_.end(), out.begin(), out.end());
    return out;
}

Expr ScanBuilder::capture(const Expr& value) {
    for (std::size_t k = 0; k < captures_.size(); ++k)
        if (same(captures_[k], value)) return capture_params_[k];
    captures_.push_back(value);
    capture_params_.push_back(parameter(value.type(), value.node()));
    return capture_params_.back();
}

void ScanBuilder::next(std::size_t state, const Expr& value) {
    next_[state] = value;
}

std::size_t ScanBuilder::output(const Expr& value, bool reversed) {
    form_.outputs.push_back({reversed});
    outputs_.push_back(value);
    return outputs_.size() - 1;
}

void ScanBuilder::until(const Expr& condition) {
    form_.until = true;
    until_ = condition;
}

// Captures what the body uses from outside: the largest parts that do not depend on parameters. Of
// a view what it views, so that kernels of the body read through it. Constants are in the body.
void ScanBuilder::close() {
    std::vector<Expr> results = next_;
    results.insert(results.end(), outputs_.begin(), outputs_.end());
    if (!until_.empty()) results.push_back(until_);
    std::unordered_set<const Node*> params;
    for (const auto* list : {&sequence_params_, &tap_params_, &capture_params_})
        for (const Expr& p : *list) params.insert(&p.node());
    const Graph graph(results);
    IdVector<NodeId, char> inside(graph.size());  // depends on a parameter
    IdVector<NodeId, char> closed(graph.size());  // made of constants alone
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        inside[i] = params.count(&n) != 0;
        closed[i] = n.op->kind == OpInfo::Kind::Constant ||
                    (!n.is_leaf() && (n.inputs.empty() || n.op->has(Trait::View)));
        for (const Expr& e : n.inputs) {
            const NodeId k = graph.id(e);
            inside[i] |= inside[k];
            closed[i] &= closed[k];
        }
    }
    IdVector<NodeId, char> needed(graph.size());  // is read by the body
    for (const Expr& e : results) needed[graph.id(e)] = 1;
    std::vector<std::pair<Expr, Expr>> by;
    for (NodeId i : graph.ids().reversed()) {
        const std::shared_ptr<const Node>& n = graph.nodes()[i];
        if (!needed[i]) continue;
        const bool view = !n->is_leaf() && n->op->has(Trait::View);
        if (inside[i] || closed[i] || view) {
            for (const Expr& e : n->inputs) needed[graph.id(e)] = 1;
            continue;
        }
        for (const Expr& e : outputs_of(n)) by.emplace_back(e, capture(e));
    }
    if (by.empty()) return;
    results = replace(results, by);
    std::copy_n(results.begin(), next_.size(), next_.begin());
    std::copy_n(results.begin() + static_cast<std::ptrdiff_t>(next_.size()), outputs_.size(),
                outputs_.begin());
    if (!until_.empty()) until_ = results.back();
}

std::vector<Expr> ScanBuilder::build() {
    for (std::size_t j = 0; j < next_.size(); ++j)
        ARETE_CHECK(!next_[j].empty(), "scan: state {} has no new value", j + 1);
    close();
    Region body;
    for (const auto* list : {&sequence_params_, &tap_params_, &capture_params_})
        body.params.insert(body.params.end(), list->begin(), list->end());
    for (const auto* list : {&next_, &outputs_})
        body.results.insert(body.results.end(), list->begin(), list->end());
    if (!until_.empty()) body.results.push_back(until_);
    std::vector<Expr> inputs = sequences_;
    for (const auto* list : {&initials_, &captures_})
        inputs.insert(inputs.end(), list->begin(), list->end());
    return apply_all(scan_op, std::move(inputs), form_.attrs(), loc_, {std::move(body)});
}

Expr advanced_counter(const Expr& counter, const Graph& graph) {
    // From loop to loop, where one goes on with what another has left.
    Expr now = counter;
    for (const auto& node : graph.nodes()) {
        if (node->op != &scan_op.info) continue;
        const ScanForm f(*node);
        for (std::size_t j = 0; j < f.states.size(); ++j) {
            if (!f.states[j].counter) continue;
            Expr initial = node->inputs[f.state_input(j)];
            while (!same(initial, now) && !initial.node().is_leaf() &&
                   initial.node().op->has(Trait::View))
                initial = initial.node().inputs[0];
            if (same(initial, now)) now = Expr(node, static_cast<int>(j));
        }
    }
    return same(now, counter) ? Expr() : now(-1);
}

std::span<const OpDef* const> control_ops() {
    static constexpr std::array rows = {&scan_op, &ifelse_op, &checkpoint_op, &recompute_op};
    return rows;
}

}  // namespace arete
