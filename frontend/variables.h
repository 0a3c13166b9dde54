// Symbolic inputs and typed handles.
#pragma once

#include <string>

#include "compiler/ops/leaves.h"

namespace arete {

/// A handle whose element type and rank are known to the C++ compiler. It is an Expr; converting an
/// Expr to it checks both (a GraphError naming the expression's line), and converting a Tensor of
/// another type does not compile.
template <Element Elem, int Rank>
class Tensor : public Expr {
  public:
    Tensor() = default;
    Tensor(const Expr& e, const char* file = __builtin_FILE(), int line = __builtin_LINE())
        : Expr(e) {
        if (e.dtype() != dtype_of<Elem> || e.rank() != Rank)
            fail<GraphError>(Loc{file, line}, "expected {} of rank {}, this expression is {}",
                             arete::name(dtype_of<Elem>), Rank, e.type().str());
    }
    template <Element U, int R>
    Tensor(const Tensor<U, R>& other) : Expr(other) {
        static_assert(std::is_same_v<Elem, U> && R == Rank, "a tensor of another dtype or rank");
    }
};

/// A symbolic input of a type known at run time. `sizes` is empty or has one entry an axis, -1
/// where the size is only known when a function is called.
Expr tensor(DType dtype, int rank, std::string name = {}, const Ints& sizes = {},
            const char* file = __builtin_FILE(), int line = __builtin_LINE());

template <Element T, int Rank>
Tensor<T, Rank> tensor(std::string name = {}, const Ints& sizes = {},
                       const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return Tensor<T, Rank>(tensor(dtype_of<T>, Rank, std::move(name), sizes, file, line));
}

#define ARETE_VARIABLE(fn, rank)                                                           \
    template <Element T>                                                                   \
    Tensor<T, rank> fn(std::string name = {}, const Ints& sizes = {},                      \
                       const char* file = __builtin_FILE(), int line = __builtin_LINE()) { \
        return tensor<T, rank>(std::move(name), sizes, file, line);                        \
    }
/// Symbolic inputs by rank: `auto x = matrix<float>("x", {64, 784})`.
ARETE_VARIABLE(scalar, 0)
ARETE_VARIABLE(vector, 1)
ARETE_VARIABLE(matrix, 2)
ARETE_VARIABLE(tensor3, 3)
ARETE_VARIABLE(tensor4, 4)
#undef ARETE_VARIABLE

}  // namespace arete
