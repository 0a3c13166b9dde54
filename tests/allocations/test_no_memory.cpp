// Memory that is lacking, wherever that is noticed: an error, and everything as it was.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "tests/allocations/allocator.h"

using namespace arete;
using arete::test::FailingAllocation;
using Which = FailingAllocation::Which;

#if ARETE_COUNTS

namespace {

Options one_thread() {
    Options o = Options::from_environment();
    o.num_threads = 1;
    o.cache_dir.clear();
    return o;
}

// A step with everything a call may need: views, reductions, intermediate values, draws, checks,
// updates in place and one that is copied.
struct Step {
    Shared w = shared(full(Sizes{4, 3}, 1.0), "w"), v = shared(full(Sizes{4, 3}, 2.0), "v");
    Expr x = matrix<double>("x"), i = vector<std::int64_t>("i");
    RandomStream random{1};
    Function f;

    explicit Step(Mode mode) {
        const Expr h = dot(x, w.T());
        const Expr cost = sum(sqr(h)) + sum(w.index({i}));
        const Expr g = grad(cost, w);
        f = function({.inputs = {x, i},
                      .outputs = {cost, h, random.uniform({3})},
                      .updates = {{w, v - 0.5 * g}, {v, w + sum(x)}},
                      .mode = mode,
                      .options = one_thread()});
    }
    // With n rows of ones.
    std::vector<Array> call(std::int64_t n) const {
        return f(full(Sizes{n, 3}, 1.0), Array(std::vector<std::int64_t>{0, 3}));
    }
    void restore() const {
        w.set_value(full(Sizes{4, 3}, 1.0));
        v.set_value(full(Sizes{4, 3}, 2.0));
    }
    bool unchanged() const {
        return w.get_value().equals(full(Sizes{4, 3}, 1.0)) &&
               v.get_value().equals(full(Sizes{4, 3}, 2.0));
    }
    // After a call of n rows: h is 3 everywhere, so cost is 36 n + 6.
    bool right(const std::vector<Array>& out, std::int64_t n) const {
        Array moved = full(Sizes{4, 3}, 0.0);
        for (std::int64_t k = 0; k < 12; ++k)
            moved.data<double>()[k] =
                2 - 0.5 * (6.0 * static_cast<double>(n) + (k < 3 || k >= 9 ? 1 : 0));
        return out[0].as_double() == static_cast<double>(36 * n + 6) &&
               w.get_value().equals(moved) &&
               v.get_value().equals(full(Sizes{4, 3}, 1.0 + 3.0 * static_cast<double>(n)));
    }
};

// Calls with each allocation failing in turn (later ones at growing distances), until none is left.
int fail_each(const Step& s, Which which, std::size_t at_least, bool fresh_shapes) {
    int times = 0;
    std::int64_t rows = 1;
    for (long n = 0;; n += 1 + n / 40) {
        CAPTURE(n);
        if (fresh_shapes) ++rows;
        bool ended = false;
        {
            // The memory of the test is there already.
            std::vector<Array> inputs{full(Sizes{rows, 3}, 1.0),
                                      Array(std::vector<std::int64_t>{0, 3})};
            std::vector<Array> out;
            const FailingAllocation failing(n, which, at_least);
            try {
                out = s.f.call(inputs);
                ended = true;
            } catch (const MemoryError&) {
                ++times;
            }
            if (ended && FailingAllocation::failed()) {  // it could do without
                s.restore();
                continue;
            }
        }
        if (ended) {
            s.restore();
            return times;
        }
        CHECK(s.unchanged());
        const auto again = s.call(rows);
        CHECK(s.right(again, rows));
        s.restore();
    }
}

}  // namespace

TEST_CASE("no memory: the first call with new shapes, whichever allocation fails") {
    for (const Which which : {Which::one, Which::all_from}) {
        const Step s(Mode::interpret);
        CHECK(fail_each(s, which, 0, true) > 100);
    }
}

TEST_CASE("no memory: later calls") {
    for (const Mode mode :
         {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug, Mode::nan_guard})
        for (const Which which : {Which::one, Which::all_from}) {
            CAPTURE(static_cast<int>(mode));
            const Step s(mode);
            CHECK(s.right(s.call(1), 1));
            s.restore();
            CHECK(fail_each(s, which, 0, false) > 2);
        }
}

TEST_CASE("no memory: for what is large, native code") {
    const auto x = matrix<float>("x");
    const auto w = shared(full(Sizes{600, 600}, 1.0f), "w");
    // Two products, of which the first has to be kept: outputs and arena are large.
    const Expr h = dot(x, w), y = dot(h, w);
    const Function f = function(
        {.inputs = {x}, .outputs = {h + 0 * y}, .updates = {{w, y}}, .options = one_thread()});
    const Array ones600 = full(Sizes{600, 600}, 1.0f);
    int times = 0;
    for (long n = 0;; ++n) {
        std::vector<Array> inputs{ones600}, out;
        {
            const FailingAllocation failing(n, Which::one, std::size_t{1} << 20);
            try {
                out = f.call(inputs);
            } catch (const MemoryError& e) {
                ++times;
                CHECK(std::string(e.what()).find("test_no_memory.cpp:") == 0);
                CHECK(std::string(e.what()).find("function 'function'") != std::string::npos);
            }
        }
        if (!out.empty()) break;
        CHECK(w.get_value().equals(ones600));
    }
    CHECK(times >= 2);
    CHECK(w.get_value().as_double(7) == 360000);
    // Shared variables are as they were where a value cannot be copied.
    w.set_value(ones600);
    const Array twos = full(Sizes{600, 600}, 2.0f);
    {
        const FailingAllocation failing(0, Which::one, std::size_t{1} << 20);
        CHECK_THROWS_AS(w.set_value(twos), MemoryError);
    }
    {
        const FailingAllocation failing(0, Which::one, std::size_t{1} << 20);
        CHECK_THROWS_AS(w.get_value(), MemoryError);
    }
    CHECK(w.get_value().equals(ones600));
}

TEST_CASE("no memory: a process that may have no more") {
    // In a child, whose limit is its own.
    const auto x = vector<float>("x");
    const Function f = function({.inputs = {x},
                                 .outputs = {dot(expand_dims(x, 1), expand_dims(x, 0))},
                                 .options = one_thread()});
    f(full(Sizes{3}, 1.0f));
    const pid_t child = ::fork();
    if (child == 0) {
        std::int64_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const auto limit = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + (400 << 20));
        const rlimit all{limit, limit};
        int code = 1;
        if (::setrlimit(RLIMIT_AS, &all) == 0) {
            code = 2;
            try {
                f(full(Sizes{40000}, 1.0f));  // 6.4 GB
            } catch (const MemoryError&) {
                code = f(full(Sizes{100}, 2.0f))[0].as_double(77) == 4 ? 0 : 3;
            } catch (...) {
                code = 4;
            }
        }
        ::_exit(code);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
#endif
