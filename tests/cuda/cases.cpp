#include "tests/cuda/cases.h"

#include <bit>
#include <cstring>

#include "compiler/ops/op.h"
#include "compiler/program/interpret.h"
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
                out.push_back(case_of(fmt::format("{} ({}) {}", op->info.name, sample.name,
                                                  name(t)),
                                      fmt::format("s{}", out.size()), d.leaves, d.values, {e}));
            }
    }
    return out;
}

Outcome run(const Case& c, const std::function<loops::Failure(std::span<void*>)>& f) {
    const Program& p = c.program();
    std::vector<Array> own;
    own.reserve(p.slots.size());
    std::vector<void*> table;
    std::vector<std::size_t> results, variables(c.shared.size());
    for (std::size_t s = 0; s < p.slots.size(); ++s) {
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
    for (std::size_t s : results) out.values.push_back(own[s]);
    for (std::size_t s : variables) out.values.push_back(own[s]);
    return out;
}

Outcome by_nests(const Case& c) {
    const ProgramInterpreter interpreter(c.program());
    return run(c, [&](std::span<void*> table) { return interpreter.run(table); });
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

std::string differences(const Case& c, const Outcome& got, const Outcome& expected) {
    const auto same_failure = [](const loops::Failure& a, const loops::Failure& b) {
        return a.failed == b.failed &&
               (!a.failed || (a.code == b.code && a.element == b.element && a.message == b.message));
    };
    if (!same_failure(got.failure, expected.failure)) return c.where + ": another failure";
    if (expected.failure.failed) return {};
    const bool exact = is_exact(c.program());
    for (std::size_t i = 0; i < expected.values.size(); ++i) {
        const Array &a = got.values[i], &b = expected.values[i];
        const double allowed = a.dtype() == DType::F64 ? 1e-12 : a.dtype() == DType::F32 ? 2e-5 : 0;
        const bool same = exact ? same_bits(a, b) : difference(a, b) <= allowed;
        if (!same)
            return fmt::format("{}: result {} is\n {}\n and should be{}\n {}", c.where, i, a.str(),
                               exact ? " in every bit" : "", b.str());
    }
    return {};
}

}  // namespace arete::test
