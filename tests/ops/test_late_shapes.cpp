// Sizes that are known when a function is called: what is broadcast then has NumPy's values, and
// gradients of the variables' shapes, against loops written by hand.
#include <cmath>
#include <functional>

#include <doctest/doctest.h>

#include "compiler/ops/gather.h"
#include "tests/support.h"

using namespace arete;
using arete::test::difference;
using arete::test::message_of;

namespace {

// A matrix of doubles that is read as if repeated along axes of size 1.
struct Matrix {
    std::int64_t rows = 1, columns = 1;
    std::vector<double> v;

    Matrix(std::int64_t r, std::int64_t c, double fill = 0)
        : rows(r), columns(c), v(static_cast<std::size_t>(r * c), fill) {}
    double& at(std::int64_t i, std::int64_t j) {
        return v[(rows == 1 ? 0 : i) * columns + (columns == 1 ? 0 : j)];
    }
    Array array() const { return Array(v, Sizes{rows, columns}); }
};

Matrix drawn(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
    Matrix m(rows, columns);
    const Array u = Generator(seed).uniform({rows * columns}, 0.5, 2);
    for (std::size_t i = 0; i < m.v.size(); ++i) m.v[i] = u.as_double(static_cast<std::int64_t>(i));
    return m;
}

std::int64_t together(std::int64_t a, std::int64_t b) {
    return a == 1 ? b : a;
}

// f(x, y), its first derivatives and its second.
struct Formula {
    const char* name;
    Expr (*build)(const Expr& x, const Expr& y);
    double (*f)(double, double);
    double (*fx)(double, double);
    double (*fy)(double, double);
    double (*fxx)(double, double);
    double (*fxy)(double, double);
    double (*fyy)(double, double);
};

using D = double;
const Formula formulas[] = {
    {"x * x * y + y * y", [](const Expr& x, const Expr& y) { return x * x * y + y * y; },
     [](D x, D y) { return x * x * y + y * y; }, [](D x, D y) { return 2 * x * y; },
     [](D x, D y) { return x * x + 2 * y; }, [](D, D y) { return 2 * y; },
     [](D x, D) { return 2 * x; }, [](D, D) { return 2.0; }},
    {"x / y", [](const Expr& x, const Expr& y) { return x / y; }, [](D x, D y) { return x / y; },
     [](D, D y) { return 1 / y; }, [](D x, D y) { return -x / (y * y); }, [](D, D) { return 0.0; },
     [](D, D y) { return -1 / (y * y); }, [](D x, D y) { return 2 * x / (y * y * y); }},
    {"where(x < y, x * x, y * y * y)",
     [](const Expr& x, const Expr& y) { return where(x < y, x * x, y * y * y); },
     [](D x, D y) { return x < y ? x * x : y * y * y; }, [](D x, D y) { return x < y ? 2 * x : 0; },
     [](D x, D y) { return x < y ? 0 : 3 * y * y; }, [](D x, D y) { return x < y ? 2.0 : 0; },
     [](D, D) { return 0.0; }, [](D x, D y) { return x < y ? 0 : 6 * y; }},
    {"broadcast_to(x, y's) * exp(y), with maximum",
     [](const Expr& x, const Expr& y) { return x * x * exp(maximum(y, y - 1)); },
     [](D x, D y) { return x * x * std::exp(y); }, [](D x, D y) { return 2 * x * std::exp(y); },
     [](D x, D y) { return x * x * std::exp(y); }, [](D, D y) { return 2 * std::exp(y); },
     [](D x, D y) { return 2 * x * std::exp(y); }, [](D x, D y) { return x * x * std::exp(y); }},
};

struct Case {
    Expr x, y, k, m;
    std::vector<Expr> outputs;
};

// Value, both gradients of sum(f * k), and both of sum(dx * m), where m has x's shape.
Case make(const Formula& f, const Ints& xs, const Ints& ys) {
    Case c;
    c.x = matrix<double>("x", xs);
    c.y = matrix<double>("y", ys);
    c.k = matrix<double>("k");
    c.m = matrix<double>("m");
    const Expr z = f.build(c.x, c.y);
    const std::vector<Expr> first = grad(sum(z * c.k), {c.x, c.y});
    const std::vector<Expr> second =
        grad(sum(first[0] * c.m), {c.x, c.y}, {.disconnected_inputs = Disconnected::zero});
    c.outputs = {z, first[0], first[1], second[0], second[1]};
    return c;
}

void check(const Formula& f, const Function& function, Matrix x, Matrix y) {
    const std::int64_t rows = together(x.rows, y.rows), columns = together(x.columns, y.columns);
    Matrix k = drawn(rows, columns, 3), m = drawn(x.rows, x.columns, 4);
    Matrix z(rows, columns), dx(x.rows, x.columns), dy(y.rows, y.columns), dxx = dx, dxy = dy;
    for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j) {
            const double a = x.at(i, j), b = y.at(i, j), w = k.at(i, j), v = m.at(i, j);
            z.at(i, j) = f.f(a, b);
            dx.at(i, j) += w * f.fx(a, b);
            dy.at(i, j) += w * f.fy(a, b);
            dxx.at(i, j) += v * w * f.fxx(a, b);
            dxy.at(i, j) += v * w * f.fxy(a, b);
        }
    const auto out = function(x.array(), y.array(), k.array(), m.array());
    const Matrix* expected[] = {&z, &dx, &dy, &dxx, &dxy};
    for (std::size_t i = 0; i < out.size(); ++i) {
        CAPTURE(i);
        CHECK(difference(out[i], expected[i]->array()) < 1e-12);
    }
}

