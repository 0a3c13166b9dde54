#include "tests/cuda/cases.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>

#include <arete/arete.h>

#include "compiler/loops/collapse.h"
#include "compiler/ops/op.h"
#include "compiler/program/interpret.h"
#include "compiler/targets/cuda/schedule.h"
#include "runtime/shared_value.h"
#include "tests/targets.h"

namespace arete::test {

Case case_of(std::string where, const std::string& name, const std::vector<Expr>& inputs,
             const std::vector<Array>& values, const std::vector<Expr>& outputs,
             const std::vector<std::pair<Expr, Expr>>& updates, const std::string& card) {
    CompileRequest r;
    r.name = name;
    r.inputs = inputs;
    r.outputs = outputs;
    r.updates = updates;
    r.target = cuda_target(card);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        r.binding.sizes[inputs[i].node().id] = values[i].shape();
    Case out{std::move(where), compile(r), values, {}};
    for (const Expr& v : out.compiled.shared)
        out.shared.push_back(shared_value(v.node()).host_value());
    return out;
}

std::vector<Case> samples(const std::vector<DType>& dtypes) {
    std::vector<Case> out;
    for (const OpDef* op : ops_of_all_targets()) {
        if (!op->samples) continue;
        for (const Sample& sample : op->samples())
            for (DType t : dtypes) {
                if (sample.floats_only && !is_float(t)) continue;
                const Drawn d = draw(sample, t, 1234);
                Expr e;
                try {
                    e = sample.build(d.leaves);
                } catch (const GraphError&) {
                    continue;  // the op has no such dtype
                }
                out.push_back(
                    case_of(fmt::format("{} ({}) {}", op->info.name, sample.name, name(t)),
                            fmt::format("s{}", out.size()), d.leaves, d.values, {e}));
            }
    }
    return out;
}

std::vector<Case> larger_cases() {
    std::vector<Case> out;
    const auto add = [&](const std::string& what, const std::vector<Sizes>& sizes, DType t,
                         const std::function<Expr(std::span<const Expr>)>& build) {
        std::vector<Expr> x;
        std::vector<Array> values;
        for (const Sizes& s : sizes) {
            x.push_back(tensor(t, static_cast<int>(s.size()), fmt::format("x{}", x.size()), s));
            values.push_back(Generator(7 + x.size()).uniform(s, -2, 2).astype(t));
        }
        out.push_back(case_of(fmt::format("{} {}", what, name(t)), fmt::format("l{}", out.size()),
                              x, values, {build(x)}));
    };
    for (const DType t : {DType::F32, DType::F64}) {
        for (const Sizes& s :
             {Sizes{3, 70}, Sizes{70, 3}, Sizes{1, 300}, Sizes{45, 41}, Sizes{0, 5}, Sizes{5, 0}})
            for (const Axes& axes : {Axes(0), Axes(1), Axes()}) {
                const std::string where =
                    fmt::format("of [{},{}] over {}", s[0], s[1], axes.every ? -1 : axes.list[0]);
                add("sum " + where, {s}, t, [&](auto x) { return sum(sqr(x[0]) - 1, axes); });
                if (count(s) == 0) continue;
                add("mean " + where, {s}, t, [&](auto x) { return mean(x[0], axes) * 2; });
                add("max " + where, {s}, t, [&](auto x) { return exp(max(x[0], axes)); });
            }
        add("softmax", {{20, 100}}, t, [](auto x) { return softmax(x[0]); });
        for (const auto& [m, n, k] : {std::tuple<std::int64_t, std::int64_t, std::int64_t>{5, 7, 9},
                                      {64, 64, 32},
                                      {33, 20, 17},
                                      {4, 130, 12}}) {
            if (t == DType::F64 && m == 64) continue;
            const std::string where = fmt::format("{} {} {}", m, n, k);
            add("dot " + where, {{m, k}, {k, n}}, t,
                [](auto x) { return relu(dot(x[0], x[1]) + 1); });
            add("dot of transposed " + where, {{k, m}, {n, k}}, t,
                [](auto x) { return dot(x[0].T(), x[1].T()); });
        }
        add("dot of many", {{4, 700}, {700, 4}}, t, [](auto x) { return dot(x[0], x[1]); });
        if (t == DType::F64) continue;
        add("convolution", {{2, 3, 9, 9}, {8, 3, 4, 4}}, t,
            [](auto x) { return conv2d(x[0], x[1]); });
        add("gradient of a filter", {{2, 3, 9, 9}, {8, 3, 4, 4}}, t,
            [](auto x) { return grad(sum(sqr(conv2d(x[0], x[1]))), {x[1]})[0]; });
        add("gradient of an image", {{2, 3, 9, 9}, {8, 3, 4, 4}}, t,
            [](auto x) { return grad(sum(sqr(conv2d(x[0], x[1]))), {x[0]})[0]; });
    }
    for (const Axes& axes : {Axes(0), Axes(1)}) {
        add("argmax", {{40, 75}}, DType::F32, [&](auto x) { return argmax(x[0], axes); });
        add("argmin of few values", {{40, 75}}, DType::I32,
            [&](auto x) { return argmin(x[0], axes); });
        add("argmax with NaNs", {{40, 75}}, DType::F32,
            [&](auto x) { return argmax(where(x[0] > 1, sqrt(x[0] - 1.5f), x[0]), axes); });
    }
    return out;
}

namespace {

bool choose(Program& program, std::size_t n, const cuda::Card& card) {
    bool any = false;
    for (Step& s : program.steps) {
        if (KernelStep* k = s.kernel(); k && k->parts.size() == 1) {
            const loops::Nest merged = loops::collapse_axes(k->parts[0].nest);
            const std::vector<cuda::Candidate> all = cuda::candidates(merged, card);
            if (n < all.size()) {
                k->kernel = all[n].make(0);
                k->kernel.comment += "; " + all[n].form;
                cuda::merge_aliases(k->kernel, k->slots);
                any = true;
            }
        }
        for (Program& body : s.bodies()) any = choose(body, n, card) || any;
    }
    return any;
}

}  // namespace

std::optional<Case> with_choice(const Case& c, std::size_t n, const std::string& card) {
    Case out = c;
    if (!choose(out.compiled.program, n, cuda::described_card(card))) return std::nullopt;
    out.where += fmt::format(", choice {}", n);
    out.compiled.program.name += fmt::format("_{}", n);
    return out;
}

Outcome run(const Case& c, const std::function<loops::Failure(IdSpan<SlotId, void*>)>& f) {
    const Program& p = c.program();
    IdVector<SlotId, Array> own;
    own.reserve(p.slots.size());
    IdVector<SlotId, void*> table;
    std::vector<SlotId> results, variables(c.shared.size());
    for (SlotId s : p.slots.ids()) {
        const Slot& slot = p.slots[s];
        const auto n = static_cast<std::size_t>(slot.number);
        switch (slot.kind) {
            case Slot::Kind::Input: own.push_back(c.inputs[n].copy()); break;
            case Slot::Kind::Shared:
                own.push_back(c.shared[n].copy());
                variables[n] = s;
                break;
            case Slot::Kind::Constant: own.push_back(c.compiled.constants[n].copy()); break;
            case Slot::Kind::Output:
            case Slot::Kind::Bound:
            case Slot::Kind::Arena:
                own.emplace_back(slot.dtype, slot.sizes);
                std::memset(own.back().raw(), slot.dtype == DType::Bool ? 1 : 0xff,
                            own.back().bytes());
                break;
        }
        if (slot.kind == Slot::Kind::Output) {
            results.resize(std::max(results.size(), n + 1));
            results[n] = s;
        }
        table.push_back(own.back().raw());
    }
    Outcome out;
    out.failure = f(table);
    for (SlotId s : results) out.values.push_back(own[s]);
    for (SlotId s : variables) out.values.push_back(own[s]);
    return out;
}

Outcome by_nests(const Case& c) {
    const ProgramInterpreter interpreter(c.program());
    return run(c, [&](IdSpan<SlotId, void*> table) { return interpreter.run(table); });
}

bool is_exact(const Program& program) {
    for (const Step& s : program.steps) {
        if (const KernelStep* k = s.kernel())
            for (const Part& part : k->parts)
                for (const loops::Accumulator& a : part.nest.accumulators)
                    if (is_float(a.dtype) && a.reduction != loops::Reduction::Max &&
                        a.reduction != loops::Reduction::Min)
                        return false;
        for (const Program& body : s.bodies())
            if (!is_exact(body)) return false;
    }
    return true;
}

namespace {

bool same_bits(const Array& a, const Array& b) {
    if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
    return visit(a.dtype(), [&](auto tag) {
        using T = decltype(tag);
        for (std::int64_t i = 0; i < a.size(); ++i) {
            const T x = a.data<T>()[i], y = b.data<T>()[i];
            if constexpr (std::is_floating_point_v<T>) {
                if ((x != x) != (y != y)) return false;
                if (x != x || (x == 0 && y == 0)) continue;
            }
            if (std::memcmp(&x, &y, sizeof(T)) != 0) return false;
        }
        return true;
    });
}

}  // namespace

namespace {

double largest(const Array& a) {
    double most = 0;
    if (!is_float(a.dtype())) return most;
    const Array wide = a.astype(DType::F64);
    for (std::int64_t i = 0; i < wide.size(); ++i)
        if (const double x = std::abs(wide.data<double>()[i]); std::isfinite(x))
            most = std::max(most, x);
    return most;
}

}  // namespace

std::string differences(const Case& c, const Outcome& got, const Outcome& expected) {
    const auto same_failure = [](const loops::Failure& a, const loops::Failure& b) {
        return a.failed == b.failed && (!a.failed || (a.code == b.code && a.element == b.element &&
                                                      a.message == b.message));
    };
    if (!same_failure(got.failure, expected.failure)) return c.where + ": another failure";
    if (expected.failure.failed) return {};
    const bool exact = is_exact(c.program());
    for (std::size_t i = 0; i < expected.values.size(); ++i) {
        const Array &a = got.values[i], &b = expected.values[i];
        // Of the largest element: what cancels in some is as large as in others.
        const double allowed = a.dtype() == DType::F64 ? 1e-12 : a.dtype() == DType::F32 ? 2e-5 : 0;
        const bool same =
            exact ? same_bits(a, b) : difference(a, b) <= allowed * std::max(1.0, largest(b));
        if (!same)
            return fmt::format("{}: result {} is\n {}\n and should be{}\n {}", c.where, i, a.str(),
                               exact ? " in every bit" : "", b.str());
    }
    return {};
}

}  // namespace arete::test
