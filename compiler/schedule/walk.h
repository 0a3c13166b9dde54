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
        for (std::size_t v = 0; v < of_.size(); ++v) {
            const loops::Var var = static_cast<loops::Var>(v);
            const bool plainly = e.uses(var);
            of_[v] = {e.coefficient(var), varies(nest, e, var), e.uses_nested(var), false};
            of_[v].by_value = of_[v].uses && !plainly;
            by_value_ |= of_[v].by_value;
        }
    }
    const loops::Index& index() const { return *index_; }
    loops::ValueId load() const { return load_; }  // -1: a store, or a condition
    std::int64_t coefficient(loops::Var v) const {
        return of_[static_cast<std::size_t>(v)].coefficient;
    }
    bool uses(loops::Var v) const { return of_[static_cast<std::size_t>(v)].uses; }
    bool uses_nested(loops::Var v) const { return of_[static_cast<std::size_t>(v)].nested; }
    /// Where the address moves with v, it does so by values that were read.
    bool by_value(loops::Var v) const { return of_[static_cast<std::size_t>(v)].by_value; }
    /// The same of any variable.
    bool by_value() const { return by_value_; }

  private:
    struct Move {
        std::int64_t coefficient = 0;
        bool uses = false, nested = false, by_value = false;
    };
    loops::ValueId load_;
    const loops::Index* index_;
    std::vector<Move> of_;
    bool by_value_ = false;
};

}  // namespace arete