const std::pair<std::int64_t, std::int64_t> pairs[] = {{3, 3}, {1, 3}, {3, 1}, {1, 1}};

}  // namespace

TEST_CASE("late shapes: one function switches between 1 and n along all axes") {
    for (const Formula& f : formulas)
        for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
            CAPTURE(f.name);
            CAPTURE(static_cast<int>(mode));
            const Case c = make(f, {}, {});
            const Function function = arete::function({.inputs = {c.x, c.y, c.k, c.m},
                                                       .outputs = c.outputs,
                                                       .on_unused_input = OnUnusedInput::ignore,
                                                       .mode = mode});
            for (const auto& [xr, yr] : pairs)
                for (const auto& [xc, yc] : pairs) {
                    if (mode == Mode::debug && xr + xc + yr + yc == 12) continue;
                    // Along the columns 5 stands for 3, so that axes cannot be taken for another.
                    const auto five = [](std::int64_t n) { return n == 3 ? 5 : n; };
                    CAPTURE(xr);
                    CAPTURE(yr);
                    CAPTURE(xc);
                    CAPTURE(yc);
                    check(f, function, drawn(xr, five(xc), 1), drawn(yr, five(yc), 2));
                }
            check(f, function, drawn(0, 5, 1), drawn(1, 5, 2));
            check(f, function, drawn(1, 1, 1), drawn(2, 0, 2));
        }
}

TEST_CASE("late shapes: every axis known or not, beside a known one or not") {
    for (const Formula& f : formulas)
        for (const auto& [xr, yr] : pairs)
            for (const auto& [xc, yc] : pairs)
                for (int known = 0; known < 16; ++known) {
                    const auto given = [&](int bit, std::int64_t n) {
                        return (known >> bit) % 2 ? n : -1;
                    };
                    CAPTURE(f.name);
                    CAPTURE(known);
                    const Case c =
                        make(f, {given(0, xr), given(1, xc)}, {given(2, yr), given(3, yc)});
                    const Function function =
                        arete::function({.inputs = {c.x, c.y, c.k, c.m},
                                         .outputs = c.outputs,
                                         .on_unused_input = OnUnusedInput::ignore,
                                         .mode = Mode::interpret});
                    check(f, function, drawn(xr, xc, 1), drawn(yr, yc, 2));
                }
}

