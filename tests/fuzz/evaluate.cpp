#include "tests/fuzz/evaluate.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "compiler/fuse/lower.h"
#include "compiler/ops/branch.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/operand.h"
#include "compiler/ops/scan.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "tests/fuzz/instruction.h"
#include "tests/fuzz/special.h"

namespace arete::fuzz {

namespace {

using loops::Index;
using loops::Instr;
using loops::Nest;
using loops::Reduction;
using loops::ValueId;

bool reads_values(const Index& e) {
    bool any = false;
    e.for_each_value([&](ValueId) { any = true; });
    return any;
}

/// One nest, walked as it is written.
class Walk {
  public:
    Walk(const Nest& nest, IdVector<loops::BufferId, Wide*> buffers, Arithmetic& arithmetic,
         std::int64_t& work)
        : nest_(nest),
          buffers_(std::move(buffers)),
          arithmetic_(arithmetic),
          work_(work),
          vars_(nest.extents.size()),
          slots_(nest.values.size()) {
        for (const Instr& i : nest.values)
            per_lane_.push_back((i.op == loops::Op::Load || i.op == loops::Op::LoadIf ||
                                 i.op == loops::Op::IndexOf) &&
                                reads_values(i.index));
        std::vector<ValueId> roots;
        for (const loops::Accumulator& a : nest.accumulators) roots.push_back(a.element);
        elements_ = loops::needed(nest, roots);
        roots.clear();
        const auto more = [&](ValueId v) { roots.push_back(v); };
        for (const loops::CheckThat& c : nest.checks) more(c.ok);
        for (const loops::StoreTo& s : nest.stores) {
            more(s.value);
            s.index.for_each_value(more);
        }
        results_ = loops::needed(nest, roots);
    }

    Mask run() {
        axis(0);
        return failed_;
    }

  private:
    std::int64_t at(const Index& e, int lane) const {
        std::int64_t sum = e.constant();
        for (const Index::Term& t : e.terms()) {
            std::int64_t v = 0;
            if (t.kind == Index::Kind::Var) {
                v = vars_[t.var()];
            } else if (t.kind == Index::Kind::Value) {
                v = slots_[t.value()].i[lane];
            } else {
                const std::int64_t i = at(*t.inner, lane);
                const std::int64_t r = ((i % t.divisor) + t.divisor) % t.divisor;
                v = t.kind == Index::Kind::Mod ? r : (i - r) / t.divisor;
            }
            sum += t.coefficient * v;
        }
        return sum;
    }

    void read(Slot& out, const Wide& from, std::int64_t i, int lane) const {
        if (from.size() == 0) return;  // a check has failed, of an index into nothing
        if (i < 0 || i >= from.size())
            throw InternalError(fmt::format("{}: reads element {} of {}", nest_.name, i,
                                            type_name(from.dtype, from.sizes)));
        const auto element = static_cast<std::size_t>(i);
        const std::size_t place = element * lanes + static_cast<std::size_t>(lane);
        if (is_float(from.dtype))
            out.f[lane] = out.raw[lane] = from.f[place];
        else
            out.i[lane] = from.i[place];
        const auto bit = static_cast<Mask>(1 << lane);
        out.wild = static_cast<Mask>(out.wild | (from.wild[element] & bit));
        out.faint = static_cast<Mask>(out.faint | (from.faint[element] & bit));
        out.inexact = out.inexact || from.inexact[element];
    }

    void load(ValueId id, const Instr& instr) {
        Slot& out = slots_[id];
        const Wide& from = *buffers_[instr.buffer];
        const Slot* guard = instr.op == loops::Op::LoadIf ? &slots_[instr.args[0]] : nullptr;
        out.wild = guard ? guard->wild : Mask{0};
        out.faint = 0;
        out.inexact = guard && guard->inexact;
        const bool same = !per_lane_[id];
        std::int64_t address = 0;
        bool known = false;
        for (int l = 0; l < lanes; ++l) {
            if (guard && !guard->i[l]) {
                out.f[l] = out.raw[l] = 0;
                out.i[l] = 0;
                continue;
            }
            if (!same || !known) address = at(instr.index, l);
            known = true;
            read(out, from, address, l);
        }
        if (same) return;
        instr.index.for_each_value(
            [&](ValueId v) { out.wild = static_cast<Mask>(out.wild | slots_[v].wild); });
    }

