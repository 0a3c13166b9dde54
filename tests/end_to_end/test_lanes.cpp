// Lanes that are off, beyond an axis' end or because a guard says so, hold nothing that shows: no
// division by what was not read, no trap, at any vector level and in any mode.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "compiler/fuse/reference.h"
#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "tests/support.h"

using namespace arete;
using test::message_of;

namespace {

struct Way {
    std::string level;
    Mode mode;
    std::string name() const {
        return level + (mode == Mode::fast_run       ? " fast_run"
                        : mode == Mode::fast_compile ? " fast_compile"
                                                     : " interpret");
    }
};

// Every level that this processor has, quickly and well compiled, and the interpreter.
std::vector<Way> ways() {
    std::vector<Way> out{{"native", Mode::interpret}};
    for (const char* level : {"baseline", "avx2", "avx512", "native"}) {
        if (!message_of([&] { (void)host_machine(level); }).empty()) continue;
        out.push_back({level, Mode::fast_run});
        out.push_back({level, Mode::fast_compile});
    }
    return out;
}

std::vector<Array> run(const Way& way, const std::vector<Expr>& inputs,
                       const std::vector<Expr>& outputs, const std::vector<Array>& values) {
    Options options = Options::from_environment();
    options.cpu = way.level;
    options.cache_dir.clear();
    const Function f = function({.inputs = inputs,
                                 .outputs = outputs,
                                 .on_unused_input = OnUnusedInput::ignore,
                                 .mode = way.mode,
                                 .options = options});
    return f.call(values);
}

bool equal(double a, double b) {
    return a == b || (std::isnan(a) && std::isnan(b));
}

// Small integers, so that quotients of them are exact wherever they are computed: 1, 2, 3, ...
Array counted(DType t, const Sizes& sizes, std::int64_t times = 1) {
    Array a(t, sizes);
    for (std::int64_t i = 0; i < a.size(); ++i) {
        const std::int64_t v = (i % 60 + 1) * times;
        visit(t, [&](auto tag) { a.data<decltype(tag)>()[i] = static_cast<decltype(tag)>(v); });
    }
    return a;
}

}  // namespace

TEST_CASE("lanes: a padded quotient has zeros around it") {
    const std::vector<Way> all = ways();
    std::size_t number = 0, tried = 0;
    for (std::int64_t rows = 1; rows <= 4; ++rows)
        for (std::int64_t columns = 1; columns <= 9; ++columns)
            for (std::int64_t pad : {0, 1, 2, 3})
                for (std::int64_t wide : {1, 2}) {
                    const DType t = ++number % 2 ? DType::F64 : DType::F32;
                    const Sizes sizes{rows, columns};
                    const Expr m = tensor(t, 2, "m", sizes), n = tensor(t, 2, "n", sizes);
                    const Expr y = pad2d(m / n, pad, wide);
                    const std::vector<Array> values{counted(t, sizes, 2), counted(t, sizes)};
                    // Two ways a shape, so that in the end each has met each kind of shape.
                    for (std::size_t k : {number % all.size(), (number / 3) % all.size()}) {
                        const Array got = run(all[k], {m, n}, {y}, values)[0];
                        ++tried;
                        const std::int64_t h = rows + 2 * pad, w = columns + 2 * wide;
                        REQUIRE(got.shape() == Sizes{h, w});
                        for (std::int64_t i = 0; i < h * w; ++i) {
                            const bool inside = i / w >= pad && i / w < pad + rows &&
                                                i % w >= wide && i % w < wide + columns;
                            if (got.as_double(i) == (inside ? 2 : 0)) continue;
                            INFO(all[k].name(), ", [", rows, ",", columns, "], pad ", pad, ", ",
                                 wide, ", element ", i);
                            CHECK(got.as_double(i) == (inside ? 2 : 0));
                        }
                    }
                }
    CHECK(number == 288);
    CHECK(tried == 576);
}

