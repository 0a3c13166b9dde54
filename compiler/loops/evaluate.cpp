// The meaning of each scalar instruction.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <type_traits>

#include "compiler/core/convert.h"
#include "compiler/core/error.h"
#include "compiler/loops/code.h"
#include "compiler/loops/far.h"

namespace arete::loops {

namespace {

template <class T>
T get(const Scalar& s) {
    if constexpr (std::is_same_v<T, float>)
        return s.f32;
    else if constexpr (std::is_same_v<T, double>)
        return s.f64;
    else
        return static_cast<T>(s.i);
}

template <class T>
Scalar put(DType t, T v) {
    Scalar s;
    s.dtype = t;
    if constexpr (std::is_same_v<T, float>)
        s.f32 = v;
    else if constexpr (std::is_same_v<T, double>)
        s.f64 = v;
    else
        s.i = static_cast<std::int64_t>(v);
    return s;
}

[[noreturn]] void no_such(Op op, DType t) {
    throw InternalError(fmt::format("{} of {}", name(op), name(t)));
}

// Each of these evaluates an instruction on the elements of one type. `f` is generic in it, but
// gets integers as 64 unsigned bits where it wraps.

// Sums and products; integers wrap, bools have a function of their own.
template <class F, class B>
Scalar arithmetic(DType t, std::span<const Scalar> x, F f, B bools) {
    return visit(t, [&](auto tag) {
        using T = decltype(tag);
        const T a = get<T>(x[0]), b = get<T>(x[1]);
        if constexpr (std::is_same_v<T, bool>)
            return put(t, bools(a, b));
        else if constexpr (std::is_floating_point_v<T>)
            return put(t, f(a, b));
        else
            return put(
                t, static_cast<T>(f(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b))));
    });
}

// Of two functions of a float.
template <class F>
Scalar floats(Op op, DType t, std::span<const Scalar> x, F f) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        if constexpr (!std::is_floating_point_v<T>)
            no_such(op, t);
        else if constexpr (std::is_invocable_v<F, T>)
            return put(t, f(get<T>(x[0])));
        else
            return put(t, f(get<T>(x[0]), get<T>(x[1])));
    });
}

// Integers are their own roundings.
template <class F>
Scalar rounding(Op op, DType t, std::span<const Scalar> x, F f) {
    return is_float(t) ? floats(op, t, x, f) : x[0];
}

// Bits of integers, 64 of them, and bools.
template <class F>
Scalar bitwise(Op op, DType t, std::span<const Scalar> x, F f) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        if constexpr (std::is_floating_point_v<T>)
            no_such(op, t);
        else
            return put(
                t, static_cast<T>(f(
                       static_cast<std::uint64_t>(get<T>(x[0])),
                       static_cast<std::uint64_t>(get<T>(x[1])),
                       std::numeric_limits<std::make_unsigned_t<
                           std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>>>::max())));
    });
}

template <class F>
Scalar comparison(std::span<const Scalar> x, F f) {
    return visit(x[0].dtype, [&](auto tag) {
        using T = decltype(tag);
        return put(DType::Bool, static_cast<bool>(f(get<T>(x[0]), get<T>(x[1]))));
    });
}

// Rounded down, and what is left then; 0 of 0, as NumPy's result without its warning.
template <class T>
T integer_division(Op op, T a, T b) {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
        // The least integer by -1 wraps.
        if (b == T(-1))
            return op == Op::Div ? static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(a))
                                 : T(0);
        const T q = static_cast<T>(a / b), r = static_cast<T>(a % b);
        const bool adjust = r != 0 && (r < 0) != (b < 0);
        return op == Op::Div ? static_cast<T>(q - adjust) : static_cast<T>(adjust ? r + b : r);
    } else {
        return op == Op::Div ? static_cast<T>(a / b) : static_cast<T>(a % b);
    }
}

