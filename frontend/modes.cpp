#include "frontend/modes.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <unordered_set>

#include "compiler/graph/pp.h"
#include "compiler/ops/leaves.h"
#include "compiler/program/inspect.h"
#include "compiler/program/interpret.h"
#include "runtime/shared_value.h"

namespace arete {

namespace {

// Values beyond this are taken for a sign of divergence, as in Theano.
constexpr double huge = 1e10;
// Results as a whole: what rules and kernels round differently may grow from one to the next.
constexpr double whole_tolerance = 1e-2;

// The shared variables that a call updates, to be put back where it fails.
class Snapshot {
  public:
    explicit Snapshot(const FunctionGraph& graph) {
        for (const auto& [variable, value] : graph.updates)
            old_.emplace_back(variable, shared_value(variable.node()).host().copy());
    }
    void restore() const {
        for (const auto& [variable, value] : old_) shared_value(variable.node()).restore(value);
    }
    const Array* old_value(const Expr& e) const {
        for (const auto& [variable, value] : old_)
            if (variable.node().storage == e.node().storage) return &value;
        return nullptr;
    }

  private:
    std::vector<std::pair<Expr, Array>> old_;
};

Array slot_view(const Executable& e, SlotId slot) {
    const Slot& s = e.compiled().program.slots[slot];
    return Array(s.dtype, s.sizes, std::shared_ptr<void>(e.slot(slot), [](void*) {}));
}

// "kernel 'log' (step 3): log(x) : f32[10]".
std::string kernel_text(const Step& step, StepId number, const Expr& value) {
    return fmt::format("kernel '{}' (step {}), which computes {} : {}", step.name(), number,
                       shortened(pp(value)), value.type().str());
}

std::string lines_text(const Step& step) {
    return step.lines.empty() ? "" : fmt::format("; the kernel computes {}", step.lines);
}

// What is wrong with an array, by its first bad element; empty where nothing is.
std::string bad_value(const Array& a) {
    if (!is_float(a.dtype())) return {};
    return visit(a.dtype(), [&](auto tag) -> std::string {
        using T = decltype(tag);
        if constexpr (std::is_floating_point_v<T>) {
            const T* p = a.data<T>();
            for (std::int64_t i = 0, n = a.size(); i < n; ++i) {
                if (std::fabs(p[i]) <= static_cast<T>(huge)) continue;
                const char* what = std::isnan(p[i])   ? "a NaN"
                                   : std::isinf(p[i]) ? "an infinity"
                                                      : "a huge value";
                return fmt::format("{} ({}) at element {} of {}", what, p[i], i, n);
            }
        }
        return {};
    });
}

// Runs with `after_step` called for each kernel; what it throws is rethrown here, after the native
// code has returned, and whatever goes wrong, the shared variables are put back.
void watch(const WatchedRun& run, const Snapshot& before,
           const std::function<void(StepId)>& after_kernel) {
    std::exception_ptr error;
    try {
        run.executable.run_observed(run.input_pointers, run.output_pointers, [&](StepId k) {
            try {
                if (!stored_by(run.executable.compiled(), k).empty()) after_kernel(k);
            } catch (...) {
                error = std::current_exception();
                return false;
            }
            return true;
        });
        if (error) std::rethrow_exception(error);
    } catch (...) {
        before.restore();
        throw;
    }
}

// f32 where that is the dtype of anything that is computed for `values`, whose leaves and whatever
// is among `known` are given; else f64.
DType coarsest(const std::vector<Expr>& values,
               const std::vector<std::pair<Expr, Array>>& known = {}) {
    std::vector<Expr> waiting = values;
    std::unordered_set<const Node*> seen;
    while (!waiting.empty()) {
        const Expr e = waiting.back();
        waiting.pop_back();
        const bool given = std::any_of(known.begin(), known.end(),
                                       [&](const auto& k) { return same(k.first, e); });
        if (given || e.node().is_leaf() || !seen.insert(&e.node()).second) continue;
        if (e.dtype() == DType::F32) return DType::F32;
        waiting.insert(waiting.end(), e.node().inputs.begin(), e.node().inputs.end());
    }
    return DType::F64;
}

// The sum of differences by the sum of magnitudes; where `was` is not finite nothing is expected.
double relative_distance(const Array& is, const Array& was) {
    double apart = 0, size = 0;
    for (std::int64_t i = 0; i < was.size(); ++i) {
        const double a = is.as_double(i), b = was.as_double(i);
        if (!std::isfinite(b) || a == b) {
            size += std::isfinite(b) ? std::fabs(b) : 0;
            continue;
        }
        apart += std::isfinite(a) ? std::fabs(a - b) : HUGE_VAL;
        size += std::fabs(b);
    }
    const double least = was.dtype() == DType::F64 ? 1e-9 : 1e-4;
    return apart / (size + least * static_cast<double>(std::max<std::int64_t>(1, was.size())));
}

}  // namespace

std::optional<ValueDifference> first_difference(const Array& is, const Array& was, DType computed) {
    if (is.dtype() != was.dtype() || is.shape() != was.shape())
        return ValueDifference{0, type_name(was.dtype(), was.shape()),
                               type_name(is.dtype(), is.shape())};
    const bool floats = is_float(is.dtype());
    const bool fine = is.dtype() == DType::F64 && computed == DType::F64;
    const double relative = fine ? 1e-9 : 1e-4;
    const double absolute = fine ? 1e-12 : 1e-6;
    double largest = 0;
    for (std::int64_t i = 0; floats && i < was.size(); ++i)
        if (const double b = std::fabs(was.as_double(i)); std::isfinite(b))
            largest = std::max(largest, b);
    for (std::int64_t i = 0; i < was.size(); ++i) {
        bool differs = false;
        if (floats) {
            const double a = is.as_double(i), b = was.as_double(i);
            if (!std::isfinite(b) || a == b) continue;
            differs = !(std::fabs(a - b) <= relative * (std::fabs(b) + largest) + absolute);
        } else {
            differs = is.as_int(i) != was.as_int(i);
        }
        if (differs) return ValueDifference{i, element_text(was, i), element_text(is, i)};
    }
    return std::nullopt;
}

void run_interpreted(const WatchedRun& run) {
    const Snapshot before(run.graph);
    try {
        run.executable.run(run.input_pointers, run.output_pointers);
    } catch (...) {
        before.restore();
        throw;
    }
}

namespace {

// Where in a loop or branch a bad value was made first: its bodies run once more, watched, in the
// interpreter, on what the step has read. Empty where none is found.
std::string made_inside(const Executable& e, StepId step) {
    const Program& program = e.compiled().program;
    if (program.steps[step].bodies().empty()) return {};
    IdVector<SlotId, void*> table;
    for (SlotId s : program.slots.ids()) table.push_back(e.slot(s));
    std::string found;
    ProgramInterpreter(program).run_watched(step, table, [&](const BodyStep& at) {
        const Step& s = at.body.steps[at.step];
        for (SlotId slot : stored_slots(s)) {
            const Slot& to = at.body.slots[slot];
            const Array value(to.dtype, to.sizes,
                              std::shared_ptr<void>(at.table[slot], [](void*) {}));
            const std::string bad = bad_value(value);
            if (bad.empty()) continue;
            found = fmt::format("; first in iteration {}: {} in the result of {} '{}' of the body",
                                fmt::join(at.trips, ", "), bad, s.kind(), s.name());
            if (!s.lines.empty()) found += ", which computes " + s.lines;
            return false;
        }
        return true;
    });
    return found;
}

}  // namespace

void run_nan_guard(const WatchedRun& run) {
    const Compiled& compiled = run.executable.compiled();
    const Snapshot before(run.graph);
    watch(run, before, [&](StepId step) {
        const Step& s = compiled.program.steps[step];
        for (const SlotValue& stored : stored_by(compiled, step)) {
            const std::string bad = bad_value(slot_view(run.executable, stored.slot));
            if (bad.empty()) continue;
            std::string operands;
            for (const SlotValue& v : read_by(compiled, step)) {
                if (!v.value.node().is_leaf()) continue;
                const Array* old = before.old_value(v.value);
                const std::string worse = bad_value(old ? *old : slot_view(run.executable, v.slot));
                if (!worse.empty())
                    operands +=
                        fmt::format("; its operand '{}' has {}", v.value.node().name, worse);
            }
            fail<NanGuardError>(stored.value.loc(), "function '{}': {} in the result of {}{}{}{}",
                                run.graph.name, bad, kernel_text(s, step, stored.value),
                                made_inside(run.executable, step), operands, lines_text(s));
        }
    });
}

void run_debug(const WatchedRun& run) {
    const Compiled& compiled = run.executable.compiled();
    const Snapshot before(run.graph);
    std::vector<std::pair<Expr, Array>> inputs;
    for (std::size_t i = 0; i < run.inputs.size(); ++i)
        inputs.emplace_back(run.graph.inputs[i], run.inputs[i]);
    std::vector<Expr> wanted = run.graph.outputs;
    for (const auto& [variable, value] : run.graph.updates) wanted.push_back(value);
    std::vector<Array> expected = ReferenceEvaluator(inputs)(wanted);
    // Values that are shared variables or arguments themselves would change under our eyes.
    for (Array& a : expected) a = a.copy();

    watch(run, before, [&](StepId step) {
        const Step& s = compiled.program.steps[step];
        std::vector<SlotValue> stored = stored_by(compiled, step);
        // For what has no elements nothing was read.
        std::erase_if(stored, [&](const SlotValue& v) {
            return slot_view(run.executable, v.slot).size() == 0;
        });
        std::vector<std::pair<Expr, Array>> known;
        for (const SlotValue& v : read_by(compiled, step)) {
            const Array* old = before.old_value(v.value);
            known.emplace_back(v.value, old ? *old : slot_view(run.executable, v.slot));
        }
        std::vector<Expr> values;
        for (const SlotValue& v : stored) values.push_back(v.value);
        const std::vector<Array> want = reference_eval_from(values, known);
        const DType computed = coarsest(values, known);
        for (std::size_t k = 0; k < stored.size(); ++k) {
            const Array is = slot_view(run.executable, stored[k].slot);
            // Loops may make much of roundings.
            if (!s.bodies().empty() && relative_distance(is, want[k]) <= whole_tolerance) continue;
            if (const auto d = first_difference(is, want[k], computed))
                fail<DebugModeError>(
                    values[k].loc(),
                    "function '{}': {} gives another value than the graph: element {} should be "
                    "{}, it is {}. Fusion, lowering, the schedule or code generation is "
                    "wrong{}",
                    run.graph.name, kernel_text(s, step, values[k]), d->element, d->was, d->is,
                    lines_text(s));
        }
    });

    try {
        for (std::size_t k = 0; k < wanted.size(); ++k) {
            const bool output = k < run.outputs.size();
            const Array& is =
                output
                    ? run.outputs[k]
                    : shared_value(run.graph.updates[k - run.outputs.size()].first.node()).host();
            const double distance = relative_distance(is, expected[k]);
            if (distance <= whole_tolerance) continue;
            const std::string what =
                output ? fmt::format("output {}", k)
                       : fmt::format("the new value of '{}'",
                                     run.graph.updates[k - run.outputs.size()].first.node().name);
            fail<DebugModeError>(wanted[k].loc(),
                                 "function '{}': {} is {}, the graph gives {}, though every kernel "
                                 "is right: the order of the steps or their memory is wrong",
                                 run.graph.name, what, is.str(), expected[k].str());
        }
    } catch (...) {
        before.restore();
        throw;
    }
}

PassChecker::PassChecker(const FunctionGraph& graph, std::span<const Array> inputs)
    : graph_(graph), evaluate_([&] {
          std::vector<std::pair<Expr, Array>> pairs;
          for (std::size_t i = 0; i < inputs.size(); ++i)
              pairs.emplace_back(graph.inputs[i], inputs[i]);
          return pairs;
      }()) {}

namespace {

// What a rule did inside a region depends on its parameters, which have other values in each trip:
// the results of the pass show whether it was right.
bool is_in_region(const RewriteLog::Firing& f) {
    const Graph graph({f.from, f.to});
    return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                       [](const auto& n) { return n->op == &param_op.info; });
}

}  // namespace

