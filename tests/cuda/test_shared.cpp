// Shared variables on several devices, and many steps at once.
#include <thread>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "runtime/device.h"
#include "runtime/shared_value.h"
#include "tests/cuda/mocked.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;

namespace {

const std::string host = device_names().front();

SharedValue& value(const Shared& s) {
    return shared_value(s.node());
}

}  // namespace

TEST_CASE("shared variables: functions of several devices take turns over one value") {
    const Mocked mock(true);
    const Shared s = shared(Array(std::vector<float>{1, 2, 3}), "s"),
                 k = shared(Array(std::vector<float>{10, 20, 30}), "k");
    std::vector<Function> add;
    for (const std::string& device : {host, std::string("emulator"), std::string("cuda"),
                                      std::string("cuda:1"), std::string("interpreter")})
        add.push_back(function(
            {.outputs = {s * 2}, .updates = {{s, s + k}}, .name = "add", .device = device}));
    float expected = 1;
    for (const int which : {0, 1, 1, 0, 2, 3, 2, 4, 1, 2, 0, 3, 3, 4, 2}) {
        CAPTURE(which);
        CHECK(add[static_cast<std::size_t>(which)]()[0].data<float>()[0] == 2 * expected);
        expected += 10;
        // Where it was written it is up to date, and nowhere else.
        const bool on_host = which == 0 || which == 4;
        CHECK(value(s).host_is_valid() == on_host);
        CHECK(value(s).device_is_valid() == !on_host);
        CHECK(value(k).host_is_valid());
        CHECK(value(k).host_memory(false) != nullptr);  // k is read only: all copies stay good
    }
    CHECK(s.get_value().data<float>()[2] == 3 + 15 * 30);
    CHECK(value(s).device_is_valid());
    CHECK(value(s).host_is_valid());
}

TEST_CASE("shared variables: values that are set reach the device, and memory that is borrowed") {
    const Shared s = shared(Array(std::vector<float>{1, 2, 3}), "s");
    const Function f =
        function({.outputs = {s * 1}, .updates = {{s, s * 2}}, .device = "emulator"});
    const auto first = [](const Array& a) { return a.data<float>()[0]; };
    CHECK(first(f()[0]) == 1);
    const void* memory = value(s).device_value()->memory();
    s.set_value(Array(std::vector<float>{5, 6, 7}));
    CHECK(!value(s).device_is_valid());
    CHECK(first(f()[0]) == 5);
    CHECK(value(s).device_value()->memory() == memory);
    // What a call has left on the device is what is got, copied or borrowed.
    const Array copy = s.get_value();
    CHECK(first(copy) == 10);
    Array own = s.get_value(true);
    CHECK(first(own) == 10);
    own.data<float>()[0] = 100;  // the variable's memory: the next call sees it
    CHECK(first(copy) == 10);
    CHECK(first(f()[0]) == 100);
    CHECK(first(s.get_value()) == 200);
    Array mine(std::vector<float>{7, 8, 9});
    s.set_value(mine, true);
    mine.data<float>()[0] = 8;
    CHECK(first(f()[0]) == 8);
    // The device's own memory, for who has kernels of their own.
    const DeviceArray lent = s.borrow_device();
    CHECK(lent.device == "emulator");
    CHECK(lent.dtype == DType::F32);
    CHECK(lent.sizes == Sizes{3});
    CHECK(static_cast<float*>(lent.memory.get())[0] == 16);
    static_cast<float*>(lent.memory.get())[0] = 50;  // of the emulator it is the host's
    s.device_written();
    CHECK(first(s.get_value()) == 50);
    CHECK(first(f()[0]) == 50);
    // It stays when the variable moves on; a variable that is on no device has none.
    const Shared t = shared(Array(1.0f), "t");
    CHECK(message_of([&] { (void)t.borrow_device(); }).find("'t' is on no device") !=
          std::string::npos);
    CHECK(message_of([&] { t.device_written(); }).find("'t' is on no device") != std::string::npos);
}