TEST_CASE("late shapes: types say what broadcasting leaves open") {
    const auto x = matrix<float>("x"), y = matrix<float>("y");
    const auto a = vector<float>("a", {3}), one = vector<float>("one", {1});
    CHECK((x + y).type().str() ==
          "f32[broadcast(x.shape(0), y.shape(0)),broadcast(x.shape(1), y.shape(1))]");
    CHECK((x + y).type() == (y + (x + (y + x))).type());
    CHECK((x + a).type().str() == "f32[x.shape(0),3]");
    CHECK((x + one).type() == x.type());
    CHECK((x + x).type() == x.type());
    CHECK(grad(sum(x * y * a), {x, y})[0].type() == x.type());
    CHECK(grad(sum(dot(x, y)), {x, y})[1].type() == y.type());
}

TEST_CASE("late shapes: operands of other ranks, and a variable beside itself turned") {
    const auto v = vector<double>("v"), s = vector<double>("s");
    const auto x = matrix<double>("x");
    const Expr cost = sum(x * v + sqr(s) * x);
    const auto g = grad(cost, {x, v, s});
    const Function f = function({.inputs = {x, v, s}, .outputs = {g[0], g[1], g[2], cost}});
    for (const std::int64_t rows : {1, 2})
        for (const std::int64_t a : {1, 4})
            for (const std::int64_t b : {1, 4}) {
                for (const std::int64_t columns : {1, 4}) {
                    Matrix mx = drawn(rows, columns, 1), mv = drawn(1, a, 2), ms = drawn(1, b, 3);
                    const std::int64_t n = together(columns, together(a, b));
                    Matrix gx(rows, columns), gv(1, a), gs(1, b);
                    for (std::int64_t i = 0; i < rows; ++i)
                        for (std::int64_t j = 0; j < n; ++j) {
                            // x * v and s * s * x are added: each is repeated to n columns.
                            gx.at(i, j) += mv.at(i, j) + ms.at(i, j) * ms.at(i, j);
                            gv.at(i, j) += mx.at(i, j);
                            gs.at(i, j) += 2 * ms.at(i, j) * mx.at(i, j);
                        }
                    const auto out =
                        f(mx.array(), mv.array().reshaped({a}), ms.array().reshaped({b}));
                    CHECK(difference(out[0], gx.array()) < 1e-12);
                    CHECK(difference(out[1], gv.array().reshaped({a})) < 1e-12);
                    CHECK(difference(out[2], gs.array().reshaped({b})) < 1e-12);
                }
            }
    // x[1,n] + x[n,1]: element (i, j) is x_j + x_i, and its square's sum has slope 4 n x_j + 4 sum.
    const Function turned = function({.inputs = {x}, .outputs = {grad(sum(sqr(x + x.T())), x)}});
    const std::vector<double> values{1, 2, 5};
    for (const Sizes& sizes : {Sizes{1, 3}, Sizes{3, 1}}) {
        const Array got = turned(Array(values, sizes))[0];
        REQUIRE(got.shape() == sizes);
        for (std::size_t j = 0; j < 3; ++j)
            CHECK(got.as_double(static_cast<std::int64_t>(j)) ==
                  doctest::Approx(4 * 3 * values[j] + 4 * 8.0));
    }
    CHECK(turned(Array(std::vector<double>{1, 2, 3, 4}, Sizes{2, 2}))[0].as_double(1) ==
          4 * (2 + 3));
}

