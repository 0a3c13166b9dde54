#include "compiler/ops/sort_host.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

namespace arete::order {

namespace {

// An unsigned number in the order of a value: NaN last, zeros of both signs alike.
std::uint32_t key_of(float v) {
    if (v != v) return ~std::uint32_t{0};
    if (v == 0) v = 0;
    const auto bits = std::bit_cast<std::uint32_t>(v);
    return bits >> 31 ? ~bits : bits | std::uint32_t{1} << 31;
}
std::uint64_t key_of(double v) {
    if (v != v) return ~std::uint64_t{0};
    if (v == 0) v = 0;
    const auto bits = std::bit_cast<std::uint64_t>(v);
    return bits >> 63 ? ~bits : bits | std::uint64_t{1} << 63;
}
std::uint32_t key_of(std::int32_t v) {
    return static_cast<std::uint32_t>(v) ^ std::uint32_t{1} << 31;
}
std::uint64_t key_of(std::int64_t v) {
    return static_cast<std::uint64_t>(v) ^ std::uint64_t{1} << 63;
}
std::uint32_t key_of(std::uint8_t v) {
    return v;
}

template <class K>
struct Item {
    K key;
    std::uint32_t position;
};

// By key and then by position, which no two have in common.
template <class K>
bool before(const Item<K>& a, const Item<K>& b) {
    return a.key != b.key ? a.key < b.key : a.position < b.position;
}

// From the lowest digits to the highest, each time stable: Knuth, The Art of Computer Programming,
// volume 3, section 5.2.5. Digits that all have in common cost one look.
template <class K>
void sort_by_digits(std::vector<Item<K>>& items, std::vector<Item<K>>& spare) {
    constexpr int bits = 11, digits = (static_cast<int>(sizeof(K)) * 8 + bits - 1) / bits;
    constexpr std::size_t values = std::size_t{1} << bits;
    std::vector<std::array<std::uint32_t, values>> counts(digits);
    const auto digit = [](K key, int d) {
        return static_cast<std::size_t>(key >> (d * bits)) & (values - 1);
    };
    for (const Item<K>& i : items)
        for (int d = 0; d < digits; ++d) ++counts[static_cast<std::size_t>(d)][digit(i.key, d)];
    spare.resize(items.size());
    for (int d = 0; d < digits; ++d) {
        std::array<std::uint32_t, values>& of = counts[static_cast<std::size_t>(d)];
        if (of[digit(items[0].key, d)] == items.size()) continue;
        std::uint32_t start = 0;
        for (std::uint32_t& n : of) {
            const std::uint32_t here = n;
            n = start;
            start += here;
        }
        for (const Item<K>& i : items) spare[of[digit(i.key, d)]++] = i;
        items.swap(spare);
    }
}

// The first `keep` in order.
template <class K>
void sort_items(std::vector<Item<K>>& items, std::vector<Item<K>>& spare, std::size_t keep) {
    constexpr std::size_t few = 1024;
    if (keep < items.size() / 8) {
        std::nth_element(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(keep),
                         items.end(), before<K>);
        items.resize(keep);
    }
    if (items.size() < few)
        std::sort(items.begin(), items.end(), before<K>);
    else
        sort_by_digits(items, spare);
}

// Calls f with a pointer to the elements, of the type that they have.
template <class F>
void by_type(const Array& x, F&& f) {
    switch (x.dtype()) {
        case DType::F32: return f(static_cast<const float*>(x.raw()));
        case DType::F64: return f(static_cast<const double*>(x.raw()));
        case DType::I32: return f(static_cast<const std::int32_t*>(x.raw()));
        case DType::I64: return f(static_cast<const std::int64_t*>(x.raw()));
        case DType::U8:
        case DType::Bool: return f(static_cast<const std::uint8_t*>(x.raw()));
    }
}

template <class T>
using ItemOf = Item<decltype(key_of(std::declval<T>()))>;

}  // namespace

void positions(const Array& x, std::size_t axis, bool descending, Array& out) {
    const Sizes& shape = x.shape();
    const std::int64_t n = shape[axis], kept = out.shape()[axis];
    std::int64_t stride = 1;
    for (std::size_t k = axis + 1; k < shape.size(); ++k) stride *= shape[k];
    if (out.size() == 0) return;
    if (n > std::int64_t{UINT32_MAX}) throw std::length_error("an axis of over 2^32 elements");
    auto* to = static_cast<std::int64_t*>(out.raw());
    by_type(x, [&](const auto* from) {
        using T = std::remove_cvref_t<decltype(*from)>;
        std::vector<ItemOf<T>> items, spare;
        for (std::int64_t line = 0; line < x.size() / n; ++line) {
            const std::int64_t outer = line / stride, inner = line % stride;
            const T* first = from + outer * n * stride + inner;
            items.resize(static_cast<std::size_t>(n));
            for (std::int64_t k = 0; k < n; ++k) {
                const auto key = key_of(first[k * stride]);
                items[static_cast<std::size_t>(k)] = {
                    descending ? static_cast<decltype(key)>(~key) : key,
                    static_cast<std::uint32_t>(k)};
            }
            sort_items(items, spare, static_cast<std::size_t>(kept));
            for (std::int64_t k = 0; k < kept; ++k)
                to[(outer * kept + k) * stride + inner] =
                    items[static_cast<std::size_t>(k)].position;
        }
    });
}

std::int64_t not_zero(const Array& x, Array& out) {
    auto* to = static_cast<std::int64_t*>(out.raw());
    std::fill_n(to, out.size(), 0);
    std::int64_t found = 0;
    by_type(x, [&](const auto* from) {
        for (std::int64_t k = 0; k < x.size(); ++k) {
            if (from[k] == 0) continue;
            if (found < out.size()) to[found] = k;
            ++found;
        }
    });
    return found;
}

std::int64_t distinct(const Array& x, Array& first, Array& counts, Array& inverse) {
    auto* places = static_cast<std::int64_t*>(first.raw());
    auto* times = static_cast<std::int64_t*>(counts.raw());
    auto* which = static_cast<std::int64_t*>(inverse.raw());
    const std::int64_t most = first.size();
    std::fill_n(places, most, 0);
    std::fill_n(times, most, 0);
    std::int64_t found = 0;
    if (x.size() == 0) return 0;
    if (x.size() > std::int64_t{UINT32_MAX}) throw std::length_error("over 2^32 elements");
    by_type(x, [&](const auto* from) {
        using T = std::remove_cvref_t<decltype(*from)>;
        std::vector<ItemOf<T>> items(static_cast<std::size_t>(x.size())), spare;
        for (std::size_t k = 0; k < items.size(); ++k)
            items[k] = {key_of(from[k]), static_cast<std::uint32_t>(k)};
        sort_items(items, spare, items.size());
        for (std::size_t k = 0; k < items.size(); ++k) {
            if (k == 0 || items[k].key != items[k - 1].key) {
                if (found < most) places[found] = items[k].position;
                ++found;
            }
            if (found <= most) ++times[found - 1];
            which[items[k].position] = found - 1;
        }
    });
    for (std::int64_t k = found; k < most; ++k) places[k] = places[found - 1];
    return found;
}

}  // namespace arete::order
