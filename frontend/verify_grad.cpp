#include "frontend/verify_grad.h"

#include <algorithm>
#include <cmath>

#include "compiler/grad/grad.h"
#include "compiler/ops/elementwise.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/reduction.h"
#include "frontend/function.h"
#include "frontend/random.h"

namespace arete {

double verify_grad(const std::function<Expr(const std::vector<Expr>&)>& f,
                   const std::vector<Array>& point, const VerifyGradOptions& options,
                   const char* file, int line) {
    const Loc loc{file, line};
    std::vector<Expr> inputs;
    std::vector<Array> values;
    for (const Array& p : point) {
        if (!is_float(p.dtype()))
            fail<GraphError>(loc, "verify_grad: point {} is {}, not a float", values.size() + 1,
                             type_name(p.dtype(), p.shape()));
        inputs.push_back(make_input(DType::F64, p.rank(), fmt::format("x{}", inputs.size() + 1),
                                    p.shape(), loc));
        values.push_back(p.astype(DType::F64));
    }
    const Expr value = f(inputs);
    if (!is_float(value.dtype()))
        fail<GraphError>(loc, "verify_grad: the function's value is {}, not a float",
                         value.type().str());
    auto compiled = [&](std::vector<Expr> outputs) {
        return function({.inputs = inputs,
                         .outputs = std::move(outputs),
                         .on_unused_input = OnUnusedInput::ignore,
                         .name = "verify_grad"},
                        file, line);
    };
    const Array at_point = compiled({value}).call(values)[0];
    const Array weights = Generator(options.seed).uniform(at_point.shape(), 0.5, 1.5);
    const Expr cost = sum(cast(value, DType::F64) * weights.astype(DType::F64));
    const Function cost_of = compiled({cost});
    const std::vector<Array> slopes =
        compiled(grad(cost, inputs, {.disconnected_inputs = Disconnected::zero})).call(values);

    double worst = 0;
    for (std::size_t k = 0; k < values.size(); ++k)
        for (std::int64_t i = 0; i < values[k].size(); ++i) {
            double& x = values[k].data<double>()[i];
            const double kept = x, h = options.step * (1 + std::fabs(kept));
            x = kept + h;
            const double above = cost_of.call(values)[0].item<double>();
            x = kept - h;
            const double below = cost_of.call(values)[0].item<double>();
            x = kept;
            const double expected = (above - below) / (2 * h), got = slopes[k].as_double(i);
            const double error = std::fabs(got - expected) / (1 + std::fabs(expected));
            if (!(error <= options.tolerance))
                fail<GraphError>(loc,
                                 "verify_grad: element {} of input {}: the gradient is {}, "
                                 "differences give {}",
                                 i, k + 1, got, expected);
            worst = std::max(worst, error);
        }
    return worst;
}

}  // namespace arete
