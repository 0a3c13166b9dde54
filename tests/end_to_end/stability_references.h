// What the tables of stability cases have in common: references in long double.
#pragma once

#include <cmath>
#include <numbers>

#include "tests/end_to_end/stability_cases.h"

namespace arete::test {

/// A function of one element, or of two.
inline std::function<Numbers(const Numbers&, const Numbers&)> each(std::function<L(L)> f) {
    return [f](const Numbers& x, const Numbers&) {
        Numbers out;
        for (L v : x) out.push_back(f(v));
        return out;
    };
}
inline std::function<Numbers(const Numbers&, const Numbers&)> pairs(std::function<L(L, L)> f) {
    return [f](const Numbers& x, const Numbers& y) {
        Numbers out;
        for (std::size_t i = 0; i < x.size(); ++i) out.push_back(f(x[i], y[i]));
        return out;
    };
}

inline L log_total(const Numbers& x) {
    L most = x[0], total = 0;
    for (L v : x) most = std::max(most, v);
    for (L v : x) total += std::exp(v - most);
    return most + std::log(total);
}
inline Numbers log_weighted(const Numbers& x, const Numbers& w) {
    Numbers used;
    for (std::size_t i = 0; i < x.size(); ++i)
        if (w[i] != 0) used.push_back(x[i] + std::log(w[i]));
    return {log_total(used)};
}
inline Numbers softmax_of(const Numbers& x, const Numbers& = {}) {
    Numbers out;
    for (L v : x) out.push_back(std::exp(v - log_total(x)));
    return out;
}
/// 1 at `place`, less the softmax.
inline Numbers one_hot_minus_softmax(const Numbers& x, std::size_t place) {
    Numbers out = softmax_of(x);
    for (L& v : out) v = -v;
    out[place] += 1;
    return out;
}
inline Numbers log_one_minus_softmax(const Numbers& x, const Numbers& = {}) {
    Numbers out;
    for (std::size_t i = 0; i < x.size(); ++i) {
        Numbers others = x;
        others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
        const L share = std::exp(x[i] - log_total(x));
        out.push_back(share < 0.5L ? std::log1p(-share) : log_total(others) - log_total(x));
    }
    return out;
}
inline std::function<Numbers(const Numbers&, const Numbers&)> number(L v) {
    return [v](const Numbers&, const Numbers&) { return Numbers{v}; };
}

inline L sigmoid_of(L x) {
    return 1 / (1 + std::exp(-x));
}
inline L softplus_of(L x) {
    return std::log1p(std::exp(x));
}
inline L log1mexp_of(L x) {
    return x < -0.7L ? std::log1p(-std::exp(x)) : std::log(-std::expm1(x));
}
inline L scaled_erfc(L x) {
    return std::exp(x * x) * std::erfc(x);
}
constexpr L two_over_sqrt_pi = 2 * std::numbers::inv_sqrtpi_v<L>;

/// The gradient of a cost of p, passed on through p: what a user has who derives one part after the
/// other, and what grad avoids by deriving the stable form.
inline Expr through(const Expr& p, const Expr& cost, const Expr& x) {
    return Lop(p, {x}, grad(sum(cost), p))[0];
}
inline Array labels(std::vector<std::int64_t> v) {
    return Array(v);
}

}  // namespace arete::test
