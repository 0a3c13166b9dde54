// Every row of every table, without naming one: native code against the reference evaluator for
// each dtype, gradients against central differences, and that each row says all that it must.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "compiler/fuse/reference.h"
#include "tests/support.h"
#include "tests/targets.h"

using namespace arete;
using namespace arete::test;

namespace {

constexpr std::uint64_t seed = 1234;

std::vector<std::pair<Expr, Array>> bindings(const Drawn& d) {
    std::vector<std::pair<Expr, Array>> out;
    for (std::size_t i = 0; i < d.leaves.size(); ++i) out.emplace_back(d.leaves[i], d.values[i]);
    return out;
}

Array compiled(const Expr& e, const Drawn& d) {
    Function f = function({.inputs = d.leaves,
                           .outputs = {e},
                           .on_unused_input = OnUnusedInput::ignore,
                           .name = "op"});
    return f.call(d.values)[0];
}

// Sums may be taken in another order, and rewrites may round differently.
double tolerance(DType result, DType operands) {
    if (result == DType::F32 || operands == DType::F32) return 2e-5;
    return result == DType::F64 || operands == DType::F64 ? 1e-12 : 0;
}

// Gradient of sum(weights * e), weights fixed, against central differences at every element.
void check_gradient(const Sample& sample, const std::string& where) {
    Drawn d = draw(sample, DType::F64, seed + 1);
    Expr e = sample.build(d.leaves);
    if (!is_float(e.dtype())) return;
    std::vector<Expr> wrt;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < d.leaves.size(); ++i)
        if (is_float(d.leaves[i].dtype())) {
            wrt.push_back(d.leaves[i]);
            which.push_back(i);
        }
    if (wrt.empty()) return;
    Array value = compiled(e, d);
    Array weights(DType::F64, value.shape());
    for (std::int64_t i = 0; i < weights.size(); ++i)
        weights.data<double>()[i] = std::cos(1.0 + static_cast<double>(i));
    Expr cost = sum(cast(e, DType::F64) * weights);
    std::vector<Expr> gradients = grad(cost, wrt, {.disconnected_inputs = Disconnected::zero});
    Function value_of =
        function({.inputs = d.leaves, .outputs = {cost}, .on_unused_input = OnUnusedInput::ignore});
    Function slope = function(
        {.inputs = d.leaves, .outputs = gradients, .on_unused_input = OnUnusedInput::ignore});
    std::vector<Array> got = slope.call(d.values);
    const double h = 1e-5;
    for (std::size_t k = 0; k < which.size(); ++k) {
        Array& x = d.values[which[k]];
        Array expected(DType::F64, x.shape());
        for (std::int64_t i = 0; i < x.size(); ++i) {
            double& at = x.data<double>()[i];
            const double kept = at;
            at = kept + h;
            double above = value_of.call(d.values)[0].item<double>();
            at = kept - h;
            double below = value_of.call(d.values)[0].item<double>();
            at = kept;
            expected.data<double>()[i] = (above - below) / (2 * h);
        }
        CHECK_MESSAGE(difference(got[k], expected) < 1e-6, where, " gradient of input ", which[k],
                      "\n got      ", got[k].str(), "\n expected ", expected.str());
    }
}

}  // namespace

TEST_CASE("every op is native as it is by reference, for every dtype") {
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->samples) continue;
        for (const Sample& sample : op->samples())
            for (DType t : all_dtypes) {
                if (sample.floats_only && !is_float(t)) continue;
                std::string where = fmt::format("{} ({}) {}", op->info.name, sample.name, name(t));
                INFO(where);
                Drawn d = draw(sample, t, seed);
                Expr e;
                try {
                    e = sample.build(d.leaves);
                } catch (const GraphError&) {
                    continue;  // the op has no such dtype, and says so
                }
                Array expected = reference_eval({&e, 1}, bindings(d))[0];
                Array got = compiled(e, d);
                double tolerated = tolerance(e.dtype(), t);
                CHECK_MESSAGE(difference(got, expected) <= tolerated, where, "\n got      ",
                              got.str(), "\n expected ", expected.str());
            }
    }
}

TEST_CASE("every differentiable op has the gradient of central differences") {
    for (const OpDef* op : test::ops_of_all_targets()) {
        if (!op->samples || !op->pullback) continue;
        for (const Sample& sample : op->samples())
            if (sample.differentiable)
                check_gradient(sample, fmt::format("{} ({})", op->info.name, sample.name));
    }
}

namespace {

// Do the nodes of an op own regions?
bool has_regions(const OpDef& op) {
    if (!op.samples) return false;
    for (const Sample& sample : op.samples()) {
        const Graph graph({sample.build(draw(sample, DType::F32, seed).leaves)});
        for (const auto& n : graph.nodes())
            if (n->op == &op.info && !n->regions.empty()) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("every row is complete") {
    std::set<std::string_view> names;
    for (const OpDef* op : test::ops_of_all_targets()) {
        INFO(std::string(op->info.name));
        CHECK(names.insert(op->info.name).second);
        CHECK(std::string_view(op->doc).size() > 4);
        if (op->info.kind != OpInfo::Kind::Apply) continue;
        CHECK(static_cast<bool>(op->infer));
        const int ways = (op->scalar != nullptr) + (op->lower != nullptr) +
                         (op->expand != nullptr) + (op->host != nullptr);
        CHECK(ways == (has_regions(*op) ? 0 : 1));
        const bool own = has_regions(*op) && !op->info.has(Trait::Late);
        CHECK(op->info.has(Trait::Step) == (op->host || own));
        REQUIRE(static_cast<bool>(op->samples));
        CHECK(!op->samples().empty());
        // Some sample must be legal for f32 and use the op itself, or nothing above tested it.
        bool used = false;
        for (const Sample& sample : op->samples()) {
            Drawn d = draw(sample, DType::F32, seed);
            Expr e;
            try {
                e = sample.build(d.leaves);
            } catch (const GraphError&) {
                continue;
            }
            Graph graph({e});
            for (const auto& node : graph.nodes()) used = used || node->op == &op->info;
        }
        CHECK_MESSAGE(used, "no sample reaches ", op->info.name);
    }
}
