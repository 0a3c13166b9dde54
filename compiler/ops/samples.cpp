#include "compiler/ops/samples.h"

namespace arete {

std::vector<Sample> cast_samples() {
    std::vector<Sample> out;
    for (DType t : all_dtypes)
        out.push_back({fmt::format("to {}", name(t)),
                       {{{3, 7}, 0, 30}},
                       [t](std::span<const Expr> x) { return cast(x[0], t); },
                       is_float(t)});
    return out;
}

}  // namespace arete
