// Numbers of a thousand digits' worth of exponent with their first two derivatives: a formula as a
// user writes it, evaluated with them, neither overflows nor cancels.
#pragma once

#include <boost/multiprecision/cpp_bin_float.hpp>

namespace arete::test {

/// Numbers that hold exp(+-10^9) and tell 1 + exp(-400) from 1.
using Big =
    boost::multiprecision::number<boost::multiprecision::cpp_bin_float<
                                      640, boost::multiprecision::digit_base_2, void, std::int64_t,
                                      -(std::int64_t{1} << 40), std::int64_t{1} << 40>,
                                  boost::multiprecision::et_off>;

/// A number, and the first and the second derivative by the variable.
struct Jet {
    Big v = 0, d = 0, dd = 0;
    Jet() = default;
    Jet(double value) : v(value) {}  // NOLINT(google-explicit-constructor): as numbers in formulas
    Jet(Big value, Big first, Big second)
        : v(std::move(value)), d(std::move(first)), dd(std::move(second)) {}
};

/// f(x), given f and its two derivatives at x.
inline Jet chain(const Jet& x, const Big& f, const Big& f1, const Big& f2) {
    return {f, f1 * x.d, f2 * x.d * x.d + f1 * x.dd};
}

inline Jet operator-(const Jet& a) {
    return {-a.v, -a.d, -a.dd};
}
inline Jet operator+(const Jet& a, const Jet& b) {
    return {a.v + b.v, a.d + b.d, a.dd + b.dd};
}
inline Jet operator-(const Jet& a, const Jet& b) {
    return a + -b;
}
inline Jet operator*(const Jet& a, const Jet& b) {
    return {a.v * b.v, a.d * b.v + a.v * b.d, a.dd * b.v + 2 * a.d * b.d + a.v * b.dd};
}
inline Jet inverse(const Jet& a) {
    const Big r = 1 / a.v;
    return chain(a, r, -r * r, 2 * r * r * r);
}
inline Jet operator/(const Jet& a, const Jet& b) {
    return a * inverse(b);
}
inline Jet exp(const Jet& a) {
    // Beyond this nothing of a double is left either way.
    const Big most = 1e9;
    const Big e = exp(a.v > most ? most : a.v < -most ? Big(-most) : a.v);
    return chain(a, e, e, e);
}
inline Jet log(const Jet& a) {
    return chain(a, log(a.v), 1 / a.v, -1 / (a.v * a.v));
}
inline Jet sqr(const Jet& a) {
    return a * a;
}
inline Jet sqrt(const Jet& a) {
    const Big r = sqrt(a.v);
    return chain(a, r, 1 / (2 * r), -1 / (4 * r * a.v));
}
inline Jet pow(const Jet& a, double n) {
    return exp(n * log(a));
}
inline Jet expm1(const Jet& a) {
    return exp(a) - 1.0;
}
inline Jet log1p(const Jet& a) {
    return log(1.0 + a);
}
inline Jet sigmoid(const Jet& a) {
    return 1.0 / (1.0 + exp(-a));
}
inline Jet softplus(const Jet& a) {
    return log(1.0 + exp(a));
}
inline Jet tanh(const Jet& a) {
    return 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
}

}  // namespace arete::test