void PassChecker::check(const GraphPass& pass) {
    // All at once: they share most of their work.
    std::vector<Expr> all;
    std::vector<const RewriteLog::Firing*> firings;
    for (const RewriteLog::Firing& f : pass.log.firings) {
        if (is_in_region(f)) continue;
        firings.push_back(&f);
        all.insert(all.end(), {f.from, f.to});
    }
    all.insert(all.end(), pass.before.begin(), pass.before.end());
    all.insert(all.end(), pass.after.begin(), pass.after.end());
    const std::vector<Array> values = evaluate_(all);
    std::size_t at = 0;
    for (const RewriteLog::Firing* firing : firings) {
        const RewriteLog::Firing& f = *firing;
        const Array &was = values[at], &is = values[at + 1];
        at += 2;
        const auto d = first_difference(is, was, coarsest({f.from, f.to}));
        if (!d) continue;
        const PrettyPair both = pp_pair(f.from, f.to);
        std::string where;
        for (const std::string& w : both.where)
            where += (where.empty() ? ", where " : ", ") + shortened(w);
        fail<DebugModeError>(
            f.from.loc(),
            "function '{}': pass {}: rule {} ({}) changes a value: {} became {}{}; element {} of "
            "{} was {}, it is {} now",
            graph_.name, pass.name, f.rule->name, f.rule->comment, shortened(both.first),
            shortened(both.second), where, d->element, f.from.type().str(), d->was, d->is);
    }
    for (std::size_t k = 0; k < pass.before.size(); ++k) {
        const Array &was = values[at + k], &is = values[at + pass.before.size() + k];
        if (relative_distance(is, was) > whole_tolerance)
            fail<DebugModeError>(pass.before[k].loc(),
                                 "function '{}': pass {} changes a value, and no single rule of it "
                                 "does: {} was {}, it is {} now",
                                 graph_.name, pass.name, shortened(pp(pass.before[k])), was.str(),
                                 is.str());
    }
}

}  // namespace arete
