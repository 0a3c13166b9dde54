// Loops in chunks, of which a gradient keeps the ends.
#include <algorithm>

#include "compiler/ops/checkpoint.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rearrange.h"
#include "compiler/ops/rows.h"
#include "compiler/ops/scan.h"

namespace arete {

namespace {

// Rows first, first + 1, ... of a value, so many of them.
Expr rows_window(const Expr& x, const Dim& first, const Dim& count, std::int64_t stride, Loc loc) {
    Shape starts(x.shape().size(), Dim(0)), sizes = x.shape();
    Ints strides(sizes.size(), 1);
    starts[0] = first;
    sizes[0] = count;
    strides[0] = stride;
    return slice_window(x, starts, strides, sizes, loc);
}

class Chunks {
  public:
    Chunks(const Node& scan, std::int64_t every)
        : node_(scan),
          f_(scan),
          loc_(scan.loc()),
          every_(every),
          count_(floordiv(f_.steps, every_)),
          whole_(count_ * every_),
          rest_(f_.steps - whole_),
          outer_(count_, loc_) {}

    CheckpointedScan run() {
        build_outer();
        for (std::size_t j = 0; j < f_.states.size(); ++j) {
            out_.states.push_back(depth(j) == 1 ? made_[j](slice(1, none))
                                                : made_[j](slice(1, none), depth(j) - 1));
            out_.last.push_back(depth(j) == 1 ? rows_window(made_[j], count_, 1, 1, loc_)
                                              : made_[j](-1));
        }
        for (std::size_t l = 0; l < f_.outputs.size(); ++l)
            out_.outputs.push_back(made_[f_.states.size() + l]);
        if (!(rest_ == Dim(0))) add_rest();
        return std::move(out_);
    }

  private:
    std::int64_t depth(std::size_t state) const { return f_.states[state].depth(); }

    // What steps first, first + 1, ... read of a sequence, in this order.
    Expr rows_of(std::size_t sequence, const Dim& first, const Dim& count) const {
        const auto& [start, stride] = f_.sequences[sequence];
        const Expr& x = node_.inputs[sequence];
        const Dim from = start + Dim(stride) * first;
        if (stride > 0) return rows_window(x, from, count, stride, loc_);
        return flip(
            at(rows_window(x, from + Dim(stride) * (count - Dim(1)), count, -stride, loc_), loc_),
            {0});
    }

    // So many steps: of states their last rows, of outputs all.
    std::vector<Expr> steps(const Dim& count, std::vector<Expr> inputs) const {
        ScanForm form = f_;
        form.steps = count;
        for (ScanForm::Sequence& s : form.sequences) s = {};
        std::vector<Expr> out =
            apply_all(scan_op, std::move(inputs), form.attrs(), loc_, {node_.regions[0]});
        for (std::size_t j = 0; j < f_.states.size(); ++j)
            out[j] = rows_window(out[j], count, depth(j), 1, loc_);
        return out;
    }

    // A state that looks back one step is a row of the outer loop; others are blocks of rows.
    void build_outer() {
        std::vector<Operand> inputs;
        for (std::size_t k = 0; k < f_.sequences.size(); ++k) {
            const Expr rows = rows_of(k, 0, whole_);
            Shape shape = rows.shape();
            shape[0] = every_;
            shape.insert(shape.begin(), count_);
            inputs.push_back(at(outer_.sequence(reshape(at(rows, loc_), shape)), loc_));
        }
        for (std::size_t j = 0; j < f_.states.size(); ++j) {
            const Expr& initial = node_.inputs[f_.state_input(j)];
            if (depth(j) == 1) {
                const Expr row = outer_.state(initial)[0];
                inputs.push_back(at(row, loc_));
                if (f_.states[j].counter) outer_.counts_draws(j);
            } else {
                inputs.push_back(at(outer_.state(expand_dims(at(initial, loc_), 0))[0], loc_));
            }
        }
        for (std::size_t c = f_.first_capture(); c < node_.inputs.size(); ++c)
            inputs.push_back(at(outer_.capture(node_.inputs[c]), loc_));
        const std::vector<Expr> ends = checkpointed(
            [&](std::vector<Expr> x) {
                for (std::size_t j = 0; j < f_.states.size(); ++j)
                    if (depth(j) == 1) {
                        Expr& row = x[f_.state_input(j)];
                        row = expand_dims(at(row, loc_), 0);
                    }
                std::vector<Expr> out = steps(every_, std::move(x));
                for (std::size_t k = 0; k < out.size(); ++k)
                    if (k >= f_.states.size() || depth(k) == 1) out[k] = out[k](-1);
                return out;
            },
            inputs, loc_);
        for (std::size_t j = 0; j < f_.states.size(); ++j) outer_.next(j, ends[j]);
        for (std::size_t l = 0; l < f_.outputs.size(); ++l)
            outer_.output(ends[f_.states.size() + l]);
        made_ = outer_.build();
    }

    // The steps behind the last whole chunk: fewer than a chunk, which are kept.
    void add_rest() {
        std::vector<Expr> inputs;
        for (std::size_t k = 0; k < f_.sequences.size(); ++k)
            inputs.push_back(rows_of(k, whole_, rest_));
        inputs.insert(inputs.end(), out_.last.begin(), out_.last.end());
        inputs.insert(inputs.end(),
                      node_.inputs.begin() + static_cast<std::ptrdiff_t>(f_.first_capture()),
                      node_.inputs.end());
        const std::vector<Expr> ends = steps(rest_, std::move(inputs));
        // One row more, or none where there is no rest.
        const Dim more = floordiv(f_.steps + every_ - Dim(1), every_) - count_;
        const auto join = [&](Expr& rows, const Expr& from, const Dim& size) {
            rows = concatenate(
                {at(rows, loc_), at(rows_window(from, size - more, more, 1, loc_), loc_)});
        };
        for (std::size_t j = 0; j < f_.states.size(); ++j) {
            join(out_.states[j], ends[j], depth(j));
            out_.last[j] = ends[j];
        }
        for (std::size_t l = 0; l < f_.outputs.size(); ++l)
            join(out_.outputs[l], ends[f_.states.size() + l], rest_);
    }

    const Node& node_;
    const ScanForm f_;
    const Loc loc_;
    const Dim every_, count_, whole_, rest_;  // steps of a chunk; chunks; steps in them; others
    ScanBuilder outer_;
    std::vector<Expr> made_;
    CheckpointedScan out_;
};

}  // namespace

CheckpointedScan checkpointed_scan(const Node& scan, std::int64_t every) {
    return Chunks(scan, every).run();
}

}  // namespace arete
