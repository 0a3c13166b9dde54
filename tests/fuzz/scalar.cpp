#include "tests/fuzz/scalar.h"

#include <cmath>
#include <limits>

#include "compiler/core/error.h"

namespace arete::fuzz {

using loops::Op;

long double round_to(DType t, long double v) {
    return t == DType::F32 ? static_cast<long double>(static_cast<float>(v))
                           : static_cast<long double>(static_cast<double>(v));
}

double epsilon(DType t) {
    return t == DType::F32 ? std::numeric_limits<float>::epsilon()
                           : std::numeric_limits<double>::epsilon();
}

// True where v has no more digits than a dtype whose range is endless.
bool fits(DType t, long double v) {
    int exponent = 0;
    const long double m = std::frexp(v, &exponent);
    return round_to(t, m) == m;
}

std::int64_t wrapped(DType t, std::uint64_t v) {
    switch (t) {
        case DType::Bool: return v & 1;
        case DType::U8: return static_cast<std::uint8_t>(v);
        case DType::I32: return static_cast<std::int32_t>(v);
        case DType::I64:
        case DType::F32:
        case DType::F64: break;
    }
    return static_cast<std::int64_t>(v);
}

// Division that rounds down, and the remainder of that; of zero both are 0.
static std::int64_t floor_division(std::int64_t a, std::int64_t b, bool remainder) {
    if (b == 0) return 0;
    const __int128 x = a, y = b;
    __int128 q = x / y;
    if (q * y != x && (x < 0) != (y < 0)) --q;
    return static_cast<std::int64_t>(remainder ? x - q * y : q);
}

std::int64_t integer(Op op, DType t, std::int64_t a, std::int64_t b) {
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    const bool truth = t == DType::Bool;
    switch (op) {
        case Op::Add: return truth ? a | b : wrapped(t, x + y);
        case Op::Sub: return truth ? a ^ b : wrapped(t, x - y);
        case Op::Mul: return truth ? a & b : wrapped(t, x * y);
        case Op::Div: return wrapped(t, static_cast<std::uint64_t>(floor_division(a, b, false)));
        case Op::Rem: return wrapped(t, static_cast<std::uint64_t>(floor_division(a, b, true)));
        case Op::Min: return a < b ? a : b;
        case Op::Max: return a < b ? b : a;
        case Op::And: return a & b;
        case Op::Or: return a | b;
        case Op::Xor: return a ^ b;
        case Op::Shl: return wrapped(t, x << (y & 63));
        case Op::Shr:
            return wrapped(t, (t == DType::I32 ? static_cast<std::uint32_t>(x) : x) >> (y & 63));
        default: break;
    }
    throw InternalError(fmt::format("fuzz: {} of integers", name(op)));
}

static long double remainder_of(long double a, long double b) {
    const long double r = std::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

long double extreme(bool largest, long double a, long double b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<long double>::quiet_NaN();
    return (a < b) == largest ? b : a;
}

// The C library's is wrong for an infinite base and a huge exponent.
static long double power(long double a, long double b) {
    if (!std::isinf(a) || std::isnan(b) || b == 0) return std::pow(a, b);
    const long double size = b > 0 ? std::numeric_limits<long double>::infinity() : 0;
    const bool odd = std::fmod(b, 2) == 1 || std::fmod(b, 2) == -1;
    return a < 0 && odd ? -size : size;
}

long double unary(Op op, long double a) {
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
    throw InternalError(fmt::format("fuzz: {} of a float", name(op)));
}

long double binary(Op op, long double a, long double b) {
    switch (op) {
        case Op::Add: return a + b;
        case Op::Sub: return a - b;
        case Op::Mul: return a * b;
        case Op::Div: return a / b;
        case Op::Scale: return std::isnan(b) ? b : std::ldexp(a, static_cast<int>(b));
        case Op::Rem: return remainder_of(a, b);
        case Op::Min: return extreme(false, a, b);
        case Op::Max: return extreme(true, a, b);
        case Op::Pow: return power(a, b);
        case Op::Fmod: return std::fmod(a, b);
        default: break;
    }
    throw InternalError(fmt::format("fuzz: {} of floats", name(op)));
}

}  // namespace arete::fuzz