TEST_CASE("late shapes: broadcast_to a shape that is known late, and kept axes of reductions") {
    const auto x = matrix<double>("x"), y = matrix<double>("y");
    const Expr b = broadcast_to(x, {y.shape(0), y.shape(1)});
    const Function f = function({.inputs = {x, y}, .outputs = {b, grad(sum(b * y), x)}});
    const Array grid(std::vector<double>{1, 2, 3, 4, 5, 6}, Sizes{2, 3});
    auto row = f(Array(std::vector<double>{7, 8, 9}, Sizes{1, 3}), grid);
    CHECK(row[0].equals(Array(std::vector<double>{7, 8, 9, 7, 8, 9}, Sizes{2, 3})));
    CHECK(row[1].equals(Array(std::vector<double>{5, 7, 9}, Sizes{1, 3})));
    auto column = f(Array(std::vector<double>{7, 8}, Sizes{2, 1}), grid);
    CHECK(column[0].equals(Array(std::vector<double>{7, 7, 7, 8, 8, 8}, Sizes{2, 3})));
    CHECK(column[1].equals(Array(std::vector<double>{6, 15}, Sizes{2, 1})));
    CHECK(f(grid, grid)[1].equals(grid));
    CHECK_THROWS_AS(f(grid.reshaped({3, 2}), grid), GraphError);

    // x - mean(x, 1): the kept axis is 1, and x's own columns may be one.
    const Expr d = x - mean(x, 1, true);
    const Function centred = function({.inputs = {x, y}, .outputs = {d * y, grad(sum(d * y), x)}});
    for (const std::int64_t columns : {1, 3}) {
        Matrix mx = drawn(2, columns, 1), my = drawn(2, 3, 2), z(2, 3), g(2, columns);
        for (std::int64_t i = 0; i < 2; ++i) {
            double mean = 0, all = 0;
            for (std::int64_t j = 0; j < columns; ++j)
                mean += mx.at(i, j) / static_cast<D>(columns);
            for (std::int64_t j = 0; j < 3; ++j) {
                z.at(i, j) = (mx.at(i, j) - mean) * my.at(i, j);
                all += my.at(i, j);
                g.at(i, j) += my.at(i, j);
            }
            for (std::int64_t j = 0; j < columns; ++j) g.at(i, j) -= all / static_cast<D>(columns);
        }
        const auto out = centred(mx.array(), my.array());
        CHECK(difference(out[0], z.array()) < 1e-12);
        CHECK(difference(out[1], g.array()) < 1e-12);
    }
}

TEST_CASE("late shapes: products, where sizes have to agree") {
    const auto x = tensor3<double>("x"), y = tensor3<double>("y");
    const Expr p = batched_dot(x, y);
    const auto g = grad(sum(sqr(p)), {x, y});
    const Function f = function({.inputs = {x, y}, .outputs = {p, g[0], g[1]}});
    const auto call = [&](const Sizes& a, const Sizes& b) { return f(full(a, 2.0), full(b, 3.0)); };
    for (const std::int64_t n : {1, 4}) {
        const auto out = call({n, 2, 5}, {n, 5, 3});
        CHECK(out[0].equals(full(Sizes{n, 2, 3}, 30.0)));
        CHECK(out[1].equals(full(Sizes{n, 2, 5}, 2 * 30.0 * 3 * 3)));
        CHECK(out[2].equals(full(Sizes{n, 5, 3}, 2 * 30.0 * 2 * 2)));
    }
    CHECK(message_of([&] {
              call({1, 2, 5}, {4, 5, 3});
          }).find("batched_dot: numbers of matrices") != std::string::npos);
    CHECK(message_of([&] {
              call({4, 2, 1}, {4, 5, 3});
          }).find("batched_dot: inner sizes") != std::string::npos);
    // The gradient alone does not compute the product, and refuses all the same.
    const auto a = matrix<double>("a"), b = matrix<double>("b");
    const int line = __LINE__ + 1;
    const Expr ga = grad(sum(dot(a, b)), a);
    const Function only = function({.inputs = {a, b}, .outputs = {ga}});
    CHECK(only(full(Sizes{2, 3}, 1.0), full(Sizes{3, 4}, 2.0))[0].equals(full(Sizes{2, 3}, 8.0)));
    for (const std::int64_t inner : {1, 2}) {
        const std::string m = message_of([&] {
            only(full(Sizes{2, 3}, 1.0), full(Sizes{inner, 4}, 2.0));
        });
        CHECK(m.find(fmt::format("test_late_shapes.cpp:{}: ", line)) == 0);
    }
    // Biases of a convolution.
    const auto images = tensor4<double>("images"), filters = tensor4<double>("filters");
    const auto bias = vector<double>("bias");
    const Expr c = conv2d(images, filters) + dimshuffle(bias, {'x', 0, 'x', 'x'});
    const auto gc = grad(sum(c), {bias, filters, images});
    const Function conv =
        function({.inputs = {images, filters, bias}, .outputs = {c, gc[0], gc[1], gc[2]}});
    for (const std::int64_t n : {1, 3}) {
        const auto out =
            conv(full(Sizes{2, 1, 4, 4}, 1.0), full(Sizes{3, 1, 2, 2}, 1.0), full(Sizes{n}, 0.5));
        CHECK(out[0].equals(full(Sizes{2, 3, 3, 3}, 4.5)));
        CHECK(out[1].equals(full(Sizes{n}, 54.0 / static_cast<double>(n))));
        CHECK(out[2].equals(full(Sizes{3, 1, 2, 2}, 18.0)));
        CHECK(out[3].shape() == Sizes{2, 1, 4, 4});
    }
}

