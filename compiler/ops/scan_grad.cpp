// The gradient of a loop: a loop from the last step to the first.
#include <algorithm>
#include <unordered_map>

#include "compiler/ops/checks.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/scan.h"

namespace arete {

namespace {

// Is what the node itself computes cheaper than reading a value that was kept? Elementwise ops
// without functions or divisions, and views.
bool is_cheap(const Node& n) {
    if (n.op->has(Trait::View)) return true;
    if (!def(n).scalar || n.op->has(Trait::Random)) return false;
    loops::Nest nest;
    std::vector<loops::Value> args;
    for (const Expr& e : n.inputs)
        args.push_back(nest.load(nest.add_buffer({"x", e.dtype(), {1}}), 0));
    (void)def(n).scalar({args, n.types[0].dtype, n.attrs});
    return std::none_of(nest.values.begin(), nest.values.end(), [](const loops::Instr& i) {
        return loops::is_transcendental(i.op) || i.op == loops::Op::Div || i.op == loops::Op::Sqrt;
    });
}

// The steps of the loop, from n - 1 down to n - steps, with what they need of the loop forward.
class Backward {
  public:
    explicit Backward(const PullbackArgs& a)
        : a_(a),
          f_(a.node),
          body_(a.node.regions[0]),
          loc_(a.node.loc()),
          all_(f_.steps),
          steps_(f_.steps),
          backward_(truncated(), loc_) {}

    std::vector<Expr> run() {
        find_gradients();
        make_carried();
        make_outputs();
        substitute();
        return gather();
    }

  private:
    using Positions = std::vector<std::size_t>;

    // With truncate_gradient only the last steps send gradients back.
    Dim truncated() {
        // Of a loop that ends by a condition the last steps are known when it has run.
        if (f_.truncate_gradient < 0 || f_.until) return steps_;
        const Dim most(f_.truncate_gradient);
        steps_ = all_.is_const() ? Dim(std::min(all_.value(), most.value()))
                                 : all_ - not_negative(all_ - most);
        return steps_;
    }

    const Expr& result(std::size_t k) const { return body_.results[k]; }
    bool arrives(std::size_t output) const { return !a_.g[output].empty(); }

    // Derivatives of what a step computes by its parameters, as sums with the gradients of its
    // results, which stand as leaves. A state takes part if a gradient arrives at it, from outside
    // or from a later step.
    void find_gradients() {
        const std::size_t states = f_.states.size();
        active_.assign(states, 0);
        for (std::size_t j = 0; j < states; ++j) {
            ARETE_CHECK(!f_.states[j].last, "gradient of a scan that keeps its last rows only");
            active_[j] = is_float(result(j).dtype()) && arrives(j);
        }
        std::vector<Expr> wrt;
        for (const Expr& p : body_.params)
            if (is_float(p.dtype())) wrt.push_back(p);
        seeds_.resize(f_.until_result());
        for (std::size_t k = 0; k < seeds_.size(); ++k)
            seeds_[k] = make_leaf(param_op, result(k).type(), loc_);
        for (bool more = true; more;) {
            more = false;
            Expr cost;
            for (std::size_t k = 0; k < seeds_.size(); ++k) {
                const bool takes_part = k < states ? active_[k] != 0 : arrives(k);
                if (!takes_part || !is_float(result(k).dtype())) continue;
                const Expr term = sum(at(result(k) * seeds_[k], loc_));
                cost = cost.empty() ? term : cost + term;
            }
            by_param_.clear();
            if (cost.empty()) return;
            const std::vector<Expr> found = a_.grad(cost, wrt);
            for (std::size_t i = 0; i < wrt.size(); ++i)
                if (!found[i].empty()) by_param_[&wrt[i].node()] = found[i];
            for (std::size_t j = 0; j < states; ++j) {
                if (active_[j] || !is_float(result(j).dtype())) continue;
                for (std::size_t t = 0; t < f_.states[j].taps.size(); ++t)
                    if (by_param_.count(&body_.params[f_.tap_param(j) + t].node()))
                        active_[j] = 1, more = true;
            }
        }
    }

    Expr by_param(std::size_t k) const {
        const auto at = by_param_.find(&body_.params[k].node());
        return at == by_param_.end() ? Expr() : at->second;
    }

