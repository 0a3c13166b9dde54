// Helpers for the files that hold rows; users do not see them.
#pragma once

#include <algorithm>

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// e as an operand written at `loc`.
inline Operand at(const Expr& e, Loc loc) {
    return Operand(e, loc.file, loc.line);
}
/// Are a and b the same ops of the same expressions? Nodes that were written twice are two.
bool alike(const Expr& a, const Expr& b, int depth = 6);
/// The pullback of ops that are constant almost everywhere.
std::vector<Expr> no_gradient(const PullbackArgs& a);
/// "x is f32[64,784]": by its name, otherwise as `fallback`.
std::string describe(const Expr& e, std::string_view fallback = "the argument");
/// `axis` counted from the front; a GraphError names the op where it is out of range.
std::int64_t normalize_axis(std::int64_t axis, int rank, std::string_view op, Loc loc);
/// Is `k` one of the axes?
inline bool contains(const Ints& axes, std::int64_t k) {
    return std::find(axes.begin(), axes.end(), k) != axes.end();
}
/// True where both sizes are known and differ.
inline bool differ(const Dim& a, const Dim& b) {
    return a.is_const() && b.is_const() && !(a == b);
}

/// An i64 value as an Index: affine where it is an index already, otherwise a run-time value.
loops::Index to_index(loops::Value v);
/// The index at which an operand broadcast to `out`'s axes is read.
std::vector<loops::Index> broadcast_index(std::span<const loops::Index> out, const Sizes& sizes);
/// Zero of the node's result type.
loops::Value zero(Lowering& l);

/// Reads that may fall outside of a tensor: collects the conditions under which they do not.
class Guard {
  public:
    explicit Guard(loops::Code& code) : code_(code) {}
    /// e, required to be in [0, size). No code where it always is.
    const loops::Index& inside(const loops::Index& e, std::int64_t size);
    void require(loops::Value condition);
    /// The element of an input where every condition holds, otherwise zero.
    loops::Value load(Lowering& l, int input, std::span<const loops::Index> index) const;
    /// The same, otherwise `fallback`.
    loops::Value load(Lowering& l, int input, std::span<const loops::Index> index,
                      loops::Value fallback) const;

  private:
    loops::Code& code_;
    loops::Value ok_;
};

}  // namespace arete