TEST_CASE("late shapes: labels, one a row") {
    const auto x = matrix<double>("x");
    const auto y = vector<std::int64_t>("y");
    const Expr cost = mean(categorical_crossentropy(softmax(x), y));
    const Function f = function({.inputs = {x, y}, .outputs = {cost, grad(cost, x)}});
    for (const std::int64_t n : {1, 3}) {
        const auto out = f(full(Sizes{n, 4}, 0.0), full(Sizes{n}, std::int64_t{2}));
        CHECK(out[0].as_double() == doctest::Approx(std::log(4.0)));
        REQUIRE(out[1].shape() == Sizes{n, 4});
        for (std::int64_t i = 0; i < 4 * n; ++i)
            CHECK(out[1].as_double(i) ==
                  doctest::Approx((0.25 - (i % 4 == 2 ? 1 : 0)) / static_cast<double>(n)));
    }
    // One label is not for all rows.
    CHECK(message_of([&] {
              f(full(Sizes{3, 4}, 0.0), full(Sizes{1}, std::int64_t{2}));
          }).find("categorical_crossentropy") != std::string::npos);
    // But an index array is.
    const Expr picked = x.index({arange(x.shape(0)), y});
    const Function g = function({.inputs = {x, y}, .outputs = {picked, grad(sum(sqr(picked)), x)}});
    const Array grid(std::vector<double>{1, 2, 3, 4, 5, 6}, Sizes{3, 2});
    auto out = g(grid, full(Sizes{1}, std::int64_t{1}));
    CHECK(out[0].equals(Array(std::vector<double>{2, 4, 6})));
    CHECK(out[1].equals(Array(std::vector<double>{0, 4, 0, 8, 0, 12}, Sizes{3, 2})));
    // One row, several columns: the row's gradient is the sum.
    out = g(grid.reshaped({1, 6}), Array(std::vector<std::int64_t>{1, 1, 4}));
    CHECK(out[0].equals(Array(std::vector<double>{2, 2, 5})));
    CHECK(out[1].equals(Array(std::vector<double>{0, 8, 0, 0, 10, 0}, Sizes{1, 6})));
    // The same with sizes that are known from the start.
    const auto k = matrix<double>("k", {1, 6});
    const Expr one = k.index({arange(1), constant(Array(std::vector<std::int64_t>{1, 1, 4}))});
    CHECK(function({.inputs = {k}, .outputs = {grad(sum(sqr(one)), k)}})(grid.reshaped({1, 6}))[0]
              .equals(Array(std::vector<double>{0, 8, 0, 0, 10, 0}, Sizes{1, 6})));
}