TEST_CASE("shared variables: the same one twice, empty ones, and those of every dtype") {
    const Shared a = shared(Array(std::vector<std::int64_t>{1, -2}), "a"),
                 b = shared(Array(std::vector<std::uint8_t>{3, 255}), "b"),
                 empty = shared(zeros<float>({0, 4}), "empty"),
                 big = shared(zeros<double>({3, 1000}), "big");
    for (const std::string& device : {host, std::string("emulator")}) {
        const Function f = function(
            {.outputs = {a + a, sum(empty), b},
             .updates = {{a, a + a}, {empty, empty * 2}, {big, big + cast(a(0), DType::F64)}},
             .device = device});
        const std::vector<Array> out = f();
        CHECK(out[0].data<std::int64_t>()[0] == 2 * (device == host ? 1 : 2));
        CHECK(out[1].item<float>() == 0);
        CHECK(out[2].data<std::uint8_t>()[1] == 255);
    }
    CHECK(a.get_value().data<std::int64_t>()[1] == -8);
    CHECK(big.get_value().data<double>()[2999] == 3);
}

TEST_CASE("shared variables: draws of a stream continue from device to device") {
    const auto draws = [](const std::vector<std::string>& devices) {
        RandomStream random(7);
        const Expr u = random.uniform({5});
        std::vector<Array> out;
        std::vector<Function> f;
        for (const std::string& d : devices) f.push_back(function({.outputs = {u}, .device = d}));
        for (const Function& g : f) out.push_back(g()[0]);
        return out;
    };
    const auto expected = draws({host, host, host, host}),
               got = draws({"emulator", host, "emulator", "interpreter"});
    for (std::size_t i = 0; i < 4; ++i) CHECK(got[i].equals(expected[i]));
}

TEST_CASE("shared variables: calls on several threads, on two devices") {
    const Shared s = shared(Array(std::int64_t{0}), "s");
    std::vector<Function> f;
    for (const std::string& d : {host, std::string("emulator")})
        f.push_back(function({.outputs = {s}, .updates = {{s, s + 1}}, .device = d}));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int k = 0; k < 25; ++k) (void)f[static_cast<std::size_t>(t % 2)]();
        });
    for (std::thread& t : threads) t.join();
    CHECK(s.get_value().item<std::int64_t>() == 100);
}

namespace {

struct Steps {
    Shared data = shared(Generator(1).uniform({60, 4}, -1, 1), "data"),
           w = shared(Generator(2).uniform({4}, -1, 1), "w");
    Expr i;
    Function step;
    explicit Steps(const std::string& device, DType dtype = DType::I64, Mode mode = Mode::fast_run)
        : i(tensor(dtype, 0, "i", {})) {
        const Expr k = cast(i, DType::I64);
        const Expr y = dot(data(slice(i * 10, (i + 1) * 10)), w);
        const Expr cost = mean(sqr(y));
        step = function({.inputs = {i},
                         .outputs = {cost, y, k},
                         .updates = {{w, w - 0.1f * grad(cost, w)}},
                         .name = "step",
                         .mode = mode,
                         .device = device});
    }
};

}  // namespace

TEST_CASE("run_many: as many calls, on every device and in every mode") {
    const Mocked mock(true);
    const Steps expected(host);
    std::vector<std::vector<Array>> single;
    for (std::int64_t k = 1; k < 6; ++k) single.push_back(expected.step(k));
    const Array w = expected.w.get_value();
    struct Way {
        std::string device;
        DType dtype = DType::I64;
        Mode mode = Mode::fast_run;
    };
    for (const Way& way :
         {Way{host}, Way{"interpreter"}, Way{"emulator"}, Way{"cuda"}, Way{"emulator", DType::I32},
          Way{"cuda", DType::I32}, Way{host, DType::I32}, Way{"emulator", DType::I64, Mode::debug},
          Way{host, DType::I64, Mode::nan_guard}, Way{host, DType::I64, Mode::interpret}}) {
        CAPTURE(way.device);
        CAPTURE(static_cast<int>(way.mode));
        const Steps many(way.device, way.dtype, way.mode);
        // In two parts, the second one longer: 1, 2, then 3, 4, 5.
        const auto first = many.step.run_many(1, 2), rest = many.step.run_many(3, 3);
        REQUIRE(first.size() == 3);
        CHECK(first[0].shape() == Sizes{2});
        CHECK(first[1].shape() == Sizes{2, 10});
        for (std::size_t k = 0; k < 5; ++k)
            for (std::size_t o = 0; o < 3; ++o) {
                const Array& stack = k < 2 ? first[o] : rest[o];
                const std::size_t row = k < 2 ? k : k - 2;
                const Array& one = single[k][o];
                for (std::int64_t e = 0; e < one.size(); ++e)
                    CHECK(stack.as_double(static_cast<std::int64_t>(row) * one.size() + e) ==
                          doctest::Approx(one.as_double(e)).epsilon(1e-5));
            }
        CHECK(difference(many.w.get_value(), w) < 1e-5);
        CHECK(many.step.run_many(0, 0)[1].shape() == Sizes{0, 10});
        CHECK(difference(many.w.get_value(), w) < 1e-5);
        // Calls one by one still work, and see what was left.
        (void)many.step.run_many(0, 1);
        const double after =
            many.step(way.dtype == DType::I32 ? Array(std::int32_t{1}) : Array(std::int64_t{1}))[0]
                .as_double();
        CHECK(after == after);
    }
}