    void compute(const std::vector<ValueId>& order) {
        work_ -= static_cast<std::int64_t>(order.size());
        if (work_ < 0) throw TooMuchWork("too much work");
        for (const ValueId id : order) {
            const Instr& instr = nest_.values[id];
            Slot& out = slots_[id];
            switch (instr.op) {
                case loops::Op::Load:
                case loops::Op::LoadIf: load(id, instr); continue;
                case loops::Op::IndexOf:
                    for (int l = 0; l < lanes; ++l) out.i[l] = at(instr.index, l);
                    out.wild = out.faint = 0;
                    out.inexact = false;
                    continue;
                case loops::Op::Acc: out = totals_[instr.acc]; continue;
                default: break;
            }
            std::array<const Slot*, 3> args{};
            std::array<const Instr*, 3> of{};
            for (int a = 0; a < loops::arity(instr.op); ++a) {
                const ValueId k = instr.args[a];
                args[a] = &slots_[k];
                of[a] = &nest_.values[k];
            }
            arithmetic_.apply(instr, args, of, out);
        }
    }

    void axis(std::size_t k) {
        if (k < nest_.axes.size()) {
            const loops::Var v = nest_.axes[k];
            for (vars_[v] = 0; vars_[v] < nest_.extents[v]; ++vars_[v]) axis(k + 1);
            return;
        }
        terms_.assign(nest_.accumulators.size(), {});
        if (!nest_.accumulators.empty()) reduce_axis(0);
        totals_.clear();
        for (loops::AccId a : terms_.ids()) {
            const loops::Accumulator& acc = nest_.accumulators[a];
            const Instr& element = nest_.values[acc.element];
            totals_.push_back(arithmetic_.fold(acc.reduction, element, terms_[a]));
        }
        compute(results_);
        for (const loops::CheckThat& c : nest_.checks)
            for (int l = 0; l < lanes; ++l)
                if (!slots_[c.ok].i[l]) failed_ = static_cast<Mask>(failed_ | 1 << l);
        for (const loops::StoreTo& s : nest_.stores) store(s);
    }

    void reduce_axis(std::size_t k) {
        if (k < nest_.reduce_axes.size()) {
            const loops::Var v = nest_.reduce_axes[k];
            for (vars_[v] = 0; vars_[v] < nest_.extents[v]; ++vars_[v]) reduce_axis(k + 1);
            return;
        }
        compute(elements_);
        for (loops::AccId a : terms_.ids())
            terms_[a].push_back(slots_[nest_.accumulators[a].element]);
    }

    void store(const loops::StoreTo& s) {
        Wide& to = *buffers_[s.buffer];
        const bool same = !reads_values(s.index);
        std::int64_t address = at(s.index, 0);
        Slot value = slots_[s.value];
        const Instr& instr = nest_.values[s.value];
        // Where it goes is unknown: then so is everything.
        s.index.for_each_value([&](ValueId v) {
            const Mask wild = slots_[v].wild;
            if (wild)
                for (Mask& m : to.wild) m = static_cast<Mask>(m | wild);
            value.wild = static_cast<Mask>(value.wild | wild);
        });
        for (int l = 0; l < lanes; ++l) {
            if (!same) address = at(s.index, l);
            if (address < 0 || address >= to.size())
                throw InternalError(fmt::format("{}: stores element {} of {}", nest_.name, address,
                                                type_name(to.dtype, to.sizes)));
            const auto element = static_cast<std::size_t>(address);
            const std::size_t place = element * lanes + static_cast<std::size_t>(l);
            const auto bit = static_cast<Mask>(1 << l);
            if (s.combine) {
                Slot old;
                read(old, to, address, l);
                value.f[l] = slots_[s.value].f[l];
                arithmetic_.combine(*s.combine, instr.dtype, old, value, l);
            }
            if (is_float(to.dtype))
                to.f[place] = value.f[l];
            else
                to.i[place] = value.i[l];
            const auto set = [&](Mask& m, Mask from) {
                m = static_cast<Mask>((m & ~bit) | (from & bit));
            };
            set(to.wild[element], value.wild);
            set(to.faint[element], value.faint);
            to.inexact[element] = static_cast<char>(to.inexact[element] | value.inexact);
        }
    }