Scalar division(Op op, DType t, std::span<const Scalar> x) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        const T a = get<T>(x[0]), b = get<T>(x[1]);
        if constexpr (std::is_same_v<T, bool>) {
            return put(t, op == Op::Div && a && b);  // of 0 and 1, as integers
        } else if constexpr (std::is_floating_point_v<T>) {
            if (op == Op::Rem) no_such(op, t);
            return put(t, a / b);
        } else {
            return put(t, integer_division(op, a, b));
        }
    });
}

// IEEE 754-2019 minimum and maximum: NaN wins, and -0 < +0.
template <class T>
T extreme(Op op, T a, T b) {
    if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) return a + b;
        if (a == b) return std::signbit(a) == (op == Op::Min) ? a : b;
    }
    return op == Op::Min ? std::min(a, b) : std::max(a, b);
}

Scalar extreme(Op op, DType t, std::span<const Scalar> x) {
    return visit(t, [&](auto tag) {
        using T = decltype(tag);
        return put(t, extreme(op, get<T>(x[0]), get<T>(x[1])));
    });
}

Scalar negated(DType t, const Scalar& x) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        const T a = get<T>(x);
        if constexpr (std::is_same_v<T, bool>)
            no_such(Op::Neg, t);
        else if constexpr (std::is_floating_point_v<T>)
            return put(t, -a);
        else
            return put(t, static_cast<T>(std::uint64_t{0} - static_cast<std::uint64_t>(a)));
    });
}

Scalar magnitude(DType t, const Scalar& x) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        const T a = get<T>(x);
        if constexpr (std::is_floating_point_v<T>)
            return put(t, std::fabs(a));
        else if constexpr (std::is_signed_v<T>)
            return a < 0 ? negated(t, x) : x;
        else
            return x;
    });
}

Scalar complement(DType t, const Scalar& x) {
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        const T a = get<T>(x);
        if constexpr (std::is_same_v<T, bool>)
            return put(t, !a);
        else if constexpr (std::is_floating_point_v<T>)
            no_such(Op::Not, t);
        else
            return put(t, static_cast<T>(~a));
    });
}

Scalar converted(DType t, const Scalar& x) {
    return visit(x.dtype, [&](auto from) {
        return visit(
            t, [&](auto to) { return put(t, convert<decltype(to)>(get<decltype(from)>(x))); });
    });
}

Scalar same_bits(DType t, const Scalar& x) {
    ARETE_CHECK(size_of(t) == size_of(x.dtype), "bitcast {} to {}", name(x.dtype), name(t));
    return visit(x.dtype, [&](auto from) {
        return visit(t, [&](auto to) {
            if constexpr (sizeof(from) == sizeof(to))
                return put(t, std::bit_cast<decltype(to)>(get<decltype(from)>(x)));
            else
                return Scalar{};
        });
    });
}

// A function for the few elements that need it, where its condition holds.
Scalar rare(Op op, DType t, std::span<const Scalar> x) {
    if (!x[0].i) return Scalar::of(t, 0.0);
    const auto rest = x.subspan(1);
    if (op == Op::FmodIf) return floats(op, t, rest, [](auto a, auto b) { return far_fmod(a, b); });
    return floats(op, t, rest, [&](auto a) { return op == Op::SinIf ? far_sin(a) : far_cos(a); });
}

Scalar fused(DType t, std::span<const Scalar> x) {
    return t == DType::F32 ? put(t, std::fma(x[0].f32, x[1].f32, x[2].f32))
                           : put(t, std::fma(x[0].f64, x[1].f64, x[2].f64));
}

// Beyond the largest exponents nothing changes any more.
template <class T>
T times_power_of_two(T a, T n) {
    constexpr T most = 5000;
    return std::isnan(n) ? n : std::ldexp(a, static_cast<int>(std::clamp(n, -most, most)));
}

}  // namespace

Scalar Scalar::of(DType t, double v) {
    return visit(t, [&](auto tag) { return put(t, convert<decltype(tag)>(v)); });
}

Scalar Scalar::of(DType t, std::int64_t v) {
    return visit(t, [&](auto tag) { return put(t, convert<decltype(tag)>(v)); });
}

double Scalar::as_double() const {
    return visit(dtype, [&](auto tag) { return static_cast<double>(get<decltype(tag)>(*this)); });
}

