// Random draws in compiled functions.
#include <cmath>
#include <cstdint>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

std::vector<Array> draw_all(std::uint64_t seed, int threads, Mode mode, int calls) {
    RandomStream random(seed);
    Options options = Options::from_environment();
    options.num_threads = threads;
    const Function draw = function({.inputs = {},
                                    .outputs = {random.uniform({300, 70}), random.normal({300, 70}),
                                                random.bernoulli({300, 70}, 0.25)},
                                    .name = "draw",
                                    .mode = mode,
                                    .options = options});
    std::vector<Array> all;
    for (int i = 0; i < calls; ++i)
        for (const Array& a : draw()) all.push_back(a);
    return all;
}

double mean_of(const Array& a) {
    double sum = 0;
    for (const float v : a.values<float>()) sum += v;
    return sum / static_cast<double>(a.size());
}

}  // namespace

TEST_CASE("random stream: the same bits on any number of threads and in the interpreter") {
    const auto first = draw_all(5, 1, Mode::fast_run, 2);
    const auto threaded = draw_all(5, 2, Mode::fast_run, 2);
    const auto interpreted = draw_all(5, 1, Mode::interpret, 2);
    const auto other = draw_all(6, 1, Mode::fast_run, 2);
    for (std::size_t i = 0; i < first.size(); ++i) {
        CAPTURE(i);
        CHECK(first[i].equals(threaded[i]));
        CHECK(first[i].equals(interpreted[i]));
        CHECK(!first[i].equals(other[i]));
    }
}

TEST_CASE("random stream: every call and every draw has numbers of its own") {
    const auto a = draw_all(5, 1, Mode::fast_run, 2);
    for (std::size_t i = 0; i < 3; ++i) CHECK(!a[i].equals(a[i + 3]));
    CHECK(mean_of(a[0]) == doctest::Approx(0.5).epsilon(0.02));
    CHECK(std::abs(mean_of(a[1])) < 0.03);
    CHECK(mean_of(a[2]) == doctest::Approx(0.25).epsilon(0.04));

    // Two masks of one shape do not coincide.
    RandomStream random(1);
    const Expr one = random.bernoulli({1000}), two = random.bernoulli({1000});
    const Function both = function({.inputs = {}, .outputs = {sum(one), sum(one * two)}});
    const auto sums = both();
    CHECK(sums[1].as_double() > 180);
    CHECK(sums[1].as_double() < 320);
}

TEST_CASE("random stream: one draw is one set of numbers within a call") {
    RandomStream random(1);
    const Expr u = random.uniform({1000});
    const auto out = function({.inputs = {}, .outputs = {u, u * 2.0, sum(u - u)}})();
    CHECK(out[2].item<float>() == 0);
    for (std::int64_t i = 0; i < 1000; ++i)
        CHECK(out[1].as_double(i) == doctest::Approx(2 * out[0].as_double(i)));
}
