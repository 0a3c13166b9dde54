#include "frontend/scan.h"

#include <algorithm>

#include "compiler/graph/graph.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/scan.h"

namespace arete {

namespace {

class Scan {
  public:
    // `every`: steps of a chunk; 0: there are no chunks.
    Scan(const ScanOptions& options, Loc loc, int every = 0)
        : o_(options), loc_(loc), every_(every), first_id_(next_id()) {}

    ScanResult run() {
        if (!o_.fn) fail<GraphError>(loc_, "scan: there is no function for the steps");
        if (o_.truncate_gradient == 0 || o_.truncate_gradient < -1)
            fail<GraphError>(loc_, "scan: truncate_gradient is {}: it must be -1, or positive",
                             o_.truncate_gradient);
        ScanBuilder b(steps(), loc_);
        builder_ = &b;
        b.truncate_gradient(o_.truncate_gradient);
        std::vector<Expr> arguments;
        for (const Sequence& s : o_.sequences) add_sequence(s, arguments);
        for (std::size_t k = 0; k < o_.outputs_info.size(); ++k)
            add_state(o_.outputs_info[k], k, arguments);
        for (const Operand& e : o_.non_sequences) arguments.push_back(e.expr());
        StepResult step = o_.fn(arguments);
        check(step);
        return finish(std::move(step));
    }

    /// Of the loop that has been built: its outputs, those that are fed back behind their initial
    /// rows.
    const std::vector<Expr>& with_initial() const { return with_initial_; }

  private:
    // As Theano counts: rows are looked at around tap 0.
    static std::int64_t earliest(const Sequence& s) {
        return std::min(0, *std::min_element(s.taps.begin(), s.taps.end()));
    }
    static std::int64_t latest(const Sequence& s) {
        return std::max(0, *std::max_element(s.taps.begin(), s.taps.end()));
    }

    Dim steps() const {
        for (std::size_t k = 0; k < o_.sequences.size(); ++k) {
            const Sequence& s = o_.sequences[k];
            if (s.taps.empty())
                fail<GraphError>(s.rows.loc, "scan: sequence {} has no taps", k + 1);
            if (s.rows.expr().rank() < 1)
                fail<GraphError>(s.rows.loc, "scan: sequence {} needs rows, but {}", k + 1,
                                 describe(s.rows.expr()));
        }
        if (o_.n_steps) {
            const Dim& n = o_.n_steps->dim;
            if (n.is_const() && n.value() < 0)
                fail<GraphError>(loc_, "scan: n_steps is {}", n.value());
            return n;
        }
        if (o_.sequences.empty())
            fail<GraphError>(loc_, "scan: without sequences it needs n_steps");
        std::optional<Dim> least;
        for (const Sequence& s : o_.sequences) {
            const Dim n = s.rows.expr().shape()[0] - Dim(latest(s) - earliest(s));
            if (n.is_const() && n.value() < 0)
                fail<GraphError>(s.rows.loc, "scan: {} rows are too few for taps from {} to {}",
                                 s.rows.expr().shape()[0].str(), earliest(s), latest(s));
            if (!least)
                least = n;
            else if (least->is_const() && n.is_const())
                least = Dim(std::min(least->value(), n.value()));
            else if (!(*least == n))
                least = *least - not_negative(*least - n);
        }
        return *least;
    }

    void add_sequence(const Sequence& s, std::vector<Expr>& arguments) {
        const Expr rows = s.rows.expr();
        for (const int tap : s.taps) {
            const Dim start = o_.go_backwards ? rows.shape()[0] - Dim(1) - Dim(latest(s) - tap)
                                              : Dim(tap - earliest(s));
            arguments.push_back(builder_->sequence(rows, start, o_.go_backwards ? -1 : 1));
        }
    }

    void add_state(const OutputInfo& info, std::size_t number, std::vector<Expr>& arguments) {
        State& s = states_.emplace_back();
        if (!info.initial) return;
        const Loc loc = info.initial->loc;
        Ints taps(info.taps.begin(), info.taps.end());
        if (taps.empty() || std::any_of(taps.begin(), taps.end(), [](auto t) { return t >= 0; }))
            fail<GraphError>(loc, "scan: taps of output {} must be negative", number + 1);
        std::sort(taps.begin(), taps.end());
        if (std::adjacent_find(taps.begin(), taps.end()) != taps.end())
            fail<GraphError>(loc, "scan: output {} has a tap twice", number + 1);
        Expr rows = info.initial->expr();
        const std::int64_t depth = -taps.front();
        if (depth == 1) {
            rows = expand_dims(at(rows, loc), 0);
        } else if (rows.rank() < 1 || differ(rows.shape()[0], Dim(depth))) {
            fail<GraphError>(loc,
                             "scan: output {} has a tap of {}, so its initial value needs {} rows, "
                             "but {}",
                             number + 1, taps.front(), depth, describe(rows));
        }
        s.number = count_++;
        s.row = row_type(rows.type());
        const std::vector<Expr> params = builder_->state(rows, taps);
        for (const int tap : info.taps) {
            const auto k = std::find(taps.begin(), taps.end(), tap) - taps.begin();
            arguments.push_back(params[k]);
        }
    }

