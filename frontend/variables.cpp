#include "frontend/variables.h"

namespace arete {

Expr tensor(DType dtype, int rank, std::string name, const Ints& sizes, const char* file,
            int line) {
    return make_input(dtype, rank, std::move(name), sizes, Loc{file, line});
}

}  // namespace arete
