// How an access moves with each variable of a nest.
#pragma once

#include <cstdint>
#include <vector>

#include "compiler/loops/nest.h"

namespace arete {

/// Whether an address depends on a variable, be it through a value that the address takes in.
bool varies(const loops::Nest& nest, const loops::Index& e, loops::Var v);

/// The same of the values alone.
bool varies_by_value(const loops::Nest& nest, const loops::Index& e, loops::Var v);

/// An access of a nest (a load, a store or the index in a condition): its coefficients, looked up
/// once, since the search for a tiling asks thousands of times. The index must outlive it.
class Walk {
  public:
    Walk(const loops::Nest& nest, loops::ValueId load, const loops::Index& e)
        : load_(load), index_(&e), of_(nest.extents.size()) {
        for (loops::Var v : of_.ids()) {
            const bool plainly = e.uses(v);
            of_[v] = {e.coefficient(v), varies(nest, e, v), e.uses_nested(v), false};
            of_[v].by_value = of_[v].uses && !plainly;
            by_value_ |= of_[v].by_value;
        }
    }
    const loops::Index& index() const { return *index_; }
    loops::ValueId load() const { return load_; }  // none of a store, or a condition
    std::int64_t coefficient(loops::Var v) const { return of_[v].coefficient; }
    bool uses(loops::Var v) const { return of_[v].uses; }
    bool uses_nested(loops::Var v) const { return of_[v].nested; }
    /// Where the address moves with v, it does so by values that were read.
    bool by_value(loops::Var v) const { return of_[v].by_value; }
    /// The same of any variable.
    bool by_value() const { return by_value_; }

  private:
    struct Move {
        std::int64_t coefficient = 0;
        bool uses = false, nested = false, by_value = false;
    };
    loops::ValueId load_;
    const loops::Index* index_;
    IdVector<loops::Var, Move> of_;
    bool by_value_ = false;
};

}  // namespace arete