std::int64_t Scalar::as_int() const {
    return visit(dtype, [&](auto tag) { return convert<std::int64_t>(get<decltype(tag)>(*this)); });
}

Scalar evaluate(Op op, DType t, std::span<const Scalar> x) {
    ARETE_CHECK(static_cast<int>(x.size()) == arity(op), "{} of {} operands", name(op), x.size());
    switch (op) {
        case Op::Const:
        case Op::IndexOf:
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc: break;
        case Op::Add:
            return arithmetic(
                t, x, [](auto a, auto b) { return a + b; }, std::logical_or());
        case Op::Sub:
            return arithmetic(
                t, x, [](auto a, auto b) { return a - b; }, std::not_equal_to());
        case Op::Mul:
            return arithmetic(
                t, x, [](auto a, auto b) { return a * b; }, std::logical_and());
        case Op::Div:
        case Op::Rem: return division(op, t, x);
        case Op::Min:
        case Op::Max: return extreme(op, t, x);
        case Op::Neg: return negated(t, x[0]);
        case Op::Abs: return magnitude(t, x[0]);
        case Op::MulAdd:
        case Op::Fma: return fused(t, x);
        case Op::Scale:
            return floats(op, t, x, [](auto a, auto b) { return times_power_of_two(a, b); });
        case Op::Sqrt: return floats(op, t, x, [](auto a) { return std::sqrt(a); });
        case Op::Floor: return rounding(op, t, x, [](auto a) { return std::floor(a); });
        case Op::Ceil: return rounding(op, t, x, [](auto a) { return std::ceil(a); });
        case Op::Trunc: return rounding(op, t, x, [](auto a) { return std::trunc(a); });
        case Op::Round: return rounding(op, t, x, [](auto a) { return std::nearbyint(a); });
        case Op::Exp: return floats(op, t, x, [](auto a) { return std::exp(a); });
        case Op::Expm1: return floats(op, t, x, [](auto a) { return std::expm1(a); });
        case Op::Log: return floats(op, t, x, [](auto a) { return std::log(a); });
        case Op::Log1p: return floats(op, t, x, [](auto a) { return std::log1p(a); });
        case Op::Tanh: return floats(op, t, x, [](auto a) { return std::tanh(a); });
        case Op::Sin: return floats(op, t, x, [](auto a) { return std::sin(a); });
        case Op::Cos: return floats(op, t, x, [](auto a) { return std::cos(a); });
        case Op::Erf: return floats(op, t, x, [](auto a) { return std::erf(a); });
        case Op::Pow: return floats(op, t, x, [](auto a, auto b) { return std::pow(a, b); });
        case Op::Fmod: return floats(op, t, x, [](auto a, auto b) { return far_fmod(a, b); });
        case Op::Eq: return comparison(x, std::equal_to());
        case Op::Ne: return comparison(x, std::not_equal_to());
        case Op::Lt: return comparison(x, std::less());
        case Op::Le: return comparison(x, std::less_equal());
        case Op::And: return bitwise(op, t, x, [](auto a, auto b, auto) { return a & b; });
        case Op::Or: return bitwise(op, t, x, [](auto a, auto b, auto) { return a | b; });
        case Op::Xor: return bitwise(op, t, x, [](auto a, auto b, auto) { return a ^ b; });
        case Op::Not: return complement(t, x[0]);
        // Counts are not negative and below the width. A right shift is of the type's own bits.
        case Op::Shl: return bitwise(op, t, x, [](auto a, auto b, auto) { return a << (b & 63); });
        case Op::Shr:
            return bitwise(op, t, x,
                           [](auto a, auto b, auto own) { return (a & own) >> (b & 63); });
        case Op::Select: return x[0].i ? x[1] : x[2];
        case Op::Cast: return converted(t, x[0]);
        case Op::Bitcast: return same_bits(t, x[0]);
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf: return rare(op, t, x);
    }
    throw InternalError(fmt::format("{} is no function of its operands", name(op)));
}

}  // namespace arete::loops
