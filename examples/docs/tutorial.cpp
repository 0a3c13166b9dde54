// The lessons of docs/tutorial.md, in order. Each prints what the page shows.
#include <cstdio>

#include <arete/arete.h>

using namespace arete;

namespace {

void lesson_1() {
    // [region first]
    auto a = scalar<float>("a"), b = scalar<float>("b");
    auto f = function({.inputs = {a, b}, .outputs = {a * b + 1}});
    fmt::print("{}\n", f(3, 4)[0].item<float>());  // 13
    // [end]
}

void lesson_2() {
    // [region shapes]
    auto x = matrix<float>("x");           // f32, both sizes unknown
    auto w = matrix<float>("w", {-1, 2});  // two columns
    auto y = dot(x, w) + vector<float>("b", {2});
    fmt::print("{} and {} give {}\n", x.type().str(), w.type().str(), y.type().str());
    // [end]

    // [region typed]
    Tensor<float, 2> again = y;  // checks dtype and rank: a GraphError where they differ
    auto half = 0.5 * again;     // a number takes the tensor's dtype: still f32
    auto wide = cast(again, DType::F64) * again;  // f64 and f32 give f64
    fmt::print("{} {}\n", name(half.dtype()), name(wide.dtype()));
    // [end]
}

void lesson_3() {
    // [region specialise]
    auto x = matrix<float>("x");
    auto f = function({.inputs = {x}, .outputs = {sum(x, 0)}, .name = "columns"});
    f(zeros<float>({2, 3}));
    f(zeros<float>({5, 3}));
    f(zeros<float>({2, 3}));
    fmt::print("{} specialisations\n", f.stats().specialisations);  // 2
    // [end]
}

void lesson_4() {
    // [region shared]
    auto total = shared(zeros<float>({}), "total");
    auto x = scalar<float>("x");
    auto add = function({.inputs = {x}, .outputs = {total}, .updates = {{total, total + x}}});
    add(3);
    auto before = add(4)[0].item<float>();  // outputs see the old value
    fmt::print("before {}, after {}\n", before, total.get_value().item<float>());
    // [end]
}

void lesson_5() {
    // [region grad]
    auto x = vector<double>("x");
    auto cost = sum(x * x * x);
    auto f = function({.inputs = {x}, .outputs = {grad(cost, x)}});
    fmt::print("{}\n", f(std::vector{1.0, 2.0, 3.0})[0].str());  // 3 x^2
    // [end]
}

void lesson_6() {
    // [region slice]
    auto rows = shared(Array(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {4, 2}), "rows");
    auto i = scalar<std::int64_t>("i");
    auto batch = rows(slice(i * 2, (i + 1) * 2));  // its length is known: (i + 1) * 2 - i * 2 = 2
    auto f = function({.inputs = {i}, .outputs = {batch}, .name = "batch"});
    fmt::print("{}: {}\n", batch.type().str(), f(1)[0].str());
    // [end]

    // [region range_error]
    try {
        f(2);
    } catch (const RangeError& e) {
        fmt::print("{}\n", e.what());
    }
    // [end]
}

void lesson_7() {
    // [region givens]
    auto x = vector<float>("x");
    auto cost = sum(sqr(x));  // written for any x
    auto data = shared(Array(std::vector<float>{1, 2, 3, 4}), "data");
    auto i = scalar<std::int64_t>("i");
    auto f = function(
        {.inputs = {i}, .outputs = {cost}, .givens = {{x, data(slice(i * 2, (i + 1) * 2))}}});
    fmt::print("{} {}\n", f(0)[0].item<float>(), f(1)[0].item<float>());  // 5 25
    // [end]
}

void lesson_8() {
    // [region random]
    RandomStream random(42);
    auto mask = random.bernoulli({8}, 0.5);
    auto f = function({.outputs = {mask}});
    const Array first = f()[0], second = f()[0];
    fmt::print("the same twice: {}\n", first.equals(second));  // false: the counter has advanced
    // [end]
}

void lesson_9() {
    // [region build_error]
    try {
        auto x = matrix<float>("x", {64, 784}), w = matrix<float>("w", {100, 10});
        auto y = dot(x, w);
    } catch (const GraphError& e) {
        fmt::print("{}\n", e.what());
    }
    // [end]

    // [region call_error]
    auto x = matrix<float>("x"), y = matrix<float>("y");
    auto f = function({.inputs = {x, y}, .outputs = {x + y}});
    try {
        f(zeros<float>({2, 3}), zeros<float>({4, 3}));
    } catch (const GraphError& e) {
        fmt::print("{}\n", e.what());
    }
    // [end]
}

void lesson_10() {
    // [region scan]
    auto rows = matrix<float>("rows"), w = matrix<float>("w", {2, 2});
    ScanOptions loop;
    loop.sequences = {rows};
    loop.outputs_info = {zeros<float>({2})};
    loop.fn = [&](const std::vector<Expr>& a) -> StepResult { return tanh(a[0] + dot(a[1], w)); };
    auto states = scan(loop).outputs[0];  // one row a step
    auto f = function({.inputs = {rows, w}, .outputs = {states, grad(sum(states(-1)), w)}});
    // [end]
    fmt::print("{}\n", f(ones<float>({3, 2}), zeros<float>({2, 2}))[1].str());

    // [region until]
    auto limit = scalar<float>("limit");
    ScanOptions doubling;
    doubling.n_steps = 100;  // at most
    doubling.outputs_info = {Array(1.0f)};
    doubling.fn = [&](const std::vector<Expr>& a) -> StepResult {
        auto next = a[0] * 2;
        return {{next}, {}, next > limit};  // outputs, updates of shared variables, until
    };
    auto r = scan(doubling);
    auto g = function({.inputs = {limit}, .outputs = {r.outputs[0](-1), r.steps}});
    fmt::print("{} after {} steps\n", g(1000)[0].item<float>(), g(1000)[1].as_int());  // 1024 after 10
    // [end]

    // [region checkpoint]
    auto block = [&](const Expr& h) { return tanh(dot(tanh(dot(h, w)), w)); };
    auto deep = checkpoint(block)(checkpoint(block)(rows));
    auto slope = grad(sum(deep), w);  // computes each block once more, from what went into it
    // [end]
    function({.inputs = {rows, w}, .outputs = {slope}})(ones<float>({3, 2}), ones<float>({2, 2}));

    // [region ifelse]
    auto c = scalar<float>("c");
    auto y = ifelse(c > 0, dot(rows, w), rows);  // the product only where c > 0
    auto inverse = matrix_inverse(w);
    // [end]
    auto h = function({.inputs = {rows, w, c}, .outputs = {y, inverse}});
    h(ones<float>({3, 2}), Array(std::vector<float>{1, 2, 3, 4}, {2, 2}), 1);
}

}  // namespace

int main() {
    try {
        for (auto lesson : {lesson_1, lesson_2, lesson_3, lesson_4, lesson_5, lesson_6, lesson_7,
                            lesson_8, lesson_9, lesson_10})
            lesson();
        fmt::print("all lessons done\n");
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}