    // Rows of what has one row for each step (or more: the first are `ahead`), last step first.
    Expr backwards(const Expr& rows, const Dim& ahead = 0) {
        return backward_.sequence(rows, ahead + all_ - Dim(1), -1);
    }

    Expr zero_rows(const TensorType& row, std::int64_t n) {
        return full(rows_type(n, row).shape, at(scalar_constant(row.dtype, 0.0, loc_), loc_),
                    row.dtype);
    }

    // Has step k of a loop that ends by a condition run, and is it one of the last to send
    // gradients back? Steps behind the last one hand on what they got, those before the last few
    // nothing.
    void find_range() {
        if (!f_.until || !ran_.empty()) return;
        const Expr k = backwards(count_up(all_, loc_)), count = backward_.capture(a_.y.back());
        ran_ = at(k, loc_) < count;
        if (f_.truncate_gradient >= 0)
            late_ = at(at(k, loc_) + f_.truncate_gradient, loc_) >= count;
    }
    Expr if_ran(const Expr& yes, const Expr& no) {
        find_range();
        return f_.until ? where(at(ran_, loc_), yes, no) : yes;
    }
    Expr if_late(const Expr& yes, const Expr& no) {
        find_range();
        return late_.empty() ? yes : where(at(late_, loc_), yes, no);
    }

    // The gradients of a state's last d values go from step to step: partial sums, to which each
    // step adds what it sends to its taps.
    void make_carried() {
        first_partial_.assign(f_.states.size(), -1);
        accumulated_.assign(a_.x.size(), -1);
        for (std::size_t j = 0; j < f_.states.size(); ++j) {
            if (!active_[j]) continue;
            const ScanForm::State& s = f_.states[j];
            const TensorType row = result(j).type();
            first_partial_[j] = static_cast<int>(carried_.size());
            std::vector<Expr> partial;
            for (std::int64_t i = 0; i < s.depth(); ++i)
                partial.push_back(carry(zero_rows(row, 1)));
            Expr here = partial[0];
            if (arrives(j)) here = at(here, loc_) + backwards(a_.g[j], s.depth());
            replacements_.emplace_back(seeds_[j], here);
            for (std::int64_t i = 0; i < s.depth(); ++i) {
                Expr now = i + 1 < s.depth() ? partial[static_cast<std::size_t>(i) + 1] : Expr();
                for (std::size_t t = 0; t < s.taps.size(); ++t) {
                    if (-s.taps[t] != i + 1) continue;
                    const Expr sent = by_param(f_.tap_param(j) + t);
                    if (!sent.empty()) now = now.empty() ? sent : at(now, loc_) + sent;
                }
                if (now.empty()) now = zeros_like(at(partial[0], loc_));
                const Expr waits = i == 0 ? here : zeros_like(at(now, loc_));
                carried_[static_cast<std::size_t>(first_partial_[j]) +
                         static_cast<std::size_t>(i)] =
                    if_late(if_ran(now, waits), zeros_like(at(now, loc_)));
            }
        }
        for (std::size_t c = f_.first_capture(); c < a_.x.size(); ++c) {
            const Expr g = by_param(f_.capture_param() + c - f_.first_capture());
            if (g.empty()) continue;
            accumulated_[c] = static_cast<int>(carried_.size());
            // One addition a step: in f32 many steps would add to a number that no longer changes.
            TensorType type = a_.x[c].type();
            type.dtype = DType::F64;
            const Expr sum = carry(zero_rows(type, 1));
            carried_[accumulated_[c]] =
                if_late(if_ran(at(sum, loc_) + cast(at(g, loc_), DType::F64), sum), sum);
        }
    }

    Expr carry(const Expr& initial) {
        carried_.emplace_back();
        return backward_.state(initial)[0];
    }

