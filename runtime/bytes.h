// Values as bytes and back, for files that this machine writes and reads itself.
#pragma once

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "compiler/core/id.h"

namespace arete {

class ByteWriter {
  public:
    std::string bytes;

    template <class T>
    void number(T v) {
        static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
        bytes.append(reinterpret_cast<const char*>(&v), sizeof v);
    }
    template <class Tag>
    void number(Id<Tag> id) {
        number(id.number());
    }
    void text(std::string_view s) {
        number(static_cast<std::uint64_t>(s.size()));
        bytes.append(s);
    }
    template <class List>
    void numbers(const List& list) {
        number(static_cast<std::uint64_t>(list.size()));
        for (const auto& v : list) number(v);
    }
};

/// Reads what ByteWriter wrote. A std::out_of_range where there is less than is asked for.
class ByteReader {
  public:
    explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

    /// A bool must be 0 or 1.
    template <class T>
    T number() {
        static_assert(std::is_arithmetic_v<T>);
        if constexpr (std::is_same_v<T, bool>) {
            const auto v = static_cast<unsigned char>(take(1)[0]);
            if (v > 1) throw std::out_of_range("neither true nor false");
            return v == 1;
        } else {
            T v;
            std::memcpy(&v, take(sizeof v).data(), sizeof v);
            return v;
        }
    }
    template <class I>
    I id() {
        return I(number<int>());
    }
    template <class I>
    std::vector<I> ids() {
        std::vector<I> out;
        for (std::uint64_t n = number<std::uint64_t>(); n > 0; --n) out.push_back(id<I>());
        return out;
    }
    /// An enumerator; `last` is the greatest there is.
    template <class T>
    T enumerator(T last) {
        const auto v = number<std::underlying_type_t<T>>();
        if (v < 0 || v > static_cast<std::underlying_type_t<T>>(last))
            throw std::out_of_range("no such enumerator");
        return static_cast<T>(v);
    }
    std::string_view text() { return take(number<std::uint64_t>()); }
    template <class T>
    std::vector<T> numbers() {
        std::vector<T> out;
        for (std::uint64_t n = number<std::uint64_t>(); n > 0; --n) out.push_back(number<T>());
        return out;
    }
    std::string_view take(std::uint64_t n) {
        if (n > rest_.size()) throw std::out_of_range("fewer bytes than promised");
        std::string_view out = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return out;
    }
    bool empty() const { return rest_.empty(); }

  private:
    std::string_view rest_;
};

}  // namespace arete
