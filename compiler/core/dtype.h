// Element types of tensors and the promotion rules between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace arete {

/// Element type of a tensor. Bool is stored as one byte holding 0 or 1.
enum class DType : std::uint8_t { Bool, U8, I32, I64, F32, F64 };

inline constexpr DType all_dtypes[] = {DType::Bool, DType::U8,  DType::I32,
                                       DType::I64,  DType::F32, DType::F64};

/// Size of one element, in bytes.
constexpr std::size_t size_of(DType t) {
    switch (t) {
        case DType::Bool:
        case DType::U8: return 1;
        case DType::I32:
        case DType::F32: return 4;
        case DType::I64:
        case DType::F64: return 8;
    }
    return 0;
}

/// Short name as printed in errors and dumps: "f32", "i64", "bool", ...
std::string_view name(DType t);

constexpr bool is_float(DType t) {
    return t == DType::F32 || t == DType::F64;
}
constexpr bool is_integer(DType t) {
    return !is_float(t) && t != DType::Bool;
}

namespace detail {
template <class T>
struct DTypeOf {};
template <>
struct DTypeOf<bool> : std::integral_constant<DType, DType::Bool> {};
template <>
struct DTypeOf<std::uint8_t> : std::integral_constant<DType, DType::U8> {};
template <>
struct DTypeOf<std::int32_t> : std::integral_constant<DType, DType::I32> {};
template <>
struct DTypeOf<std::int64_t> : std::integral_constant<DType, DType::I64> {};
template <>
struct DTypeOf<float> : std::integral_constant<DType, DType::F32> {};
template <>
struct DTypeOf<double> : std::integral_constant<DType, DType::F64> {};
}  // namespace detail

/// A C++ type that an element may have.
template <class T>
concept Element = requires {
    detail::DTypeOf<std::remove_cv_t<T>>::value;
};

/// The DType of a C++ element type; does not compile for an unsupported one.
template <Element T>
inline constexpr DType dtype_of = detail::DTypeOf<std::remove_cv_t<T>>::value;

/// Calls f with a value-initialised object of t's C++ type, so that generic lambdas can
/// recover the type: `visit(t, [&](auto tag) { using T = decltype(tag); ... })`.
template <class F>
decltype(auto) visit(DType t, F&& f) {
    switch (t) {
        case DType::Bool: return f(bool{});
        case DType::U8: return f(std::uint8_t{});
        case DType::I32: return f(std::int32_t{});
        case DType::I64: return f(std::int64_t{});
        case DType::F32: return f(float{});
        case DType::F64: break;
    }
    return f(double{});
}

/// Result type of arithmetic between tensors of types a and b. The wider type wins, except that
/// an integer with f32 gives f32 (not NumPy's f64): nothing turns f32 into f64 but an f64 tensor.
constexpr DType promote(DType a, DType b) {
    return a < b ? b : a;
}

/// How a C++ literal enters an expression: it adapts to the tensor beside it.
enum class LiteralKind : std::uint8_t { Bool, Integer, Float };

/// Type of a literal next to a tensor of type t: t itself where t can hold that kind of number,
/// otherwise the smallest default (i32 next to bool, f32 next to integers).
constexpr DType literal_dtype(LiteralKind kind, DType t) {
    if (kind == LiteralKind::Float) return is_float(t) ? t : DType::F32;
    if (kind == LiteralKind::Integer) return t == DType::Bool ? DType::I32 : t;
    return t;
}

/// f32 for integers and bool, t itself otherwise: the type of exp, mean, true division, ...
constexpr DType float_of(DType t) {
    return is_float(t) ? t : DType::F32;
}

}  // namespace arete
