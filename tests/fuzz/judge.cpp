#include "tests/fuzz/judge.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

namespace arete::fuzz {

namespace {

struct Limits {
    long double epsilon, smallest, normal, largest;
};
Limits limits(DType t) {
    if (t == DType::F32)
        return {std::numeric_limits<float>::epsilon(), std::numeric_limits<float>::denorm_min(),
                std::numeric_limits<float>::min(), std::numeric_limits<float>::max()};
    return {std::numeric_limits<double>::epsilon(), std::numeric_limits<double>::denorm_min(),
            std::numeric_limits<double>::min(), std::numeric_limits<double>::max()};
}

std::string number(long double v) {
    return fmt::format("{:.17g}", static_cast<double>(v));
}

}  // namespace

// Promised of floats, by the default mode and all others:
// - where the graph as written, in its own dtype, gives finite numbers, so does the function:
// within
//   what rounding explains, which is what evaluations that round at random differ by;
// - where it gives infinity or NaN, the function does, or, since stabilising rules may, the number
//   that real arithmetic gives;
// - the sign of a zero may change, and with it the sign of an infinity that is made of it.
bool Expected::allowed(std::size_t k, std::int64_t element, long double is, double slack,
                       bool as_written) const {
    const auto e = static_cast<std::size_t>(element);
    long double low = 0, high = 0;
    bool finite = false, finite_own = false, other_own = false, nan = false,
         infinity[2] = {false, false};
    bool wild = false, lost = false, faint = true;
    long double wild_low = 0, wild_high = 0;  // of what is wild, where it is finite
    bool any_wild = false;
    const Limits lim = limits(evaluations_.front().values[k].dtype);
    const auto include = [&](long double v) {
        low = finite ? std::min(low, v) : v;
        high = finite ? std::max(high, v) : v;
        finite = true;
    };
    for (const Evaluation& evaluation : evaluations_) {
        const Wide& w = evaluation.values[k];
        for (int l = 0; l < lanes; ++l) {
            long double v = w.f[e * lanes + static_cast<std::size_t>(l)];
            if (l >= first_own && std::fabs(v) > lim.largest) v = std::copysign(HUGE_VALL, v);
            lost = lost || (l >= first_own && (w.wild[e] >> l & 1));
            other_own = other_own || (l >= first_own && !std::isfinite(v));
            if (l == 0) faint = faint && w.inexact[e] && (w.faint[e] & 1);
            if (w.wild[e] >> l & 1) {
                wild = true;
                if (std::isfinite(v)) {
                    wild_low = any_wild ? std::min(wild_low, v) : v;
                    wild_high = any_wild ? std::max(wild_high, v) : v;
                    any_wild = true;
                }
                nan = nan || (std::isnan(v) && l >= first_own);
            } else if (as_written && l < first_own) {
                if (std::isfinite(v)) include(v);
            } else if (std::isnan(v)) {
                nan = true;
            } else if (std::isinf(v)) {
                infinity[v > 0] = true;
            } else {
                include(v);
                finite_own = finite_own || l >= first_own;
            }
        }
    }
    // Where rounding decides whether it overflows, all up to there may come out.
    const long double spread = finite ? high - low : 0;
    const long double tolerated = slack * spread + (finite_own ? 4 * lim.smallest : lim.normal) +
                                  4 * lim.epsilon * std::max(std::fabs(low), std::fabs(high));
    // Where rounding decides whether it overflows, all up to there may come out.
    if (!as_written && finite_own && infinity[0]) low = -lim.largest;
    if (!as_written && finite_own && infinity[1]) high = lim.largest;
    // Where even long doubles do not know, and rounding decides, nobody does. Nor of a zero that is
    // a number too small for them.
    const long double size = std::max(std::fabs(low), std::fabs(high));
    const bool apart =
        any_wild && finite && (wild_low < low - 0.01L * size || wild_high > high + 0.01L * size);
    const bool unknown =
        !as_written && ((wild && (other_own || lost || spread > 0.01L * size || apart)) ||
                        (faint && finite && size == 0));
    // A stable form may leave less of what overflowed.
    if (!as_written && !std::isfinite(is) && finite && other_own && !finite_own) return true;
    if (std::isnan(is)) return nan || unknown || lost;
    // A partial sum that overflows is an infinity, and NaN beside one of the other sign: which of
    // these comes out is the order's business.
    if (std::isinf(is) && nan && (infinity[0] || infinity[1])) return true;
    if (std::isinf(is)) {
        if (infinity[is > 0] || unknown || (as_written && lost)) return true;
        return finite && (is > 0 ? high + tolerated > lim.largest : low - tolerated < -lim.largest);
    }
    if (as_written && !finite_own) return lost;
    return unknown || lost || (finite && is >= low - tolerated && is <= high + tolerated);
}

// Anything else is exact, unless a decision was taken on rounded numbers: then it lies between what
// the evaluations give.
bool Expected::allowed(std::size_t k, std::int64_t element, std::int64_t is) const {
    const auto e = static_cast<std::size_t>(element);
    std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = -low - 1;
    // Distances from the first of them, as integers wrap.
    const Wide& own = first().values[k];
    const auto from_first = [&](std::int64_t v) {
        const auto apart =
            static_cast<std::uint64_t>(v) - static_cast<std::uint64_t>(own.i[e * lanes + nearest]);
        return own.dtype == DType::I32 ? static_cast<std::int64_t>(static_cast<std::int32_t>(apart))
               : own.dtype == DType::U8 ? static_cast<std::int64_t>(static_cast<std::int8_t>(apart))
                                        : static_cast<std::int64_t>(apart);
    };
    std::int64_t below = 0, above = 0;
    for (const Evaluation& evaluation : evaluations_) {
        const Wide& w = evaluation.values[k];
        if (w.wild[e]) return true;
        for (std::size_t l = 0; l < lanes; ++l) {
            const std::int64_t v = w.i[e * lanes + l];
            low = std::min(low, v);
            high = std::max(high, v);
            below = std::min(below, from_first(v));
            above = std::max(above, from_first(v));
        }
    }
    return (is >= low && is <= high) || (from_first(is) >= below && from_first(is) <= above);
}

bool Expected::well_conditioned() const {
    for (const Evaluation& evaluation : evaluations_)
        for (const Wide& w : evaluation.values)
            for (std::size_t e = 0; e < static_cast<std::size_t>(w.size()); ++e) {
                if (w.wild[e]) return false;
                for (std::size_t l = 1; l < lanes; ++l) {
                    if (!is_float(w.dtype)) {
                        if (w.i[e * lanes + l] != w.i[e * lanes]) return false;
                        continue;
                    }
                    const long double a = w.f[e * lanes], b = w.f[e * lanes + l];
                    const long double fine = w.dtype == DType::F64 ? 1e-13L : 1e-7L;
                    if (std::isfinite(a) != std::isfinite(b) ||
                        std::fabs(a - b) > 64 * fine * (std::fabs(a) + 0.01L))
                        return false;
                }
            }
    return true;
}

std::string Expected::describe(std::size_t k, std::int64_t element) const {
    const Wide& w = first().values[k];
    const auto e = static_cast<std::size_t>(element) * lanes;
    if (!is_float(w.dtype)) return fmt::format("expected {}", w.i[e + nearest]);
    std::string all;
    for (std::size_t l = first_own + 1; l < lanes; ++l) all += " " + number(w.f[e + l]);
    return fmt::format("expected {} (in long double {}; rounded otherwise{})",
                       number(w.f[e + nearest]), number(w.f[e]), all);
}

std::optional<std::string> Expected::wrong(std::size_t k, const Array& is, double slack,
                                           bool as_written) const {
    const Wide& w = first().values[k];
    if (is.dtype() != w.dtype || is.shape() != w.sizes)
        return fmt::format("is {}, expected {}", type_name(is.dtype(), is.shape()),
                           type_name(w.dtype, w.sizes));
    for (std::int64_t i = 0; i < is.size(); ++i) {
        const bool ok = is_float(w.dtype) ? allowed(k, i, static_cast<long double>(is.as_double(i)),
                                                    slack, as_written)
                                          : allowed(k, i, is.as_int(i));
        if (ok) continue;
        return fmt::format(
            "element {} of {} is {}, {}", i, type_name(is.dtype(), is.shape()),
            is_float(w.dtype) ? number(is.as_double(i)) : fmt::format("{}", is.as_int(i)),
            describe(k, i));
    }
    return std::nullopt;
}

bool same_bits(const Array& a, const Array& b) {
    if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
    if (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0) return true;
    if (!is_float(a.dtype())) return false;
    for (std::int64_t i = 0; i < a.size(); ++i) {
        const double x = a.as_double(i), y = b.as_double(i);
        const bool equal = x == y && std::signbit(x) == std::signbit(y);
        if (!equal && !(std::isnan(x) && std::isnan(y))) return false;
    }
    return true;
}

}  // namespace arete::fuzz
