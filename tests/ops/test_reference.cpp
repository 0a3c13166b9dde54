// Every elementwise row beside independent values: tests/reference/elementwise.py has computed them
// with mpmath, NumPy and SciPy, special values included. The interpreter runs the same row as
// native code does; this does not.
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "compiler/ops/op.h"
#include "tests/support.h"

#include <doctest/doctest.h>

using namespace arete;

namespace {

DType dtype_named(const std::string& text) {
    for (const DType t : all_dtypes)
        if (text == name(t)) return t;
    FAIL("no dtype " << text);
    return DType::F32;
}

Array from_bits(DType t, std::istringstream& words) {
    std::vector<std::uint64_t> values;
    for (std::string w; words >> w;) values.push_back(std::stoull(w, nullptr, 16));
    Array out(t, {static_cast<std::int64_t>(values.size())});
    visit(t, [&](auto tag) {
        using T = decltype(tag);
        for (std::size_t i = 0; i < values.size(); ++i) {
            if constexpr (std::is_same_v<T, float>)
                out.data<T>()[i] = std::bit_cast<float>(static_cast<std::uint32_t>(values[i]));
            else if constexpr (std::is_same_v<T, double>)
                out.data<T>()[i] = std::bit_cast<double>(values[i]);
            else
                out.data<T>()[i] = static_cast<T>(values[i]);
        }
    });
    return out;
}

/// Units in the last place of `t` at `want`; infinite where one is NaN and the other is not, and
/// where zeros or infinities differ.
double ulps(DType t, double got, double want) {
    if (std::isnan(got) || std::isnan(want))
        return std::isnan(got) && std::isnan(want) ? 0 : std::numeric_limits<double>::infinity();
    const double nearest = t == DType::F32 ? static_cast<double>(static_cast<float>(want)) : want;
    if (got == nearest)
        return got == 0 && std::signbit(got) != std::signbit(want)
                   ? std::numeric_limits<double>::infinity()
                   : 0;
    if (std::isinf(want) || std::signbit(got) != std::signbit(want))
        return std::numeric_limits<double>::infinity();
    const int digits = t == DType::F32 ? 24 : 53, least = t == DType::F32 ? -125 : -1021,
              most = t == DType::F32 ? 128 : 1024;
    int e = 0;
    std::frexp(want, &e);
    const long double unit = std::ldexp(1.0L, std::max(want == 0 ? least : e, least) - digits);
    // The number after the largest.
    const long double value = std::isinf(got) ? std::copysign(std::ldexp(1.0L, most), got) : got;
    return static_cast<double>(std::fabs(value - static_cast<long double>(want)) / unit);
}

Attrs attributes(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) return {};
    const std::string key = text.substr(0, equals), value = text.substr(equals + 1);
    if (key == "dtype") return {{key, dtype_named(value)}};
    return {{key, static_cast<std::int64_t>(std::stoll(value))}};
}

}  // namespace

TEST_CASE("references: every elementwise row has the values of mpmath, NumPy and SciPy") {
    std::ifstream file(ARETE_SOURCE_DIR "/tests/reference/elementwise.txt");
    REQUIRE(file);
    std::map<std::string, Array> sets;
    std::set<std::string> seen;
    std::int64_t compared = 0;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string kind;
        words >> kind;
        if (kind == "set") {
            std::string id, dtype;
            words >> id >> dtype;
            sets.emplace(id + ":" + dtype, from_bits(dtype_named(dtype), words));
            continue;
        }
        if (kind != "op") continue;
        std::string row, attribute, set;
        double bound = 0;
        words >> row >> attribute >> bound;
        std::vector<Expr> leaves;
        std::vector<Array> values;
        while (words >> set) {
            values.push_back(sets.at(set));
            leaves.push_back(tensor(values.back().dtype(), 1, "x", values.back().shape()));
        }
        REQUIRE(std::getline(file, line));
        std::istringstream results(line);
        std::string dtype;
        results >> dtype;
        const Array want = from_bits(dtype_named(dtype), results);
        const OpDef* op = find_op(row);
        REQUIRE_MESSAGE(op, row);
        seen.insert(row);
        const Expr e = apply(*op, leaves, attributes(attribute), {});
        const Array got =
            function({.inputs = leaves, .outputs = {e}, .name = "row"}).call(values)[0];
        REQUIRE(got.size() == want.size());
        CHECK(is_float(got.dtype()) == is_float(want.dtype()));
        double worst = 0;
        std::int64_t at = 0;
        for (std::int64_t i = 0; i < got.size(); ++i) {
            const double off =
                is_float(got.dtype()) ? ulps(got.dtype(), got.as_double(i), want.as_double(i))
                : got.as_int(i) == want.as_int(i) ? 0
                                                  : std::numeric_limits<double>::infinity();
            if (off > worst) at = i;
            worst = std::max(worst, off);
            ++compared;
        }
        std::string where;
        for (const Array& v : values) where += fmt::format(" {}", v.as_double(at));
        CHECK_MESSAGE(worst <= bound, row, " ", attribute, " of ",
                      std::string(name(values[0].dtype())), " at", where, ": ", got.as_double(at),
                      ", expected ", want.as_double(at), ", off by ", worst);
    }
    for (const OpDef* op : all_ops())
        if (op->scalar)
            CHECK_MESSAGE(seen.count(std::string(op->info.name)), "no values for ",
                          std::string(op->info.name));
    CHECK(compared > 30000);
}
