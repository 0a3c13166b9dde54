// How an access moves with each variable of a nest.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/loops/nest.h"

namespace arete {

/// An access of a nest (a load, a store or the index in a condition): its coefficients, looked up
/// once, since the search for a tiling asks thousands of times. The index must outlive it.
class Walk {
  public:
    Walk(loops::ValueId load, const loops::Index& e, std::size_t vars)
        : load_(load), index_(&e), of_(vars) {
        for (std::size_t v = 0; v < vars; ++v) {
            const loops::Var var = static_cast<loops::Var>(v);
            of_[v] = {e.coefficient(var), e.uses(var), e.uses_nested(var)};
        }
    }
    const loops::Index& index() const { return *index_; }
    loops::ValueId load() const { return load_; }  // -1: a store, or a condition
    std::int64_t coefficient(loops::Var v) const {
        return of_[static_cast<std::size_t>(v)].coefficient;
    }
    bool uses(loops::Var v) const { return of_[static_cast<std::size_t>(v)].uses; }
    bool uses_nested(loops::Var v) const { return of_[static_cast<std::size_t>(v)].nested; }

  private:
    struct Move {
        std::int64_t coefficient = 0;
        bool uses = false, nested = false;
    };
    loops::ValueId load_;
    const loops::Index* index_;
    std::vector<Move> of_;
};

}  // namespace arete
