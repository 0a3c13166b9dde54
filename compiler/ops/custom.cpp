// The rows behind users' own ops.
#include "compiler/ops/custom.h"

#include <array>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/families.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/rows.h"

namespace arete {

extern const OpDef call_op;

namespace {

class HostPayload final : public Payload {
  public:
    explicit HostPayload(HostFunction f) : f(std::move(f)) {}
    std::string_view name() const override { return f.name; }
    const HostFunction f;
};

class GraphPayload final : public Payload {
  public:
    GraphPayload(std::string name, CustomGradient gradient)
        : gradient(std::move(gradient)), name_(std::move(name)) {}
    std::string_view name() const override { return name_; }
    const CustomGradient gradient;

  private:
    std::string name_;
};

const HostFunction& function_of(const Payload* p) {
    const auto* host = dynamic_cast<const HostPayload*>(p);
    ARETE_CHECK(host, "a call of no function");
    return host->f;
}

std::vector<TensorType> infer_call(const InferArgs& a) {
    std::vector<TensorType> types;
    for (const Expr& e : a.inputs) types.push_back(e.type());
    const HostFunction& f = function_of(a.payload);
    std::vector<TensorType> out = f.types(types);
    if (out.empty()) a.error(fmt::format("{} has no outputs", f.name));
    return out;
}

std::vector<Expr> checked_gradients(const PullbackArgs& a, const CustomGradient& gradient,
                                    std::string_view name) {
    const Loc loc = a.node.loc();
    if (!gradient) fail<GraphError>(loc, "grad: {} has no gradient", name);
    std::vector<Expr> out = gradient({a.x.begin(), a.x.end()}, a.y, a.g);
    if (out.size() != a.x.size())
        fail<GraphError>(loc, "grad: the gradient of {} gave {} expressions for {} inputs", name,
                         out.size(), a.x.size());
    for (std::size_t k = 0; k < out.size(); ++k) {
        if (out[k].empty()) continue;
        bool fits = out[k].dtype() == a.x[k].dtype() && out[k].rank() == a.x[k].rank();
        for (std::size_t axis = 0; fits && axis < out[k].shape().size(); ++axis)
            fits = !differ(out[k].shape()[axis], a.x[k].shape()[axis]);
        if (!fits)
            fail<GraphError>(loc, "grad: the gradient of {} by input {} is {}, the input is {}",
                             name, k + 1, out[k].type().str(), a.x[k].type().str());
    }
    return out;
}

std::vector<Expr> pullback_call(const PullbackArgs& a) {
    const HostFunction& f = function_of(a.node.payload.get());
    return checked_gradients(a, f.gradient, f.name);
}

std::vector<TensorType> infer_graph(const InferArgs& a) {
    std::vector<TensorType> types;
    for (const Expr& e : a.regions[0].results) types.push_back(e.type());
    return types;
}

std::vector<Expr> pullback_graph(const PullbackArgs& a) {
    const auto& payload = static_cast<const GraphPayload&>(*a.node.payload);
    return checked_gradients(a, payload.gradient, payload.name());
}

std::vector<Sample> call_samples() {
    static const HostFunction twice{
        "twice", [](const std::vector<TensorType>& t) { return t; },
        [](std::span<const Array> x, std::span<Array> y) {
            visit(x[0].dtype(), [&](auto tag) {
                using T = decltype(tag);
                for (std::int64_t i = 0; i < x[0].size(); ++i) {
                    const T v = x[0].data<T>()[i];
                    y[0].data<T>()[i] = static_cast<T>(v + v);
                }
            });
        },
        [](const std::vector<Expr>&, const std::vector<Expr>&, const std::vector<Expr>& g) {
            return std::vector<Expr>{g[0] + g[0]};
        }};
    return {{"twice",
             {{{3, 5}}},
             [](std::span<const Expr> x) { return call(twice, {x[0]})[0]; },
             true,
             true},
            {"empty",
             {{{0, 5}}},
             [](std::span<const Expr> x) { return call(twice, {x[0]})[0]; },
             true,
             true}};
}

std::vector<Sample> graph_samples() {
    return {{"square",
             {{{3, 5}}},
             [](std::span<const Expr> x) {
                 const Expr p = make_leaf(param_op, x[0].type(), {});
                 const CustomGradient slope = [](const auto& in, const auto&, const auto& g) {
                     return std::vector<Expr>{g[0] * in[0] * 2};
                 };
                 return apply_with_gradient({{p}, {p * p}}, {x[0]}, "square", slope, {})[0];
             },
             true,
             true}};
}

}  // namespace

constinit const OpDef call_op{
    .info = {.name = "call", .traits = Trait::Step},
    .doc = "a function of the host",
    .arity = -1,
    .infer = infer_call,
    .host = [](const Node& node, std::span<const Array> x,
               std::span<Array> y) { function_of(node.payload.get()).run(x, y); },
    .pullback = pullback_call,
    .samples = call_samples};
constinit const OpDef op_from_graph_op{.info = {.name = "op_from_graph", .traits = Trait::Late},
                                       .doc = "a graph with a gradient of its own",
                                       .arity = -1,
                                       .infer = infer_graph,
                                       .pullback = pullback_graph,
                                       .samples = graph_samples};

std::vector<Expr> call(const HostFunction& f, const std::vector<Operand>& inputs, const char* file,
                       int line) {
    const Loc loc{file, line};
    if (!f.types || !f.run)
        fail<GraphError>(loc, "call: '{}' needs the types of its outputs and a function", f.name);
    std::vector<Expr> x;
    for (const Operand& e : inputs) x.push_back(e.expr());
    return apply_all(call_op, std::move(x), {}, loc, {}, std::make_shared<HostPayload>(f));
}

std::vector<Expr> apply_with_gradient(Region region, std::vector<Expr> inputs, std::string name,
                                      CustomGradient gradient, Loc loc) {
    return apply_all(op_from_graph_op, std::move(inputs), {}, loc, {std::move(region)},
                     std::make_shared<GraphPayload>(std::move(name), std::move(gradient)));
}

std::vector<Expr> inlined(const Node& node) {
    std::vector<std::pair<Expr, Expr>> by;
    for (std::size_t k = 0; k < node.inputs.size(); ++k)
        by.emplace_back(node.regions[0].params[k], node.inputs[k]);
    return replace(node.regions[0].results, by);
}

std::span<const OpDef* const> custom_ops() {
    static constexpr std::array rows = {&call_op, &op_from_graph_op};
    return rows;
}

}  // namespace arete