    void make_outputs() {
        // Rows of outputs that no step has written repeat the last one.
        for (std::size_t l = 0; l < f_.outputs.size(); ++l) {
            const std::size_t k = f_.output_result(l);
            if (!arrives(k) || !is_float(result(k).dtype())) continue;
            const bool reversed = f_.outputs[l].reversed;
            Expr here = reversed ? backward_.sequence(a_.g[k]) : backwards(a_.g[k]);
            if (f_.until) {
                const std::size_t own = carried_.size();
                here = at(here, loc_) + carry(zero_rows(result(k).type(), 1));
                carried_[own] = if_ran(zeros_like(at(here, loc_)), here);
            }
            replacements_.emplace_back(seeds_[k], here);
        }
        sequence_output_.assign(f_.sequences.size(), -1);
        for (std::size_t k = 0; k < f_.sequences.size(); ++k) {
            const Expr g = by_param(k);
            if (g.empty()) continue;
            sequence_output_[k] = static_cast<int>(outputs_.size());
            const Expr zero = zeros_like(at(g, loc_));
            outputs_.push_back(if_late(if_ran(g, zero), zero));
        }
    }

    // What the body uses of the loop forward: its parameters, and values that it would take long to
    // compute again, which the loop keeps as further outputs.
    void substitute() {
        std::vector<Expr> roots = carried_;
        roots.insert(roots.end(), outputs_.begin(), outputs_.end());
        const Graph forward(body_.results), all(roots);
        IdVector<NodeId, char> read(forward.size());  // by what is not part of it
        for (const auto& n : all.nodes())
            if (!forward.contains(*n))
                for (const Expr& e : n->inputs)
                    if (forward.contains(e.node())) read[forward.id(e)] = 1;
        for (const Expr& e : roots)
            if (forward.contains(e.node())) read[forward.id(e)] = 1;
        // A value is at hand where it was kept, or is cheap to compute of such.
        IdVector<NodeId, char> at_hand(forward.size());
        std::vector<Expr> kept;
        for (NodeId i : forward.ids()) {
            const std::shared_ptr<const Node>& n = forward.nodes()[i];
            at_hand[i] = n->is_leaf() || is_cheap(*n) || n->inputs.empty();
            for (const Expr& e : n->inputs) at_hand[i] &= at_hand[forward.id(e)];
            if (at_hand[i] || !read[i]) continue;
            at_hand[i] = 1;
            for (const Expr& e : outputs_of(n)) kept.push_back(e);
        }
        read_states(kept);
        keep(kept);
        for (std::size_t k = 0; k < f_.sequences.size(); ++k) {
            const auto& [start, stride] = f_.sequences[k];
            if (all.contains(body_.params[k].node()))
                replacements_.emplace_back(
                    body_.params[k],
                    backward_.sequence(a_.x[k], start + Dim(stride) * (all_ - Dim(1)), -stride));
        }
        for (std::size_t j = 0; j < f_.states.size(); ++j)
            for (std::size_t t = 0; t < f_.states[j].taps.size(); ++t) {
                const Expr& p = body_.params[f_.tap_param(j) + t];
                const ScanForm::State& s = f_.states[j];
                if (all.contains(p.node()))
                    replacements_.emplace_back(p,
                                               backwards(a_.y[j], Dim(s.depth()) + Dim(s.taps[t])));
            }
        for (std::size_t c = f_.first_capture(); c < a_.x.size(); ++c) {
            const Expr& p = body_.params[f_.capture_param() + c - f_.first_capture()];
            if (all.contains(p.node())) replacements_.emplace_back(p, backward_.capture(a_.x[c]));
        }
        roots = replace(roots, kept_by_);
        // What stands for a leaf may hold leaves itself: seeds are made of sequences.
        roots = replace(roots, replacements_);
        for (std::size_t k = 0; k < carried_.size(); ++k) backward_.next(k, roots[k]);
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
            std::size_t sequence = 0;
            while (sequence_output_[sequence] != static_cast<int>(k)) ++sequence;
            backward_.output(roots[carried_.size() + k], f_.sequences[sequence].stride > 0);
        }
    }

    // Of what was kept, the results of the loop are at hand already.
    void read_states(std::vector<Expr>& kept) {
        std::erase_if(kept, [&](const Expr& e) {
            for (std::size_t k = 0; k < f_.until_result(); ++k) {
                if (!same(result(k), e)) continue;
                const bool reversed =
                    k >= f_.states.size() && f_.outputs[k - f_.states.size()].reversed;
                if (reversed) continue;
                const Dim ahead = k < f_.states.size() ? Dim(f_.states[k].depth()) : Dim(0);
                kept_by_.emplace_back(e, backwards(a_.y[k], ahead));
                return true;
            }
            return false;
        });
    }