    const Nest& nest_;
    IdVector<loops::BufferId, Wide*> buffers_;
    Arithmetic& arithmetic_;
    std::int64_t& work_;
    loops::Box vars_;
    IdVector<ValueId, Slot> slots_;
    IdVector<ValueId, char> per_lane_;
    std::vector<ValueId> elements_, results_;
    IdVector<loops::AccId, std::vector<Slot>> terms_;
    IdVector<loops::AccId, Slot> totals_;
    Mask failed_ = 0;
};

void override(Function f, int order, const Wide& x, Wide& y, const Noise& noise,
              Arithmetic& arithmetic) {
    for (std::size_t e = 0; e < static_cast<std::size_t>(y.size()); ++e) {
        y.inexact[e] = 1;
        for (int l = 0; l < (noise.exact ? lanes : first_own); ++l) {
            const std::size_t place = e * lanes + static_cast<std::size_t>(l);
            const long double v = f(x.f[place], order);
            const auto bit = static_cast<Mask>(1 << l);
            y.f[place] = arithmetic.settle(y.dtype, v, l, 3, true);
            y.wild[e] = static_cast<Mask>((y.wild[e] & ~bit) | (x.wild[e] & bit));
            y.faint[e] = static_cast<Mask>(y.faint[e] & ~bit);
            // Zero at infinity is a limit.
            if (std::isinf(x.f[place]) && v == 0) y.faint[e] |= bit;
            // Too large, or too small, for long doubles.
            if (std::isfinite(x.f[place]) && (std::isinf(v) || v == 0)) y.wild[e] |= bit;
        }
    }
}

// sigmoid(x), also as 1 - sigmoid(-x); minus: sigmoid(-x).
bool is_sigmoid(const Expr& e, Expr& x, bool& minus) {
    const Expr* s = &e;
    minus = false;
    double one = 0;
    if (e.node().op->name == "sub" && is_constant_scalar(e.node().inputs[0], &one) && one == 1) {
        s = &e.node().inputs[1];
        minus = true;
    }
    if (s->node().op->name != "sigmoid") return false;
    x = s->node().inputs[0];
    for (; x.node().op->name == "neg"; minus = !minus) x = Expr(x.node().inputs[0]);
    return true;
}

// sigmoid(x) * sigmoid(-x) may be computed as y * (1 - y) of either, which is right to the last
// place of 1.
void vary_slope(const Node& node, const Wide& a, const Wide& b, Wide& y, Arithmetic& arithmetic) {
    Expr of[2];
    bool minus[2];
    if (node.op->name != "mul" || !is_float(y.dtype) || a.sizes != y.sizes || b.sizes != y.sizes ||
        !is_sigmoid(node.inputs[0], of[0], minus[0]) ||
        !is_sigmoid(node.inputs[1], of[1], minus[1]) || !same(of[0], of[1]) || minus[0] == minus[1])
        return;
    for (std::size_t k = 0; k < y.f.size(); ++k) {
        const int l = static_cast<int>(k % lanes);
        if (l <= nearest) continue;
        const long double s = l % 2 ? a.f[k] : b.f[k];
        y.f[k] = arithmetic.settle(y.dtype, s * arithmetic.settle(y.dtype, 1 - s, l), l);
    }
}

Wide blank(DType t, const Sizes& sizes) {
    Wide out{t, sizes, {}, {}, {}, {}, {}};
    const auto n = static_cast<std::size_t>(count(sizes));
    if (is_float(t))
        out.f.resize(n * lanes);
    else
        out.i.resize(n * lanes);
    out.wild.resize(n);
    out.faint.resize(n);
    out.inexact.resize(n);
    return out;
}

}  // namespace

Wide widen(const Array& a) {
    Wide out = blank(a.dtype(), a.shape());
    for (std::int64_t k = 0; k < a.size(); ++k)
        for (int l = 0; l < lanes; ++l) {
            const std::size_t place = static_cast<std::size_t>(k * lanes + l);
            if (is_float(a.dtype()))
                out.f[place] = a.as_double(k);
            else
                out.i[place] = a.as_int(k);
        }
    return out;
}

namespace {

using Values = std::unordered_map<const Node*, std::vector<Wide>>;

const Wide& value_of(const Values& values, const Expr& e) {
    return values.at(&e.node())[e.output()];
}

// Copies elements [from, from + n) of one tensor to those of another, in the lanes of a mask.
void copy_elements(Wide& to, std::size_t at, const Wide& source, std::size_t from, std::size_t n,
                   Mask which = 0xff) {
    for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t l = 0; l < lanes; ++l) {
            if (!(which >> l & 1)) continue;
            if (is_float(to.dtype))
                to.f[(at + k) * lanes + l] = source.f[(from + k) * lanes + l];
            else
                to.i[(at + k) * lanes + l] = source.i[(from + k) * lanes + l];
        }
        const auto mixed = [&](Mask now, Mask next) {
            return static_cast<Mask>((now & ~which) | (next & which));
        };
        to.wild[at + k] = mixed(to.wild[at + k], source.wild[from + k]);
        to.faint[at + k] = mixed(to.faint[at + k], source.faint[from + k]);
        to.inexact[at + k] = static_cast<char>(to.inexact[at + k] | source.inexact[from + k]);
    }
}

