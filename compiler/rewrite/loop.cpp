#include "compiler/rewrite/loop.h"

#include <algorithm>

#include "compiler/ops/leaves.h"

namespace arete {

using Pairs = std::vector<std::pair<Expr, Expr>>;

Loop::Loop(const Node& node) : loc(node.loc()) {
    const ScanForm f(node);
    const Region& body = node.regions[0];
    steps = f.steps;
    truncate_gradient = f.truncate_gradient;
    for (std::size_t k = 0; k < f.sequences.size(); ++k)
        sequences.push_back({node.inputs[k], body.params[k], f.sequences[k]});
    for (std::size_t j = 0; j < f.states.size(); ++j) {
        const auto first = body.params.begin() + static_cast<std::ptrdiff_t>(f.tap_param(j));
        const auto taps = static_cast<std::ptrdiff_t>(f.states[j].taps.size());
        states.push_back(
            {node.inputs[f.state_input(j)], {first, first + taps}, f.states[j], body.results[j]});
    }
    for (std::size_t c = f.first_capture(); c < node.inputs.size(); ++c)
        captures.push_back(
            {node.inputs[c], body.params[f.capture_param() + c - f.first_capture()]});
    for (std::size_t l = 0; l < f.outputs.size(); ++l)
        outputs.push_back({body.results[f.output_result(l)], f.outputs[l].reversed});
    if (f.until) until = body.results[f.until_result()];
}

std::vector<Expr> Loop::results() const {
    std::vector<Expr> out;
    for (const State& s : states) out.push_back(s.next);
    for (const Output& o : outputs) out.push_back(o.value);
    if (!until.empty()) out.push_back(until);
    return out;
}

std::vector<Expr> Loop::build() const {
    ScanForm f;
    Region body;
    std::vector<Expr> inputs;
    f.steps = steps;
    f.truncate_gradient = truncate_gradient;
    f.until = !until.empty();
    for (const Sequence& s : sequences) {
        f.sequences.push_back(s.at);
        inputs.push_back(s.rows);
        body.params.push_back(s.param);
    }
    for (const State& s : states) {
        f.states.push_back(s.form);
        inputs.push_back(s.initial);
        body.params.insert(body.params.end(), s.params.begin(), s.params.end());
    }
    for (const Capture& c : captures) {
        inputs.push_back(c.value);
        body.params.push_back(c.param);
    }
    for (const Output& o : outputs) f.outputs.push_back({o.reversed});
    body.results = results();
    return apply_all(scan_op, std::move(inputs), f.attrs(), loc, {std::move(body)});
}

void Loop::replace_inside(std::span<const std::pair<Expr, Expr>> pairs) {
    const std::vector<Expr> now = replace(results(), pairs);
    std::size_t at = 0;
    for (State& s : states) s.next = now[at++];
    for (Output& o : outputs) o.value = now[at++];
    if (!until.empty()) until = now[at++];
}

Pairs merge_loops(const std::shared_ptr<const Node>& a, const std::shared_ptr<const Node>& b) {
    if (a->inputs.size() != b->inputs.size() ||
        !std::equal(a->inputs.begin(), a->inputs.end(), b->inputs.begin(), same))
        return {};
    const ScanForm f(*a), g(*b);
    ScanForm bare_f = f, bare_g = g;
    bare_f.outputs.clear();
    bare_g.outputs.clear();
    if (!(bare_f.attrs() == bare_g.attrs())) return {};
    // Both bodies over the same parameters, equal nodes being one.
    Loop one(*a), other(*b);
    Pairs params;
    const Region &x = a->regions[0], &y = b->regions[0];
    for (std::size_t k = 0; k < x.params.size(); ++k) {
        if (x.params[k].type() != y.params[k].type()) return {};
        params.emplace_back(y.params[k], x.params[k]);
    }
    other.replace_inside(params);
    std::vector<Expr> roots = one.results(), more = other.results();
    const std::size_t own = roots.size();
    roots.insert(roots.end(), more.begin(), more.end());
    Interner interner;
    roots = transform(roots, [&](const std::shared_ptr<const Node>& old, Node copy) {
        return old->is_leaf() && old->op != &constant_op.info
                   ? outputs_of(old)
                   : outputs_of(interner.intern(std::move(copy)));
    });
    const std::vector<Expr> mine(roots.begin(), roots.begin() + static_cast<std::ptrdiff_t>(own)),
        yours(roots.begin() + static_cast<std::ptrdiff_t>(own), roots.end());
    for (std::size_t j = 0; j < f.states.size(); ++j)
        if (!same(mine[j], yours[j])) return {};
    if (f.until && !same(mine.back(), yours.back())) return {};
    for (std::size_t j = 0; j < f.states.size(); ++j) one.states[j].next = mine[j];
    for (std::size_t l = 0; l < f.outputs.size(); ++l)
        one.outputs[l].value = mine[f.output_result(l)];
    if (f.until) one.until = mine.back();
    std::vector<std::size_t> place;  // of the other's outputs
    for (std::size_t l = 0; l < g.outputs.size(); ++l) {
        const Expr& value = yours[g.output_result(l)];
        std::size_t k = 0;
        while (k < one.outputs.size() && !(same(one.outputs[k].value, value) &&
                                           one.outputs[k].reversed == g.outputs[l].reversed))
            ++k;
        if (k == one.outputs.size()) one.outputs.push_back({value, g.outputs[l].reversed});
        place.push_back(k);
    }
    const std::vector<Expr> made = one.build();
    Pairs out;
    const auto add = [&](const std::shared_ptr<const Node>& old, const ScanForm& form,
                         const auto& place_of) {
        for (std::size_t j = 0; j < form.states.size(); ++j)
            out.emplace_back(Expr(old, static_cast<int>(j)), made[j]);
        for (std::size_t l = 0; l < form.outputs.size(); ++l)
            out.emplace_back(Expr(old, static_cast<int>(form.output_result(l))),
                             made[one.output_result(place_of(l))]);
        if (form.until)
            out.emplace_back(Expr(old, static_cast<int>(form.until_result())), made.back());
    };
    add(a, f, [](std::size_t l) { return l; });
    add(b, g, [&](std::size_t l) { return place[l]; });
    return out;
}

}  // namespace arete
