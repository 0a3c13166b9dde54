// How many specialisations a function keeps, and that memory comes back.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

// What `f` writes to stderr.
template <class F>
std::string stderr_of(F&& f) {
    std::fflush(stderr);
    std::FILE* file = std::tmpfile();
    const int saved = ::dup(2);
    ::dup2(::fileno(file), 2);
    f();
    std::fflush(stderr);
    ::dup2(saved, 2);
    ::close(saved);
    std::rewind(file);
    std::string out(1 << 16, '\0');
    out.resize(std::fread(out.data(), 1, out.size(), file));
    std::fclose(file);
    return out;
}

// Pages in use, in bytes.
std::int64_t resident() {
    std::ifstream statm("/proc/self/statm");
    std::int64_t total = 0, pages = 0;
    statm >> total >> pages;
    return pages * ::sysconf(_SC_PAGESIZE);
}

Array counting(std::int64_t n) {
    Array a(DType::F32, {n});
    for (std::int64_t i = 0; i < n; ++i) a.data<float>()[i] = static_cast<float>(i);
    return a;
}

}  // namespace

TEST_CASE("specialisations: what was used least recently goes") {
    const auto x = vector<float>("x");
    const Function f = function({.inputs = {x}, .outputs = {sum(x)}, .max_specialisations = 2});
    const auto call = [&](std::int64_t n) {
        CHECK(f(counting(n))[0].as_double() == static_cast<double>(n * (n - 1) / 2));
        return f.stats().specialisations;
    };
    std::string said = stderr_of([&] {
        CHECK(call(1) == 1);
        CHECK(call(2) == 2);
        CHECK(call(1) == 2);
    });
    CHECK(said.empty());
    said = stderr_of([&] { CHECK(call(3) == 3); });  // 2 goes
    CHECK(said.find("test_specialisations.cpp:") != std::string::npos);
    CHECK(said.find("'function' has met more than 2 sets of shapes") != std::string::npos);
    CHECK(said.find("x.shape(0) (3 values from 1 to 3)") != std::string::npos);
    said = stderr_of([&] {
        CHECK(call(1) == 3);
        CHECK(call(2) == 4);  // anew; 3 goes
        CHECK(call(1) == 4);
        CHECK(call(3) == 5);
    });
    CHECK(said.empty());  // once is enough
    CHECK(f.stats().live_specialisations == 2);
    CHECK(f.memory().size() == 2);
    f.report("/dev/null");
}

TEST_CASE("specialisations: the warning names sizes and scalars that vary, and no others") {
    const auto x = matrix<float>("x"), fixed = matrix<float>("fixed");
    const auto n = scalar<std::int64_t>("n");
    const Function f = function({.inputs = {x, fixed, n},
                                 .outputs = {sum(x) + sum(fixed) + sum(arange(n))},
                                 .name = "varied",
                                 .mode = Mode::interpret,
                                 .max_specialisations = 3});
    const std::string said = stderr_of([&] {
        for (std::int64_t k = 0; k < 5; ++k)
            f(ones<float>({7, 4 + k}), ones<float>({2, 2}), Array(10 + k % 2));
    });
    CHECK(said.find("'varied'") != std::string::npos);
    CHECK(said.find("What varies: x.shape(1) (4 values from 4 to 7), the value of n (2 values from "
                    "10 to 11).") != std::string::npos);
    CHECK(said.find("warning", said.find("warning") + 1) == std::string::npos);
}

TEST_CASE("specialisations: the limit is an option, 64 if not said") {
    CHECK(Options().max_specialisations == 64);
    const auto x = vector<float>("x");
    const auto live = [&](const FunctionOptions& options, int calls) {
        const Function f = function(options);
        stderr_of([&] {
            for (int n = 1; n <= calls; ++n) f(counting(n));
        });
        CHECK(f.stats().specialisations == calls);
        return f.stats().live_specialisations;
    };
    FunctionOptions options{.inputs = {x}, .outputs = {sum(x)}, .mode = Mode::interpret};
    CHECK(live(options, 80) == 64);
    options.max_specialisations = 0;  // none
    CHECK(live(options, 80) == 80);
    options.max_specialisations = 1;
    CHECK(live(options, 5) == 1);
    options.max_specialisations.reset();
    options.options = Options();
    options.options->max_specialisations = 7;
    CHECK(live(options, 10) == 7);
    ::setenv("ARETE_MAX_SPECIALISATIONS", "5", 1);
    options.options.reset();
    CHECK(live(options, 10) == 5);
    ::setenv("ARETE_MAX_SPECIALISATIONS", "-1", 1);
    CHECK_THROWS_AS(function(options), ArgumentError);
    ::unsetenv("ARETE_MAX_SPECIALISATIONS");
}

TEST_CASE("specialisations: memory comes back, of 10,000 shapes as of 500") {
    const auto x = matrix<float>("x");
    Options options = Options::from_environment();
    options.cache_dir.clear();
    const auto growth = [&](Mode mode, int calls, int first) {
        // Intermediate values of a megabyte: what is kept by mistake shows.
        const Function f = function({.inputs = {x},
                                     .outputs = {sum(dot(x, x.T()))},
                                     .mode = mode,
                                     .options = options,
                                     .max_specialisations = 4});
        std::int64_t before = 0;
        stderr_of([&] {
            for (int k = 0; k < calls; ++k) {
                if (k == first) before = resident();
                f(zeros<float>({mode == Mode::interpret ? 1 + k % 3 : 500, 1 + k}));
            }
        });
        CHECK(f.stats().specialisations == calls);
        CHECK(f.stats().live_specialisations == 4);
        return resident() - before;
    };
#if defined(__SANITIZE_ADDRESS__)
    return;  // keeps what is freed for a while
#endif
    CHECK(growth(Mode::interpret, 10000, 1000) < (std::int64_t{60} << 20));
    CHECK(growth(Mode::fast_compile, 300, 50) < (std::int64_t{120} << 20));
}

TEST_CASE("specialisations: calls from several threads while others are dropped") {
    const auto x = vector<float>("x");
    const auto calls = shared(Array(std::int64_t{0}), "calls");
    const Function f = function({.inputs = {x},
                                 .outputs = {sum(x * 2), x + 1},
                                 .updates = {{calls, calls + 1}},
                                 .max_specialisations = 2});
    std::atomic<int> wrong{0};
    stderr_of([&] {
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (int k = 0; k < 12; ++k) {
                    const std::int64_t n = 1 + (k * 5 + t * 3) % 7;
                    const auto out = f(counting(n));
                    if (out[0].as_double() != static_cast<double>(n * (n - 1))) ++wrong;
                    if (out[1].as_double(n - 1) != static_cast<double>(n)) ++wrong;
                    (void)f.stats();
                    (void)f.memory();
                }
            });
        for (std::thread& t : threads) t.join();
    });
    CHECK(wrong == 0);
    CHECK(calls.get_value().as_int() == 48);
    CHECK(f.stats().live_specialisations == 2);
}