    void check(const StepResult& step) const {
        const std::size_t want = states_.size();
        if (want != 0 && step.outputs.size() != want)
            fail<GraphError>(loc_, "scan: a step has {} outputs, outputs_info is about {}",
                             step.outputs.size(), want);
        for (const Expr& e : step.outputs)
            if (e.empty()) fail<GraphError>(loc_, "scan: an output of the steps is empty");
        if (step.outputs.empty() && step.updates.empty())
            fail<GraphError>(loc_, "scan: the steps compute nothing");
        if (!step.until.empty() && every_ > 0)
            fail<GraphError>(at_line(step.until),
                             "scan_checkpoints: a loop in chunks cannot end by a condition");
        if (!step.until.empty() && step.until.rank() != 0)
            fail<GraphError>(at_line(step.until), "scan: the condition must be a scalar: {}",
                             describe(step.until, "this one"));
    }

    Loc at_line(const Expr& e) const { return e.loc() ? e.loc() : loc_; }

    // A new value, of the type that the earlier ones have.
    Expr fitting(const Expr& value, const TensorType& row, const std::string& what) const {
        bool fits = value.dtype() == row.dtype && value.rank() == row.rank();
        for (std::size_t k = 0; fits && k < row.shape.size(); ++k)
            fits = !differ(value.shape()[k], row.shape[k]);
        if (!fits)
            fail<GraphError>(at_line(value),
                             "scan: {} is {} before the first step and {} after it: dtype and "
                             "shape must stay",
                             what, row.str(), value.type().str());
        return specify_shape(at(value, at_line(value)), row.shape, "scan: " + what);
    }

    ScanResult finish(StepResult step) {
        // States: those of outputs, then of updated variables, then of random streams.
        std::vector<Expr> next;
        std::vector<std::pair<Expr, Expr>> inside;  // variables, and what they are in a step
        for (std::size_t k = 0; k < states_.size(); ++k)
            if (states_[k].number >= 0)
                next.push_back(
                    fitting(step.outputs[k], states_[k].row, fmt::format("output {}", k + 1)));
        std::vector<int> of_update;
        for (const Update& u : step.updates) {
            if (u.variable.empty() || u.variable.node().op->kind != OpInfo::Kind::Shared)
                fail<GraphError>(u.loc, "scan: update of what is not a shared variable");
            for (const auto& [variable, param] : inside)
                if (same(variable, u.variable))
                    fail<GraphError>(u.loc, "scan: shared variable '{}' is updated twice",
                                     u.variable.node().name);
            of_update.push_back(add_variable(u.variable, inside));
            next.push_back(fitting(u.value.beside(u.variable.dtype()), u.variable.type(),
                                   fmt::format("shared variable '{}'", u.variable.node().name)));
        }
        std::vector<Expr> roots = next;
        std::vector<Expr> plain;  // outputs that are not fed back
        for (std::size_t k = 0; k < step.outputs.size(); ++k)
            if (k >= states_.size() || states_[k].number < 0) plain.push_back(step.outputs[k]);
        roots.insert(roots.end(), plain.begin(), plain.end());
        if (!step.until.empty()) roots.push_back(cast(at(step.until, loc_), DType::Bool));
        add_counters(roots, inside);
        roots = replace(roots, inside);
        std::size_t at = 0;
        for (int k = 0; k < count_; ++k) builder_->next(static_cast<std::size_t>(k), roots[at++]);
        return results(step, of_update,
                       {roots.begin() + static_cast<std::ptrdiff_t>(at), roots.end()});
    }

    // A shared variable that changes from step to step.
    int add_variable(const Expr& variable, std::vector<std::pair<Expr, Expr>>& inside) {
        const Expr rows = expand_dims(arete::at(variable, loc_), 0);
        inside.emplace_back(variable, builder_->state(rows)[0]);
        return count_++;
    }

    // Counters of draws that were made by fn, so that each step draws anew. Their next values come
    // behind those of the other states.
    void add_counters(std::vector<Expr>& roots, std::vector<std::pair<Expr, Expr>>& inside) {
        const Graph graph(roots);
        std::size_t before = static_cast<std::size_t>(count_);
        for (const auto& node : graph.nodes()) {
            if (!node->storage || node->id < first_id_) continue;
            const std::int64_t by = node->storage->default_increment();
            const Expr counter(node);
            const bool updated = std::any_of(inside.begin(), inside.end(),
                                             [&](const auto& v) { return same(v.first, counter); });
            if (by == 0 || updated) continue;
            builder_->counts_draws(static_cast<std::size_t>(add_variable(counter, inside)));
            const Expr advanced = advanced_counter(counter, graph);
            roots.insert(roots.begin() + static_cast<std::ptrdiff_t>(before++),
                         advanced.empty() ? counter + by : advanced);
        }
    }

