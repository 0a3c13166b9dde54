// Functions of f32 that are computed in f64; private to math*.cpp.
#pragma once

#include <span>

#include "compiler/loops/math_parts.h"

namespace arete::loops::math {

/// f(x, few) of f64; `few` says that the result becomes an f32, for which few terms will do.
template <class F>
Value in_f64(Value x, F f) {
    const DType t = x.dtype();
    return cast(f(cast(x, DType::F64), t == DType::F32), t);
}
template <class F>
Value in_f64(Value x, Value y, F f) {
    const DType t = x.dtype();
    return cast(f(cast(x, DType::F64), cast(y, DType::F64), t == DType::F32), t);
}

/// The polynomial of one of two tables.
inline Value either(bool few, Value x, std::span<const double> short_one,
                    std::span<const double> long_one) {
    return polynomial(x, few ? short_one : long_one);
}

/// e^x 2^power of an f64 |x| below 800, without overflow or underflow before the result's.
Value scaled_exp(Value x, int power, bool few);
/// sin(pi x) and cos(pi x) of f64, without their signs: |x| at most 1/2.
struct HalfTurn {
    Value sine, cosine;
};
HalfTurn half_turn(Value x);

}  // namespace arete::loops::math
