#include "tests/unit/rule_builder.h"
#include "tests/targets.h"

#include <doctest/doctest.h>

#include <arete/arete.h>

#include "compiler/ops/op.h"

namespace arete::test {

namespace {

constexpr std::int64_t rows = 5, columns = 7;

/// Applications that need more than operands: by op, the attributes to try.
std::vector<Attrs> attributes(std::string_view op, std::span<const Expr> args) {
    const Shape in = args.empty() ? Shape{} : args[0].shape();
    if (op == "softmax" || op == "log_softmax" || op == "softmax_grad" || op == "shape") {
        std::vector<Attrs> out;
        for (std::size_t axis = 0; axis < in.size(); ++axis)
            out.push_back({{"axis", static_cast<std::int64_t>(axis)}});
        return out;
    }
    if (op == "dimshuffle") {
        Ints same;
        for (std::size_t k = 0; k < in.size(); ++k) same.push_back(static_cast<std::int64_t>(k));
        return {
            {{"order", same}},           {{"order", Ints{1, 0}}},       {{"order", Ints{-1, 0, 1}}},
            {{"order", Ints{1, -1, 0}}}, {{"order", Ints{1, 0, 2, 3}}}, {{"order", Ints{2, 0}}}};
    }
    if (op == "reshape")
        return {{{"shape", in}},
                {{"shape", Shape{rows * columns}}},
                {{"shape", Shape{1, rows, columns}}},
                {{"shape", Shape{columns, 1, rows}}},
                {{"shape", Shape{1}}}};
    if (op == "broadcast_to")
        return {{{"shape", in}},
                {{"shape", Shape{rows, columns}}},
                {{"shape", Shape{3, rows, columns}}}};
    if (op == "sum" || op == "mean" || op == "prod" || op == "max" || op == "min" ||
        op == "argmax" || op == "argmin") {
        std::vector<Attrs> out;
        for (const bool keep : {false, true})
            for (const Ints& axes : {Ints{0}, Ints{1}, Ints{0, 1}, Ints{0, 1, 2}})
                if (axes.size() == 1 || op.substr(0, 3) != "arg")
                    out.push_back({{"axes", axes}, {"keepdims", keep}});
        return out;
    }
    if (op == "slice") {
        if (in.size() == 1)
            return {{{"starts", Shape{1}}, {"steps", Ints{2}}, {"sizes", Shape{2}}}};
        if (in.size() != 2) return {};
        return {{{"starts", Shape{0, 0}}, {"steps", Ints{1, 1}}, {"sizes", in}},
                {{"starts", Shape{1, 2}}, {"steps", Ints{2, 1}}, {"sizes", Shape{2, 3}}},
                {{"starts", Shape{0, 6}}, {"steps", Ints{1, -2}}, {"sizes", Shape{1, 4}}}};
    }
    if (op == "gumbel") return {{{"order", std::int64_t{0}}}, {{"order", std::int64_t{1}}}};
    if (op == "pad2d") return {{{"pad", Shape{2, 2, 1, 1}}}};
    if (op == "conv2d") return {{{"filter_flip", true}}, {{"filter_flip", false}}};
    if (op == "check_index") return {{{"size", Dim(rows)}}};
    if (op == "check_range")
        return {{{"size", Dim(rows)}, {"length", Dim(2)}, {"step", std::int64_t{1}}}};
    if (op == "conv2d_grad_weights") return {{{"filter_flip", true}}};
    if (op == "cast") {
        std::vector<Attrs> out;
        for (const DType t : all_dtypes) out.push_back({{"dtype", t}});
        return out;
    }
    return {Attrs{}};
}

/// Ops that a pattern may start with.
std::vector<const OpDef*> ops_of(const Pattern& p) {
    if (p.kind == Pattern::Kind::Apply) {
        const OpDef* op = test::find_op_of_targets(std::string(p.op));
        REQUIRE_MESSAGE(op, std::string(p.op));
        return {op};
    }
    std::vector<const OpDef*> out;
    for (const OpDef* op : test::ops_of_all_targets())
        if (op->info.kind == OpInfo::Kind::Apply && p.is(*op) &&
            op->arity == static_cast<int>(p.args.size()))
            out.push_back(op);
    return out;
}

/// The application that a pattern names, where the name is used as a variable, too.
const Pattern* named_application(const Pattern& p, char name) {
    if (p.kind != Pattern::Kind::Any && p.name == name) return &p;
    for (const Pattern& a : p.args)
        if (const Pattern* found = named_application(a, name)) return found;
    return nullptr;
}

}  // namespace

std::vector<Expr> PatternBuilder::all(const Pattern& p) const {
    switch (p.kind) {
        case Pattern::Kind::Any: return {variables_.at(p.name)};
        case Pattern::Kind::Constant: return {scalar_constant(t_, p.value)};
        case Pattern::Kind::Apply:
        case Pattern::Kind::Class: break;
    }
    std::vector<std::vector<Expr>> choices{{}};
    for (const Pattern& arg : p.args) {
        std::vector<std::vector<Expr>> longer;
        for (const auto& before : choices)
            for (const Expr& e : all(arg)) {
                longer.push_back(before);
                longer.back().push_back(e);
            }
        choices = std::move(longer);
    }
    std::vector<Expr> out;
    for (const OpDef* op : ops_of(p))
        for (const auto& args : choices)
            for (const Attrs& a : attributes(op->info.name, args)) try {
                    out.push_back(apply(*op, args, a, Loc{"rule.cpp", 1}));
                } catch (const Error&) {
                    // No such expression, for these operands.
                }
    return out;
}

std::vector<Expr> PatternBuilder::applications(const Pattern& p) {
    for (auto& [name, e] : variables_)
        if (const Pattern* named = named_application(p, name)) {
            const auto made = all(*named);
            if (!made.empty()) e = made[0];
        }
    return all(p);
}

void variables_of(const Pattern& p, std::set<char>& out) {
    if (p.kind == Pattern::Kind::Any) out.insert(p.name);
    for (const Pattern& a : p.args) variables_of(a, out);
}

}  // namespace arete::test