namespace {

// What would trap, be undefined, infinite or NaN of operands that were not read.
struct Operand2 {
    const char* name;
    DType t;
    std::function<Expr(const Expr& a, const Expr& b)> build;
};

std::vector<Operand2> operands() {
    const auto as = [](DType t) {
        return [t](const Expr& a, const Expr& b) { return cast(a / b, t); };
    };
    const auto quotient = [](const Expr& a, const Expr& b) { return a / b; };
    return {
        {"quotient", DType::F64, quotient},
        {"quotient", DType::F32, quotient},
        {"logarithm", DType::F64, [](const Expr& a, const Expr&) { return log(a) - log(a); }},
        {"power", DType::F32, [](const Expr& a, const Expr& b) { return pow(a, -1) * b * a; }},
        {"root", DType::F64, [](const Expr& a, const Expr& b) { return sqrt(a - 0.5) * b; }},
        {"floordiv", DType::I32, [](const Expr& a, const Expr& b) { return floordiv(a, b); }},
        {"floordiv", DType::I64, [](const Expr& a, const Expr& b) { return floordiv(a, b); }},
        {"floordiv", DType::U8, [](const Expr& a, const Expr& b) { return floordiv(a, b); }},
        {"remainder", DType::I32, [](const Expr& a, const Expr& b) { return mod(b + 1, a); }},
        {"remainder", DType::I64, [](const Expr& a, const Expr& b) { return mod(b + 1, a); }},
        {"to i32", DType::F64, as(DType::I32)},
        {"to i64", DType::F32, as(DType::I64)},
        {"to u8", DType::F32, as(DType::U8)},
        {"compared", DType::F64, [](const Expr& a, const Expr& b) { return !(a / b > 0.5); }},
    };
}

// Ops whose elements are read under a guard.
struct Reader {
    const char* name;
    std::function<Expr(const Expr& e, const Sizes& sizes)> build;
};

// Zeros of the type of `like`.
Expr none_of(const Sizes& sizes, const Expr& like) {
    return constant(zeros(like.dtype(), sizes));
}

Expr images(const Expr& e, const Sizes& sizes) {
    return reshape(e, {1, 1, sizes[0], sizes[1]});
}

std::vector<Reader> readers() {
    using S = const Sizes&;
    // The gradient of a cost that is sum(y * e): what e becomes on the way back through y.
    const auto back = [](const Expr& y, const Expr& x, const Expr& e) {
        return grad(sum(y * e), x);
    };
    return {
        {"pad2d",
         [](const Expr& e, S) {
             return pad2d(e, {1, 0}, {2, 3});
         }},
        {"pad2d twice",
         [](const Expr& e, S) { return pad2d(pad2d(e, 1, 1) + pad2d(e, 1, 1), 0, 1); }},
        {"rows joined",
         [](const Expr& e, S) {
             return concatenate({e, e, e}, 0);
         }},
        {"columns joined",
         [](const Expr& e, S) {
             return concatenate({e, e}, 1);
         }},
        {"beside zeros",
         [](const Expr& e, S s) {
             return concatenate({e, none_of({s[0], 3}, e)}, 1);
         }},
        {"of a slice",
         [=](const Expr& e, S s) {
             const Expr x = none_of({2 * s[0] + 1, s[1] + 3}, e);
             const Expr v = x + 0;
             return back(v(slice(1, 2 * s[0], 2), slice(2, 2 + s[1])), v, e);
         }},
        {"of a slice backwards",
         [=](const Expr& e, S s) {
             const Expr v = none_of({s[0] + 2, 3 * s[1]}, e) + 0;
             return back(v(slice(0, s[0]), slice(3 * s[1] - 1, none, -3)), v, e);
         }},
        {"of sums of windows",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, 2 * s[0] + 1, 2 * s[1] + 1}, e) + 0;
             return back(pool2d(v, {2, 2}, {.mode = PoolMode::sum}), v, images(e, s));
         }},
        {"of overlapping sums",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, s[0] + 2, 2 * s[1] + 1}, e) + 0;
             return back(pool2d(v, {3, 3}, {.stride = {1, 2}, .mode = PoolMode::sum}), v,
                         images(e, s));
         }},
        {"of maxima",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, 2 * s[0] + 1, 3 * s[1] + 2}, e) + 0;
             return back(pool2d(v, {2, 3}), v, images(e, s));
         }},
        {"of overlapping maxima",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, s[0] + 1, s[1] + 2}, e) + 0;
             return back(pool2d(v, {2, 3}, {.stride = {1, 1}}), v, images(e, s));
         }},
        {"of a convolution",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, s[0] + 2, s[1] + 4}, e) + 0;
             return back(conv2d(v, none_of({1, 1, 3, 5}, e) + 1), v, images(e, s));
         }},
        {"of a convolution that steps",
         [=](const Expr& e, S s) {
             const Expr v = none_of({1, 1, 2 * s[0] + 1, 3 * s[1]}, e) + 0;
             return back(conv2d(v, none_of({1, 1, 3, 3}, e) + 1, {.subsample = {2, 3}}), v,
                         images(e, s));
         }},
        {"max-pooled with padding",
         [](const Expr& e, S s) {
             return pool2d(images(e, s), {2, 2}, {.stride = {1, 1}, .pad = {1, 1}});
         }},
        {"averaged with padding",
         [](const Expr& e, S s) {
             return pool2d(images(e, s), {2, 3},
                           {.stride = {1, 1}, .pad = {1, 2}, .mode = PoolMode::average_exc_pad});
         }},
        {"rolled",
         [](const Expr& e, S) {
             return concatenate({e(all, slice(1, none)), e(all, slice(0, 1))}, 1);
         }},
        {"sum of padded rows", [](const Expr& e, S) { return sum(pad2d(e, 1, 2), 1); }},
        {"largest of padded columns", [](const Expr& e, S) { return max(pad2d(e, 2, 1), 0); }},
    };
}

}  // namespace