// The lanes in which a bool scalar is true.
Mask true_lanes(const Wide& b) {
    Mask out = 0;
    for (std::size_t l = 0; l < lanes; ++l)
        if (b.i[l] != 0) out = static_cast<Mask>(out | 1 << l);
    return out;
}

class Evaluator {
  public:
    Evaluator(const Noise& noise, std::int64_t most_work)
        : noise_(noise), arithmetic_(noise), work_(most_work) {}

    Mask failed() const { return failed_; }

    std::vector<Wide> run(const std::shared_ptr<const Node>& node, Values& values) {
        if (node->op == &scan_op.info) return loop(*node, values);
        if (node->op == &ifelse_op.info) return branch(*node, values);
        if (node->op == &recompute_op.info) return recomputed(*node, values);
        std::vector<Wide> result;
        for (std::size_t k = 0; k < node->types.size(); ++k) {
            const Expr root(node, static_cast<int>(k));
            result.push_back(blank(root.dtype(), concrete(root.shape())));
            const LoweredNest lowered = lower_nest(
                {&root, 1}, [](const Expr&) { return true; }, std::string(node->op->name));
            if (!lowered.onto.empty()) result.back() = value_of(values, lowered.onto);
            IdVector<loops::BufferId, Wide*> buffers;
            for (const Expr& b : lowered.buffers)
                buffers.push_back(same(b, root) ? &result.back()
                                                : &values.at(&b.node())[b.output()]);
            failed_ =
                static_cast<Mask>(failed_ | Walk(lowered.nest, buffers, arithmetic_, work_).run());
            if (node->inputs.size() == 2 && !noise_.exact)
                vary_slope(*node, value_of(values, node->inputs[0]),
                           value_of(values, node->inputs[1]), result.back(), arithmetic_);
            if (const Function* f = function_of(node->op->name))
                override(*f,
                         node->attrs.has("order")
                             ? static_cast<int>(node->attrs.get<std::int64_t>("order"))
                             : 0,
                         value_of(values, node->inputs[0]), result.back(), noise_, arithmetic_);
        }
        return result;
    }

  private:
    std::vector<Wide> region(const Region& r, const std::vector<Wide>& params) {
        Values values;
        for (std::size_t k = 0; k < params.size(); ++k) values[&r.params[k].node()] = {params[k]};
        const Graph body(r.results);
        for (const auto& n : body.nodes()) {
            if (values.count(n.get())) continue;
            values[n.get()] =
                n->is_leaf() ? std::vector<Wide>{widen(*constant_value(Expr(n)))} : run(n, values);
        }
        std::vector<Wide> out;
        for (const Expr& e : r.results) out.push_back(value_of(values, e));
        return out;
    }

    std::vector<Wide> recomputed(const Node& node, const Values& values) {
        std::vector<Wide> params;
        for (const Expr& e : node.inputs) params.push_back(value_of(values, e));
        return region(node.regions[0], params);
    }

    // Lanes may go different ways.
    std::vector<Wide> branch(const Node& node, const Values& values) {
        std::vector<Wide> params;
        for (std::size_t k = 1; k < node.inputs.size(); ++k)
            params.push_back(value_of(values, node.inputs[k]));
        const Mask yes = true_lanes(value_of(values, node.inputs[0]));
        std::vector<Wide> out;
        for (std::size_t side : {1, 0}) {
            const Mask which = side == 0 ? yes : static_cast<Mask>(~yes), before = failed_;
            const std::vector<Wide> found = region(node.regions[side], params);
            // A check of the side that is not chosen does not run.
            failed_ = static_cast<Mask>(before | (failed_ & which));
            if (out.empty())
                out = found;
            else
                for (std::size_t k = 0; k < out.size(); ++k)
                    copy_elements(out[k], 0, found[k], 0, static_cast<std::size_t>(found[k].size()),
                                  which);
        }
        return out;
    }

    static std::size_t row_size(const Wide& rows) {
        return static_cast<std::size_t>(count({rows.sizes.begin() + 1, rows.sizes.end()}));
    }
    static Wide row(const Wide& rows, std::int64_t i) {
        Wide out = blank(rows.dtype, {rows.sizes.begin() + 1, rows.sizes.end()});
        const std::size_t n = row_size(rows);
        copy_elements(out, 0, rows, static_cast<std::size_t>(i) * n, n);
        return out;
    }
    static void set_row(Wide& rows, std::int64_t i, const Wide& value, Mask which) {
        copy_elements(rows, static_cast<std::size_t>(i) * row_size(rows), value, 0, row_size(rows),
                      which);
    }

