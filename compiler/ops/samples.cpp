#include "compiler/ops/samples.h"

namespace arete {

std::vector<Sample> cast_samples() {
    std::vector<Sample> out;
    for (DType t : all_dtypes)
        out.push_back({fmt::format("to {}", name(t)),
                       {{{3, 7}, 0, 30}},
                       [t](std::span<const Expr> x) { return cast(x[0], t); },
                       t == DType::F64});  // differences in f64 see the steps of f32
    return out;
}

}  // namespace arete