TEST_CASE("lanes: whatever is read under a guard, what was not read does not show") {
    const std::vector<Way> all = ways();
    const std::vector<Operand2> from = operands();
    const std::vector<Reader> to = readers();
    const Sizes shapes[] = {{1, 1}, {1, 7}, {2, 4}, {3, 3}, {3, 5}, {5, 2}, {4, 9}, {2, 17}};
    std::size_t number = 0, tried = 0;
    for (const Reader& r : to)
        for (const Operand2& o : from) {
            const Sizes& sizes = shapes[++number % std::size(shapes)];
            const Expr a = tensor(o.t, 2, "a", sizes), b = tensor(o.t, 2, "b", sizes);
            const std::vector<Array> values{counted(o.t, sizes, o.t == DType::U8 ? 1 : 2),
                                            counted(o.t, sizes)};
            Expr y;
            try {
                y = r.build(o.build(a, b), sizes);
            } catch (const GraphError&) {
                continue;  // no gradients of integers, no sums of bools
            }
            const Array want = reference_eval({{y}}, {{a, values[0]}, {b, values[1]}})[0];
            for (std::size_t k = number % 2; k < all.size(); k += 2) {
                const Array got = run(all[k], {a, b}, {y}, values)[0];
                INFO(r.name, " of a ", o.name, " of ", std::string(name(o.t)), " [", sizes[0], ",",
                     sizes[1], "], ", all[k].name());
                REQUIRE(got.shape() == want.shape());
                ++tried;
                for (std::int64_t i = 0; i < want.size(); ++i)
                    if (std::fabs(got.as_double(i) - want.as_double(i)) > 1e-5 ||
                        std::isnan(got.as_double(i)) != std::isnan(want.as_double(i))) {
                        CHECK_MESSAGE(got.as_double(i) == want.as_double(i), "element ", i);
                        break;
                    }
            }
        }
    CHECK(tried > 500);
}