TEST_CASE("late shapes: updates and givens have the shape of their variable") {
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
        const auto w = shared(full(Sizes{3}, 1.0), "w");
        const auto x = vector<double>("x");
        const int line = __LINE__ + 1;
        const Function f = function({.inputs = {x}, .updates = {{w, x}}, .mode = mode});
        for (const std::int64_t n : {1, 2, 4, 0}) {
            const std::string m = message_of([&] { f(full(Sizes{n}, 2.0)); });
            CAPTURE(m);
            CHECK(m.find(fmt::format("test_late_shapes.cpp:{}: ", line)) == 0);
            CHECK(m.find("'w'") != std::string::npos);
            CHECK(w.get_value().equals(full(Sizes{3}, 1.0)));
        }
        f(full(Sizes{3}, 2.0));
        CHECK(w.get_value().equals(full(Sizes{3}, 2.0)));
        // Beside the variable a single element is repeated.
        const Function add = function({.inputs = {x}, .updates = {{w, w + x}}, .mode = mode});
        add(full(Sizes{1}, 2.0));
        CHECK(w.get_value().equals(full(Sizes{3}, 4.0)));

        const auto known = vector<double>("known", {3});
        const Function g = function(
            {.inputs = {x}, .outputs = {sum(known + w)}, .givens = {{known, x}}, .mode = mode});
        CHECK(g(full(Sizes{3}, 1.0))[0].as_double() == 15);
        CHECK_THROWS_AS(g(full(Sizes{1}, 1.0)), GraphError);
    }
}

TEST_CASE("late shapes: what does not fit names the op and its line") {
    const auto x = vector<double>("x"), y = vector<double>("y"), z = vector<double>("z");
    const int line = __LINE__ + 1;
    const Expr e = x * y;
    const Function f = function({.inputs = {x, y}, .outputs = {e}});
    // Of the gradient alone, which knows only that sizes do not go together.
    const Function g = function({.inputs = {x, y}, .outputs = {grad(sum(e), x)}});
    const Function h = function({.inputs = {x, y, z},
                                 .outputs = {grad(sum(x + y + z), x)},
                                 .on_unused_input = OnUnusedInput::ignore});
    const Array two = full(Sizes{2}, 1.0), three = full(Sizes{3}, 1.0);
    for (const Function* of : {&f, &g}) {
        const std::string m = message_of([&] { (*of)(two, three); });
        CAPTURE(m);
        // The product's line, or, of the gradient, that of the sum.
        CHECK(m.find(fmt::format("test_late_shapes.cpp:{}: ", of == &f ? line : line + 3)) == 0);
    }
    CHECK_THROWS_AS(h(two, three, two), GraphError);
    CHECK_THROWS_AS(h(two, two, three), GraphError);
    CHECK(h(two, full(Sizes{1}, 1.0), two)[0].equals(two));
    CHECK(f(two, two)[0].equals(two));
}

TEST_CASE("specify_shape: promises sizes, and holds them to it") {
    const auto x = matrix<double>("x"), y = matrix<double>("y");
    const int line = __LINE__ + 1;
    const Expr s = specify_shape(x, {y.shape(0), 3});
    CHECK(s.type().str() == "f64[y.shape(0),3]");
    const Function f = function({.inputs = {x, y}, .outputs = {s * 2, grad(sum(sqr(s)), x)}});
    const Array grid = full(Sizes{2, 3}, 2.0);
    CHECK(f(grid, full(Sizes{2, 1}, 0.0))[1].equals(full(Sizes{2, 3}, 4.0)));
    CHECK(message_of([&] {
              f(full(Sizes{1, 3}, 2.0), grid);
          }).find(fmt::format("test_late_shapes.cpp:{}: specify_shape", line)) == 0);
    CHECK(message_of([&] { specify_shape(vector<double>("v", {4}), {3}); }).find("specify_shape") !=
          std::string::npos);
}
