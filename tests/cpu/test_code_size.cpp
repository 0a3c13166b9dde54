// How much code unrolling makes: counted over formulas of growing length, short axes, dtypes and
// processors. Time to compile grows with it, so this stands for a bound of that.
#include <doctest/doctest.h>

#include "compiler/core/cases.h"
#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "compiler/targets/cpu/tiling.h"
#include "tests/support.h"

using namespace arete;
using loops::LoopKind;
using loops::Stmt;

namespace {

// Instructions of statements as they are printed: each statement computes what it needs, as often
// as the loops around it are unrolled.
std::int64_t printed(const loops::Kernel& k, const std::vector<Stmt>& statements) {
    std::int64_t out = 0;
    for (const Stmt& s : statements) {
        const std::vector<loops::ValueId> roots = loops::roots(s);
        std::visit(
            Cases{[&](const loops::Loop& l) {
                      const bool unrolled = l.kind == LoopKind::Unrolled;
                      out += (unrolled ? k.extents[l.var] : 1) * printed(k, l.body);
                  },
                  [](const loops::StoreTo&) {}, [](const loops::CheckThat&) {},
                  [&](const loops::If& i) { out += printed(k, i.body); },
                  [](const loops::Barrier&) {},
                  [&](const loops::FoldLanes& f) { out += 3 * f.slots; },
                  [&](const loops::PrefetchAt&) { ++out; },
                  [&](const loops::TransposeTile& t) { out += std::int64_t{t.lanes} * t.lanes; }},
            s);
        out += static_cast<std::int64_t>(loops::needed(k, roots).size()) + !roots.empty();
    }
    return out;
}

struct Size {
    std::int64_t printed = 0, allowed = 0;
};

// Of the function's largest kernel, relative to what is allowed.
Size largest(const std::vector<Expr>& inputs, const std::vector<Expr>& outputs, const Machine& m) {
    CompileRequest r{.inputs = inputs, .outputs = outputs};
    r.name = "f";
    r.target = cpu_target(m);
    r.options = Options::from_environment();
    for (const Expr& e : inputs) r.binding.sizes[e.node().id] = concrete(e.shape());
    Size out;
    for (const Step& s : compile(r).program.steps) {
        if (!s.kernel()) continue;
        const loops::Kernel& kernel = s.kernel()->kernel;
        Size own{printed(kernel, kernel.body), 0};
        for (const Part& p : s.kernel()->parts)
            // The rest of an axis has a nest of its own, and what is not unrolled is there once or
            // twice in any case.
            own.allowed += static_cast<std::int64_t>(2 * most_instructions) +
                           8 * static_cast<std::int64_t>(p.nest.values.size());
        if (own.printed * (out.allowed + 1) > out.printed * own.allowed) out = own;
    }
    return out;
}

std::vector<Machine> machines() {
    return {described_machine("baseline"), described_machine("avx2"), described_machine("avx512"),
            described_machine("aarch64")};
}

// A formula of `length` functions, from a dozen to a hundred instructions each.
Expr formula(const Expr& x, int length) {
    Expr e = x;
    for (int k = 0; k < length; ++k) switch (k % 4) {
            case 0: e = exp(e) * 0.5; break;
            case 1: e = log1p(abs(e)); break;
            case 2: e = tanh(e) + x; break;
            default: e = erf(e) * e; break;
        }
    return e;
}

}  // namespace

TEST_CASE("code size: unrolling long formulas over short axes is bounded") {
    double worst = 0;
    int tried = 0;
    for (const Machine& m : machines())
        for (DType t : {DType::F32, DType::F64})
            for (int length : {1, 3, 8, 20})
                for (std::int64_t n : {1, 2, 3, 5, 8, 9, 16, 33}) {
                    if (++tried % 2 && length < 20) continue;
                    const Expr x = tensor(t, 3, "x", {33, 7, n}), z = tensor(t, 3, "z", {n, 9, 40});
                    const Expr e = formula(x, length), d = formula(z, length);
                    const std::vector<Expr> outputs[] = {
                        {any(e >= 1, 2)},
                        {sum(e, 2)},
                        {max(e, 2), argmax(e, 2)},
                        {e},
                        {sum(d, 0)},
                        {min(d, 1)},
                        {sum(e, {1, 2})},
                        {e > 0.5},
                        {dot(x, formula(tensor(t, 2, "w", {n, 6}), 0) * 0 + 1)},
                        {formula(sum(x, 2), length)}};
                    for (const std::vector<Expr>& o : outputs) {
                        std::vector<Expr> leaves;
                        const Graph graph(o);
                        for (const auto& node : graph.nodes())
                            if (node->op->kind == OpInfo::Kind::Input)
                                leaves.push_back(Expr(node, 0));
                        const Size size = largest(leaves, o, m);
                        INFO(m.cpu, ", ", std::string(name(t)), ", length ", length, ", axis of ",
                             n, ", ", pp(o[0]));
                        CHECK(size.printed <= size.allowed);
                        if (size.allowed)
                            worst = std::max(worst, static_cast<double>(size.printed) /
                                                        static_cast<double>(size.allowed));
                    }
                }
    CHECK(worst > 0.1);  // it counts something
    MESSAGE("at most ", worst, " of what is allowed");
}

TEST_CASE("code size: a comparison of a long function over a short axis") {
    const Expr x = tensor(DType::F64, 3, "x", {33, 7, 8});
    for (const Machine& m : machines()) {
        CAPTURE(m.cpu);
        const Size size = largest({x}, {any(log_erfc(x) >= 1, 2)}, m);
        CHECK(size.printed > 0);
        CHECK(size.printed < 4000);
    }
}
