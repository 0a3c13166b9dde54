// Operands that an op does not take: each error names the line that the user wrote, the op and what
// it was given.
#include <cstdint>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

namespace {

/// f must throw a GraphError that reads "this file:line: text".
template <class F>
void refuses(int line, F f, const std::string& text) {
    CAPTURE(line);
    try {
        f();
    } catch (const GraphError& e) {
        CHECK(std::string(e.what()) == fmt::format("test_op_errors.cpp:{}: {}", line, text));
        return;
    } catch (const std::exception& e) {
        FAIL_CHECK("not a GraphError but: " << e.what());
        return;
    }
    FAIL_CHECK("no error; expected: " << text);
}

}  // namespace

// Each expression stands on the line of its __LINE__.
// clang-format off

TEST_CASE("op errors: bits are of integers") {
    const auto x = matrix<float>("x", {4, 3});
    const auto i = vector<std::int32_t>("i", {4}), j = vector<std::int32_t>("j", {5});
    refuses(__LINE__, [&] { bitwise_and(x, 1); }, "bitwise_and: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { bitwise_or(i, 0.5); }, "bitwise_or: needs integers: argument 1 is f32[4]");
    refuses(__LINE__, [&] { bitwise_xor(x, x); }, "bitwise_xor: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { bitwise_not(x); }, "bitwise_not: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { left_shift(x, 2); }, "left_shift: needs integers: x is f32[4,3]");
    refuses(__LINE__, [&] { right_shift(i, j); },
            "right_shift: shapes cannot be broadcast together: i is i32[4], j is i32[5]");
    refuses(__LINE__, [&] { bitwise_and(vector<std::uint8_t>("bytes", {4}), 300); },
            "bitwise_and: the literal 300 is out of the range of u8, which it takes beside u8");
}

TEST_CASE("op errors: functions of floats") {
    const auto x = matrix<float>("x", {4, 3}), y = matrix<float>("y", {4, 2});
    const std::string both = "shapes cannot be broadcast together: x is f32[4,3], y is f32[4,2]";
    refuses(__LINE__, [&] { hypot(x, y); }, "hypot: " + both);
    refuses(__LINE__, [&] { atan2(x, y); }, "atan2: " + both);
    refuses(__LINE__, [&] { fmod(x, y); }, "fmod: " + both);
    refuses(__LINE__, [&] { trunc_div(x, y); }, "trunc_div: " + both);
    refuses(__LINE__, [&] { copysign(x, y); }, "copysign: " + both);
    refuses(__LINE__, [&] { clip(x, y, 1); }, "maximum: " + both);
    refuses(__LINE__, [&] { prelu(x, y); }, "mul: " + both);
    refuses(__LINE__, [&] { polygamma(-1, x); }, "polygamma: order -1");
}

TEST_CASE("op errors: what has no slope") {
    const auto x = vector<float>("x", {4});
    const Expr next = nextafter(x, 1);
    const std::string message = [&] {
        try {
            grad(sum(next), x);
        } catch (const GraphError& e) {
            return std::string(e.what());
        }
        return std::string();
    }();
    CHECK(message == fmt::format("test_op_errors.cpp:{}: grad: nextafter has no gradient", __LINE__ - 9));
}
// clang-format on
