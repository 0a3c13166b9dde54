// Constant parameters of a node: axes, flags, types, literal arrays.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/core/array.h"
#include "compiler/core/dim.h"

namespace arete {

using Ints = std::vector<std::int64_t>;
using Attr = std::variant<bool, std::int64_t, double, DType, std::string, Ints, Dim, Shape, Array>;

/// A small ordered map from names to parameters. Part of a node's identity: nodes that differ in
/// an attribute never merge.
class Attrs {
  public:
    Attrs() = default;
    Attrs(std::initializer_list<std::pair<std::string_view, Attr>> items) {
        for (const auto& [key, value] : items) items_.emplace_back(key, value);
    }

    bool has(std::string_view key) const { return find(key) != nullptr; }
    /// The parameter; an InternalError where it is missing or of another type.
    template <class T>
    const T& get(std::string_view key) const {
        const Attr* a = find(key);
        const T* v = a ? std::get_if<T>(a) : nullptr;
        ARETE_CHECK(v, "no attribute '{}' of that type", key);
        return *v;
    }
    const std::vector<std::pair<std::string, Attr>>& items() const { return items_; }
    /// The same with one attribute set.
    Attrs with(std::string_view key, Attr value) const;

    std::size_t hash() const;
    friend bool operator==(const Attrs& a, const Attrs& b);
    /// "axes=[0,1], keepdims=true".
    std::string str() const;

  private:
    const Attr* find(std::string_view key) const;
    std::vector<std::pair<std::string, Attr>> items_;
};

}  // namespace arete
