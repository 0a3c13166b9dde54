#include "compiler/ops/literal.h"

#include <array>
#include <cmath>

#include "compiler/core/convert.h"

namespace arete {

namespace {

template <class T>
T from_magnitude(std::uint64_t m) {
    if constexpr (std::is_same_v<T, bool>)
        return m != 0;
    else
        return static_cast<T>(m);
}

// Sign of x - y of no NaN, y an integer.
int compare_with_integer(double x, bool negative, std::uint64_t magnitude) {
    if (std::signbit(x) != negative && (x != 0 || magnitude != 0)) return negative ? 1 : -1;
    const double a = std::fabs(x);
    int sign = 0;
    if (a >= 0x1p64) {
        sign = 1;
    } else {
        const double whole = std::floor(a);
        const auto w = static_cast<std::uint64_t>(whole);
        sign = w != magnitude ? (w < magnitude ? -1 : 1) : a > whole ? 1 : 0;
    }
    return negative ? -sign : sign;
}

}  // namespace

std::string Literal::str() const {
    switch (kind_) {
        case LiteralKind::Bool: return magnitude_ ? "true" : "false";
        case LiteralKind::Integer: return fmt::format("{}{}", negative_ ? "-" : "", magnitude_);
        case LiteralKind::Float: break;
    }
    return fmt::format("{}", number_);
}

std::optional<DType> Literal::dtype() const {
    if (kind_ == LiteralKind::Bool) return DType::Bool;
    const bool whole = kind_ == LiteralKind::Integer;
    for (DType t : whole ? std::array{DType::I32, DType::I64} : std::array{DType::F32, DType::F64})
        if (fits(t)) return t;
    return std::nullopt;
}

DType Literal::dtype_beside(DType t) const {
    const DType d = literal_dtype(kind_, t);
    return t == DType::Bool && d == DType::I32 && !fits(d) ? DType::I64 : d;
}

bool Literal::fits(DType t) const {
    return visit(t, [&](auto tag) {
        using T = decltype(tag);
        using L = std::numeric_limits<T>;
        if constexpr (std::is_floating_point_v<T>) {
            return !std::isfinite(number_) || std::isfinite(static_cast<T>(number_));
        } else {
            if (kind_ == LiteralKind::Float) return bracket(t).exact;
            const auto most = static_cast<std::uint64_t>(L::max());
            return magnitude_ <= (!negative_ ? most : L::is_signed ? most + 1 : 0);
        }
    });
}

Array Literal::as(DType t) const {
    return visit(t, [&](auto tag) -> Array {
        using T = decltype(tag);
        if (kind_ == LiteralKind::Float) return Array(convert<T>(number_));
        if (!negative_) return Array(from_magnitude<T>(magnitude_));
        if constexpr (std::is_floating_point_v<T>)
            return Array(-static_cast<T>(magnitude_));
        else
            return Array(from_magnitude<T>(0 - magnitude_));
    });
}

int Literal::compare(const Literal& a, const Literal& b) {
    if (b.kind_ != LiteralKind::Float)
        return a.kind_ == LiteralKind::Float
                   ? compare_with_integer(a.number_, b.negative_, b.magnitude_)
               : a.negative_ != b.negative_ ? (a.negative_ ? -1 : 1)
               : a.magnitude_ == b.magnitude_
                   ? 0
                   : ((a.magnitude_ < b.magnitude_) != a.negative_ ? -1 : 1);
    if (a.kind_ != LiteralKind::Float) return -compare(b, a);
    return a.number_ < b.number_ ? -1 : a.number_ > b.number_ ? 1 : 0;
}

Literal::Bracket Literal::bracket(DType t) const {
    return visit(t, [&](auto tag) -> Bracket {
        using T = decltype(tag);
        using L = std::numeric_limits<T>;
        const bool real = kind_ == LiteralKind::Float;
        if constexpr (std::is_floating_point_v<T>) {
            const T nearest = as(t).template item<T>();
            const auto both = [&] { return Bracket{Array(nearest), Array(nearest), true, false}; };
            if (real && (number_ == 0 || !std::isfinite(number_))) return both();
            if (real && std::isfinite(nearest) && nearest != 0) return both();
            const int sign = compare(Literal(nearest), *this);
            if (sign == 0) return both();
            const T other = std::nextafter(nearest, sign < 0 ? L::infinity() : -L::infinity());
            return {Array(sign < 0 ? nearest : other), Array(sign < 0 ? other : nearest), false,
                    false};
        } else {
            if (real && is_nan()) return {std::nullopt, std::nullopt, false, true};
            const Array least(L::min()), most(L::max());
            if (compare(*this, Literal(L::min())) < 0) return {std::nullopt, least, false, false};
            if (compare(*this, Literal(L::max())) > 0) return {most, std::nullopt, false, false};
            if (!real) return {as(t), as(t), true, false};
            const T low = static_cast<T>(std::floor(number_)),
                    high = static_cast<T>(std::ceil(number_));
            return {Array(low), Array(high), low == high, false};
        }
    });
}

}  // namespace arete