    // Lanes may end at different steps: rows of those that have ended repeat.
    std::vector<Wide> loop(const Node& node, const Values& values) {
        const ScanForm f(node);
        const std::int64_t n = f.steps.value();
        std::vector<Wide> rows;
        for (std::size_t k = 0; k < f.until_result(); ++k)
            rows.push_back(blank(node.types[k].dtype, concrete(node.types[k].shape)));
        for (std::size_t j = 0; j < f.states.size(); ++j) {
            const Wide& initial = value_of(values, node.inputs[f.state_input(j)]);
            copy_elements(rows[j], 0, initial, 0, static_cast<std::size_t>(initial.size()));
        }
        Wide ran = blank(DType::I64, {});
        Mask going = 0xff;
        for (std::int64_t k = 0; k < n; ++k) {
            std::vector<Wide> params;
            for (std::size_t s = 0; s < f.sequences.size(); ++s)
                params.push_back(row(value_of(values, node.inputs[s]),
                                     f.sequences[s].start.value() + f.sequences[s].stride * k));
            for (std::size_t j = 0; j < f.states.size(); ++j)
                for (std::int64_t tap : f.states[j].taps)
                    params.push_back(row(rows[j], f.states[j].depth() + k + tap));
            for (std::size_t c = f.first_capture(); c < node.inputs.size(); ++c)
                params.push_back(value_of(values, node.inputs[c]));
            const Mask before = failed_;
            const std::vector<Wide> now = region(node.regions[0], params);
            failed_ = static_cast<Mask>(before | (failed_ & going));
            for (std::size_t r = 0; r < rows.size(); ++r) {
                const bool state = r < f.states.size();
                const std::int64_t at = state ? f.states[r].depth() + k
                                        : f.outputs[r - f.states.size()].reversed ? n - 1 - k
                                                                                  : k;
                set_row(rows[r], at, now[r], going);
                const auto ended = static_cast<Mask>(~going);
                if (ended) set_row(rows[r], at, row(rows[r], at - 1), ended);
            }
            for (std::size_t l = 0; l < lanes; ++l)
                if (going >> l & 1) ran.i[l] = k + 1;
            if (f.until) going = static_cast<Mask>(going & ~true_lanes(now[f.until_result()]));
        }
        if (f.until) rows.push_back(std::move(ran));
        return rows;
    }

    const Noise& noise_;
    Arithmetic arithmetic_;
    std::int64_t work_;
    Mask failed_ = 0;
};

}  // namespace

Evaluation evaluate(std::span<const Expr> outputs, const Binding& leaves, const Noise& noise,
                    std::int64_t most_work) {
    ShapeBinding binding;
    for (const auto& [leaf, value] : leaves) {
        binding.sizes[leaf.node().id] = value.sizes;
        if (value.sizes.empty() && !is_float(value.dtype))
            binding.scalars[leaf.node().id] = value.i[nearest];
    }
    Interner interner;
    const std::vector<Expr> bound =
        transform(expand_composites(bind_shapes(outputs, binding)), [&](const auto&, Node copy) {
            // A size is known; nothing is computed, or checked, for it.
            if (copy.op->name == "shape") {
                const auto axis = static_cast<std::size_t>(copy.attrs.get<std::int64_t>("axis"));
                return std::vector<Expr>{
                    scalar_constant(DType::I64, copy.inputs[0].shape()[axis].value())};
            }
            return outputs_of(interner.intern(std::move(copy)));
        });
    const Graph graph(bound);
    Evaluator evaluator(noise, most_work);
    Values values;
    for (const std::shared_ptr<const Node>& node : graph.nodes()) {
        const Wide* given = nullptr;
        if (node->is_leaf())
            for (const auto& [leaf, value] : leaves)
                if (leaf.node().op == node->op && leaf.node().id == node->id) given = &value;
        if (node->op->kind == OpInfo::Kind::Constant)
            values[node.get()] = {widen(*constant_value(Expr(node)))};
        else if (given)
            values[node.get()] = {*given};
        else if (node->op->kind == OpInfo::Kind::Shared)
            values[node.get()] = {widen(node->storage->host_value())};
        else if (node->op->kind == OpInfo::Kind::Input)
            throw ArgumentError(node->loc(), "no value for an input");
        else
            values[node.get()] = evaluator.run(node, values);
    }
    Evaluation out;
    out.failed = evaluator.failed();
    for (const Expr& e : bound) out.values.push_back(values.at(&e.node())[e.output()]);
    return out;
}

}  // namespace arete::fuzz
