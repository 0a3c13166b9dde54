// What function() checks and prepares before anything is compiled. Private to the frontend.
#pragma once

#include "frontend/function.h"

namespace arete {

/// A function's graph after givens and default updates, with everything it refers to checked.
struct FunctionGraph {
    std::string name;
    Loc loc;
    std::vector<Expr> inputs;
    std::vector<Expr> outputs;
    std::vector<std::pair<Expr, Expr>> updates;
    std::vector<Expr> shared;                 ///< read or updated, in order of id
    std::vector<std::uint64_t> size_scalars;  ///< ids of scalar inputs that sizes depend on
};

FunctionGraph prepare_function(FunctionOptions options, Loc loc);

}  // namespace arete