TEST_CASE("lanes: integers divide in every length") {
    const std::vector<Way> all = ways();
    std::size_t number = 0;
    for (DType t : {DType::U8, DType::I32, DType::I64})
        for (std::int64_t n = 1; n <= 35; ++n) {
            const Expr a = tensor(t, 1, "a", {n}), b = tensor(t, 1, "b", {n});
            Array x(t, {n}), y(t, {n});
            const std::int64_t lowest = t == DType::U8 ? 0
                                        : t == DType::I32
                                            ? std::numeric_limits<std::int32_t>::min()
                                            : std::numeric_limits<std::int64_t>::min();
            std::vector<std::int64_t> p, q;
            for (std::int64_t i = 0; i < n; ++i) {
                p.push_back(i % 3 == 0 ? lowest : 7 * i + 1);
                q.push_back(i % 4 == 0 ? (t == DType::U8 ? 3 : -1) : i % 4 == 1 ? 0 : i - 2);
                if (t == DType::U8) p.back() &= 255, q.back() &= 255;
                visit(t, [&](auto tag) {
                    x.data<decltype(tag)>()[i] = static_cast<decltype(tag)>(p.back());
                    y.data<decltype(tag)>()[i] = static_cast<decltype(tag)>(q.back());
                });
            }
            // By hand: floors, x / 0 = 0 = x mod 0, and the lowest over -1 wraps.
            const auto quotient = [&](std::int64_t u, std::int64_t v) -> std::int64_t {
                if (v == 0) return 0;
                if (v == -1) return u == lowest ? lowest : -u;
                return u / v - (u % v != 0 && (u < 0) != (v < 0));
            };
            const auto rest = [&](std::int64_t u, std::int64_t v) -> std::int64_t {
                if (v == 0 || v == -1) return 0;
                const std::int64_t r = u % v;
                return r + (r != 0 && (r < 0) != (v < 0) ? v : 0);
            };
            const Way& way = all[++number % all.size()];
            const std::vector<Array> got =
                run(way, {a, b}, {floordiv(a, b), mod(a, b), max(floordiv(a, b)), a / b}, {x, y});
            INFO(std::string(name(t)), "[", n, "], ", way.name());
            std::int64_t largest = std::numeric_limits<std::int64_t>::min();
            for (std::int64_t i = 0; i < n; ++i) {
                const auto k = static_cast<std::size_t>(i);
                largest = std::max(largest, quotient(p[k], q[k]));
                CHECK(got[0].as_int(i) == quotient(p[k], q[k]));
                CHECK(got[1].as_int(i) == rest(p[k], q[k]));
            }
            CHECK(got[2].as_int(0) == largest);
        }
}

TEST_CASE("lanes: zero over zero is NaN where it was asked for") {
    // Zeros that are known when code is made, beside numbers: each quotient of them is NaN.
    for (const Way& way : ways())
        for (DType t : {DType::F64, DType::F32})
            for (std::int64_t n : {1, 2, 3, 5, 8, 15}) {
                const Sizes sizes{2, n};
                const Expr m = tensor(t, 2, "m", sizes), k = tensor(t, 2, "k", sizes);
                const Expr quotient = pad2d(m, 0, 1) / pad2d(k, 0, 1);
                const Expr all = concatenate({quotient, pad2d(m, 0, 1)}, 1);
                const std::vector<Array> got = run(way, {m, k}, {quotient, all, isnan(quotient)},
                                                   {counted(t, sizes, 2), counted(t, sizes)});
                INFO(way.name(), ", ", std::string(name(t)), "[2,", n, "]");
                for (std::int64_t i = 0; i < 2 * (n + 2); ++i) {
                    const std::int64_t at = i % (n + 2);
                    const bool border = at == 0 || at == n + 1;
                    CHECK(equal(got[0].as_double(i), border ? NAN : 2));
                    CHECK(
                        equal(got[1].as_double(i / (n + 2) * 2 * (n + 2) + at), border ? NAN : 2));
                    CHECK(got[2].as_int(i) == border);
                }
            }
}

TEST_CASE("lanes: padded images of which rows are joined stay inside of the array") {
    // 512 bits of f64 where registers have 256: what the comparison makes is bytes.
    for (const Way& way : ways())
        for (std::int64_t rows : {1, 2, 3, 5})
            for (std::int64_t columns : {1, 2, 3, 4, 6, 7}) {
                const Sizes sizes{rows, columns};
                const Expr a = tensor(DType::F64, 2, "a", sizes);
                const auto got = run(way, {a}, {pad2d(a, 2, 3) > 0.5, pad2d(a, 1, 2) > 0.5},
                                     {counted(DType::F64, sizes)});
                INFO(way.name(), " [", rows, ",", columns, "]");
                for (std::size_t k : {0, 1}) {
                    const std::int64_t h = k ? 1 : 2, w = k ? 2 : 3, wide = columns + 2 * w;
                    for (std::int64_t i = 0; i < got[k].size(); ++i) {
                        const bool inside = i / wide >= h && i / wide < h + rows && i % wide >= w &&
                                            i % wide < w + columns;
                        CHECK(got[k].as_int(i) == inside);
                    }
                }
            }
}