TEST_CASE("run_many: nothing is waited for or copied between steps") {
    const Mocked mock(true);
    const Steps many("cuda");
    (void)many.step.run_many(0, 2);
    const long waits = mock->waits, copies = mock->copies_in, launches = mock->graph_launches;
    (void)many.step.run_many(0, 6);
    CHECK(mock->graph_launches == launches + 6);
    CHECK(mock->copies_in <= copies + 1);  // the first index
    const long few = mock->waits - waits;
    const long before = mock->waits;
    (void)many.step.run_many(0, 5);
    CHECK(mock->waits - before == few);
    CHECK(few <= 6);
}

TEST_CASE("run_many: a step that fails is the last one") {
    const Mocked mock(true);
    for (const std::string& device : {host, std::string("emulator"), std::string("cuda")}) {
        CAPTURE(device);
        const Steps one(host), many(device);
        for (std::int64_t k = 3; k < 6; ++k) (void)one.step(k);
        const std::string expected = message_of([&] { (void)one.step(std::int64_t{6}); });
        CHECK(message_of([&] { (void)many.step.run_many(3, 7); }) == expected);
        CHECK(difference(many.w.get_value(), one.w.get_value()) < 1e-6);
        CHECK_NOTHROW((void)many.step.run_many(0, 6));
        CHECK_THROWS_AS((void)many.step.run_many(-1, 1), RangeError);
    }
}

TEST_CASE("run_many: functions that have no such argument, and numbers that it does not hold") {
    const auto said = [](const Function& f, std::int64_t first, std::int64_t count) {
        return message_of([&] { (void)f.run_many(first, count); });
    };
    const auto has = [](const std::string& text, const std::string& part) {
        CAPTURE(text);
        CHECK(text.find(part) != std::string::npos);
    };
    const Expr i = scalar<std::int64_t>("i"), x = scalar<float>("x"),
               v = vector<std::int64_t>("v", {2}), j = scalar<std::int32_t>("j"),
               n = scalar<std::int64_t>("n");
    const std::string needs = "must have one argument, an integer scalar; it has ";
    has(said(function({.outputs = {Expr(shared(Array(1.0f))) + 1}}), 0, 1), needs + "none");
    has(said(function({.inputs = {x}, .outputs = {x + 1}}), 0, 1), needs + "f32[]");
    has(said(function({.inputs = {v}, .outputs = {v + 1}}), 0, 1), needs + "i64[2]");
    has(said(function({.inputs = {i, j}, .outputs = {i + j}}), 0, 1), needs + "i64[], i32[]");
    has(said(function({.inputs = {n}, .outputs = {arange(n)}}), 0, 1), "sets sizes");
    const Function f = function({.inputs = {j}, .outputs = {j + 1}});
    has(said(f, 0, -1), "-1 runs");
    has(said(f, std::int64_t{1} << 31, 1), "leave the range of its argument 'j', which is i32[]");
    has(said(f, (std::int64_t{1} << 31) - 2, 3), "leave the range");
    CHECK(f.run_many((std::int64_t{1} << 31) - 3, 3)[0].shape() == Sizes{3});
    const Function g = function({.inputs = {i}, .outputs = {i}});
    has(said(g, std::numeric_limits<std::int64_t>::max(), 2), "leave the range");
    CHECK(g.run_many(std::numeric_limits<std::int64_t>::max() - 1, 2)[0].as_int(1) ==
          std::numeric_limits<std::int64_t>::max());
    has(message_of([] { (void)Function().run_many(0, 1); }), "run_many of an empty Function");
}