    ScanResult results(const StepResult& step, const std::vector<int>& of_update,
                       const std::vector<Expr>& rest) {
        const bool until = !step.until.empty();
        for (std::size_t k = 0; k + (until ? 1 : 0) < rest.size(); ++k) builder_->output(rest[k]);
        if (until) builder_->until(rest.back());
        const std::vector<Expr> made = builder_->build();
        if (every_ > 0) return checkpoints(step, of_update, made[0].node());
        ScanResult out;
        std::size_t plain = 0;
        for (std::size_t k = 0; k < step.outputs.size(); ++k) {
            const int state = k < states_.size() ? states_[k].number : -1;
            if (state < 0) {
                out.outputs.push_back(made[builder_->form().output_result(plain++)]);
                with_initial_.push_back(out.outputs.back());
                continue;
            }
            const auto j = static_cast<std::size_t>(state);
            with_initial_.push_back(made[j]);
            const std::int64_t depth = builder_->form().states[j].depth();
            out.outputs.push_back(made[j](slice(depth, none, 1, loc_.file, loc_.line)));
        }
        for (std::size_t k = 0; k < step.updates.size(); ++k)
            out.updates.emplace_back(step.updates[k].variable,
                                     arete::at(made[of_update[k]](-1), step.updates[k].loc));
        if (until) out.steps = made.back();
        return out;
    }

    ScanResult checkpoints(const StepResult& step, const std::vector<int>& of_update,
                           const Node& loop) const {
        const CheckpointedScan made = checkpointed_scan(loop, every_);
        ScanResult out;
        std::size_t plain = 0;
        for (std::size_t k = 0; k < step.outputs.size(); ++k) {
            const int state = k < states_.size() ? states_[k].number : -1;
            out.outputs.push_back(state < 0 ? made.outputs[plain++] : made.states[state]);
        }
        for (std::size_t k = 0; k < step.updates.size(); ++k)
            out.updates.emplace_back(step.updates[k].variable,
                                     arete::at(made.last[of_update[k]](-1), step.updates[k].loc));
        return out;
    }

    struct State {
        int number = -1;  // of the builder; -1: not fed back
        TensorType row;
    };
    const ScanOptions& o_;
    const Loc loc_;
    const int every_;
    const std::uint64_t first_id_;  // variables that fn makes have greater ones
    ScanBuilder* builder_ = nullptr;
    std::vector<State> states_;       // by output
    int count_ = 0;                   // states of the builder
    std::vector<Expr> with_initial_;  // outputs, those that are fed back with their initial rows
};

ScanOptions options_of(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                       const std::vector<OutputInfo>& outputs_info,
                       const std::vector<Operand>& non_sequences, bool backwards) {
    ScanOptions o;
    o.fn = fn;
    o.sequences = sequences;
    o.outputs_info = outputs_info;
    o.non_sequences = non_sequences;
    o.go_backwards = backwards;
    return o;
}

// The values behind the last step; of outputs that are fed back, the initial ones where none ran.
std::vector<Expr> last_values(const ScanOptions& options, Loc loc) {
    Scan scan(options, loc);
    scan.run();
    std::vector<Expr> out;
    for (const Expr& rows : scan.with_initial()) out.push_back(rows(-1));
    return out;
}

}  // namespace

ScanResult scan(const ScanOptions& options, const char* file, int line) {
    return Scan(options, {file, line}).run();
}

ScanResult scan_checkpoints(const ScanOptions& options, int every, const char* file, int line) {
    const Loc loc{file, line};
    if (every < 1)
        fail<GraphError>(loc, "scan_checkpoints: {} steps a chunk: there must be at least one",
                         every);
    if (options.truncate_gradient != -1)
        fail<GraphError>(loc, "scan_checkpoints: truncate_gradient is not for loops in chunks");
    return Scan(options, loc, every).run();
}

std::vector<Expr> map(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                      const std::vector<Operand>& non_sequences, const char* file, int line) {
    return Scan(options_of(fn, sequences, {}, non_sequences, false), {file, line}).run().outputs;
}

std::vector<Expr> foldl(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                        const std::vector<OutputInfo>& outputs_info,
                        const std::vector<Operand>& non_sequences, const char* file, int line) {
    return last_values(options_of(fn, sequences, outputs_info, non_sequences, false), {file, line});
}

std::vector<Expr> foldr(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                        const std::vector<OutputInfo>& outputs_info,
                        const std::vector<Operand>& non_sequences, const char* file, int line) {
    return last_values(options_of(fn, sequences, outputs_info, non_sequences, true), {file, line});
}

std::vector<Expr> reduce(const ScanFunction& fn, const std::vector<Sequence>& sequences,
                         const std::vector<OutputInfo>& outputs_info,
                         const std::vector<Operand>& non_sequences, const char* file, int line) {
    return foldl(fn, sequences, outputs_info, non_sequences, file, line);
}

}  // namespace arete
