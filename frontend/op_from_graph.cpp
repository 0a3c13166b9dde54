#include "frontend/op_from_graph.h"

#include <algorithm>

#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"
#include "compiler/rewrite/specialize_shapes.h"

namespace arete {

OpFromGraph::OpFromGraph(std::vector<Expr> inputs, std::vector<Expr> outputs,
                         CustomGradient gradient, std::string name, const char* file, int line)
    : inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      gradient_(std::move(gradient)),
      name_(std::move(name)) {
    const Loc loc{file, line};
    for (const Expr& e : inputs_)
        if (e.empty() || e.node().op != &input_op.info)
            fail<GraphError>(loc, "{}: an input must be an input variable", name_);
    if (outputs_.empty()) fail<GraphError>(loc, "{}: there are no outputs", name_);
    for (const Expr& e : outputs_)
        if (e.empty()) fail<GraphError>(loc, "{}: an output is an empty expression", name_);
}

std::vector<Expr> OpFromGraph::operator()(const std::vector<Operand>& arguments, const char* file,
                                          int line) const {
    const Loc loc{file, line};
    if (arguments.size() != inputs_.size())
        fail<GraphError>(loc, "{}: {} arguments for {} inputs", name_, arguments.size(),
                         inputs_.size());
    std::vector<Expr> given;
    for (std::size_t k = 0; k < inputs_.size(); ++k) {
        const TensorType& want = inputs_[k].type();
        const Expr e = arguments[k].beside(want.dtype);
        bool fits = e.dtype() == want.dtype && e.rank() == want.rank();
        for (std::size_t axis = 0; fits && axis < want.shape.size(); ++axis)
            fits = !differ(e.shape()[axis], want.shape[axis]);
        if (!fits)
            fail<GraphError>(loc, "{}: argument {} is {}, the input is {}", name_, k + 1,
                             e.type().str(), want.str());
        Shape promised = want.shape;
        for (std::size_t axis = 0; axis < promised.size(); ++axis)
            if (!promised[axis].is_const()) promised[axis] = e.shape()[axis];
        given.push_back(specify_shape(at(e, arguments[k].loc), promised, name_));
    }
    std::vector<std::pair<Expr, Expr>> pairs;
    for (std::size_t k = 0; k < inputs_.size(); ++k) pairs.emplace_back(inputs_[k], given[k]);
    if (!gradient_) return substitute(outputs_, pairs);

    Region region;
    for (std::size_t k = 0; k < inputs_.size(); ++k) {
        region.params.push_back(make_leaf(param_op, given[k].type(), loc, inputs_[k].node().name));
        pairs[k].second = region.params.back();
    }
    region.results = substitute(outputs_, pairs);
    // Shared variables, and whatever else it reads, are inputs, too; no gradient is asked for them.
    const std::size_t own = given.size();
    std::vector<std::pair<Expr, Expr>> outside;
    const Graph graph(region.results);
    for (const auto& n : graph.nodes()) {
        const bool own_param = std::any_of(region.params.begin(), region.params.end(),
                                           [&](const Expr& p) { return &p.node() == n.get(); });
        if (!n->is_leaf() || n->op->kind == OpInfo::Kind::Constant || own_param) continue;
        given.emplace_back(n);
        region.params.push_back(make_leaf(param_op, n->types[0], loc, n->name));
        outside.emplace_back(given.back(), region.params.back());
    }
    region.results = replace(region.results, outside);
    const CustomGradient gradient = [inner = gradient_, own](const std::vector<Expr>& x,
                                                             const std::vector<Expr>& y,
                                                             const std::vector<Expr>& g) {
        std::vector<Expr> out =
            inner({x.begin(), x.begin() + static_cast<std::ptrdiff_t>(own)}, y, g);
        if (out.size() == own) out.resize(x.size());
        return out;
    };
    return apply_with_gradient(std::move(region), std::move(given), name_, gradient, loc);
}

}  // namespace arete