    // The loop forward once more, with further outputs: they merge (rewrite/control.h).
    void keep(const std::vector<Expr>& kept) {
        if (kept.empty()) return;
        ScanForm form = f_;
        Region body = body_;
        const auto end = static_cast<std::ptrdiff_t>(f_.until_result());
        body.results.insert(body.results.begin() + end, kept.begin(), kept.end());
        form.outputs.resize(f_.outputs.size() + kept.size());
        const std::vector<Expr> again =
            apply_all(scan_op, a_.node.inputs, form.attrs(), loc_, {std::move(body)});
        for (std::size_t k = 0; k < kept.size(); ++k)
            kept_by_.emplace_back(kept[k], backwards(again[f_.until_result() + k]));
    }

    std::vector<Expr> gather() {
        std::vector<Expr> g(a_.x.size());
        if (carried_.empty() && outputs_.empty()) return g;
        const std::vector<Expr> found = backward_.build();
        const auto last = [&](std::size_t state) { return found[state](-1); };
        for (std::size_t k = 0; k < f_.sequences.size(); ++k) {
            if (sequence_output_[k] < 0) continue;
            const Expr& rows =
                found[carried_.size() + static_cast<std::size_t>(sequence_output_[k])];
            const auto& [start, stride] = f_.sequences[k];
            // Rows of the steps that were walked, in ascending order.
            const Dim first = stride > 0 ? start + Dim(stride) * (all_ - steps_)
                                         : start + Dim(stride) * (all_ - Dim(1));
            const Shape& sizes = a_.x[k].shape();
            if (first == Dim(0) && std::abs(stride) == 1 && steps_ == sizes[0]) {
                g[k] = rows;
                continue;
            }
            Shape starts(sizes.size(), Dim(0));
            starts[0] = first;
            Ints strides(sizes.size(), 1);
            strides[0] = std::abs(stride);
            g[k] = slice_window_grad(rows, starts, strides, sizes, loc_);
        }
        for (std::size_t j = 0; j < f_.states.size(); ++j) {
            const std::size_t input = f_.state_input(j);
            if (!active_[j]) continue;
            std::vector<Operand> rows;
            for (std::int64_t i = f_.states[j].depth(); i-- > 0;)
                rows.push_back(at(
                    last(static_cast<std::size_t>(first_partial_[j]) + static_cast<std::size_t>(i)),
                    loc_));
            g[input] = stack(rows);
            if (!(steps_ == all_)) g[input] = unless_truncated(g[input]);
            if (arrives(j)) g[input] = at(g[input], loc_) + a_.g[j](slice(0, f_.states[j].depth()));
        }
        for (std::size_t c = f_.first_capture(); c < a_.x.size(); ++c)
            if (accumulated_[c] >= 0)
                g[c] = cast(at(last(static_cast<std::size_t>(accumulated_[c])), loc_),
                            a_.x[c].dtype());
        return g;
    }

    // Nothing reaches the initial value where steps are left out.
    Expr unless_truncated(const Expr& g) {
        if (all_.is_const() && steps_.is_const()) return zeros_like(at(g, loc_));
        const Expr left = size(at(count_up(all_ - steps_, loc_), loc_));
        return where(eq(at(left, loc_), 0), g, zeros_like(at(g, loc_)));
    }

    static std::size_t at_(int i) { return static_cast<std::size_t>(i); }

    const PullbackArgs& a_;
    const ScanForm f_;
    const Region& body_;
    const Loc loc_;
    const Dim all_;  // steps forward
    Dim steps_;      // and backward
    ScanBuilder backward_;
    std::vector<char> active_;  // by state: a gradient arrives
    std::vector<Expr> seeds_;   // by result: stands for its gradient
    std::unordered_map<const Node*, Expr> by_param_;
    std::vector<Expr> carried_, outputs_;  // new values of the loop backward
    std::vector<int> first_partial_, accumulated_, sequence_output_;  // positions among them
    std::vector<std::pair<Expr, Expr>> replacements_, kept_by_;
    Expr ran_, late_;
};

}  // namespace

std::vector<Expr> pullback_scan(const PullbackArgs& a) {
    return Backward(a).run();
}

}  // namespace arete
