#include "compiler/graph/attrs.h"

#include <algorithm>
#include <functional>

namespace arete {

namespace {

template <class... F>
struct Overload : F... {
    using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

std::string text(const Attr& a) {
    return std::visit(
        Overload{[](bool v) { return std::string(v ? "true" : "false"); },
                 [](std::int64_t v) { return std::to_string(v); },
                 [](double v) { return fmt::format("{}", v); },
                 [](DType v) { return std::string(name(v)); },
                 [](const std::string& v) { return v; },
                 [](const Ints& v) { return fmt::format("[{}]", fmt::join(v, ",")); },
                 [](const Dim& v) { return v.str(); }, [](const Shape& v) { return to_string(v); },
                 [](const Array& v) { return v.str(); }},
        a);
}

bool equal(const Attr& a, const Attr& b) {
    if (a.index() != b.index()) return false;
    // Bitwise for doubles, so that 0.0 and -0.0 stay apart and NaN equals itself.
    if (const double* x = std::get_if<double>(&a))
        return std::bit_cast<std::uint64_t>(*x) ==
               std::bit_cast<std::uint64_t>(std::get<double>(b));
    if (const Array* x = std::get_if<Array>(&a)) return x->equals(std::get<Array>(b));
    return std::visit(
        [&](const auto& x) {
            using T = std::decay_t<decltype(x)>;
            if constexpr (std::is_same_v<T, Array>)
                return false;
            else
                return x == std::get<T>(b);
        },
        a);
}

}  // namespace

const Attr* Attrs::find(std::string_view key) const {
    auto it =
        std::find_if(items_.begin(), items_.end(), [&](const auto& i) { return i.first == key; });
    return it == items_.end() ? nullptr : &it->second;
}

Attrs Attrs::with(std::string_view key, Attr value) const {
    Attrs out = *this;
    for (auto& [k, v] : out.items_)
        if (k == key) {
            v = std::move(value);
            return out;
        }
    out.items_.emplace_back(key, std::move(value));
    return out;
}

std::size_t Attrs::hash() const {
    // Arrays hash by type and size only; equality compares their bytes.
    std::size_t h = 0;
    for (const auto& [key, value] : items_) {
        const Array* a = std::get_if<Array>(&value);
        h = h * 1000003 ^
            std::hash<std::string>{}(a ? type_name(a->dtype(), a->shape()) : text(value));
    }
    return h;
}

bool operator==(const Attrs& a, const Attrs& b) {
    return a.items_.size() == b.items_.size() &&
           std::equal(a.items_.begin(), a.items_.end(), b.items_.begin(),
                      [](const auto& x, const auto& y) {
                          return x.first == y.first && equal(x.second, y.second);
                      });
}

std::string Attrs::str() const {
    std::string out;
    for (const auto& [key, value] : items_)
        out += fmt::format("{}{}={}", out.empty() ? "" : ", ", key, text(value));
    return out;
}

}  // namespace arete