TEST_CASE("lanes: cross-entropy of a softmax, weighted, has a gradient at every level") {
    // Instruction selection died of it: fma(0, -s, choice of -s and 0).
    for (const Way& way : ways())
        for (DType t : {DType::F64, DType::F32})
            for (const Sizes& sizes : {Sizes{5, 5}, Sizes{2, 17}, Sizes{1, 3}, Sizes{4, 8}}) {
                const Expr x = tensor(t, 2, "x", sizes), y = tensor(DType::I64, 1, "y", {sizes[0]}),
                           w = tensor(t, 1, "w", {sizes[0]});
                Array labels(DType::I64, {sizes[0]});
                for (std::int64_t i = 0; i < sizes[0]; ++i)
                    labels.data<std::int64_t>()[i] = i % sizes[1];
                const Array logits = zeros(t, sizes);  // each class has one in sizes[1]
                const Expr g = grad(sum(categorical_crossentropy(softmax(x), y) * w), x);
                const Array got =
                    run(way, {x, y, w}, {g}, {logits, labels, counted(t, {sizes[0]})})[0];
                INFO(way.name(), ", ", std::string(name(t)), " [", sizes[0], ",", sizes[1], "]");
                for (std::int64_t i = 0; i < got.size(); ++i) {
                    const std::int64_t row = i / sizes[1], column = i % sizes[1];
                    const double p = 1.0 / static_cast<double>(sizes[1]);
                    const double want =
                        static_cast<double>(row + 1) * (p - (column == row % sizes[1] ? 1 : 0));
                    CHECK(std::fabs(got.as_double(i) - want) < 1e-5 * (1 + std::fabs(want)));
                }
            }
}

namespace {

// The operation that makes `name` in a module's text, as in "%12 = select i1 %11, ...".
std::string made_by(const std::string& ir, const std::string& name) {
    const std::size_t at = ir.find("  " + name + " = ");
    return at == std::string::npos ? "" : ir.substr(at, ir.find('\n', at) - at);
}
std::string last_operand(const std::string& line) {
    return line.substr(line.rfind(' ') + 1);
}

}  // namespace

// A load that is masked off waits for stores to the same place: rolls read beyond the end of each
// piece of scratch, where the next piece lies that was written just before.
TEST_CASE("lanes: vectors that are off are read where the buffer begins, not behind it") {
    const Expr x = tensor(DType::F32, 1, "x", {1000});
    Expr e = x;
    for (int k = 0; k < 3; ++k)
        e = e + concatenate({e(slice(-1, none)), e(slice(0, -1))}, 0) * sin(e);
    for (const char* level : {"avx2", "avx512"}) {
        CompileRequest r{.inputs = {x}, .outputs = {e}};
        r.name = "f";
        const Machine machine = described_machine(level);
        r.target = cpu_target(machine);
        r.options = Options::from_environment();
        r.binding.sizes[x.node().id] = {1000};
        const Compiled c = compile(r);
        const std::string ir = LlvmModule(c.program, machine).ir();
        int loads = 0;
        for (std::size_t at = 0; (at = ir.find("@llvm.masked.load.v", at)) != std::string::npos;
             ++at) {
            if (ir.compare(ir.rfind('\n', at) + 1, 7, "declare") == 0) continue;
            const std::size_t pointer = ir.find("(ptr ", at) + 5;
            const std::string address =
                made_by(ir, ir.substr(pointer, ir.find(',', pointer) - pointer));
            INFO(level, ": ", address);
            REQUIRE(address.find("getelementptr") != std::string::npos);
            CHECK(made_by(ir, last_operand(address)).find(" = select i1 ") != std::string::npos);
            ++loads;
        }
        CHECK(loads > 0);
    }
}
