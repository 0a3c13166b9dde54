// The meaning of each scalar instruction.
#include <cmath>
#include <cstring>
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

template <class T>
T wrap(std::uint64_t v) {
    return static_cast<T>(v);
}

template <class T>
T integer_op(Op op, T a, T b) {
    using U = std::uint64_t;
    const U ua = static_cast<U>(a), ub = static_cast<U>(b);
    // Shift counts are non-negative and below the width; Shr works on the type's own bits.
    constexpr U bits = std::numeric_limits<U>::max() >> (64 - 8 * sizeof(T));
    switch (op) {
        case Op::Add: return wrap<T>(ua + ub);
        case Op::Sub: return wrap<T>(ua - ub);
        case Op::Mul: return wrap<T>(ua * ub);
        case Op::Div:
        case Op::Rem: {
            if (b == 0) return 0;  // as NumPy's result, without its warning
            if constexpr (std::is_signed_v<T>) {
                if (b == T(-1)) return op == Op::Div ? wrap<T>(U{0} - ua) : T(0);
                T q = static_cast<T>(a / b), r = static_cast<T>(a % b);
                bool adjust = r != 0 && (r < 0) != (b < 0);
                return op == Op::Div ? static_cast<T>(q - adjust)
                                     : static_cast<T>(adjust ? r + b : r);
            } else {
                return op == Op::Div ? static_cast<T>(a / b) : static_cast<T>(a % b);
            }
        }
        case Op::Min: return b < a ? b : a;
        case Op::Max: return a < b ? b : a;
        case Op::And: return wrap<T>(ua & ub);
        case Op::Or: return wrap<T>(ua | ub);
        case Op::Xor: return wrap<T>(ua ^ ub);
        case Op::Shl: return wrap<T>(ua << (ub & 63));
        case Op::Shr: return wrap<T>((ua & bits) >> (ub & 63));
        default: break;
    }
    throw InternalError(fmt::format("{} of integers", name(op)));
}

template <class T>
T float_op(Op op, T a, T b) {
    switch (op) {
        case Op::Add: return a + b;
        case Op::Sub: return a - b;
        case Op::Mul: return a * b;
        case Op::Div: return a / b;
        // IEEE 754-2019 minimum and maximum: NaN wins, and -0 < +0.
        case Op::Min:
            if (std::isnan(a) || std::isnan(b)) return a + b;
            if (a == b) return std::signbit(a) ? a : b;
            return a < b ? a : b;
        case Op::Max:
            if (std::isnan(a) || std::isnan(b)) return a + b;
            if (a == b) return std::signbit(a) ? b : a;
            return a < b ? b : a;
        case Op::Pow: return std::pow(a, b);
        case Op::Fmod: return far_fmod(a, b);
        default: break;
    }
    throw InternalError(fmt::format("{} of floats", name(op)));
}

template <class T>
T float_unary(Op op, T a) {
    switch (op) {
        case Op::Neg: return -a;
        case Op::Abs: return std::fabs(a);
        case Op::Sqrt: return std::sqrt(a);
        case Op::Floor: return std::floor(a);
        case Op::Ceil: return std::ceil(a);
        case Op::Trunc: return std::trunc(a);
        case Op::Round: return std::nearbyint(a);
        case Op::Exp: return std::exp(a);
        case Op::Expm1: return std::expm1(a);
        case Op::Log: return std::log(a);
        case Op::Log1p: return std::log1p(a);
        case Op::Tanh: return std::tanh(a);
        case Op::Sin: return std::sin(a);
        case Op::Cos: return std::cos(a);
        case Op::Erf: return std::erf(a);
        default: break;
    }
    throw InternalError(fmt::format("{} of a float", name(op)));
}

template <class T>
bool compare(Op op, T a, T b) {
    switch (op) {
        case Op::Eq: return a == b;
        case Op::Ne: return a != b;
        case Op::Lt: return a < b;
        case Op::Le: return a <= b;
        default: break;
    }
    throw InternalError(fmt::format("{} compares nothing", name(op)));
}

Scalar evaluate_unary(Op op, DType t, const Scalar& a) {
    if (op == Op::Cast)
        return visit(a.dtype, [&](auto from) {
            return visit(
                t, [&](auto to) { return put(t, convert<decltype(to)>(get<decltype(from)>(a))); });
        });
    if (op == Op::Bitcast) {
        ARETE_CHECK(size_of(t) == size_of(a.dtype), "bitcast {} to {}", name(a.dtype), name(t));
        return visit(a.dtype, [&](auto from) {
            return visit(t, [&](auto to) {
                if constexpr (sizeof(from) == sizeof(to))
                    return put(t, std::bit_cast<decltype(to)>(get<decltype(from)>(a)));
                else
                    return Scalar{};
            });
        });
    }
    return visit(t, [&](auto tag) {
        using T = decltype(tag);
        T v = get<T>(a);
        if constexpr (std::is_floating_point_v<T>) {
            return put(t, float_unary(op, v));
        } else if constexpr (std::is_same_v<T, bool>) {
            ARETE_CHECK(op == Op::Not || op == Op::Abs, "{} of bool", name(op));
            return put(t, op == Op::Not ? !v : v);
        } else {
            if (op == Op::Not) return put(t, static_cast<T>(~v));
            if (op == Op::Neg)
                return put(t, wrap<T>(std::uint64_t{0} - static_cast<std::uint64_t>(v)));
            if (op == Op::Abs)
                return put(
                    t, v < T(0) ? wrap<T>(std::uint64_t{0} - static_cast<std::uint64_t>(v)) : v);
            return put(t, v);  // rounding an integer
        }
    });
}

Scalar evaluate_rare(Op op, DType t, std::span<const Scalar> args) {
    if (!args[0].i) return Scalar::of(t, 0.0);
    return visit(t, [&](auto tag) -> Scalar {
        using T = decltype(tag);
        if constexpr (std::is_floating_point_v<T>) {
            const T x = get<T>(args[1]);
            if (op == Op::SinIf) return put(t, far_sin(x));
            if (op == Op::CosIf) return put(t, far_cos(x));
            return put(t, far_fmod(x, get<T>(args[2])));
        }
        throw InternalError(fmt::format("{} of {}", name(op), name(t)));
    });
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

Scalar evaluate(Op op, DType t, std::span<const Scalar> args) {
    if (args.size() == 1) return evaluate_unary(op, t, args[0]);
    if (op == Op::Select) return args[0].i ? args[1] : args[2];
    if (is_rare(op)) return evaluate_rare(op, t, args);
    if (op == Op::Fma || op == Op::MulAdd)
        return t == DType::F32 ? put(t, std::fma(args[0].f32, args[1].f32, args[2].f32))
                               : put(t, std::fma(args[0].f64, args[1].f64, args[2].f64));
    ARETE_CHECK(args.size() == 2, "{} of {} operands", name(op), args.size());
    return visit(args[0].dtype, [&](auto tag) {
        using T = decltype(tag);
        T a = get<T>(args[0]), b = get<T>(args[1]);
        if (op >= Op::Eq && op <= Op::Le) return put(t, compare(op, a, b));
        if constexpr (std::is_floating_point_v<T>) {
            return put(t, float_op(op, a, b));
        } else if constexpr (std::is_same_v<T, bool>) {
            bool r = op == Op::And || op == Op::Mul || op == Op::Min  ? (a && b)
                     : op == Op::Or || op == Op::Add || op == Op::Max ? (a || b)
                                                                      : a != b;
            return put(t, r);
        } else {
            return put(t, integer_op(op, a, b));
        }
    });
}

}  // namespace arete::loops
