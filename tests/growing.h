// Graphs that grow by steps, each beside plain loops over the same numbers: what must cost no more
// than a small multiple of computing every node once.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <arete/arete.h>

namespace arete::test {

/// A vector of f64 as an expression, and its values by plain loops.
struct Mirror {
    Expr e;
    std::vector<double> v;

    std::size_t size() const { return v.size(); }
};

inline Mirror mirror_input(const std::string& name, std::vector<double> values) {
    return {vector<double>(name, {static_cast<std::int64_t>(values.size())}), std::move(values)};
}

inline std::vector<double> some_values(std::size_t n, int seed = 1) {
    std::vector<double> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = std::sin(static_cast<double>(i * 7 + 3) * 0.37 + seed);
    return out;
}

template <class F>
Mirror each(const Mirror& a, Expr e, F f) {
    Mirror out{std::move(e), {}};
    for (double x : a.v) out.v.push_back(f(x));
    return out;
}
template <class F>
Mirror each2(const Mirror& a, const Mirror& b, Expr e, F f) {
    Mirror out{std::move(e), {}};
    for (std::size_t i = 0; i < a.size(); ++i) out.v.push_back(f(a.v[i], b.v[i]));
    return out;
}
inline Mirror operator+(const Mirror& a, const Mirror& b) {
    return each2(a, b, a.e + b.e, [](double x, double y) { return x + y; });
}
inline Mirror operator-(const Mirror& a, const Mirror& b) {
    return each2(a, b, a.e - b.e, [](double x, double y) { return x - y; });
}
inline Mirror operator*(const Mirror& a, const Mirror& b) {
    return each2(a, b, a.e * b.e, [](double x, double y) { return x * y; });
}
inline Mirror scaled(const Mirror& a, double k) {
    return each(a, a.e * k, [k](double x) { return x * k; });
}
inline Mirror shifted(const Mirror& a, double k) {
    return each(a, a.e + k, [k](double x) { return x + k; });
}
inline Mirror sine(const Mirror& a) {
    return each(a, sin(a.e), [](double x) { return std::sin(x); });
}

/// Elements [from, to).
inline Mirror part(const Mirror& a, std::int64_t from, std::int64_t to) {
    return {a.e(slice(from, to)), {a.v.begin() + from, a.v.begin() + to}};
}
inline Mirror joined(const std::vector<Mirror>& parts) {
    std::vector<Operand> operands;
    Mirror out;
    for (const Mirror& p : parts) {
        operands.emplace_back(p.e);
        out.v.insert(out.v.end(), p.v.begin(), p.v.end());
    }
    out.e = concatenate(operands);
    return out;
}
/// NumPy's roll, by slices and concatenate.
inline Mirror rolled(const Mirror& a, std::int64_t by) {
    const auto n = static_cast<std::int64_t>(a.size());
    const std::int64_t cut = ((n - by) % n + n) % n;
    return joined({part(a, cut, n), part(a, 0, cut)});
}
inline Mirror flipped(const Mirror& a) {
    return {a.e(slice(none, none, -1)), {a.v.rbegin(), a.v.rend()}};
}
inline Mirror gathered(const Mirror& a, const std::vector<std::int64_t>& at) {
    Array index(DType::I64, {static_cast<std::int64_t>(at.size())});
    std::copy(at.begin(), at.end(), index.data<std::int64_t>());
    Mirror out{take(a.e, constant(index)), {}};
    for (std::int64_t i : at) out.v.push_back(a.v[i]);
    return out;
}
/// Zeros around it: `before` and `after`.
inline Mirror padded(const Mirror& a, std::int64_t before, std::int64_t after) {
    const auto n = static_cast<std::int64_t>(a.size());
    const Expr e = reshape(pad2d(reshape(a.e, {1, n}), Sides{0, 0}, Sides{before, after}),
                           {n + before + after});
    Mirror out{e, std::vector<double>(static_cast<std::size_t>(before), 0.0)};
    out.v.insert(out.v.end(), a.v.begin(), a.v.end());
    out.v.insert(out.v.end(), static_cast<std::size_t>(after), 0.0);
    return out;
}
/// The elements as a matrix of `rows` rows, transposed.
inline Mirror turned(const Mirror& a, std::int64_t rows) {
    const auto n = static_cast<std::int64_t>(a.size()), columns = n / rows;
    Mirror out{flatten(reshape(a.e, {rows, columns}).T()), {}};
    for (std::int64_t c = 0; c < columns; ++c)
        for (std::int64_t r = 0; r < rows; ++r) out.v.push_back(a.v[r * columns + c]);
    return out;
}
inline Mirror where_positive(const Mirror& a, const Mirror& b, const Mirror& c) {
    Mirror out{where(a.e > 0.0, b.e, c.e), {}};
    for (std::size_t i = 0; i < a.size(); ++i) out.v.push_back(a.v[i] > 0 ? b.v[i] : c.v[i]);
    return out;
}

/// One more step of a kind; `k` is its number.
struct Growth {
    const char* name;
    Mirror (*step)(const Mirror& e, int k);
};

inline std::vector<std::int64_t> scattered_places(std::size_t n, int k) {
    std::vector<std::int64_t> at;
    for (std::size_t i = 0; i < n; ++i)
        at.push_back(static_cast<std::int64_t>((i * 7 + static_cast<std::size_t>(k) * 3 + 1) % n));
    return at;
}

/// Chains in which a step reads what the step before made at several addresses.
inline const std::vector<Growth>& growths() {
    static const std::vector<Growth> all{
        {"stencil by rolls",
         [](const Mirror& e, int) {
             return scaled(e, 0.5) + scaled(rolled(e, 1) + rolled(e, -1), 0.25);
         }},
        {"wide stencil",
         [](const Mirror& e, int) {
             Mirror sum = scaled(e, 0.2);
             for (int by : {1, -1, 2, -2}) sum = sum + scaled(rolled(e, by), 0.2);
             return sum;
         }},
        {"rotation", [](const Mirror& e, int k) { return shifted(rolled(e, k % 5 + 1), 0.1); }},
        {"sum with a rotation",
         [](const Mirror& e, int k) { return scaled(e + rolled(e, k % 7 + 1), 0.5); }},
        {"difference",
         [](const Mirror& e, int) {
             const auto n = static_cast<std::int64_t>(e.size());
             const Mirror d = part(e, 1, n) - part(e, 0, n - 1);
             return scaled(joined({d, part(e, 0, 1)}), 0.5);
         }},
        {"stencil of slices",
         [](const Mirror& e, int) {
             const auto n = static_cast<std::int64_t>(e.size());
             const Mirror inner = scaled(part(e, 0, n - 2) + part(e, 2, n), 0.5);
             return joined({part(e, 0, 1), inner, part(e, n - 1, n)});
         }},
        {"sum of two gathers",
         [](const Mirror& e, int k) {
             return scaled(gathered(e, scattered_places(e.size(), k)) +
                               gathered(e, scattered_places(e.size(), k + 1)),
                           0.5);
         }},
        {"sines of gathers",
         [](const Mirror& e, int k) {
             return sine(e + gathered(e, scattered_places(e.size(), k)));
         }},
        {"pads",
         [](const Mirror& e, int k) {
             const auto n = static_cast<std::int64_t>(e.size());
             const Mirror wide = padded(e, k % 3 + 1, 2);
             return scaled(
                 part(wide, 0, n) + part(wide, k % 3 + 1, n + k % 3 + 1) + part(wide, 3, n + 3),
                 1.0 / 3);
         }},
        {"concatenates",
         [](const Mirror& e, int) {
             const auto n = static_cast<std::int64_t>(e.size()), half = n / 2;
             const Mirror a = part(e, 0, half), b = part(e, half, n);
             const auto m = static_cast<std::int64_t>(std::min(a.size(), b.size()));
             const Mirror both = scaled(part(a, 0, m) + part(b, 0, m), 0.5);
             return joined({b, both, part(a, 0, n - m - (n - half))});
         }},
        {"flips", [](const Mirror& e, int) { return scaled(e + flipped(e), 0.5); }},
        {"turned matrices",
         [](const Mirror& e, int) {
             const auto n = static_cast<std::int64_t>(e.size());
             return scaled(e + turned(e, n % 11 == 0 ? 11 : 7), 0.5);
         }},
        {"doubling", [](const Mirror& e, int) { return shifted(e + e, -0.25); }},
        {"choices",
         [](const Mirror& e, int k) {
             return where_positive(rolled(e, k % 3), scaled(e, 0.9), shifted(rolled(e, 1), 0.1));
         }},
        {"mixture",
         [](const Mirror& e, int k) {
             const auto n = static_cast<std::int64_t>(e.size());
             switch (k % 6) {
                 case 0: return scaled(e + rolled(e, 3), 0.5);
                 case 1: return scaled(e + flipped(e), 0.5);
                 case 2: return scaled(e + gathered(e, scattered_places(e.size(), k)), 0.5);
                 case 3: {
                     const Mirror wide = padded(e, 1, 1);
                     return scaled(part(wide, 0, n) - part(wide, 2, n + 2), 0.5);
                 }
                 case 4: return scaled(e + turned(e, n % 11 == 0 ? 11 : 7), 0.5);
                 default: return sine(joined({part(e, n / 3, n), part(e, 0, n / 3)}) - e);
             }
         }},
    };
    return all;
}

/// `steps` steps from an input of 77 elements.
inline Mirror grown(const Growth& kind, const Mirror& from, int steps) {
    Mirror e = from;
    for (int k = 0; k < steps; ++k) e = kind.step(e, k);
    return e;
}

}  // namespace arete::test
