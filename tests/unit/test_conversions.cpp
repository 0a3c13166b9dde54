// What C++ makes of operators between expressions and its own types: the op, or nothing. None of
// these may fall back on a conversion to bool.
#include <doctest/doctest.h>

#include <concepts>
#include <type_traits>

#include "tests/support.h"

using namespace arete;

namespace {

template <class A, class B>
concept Logical = requires(const A& a, const B& b) {
    { a&& b } -> std::same_as<Expr>;
    { b&& a } -> std::same_as<Expr>;
    { a || b } -> std::same_as<Expr>;
    { b || a } -> std::same_as<Expr>;
    { !a } -> std::same_as<Expr>;
    { a < b } -> std::same_as<Expr>;
    { a <= b } -> std::same_as<Expr>;
    { b > a } -> std::same_as<Expr>;
    { b >= a } -> std::same_as<Expr>;
    { a + b } -> std::same_as<Expr>;
    { b - a } -> std::same_as<Expr>;
    { a* b } -> std::same_as<Expr>;
    { b / a } -> std::same_as<Expr>;
};
template <class A>
concept Branches = requires(const A& a) {
    a ? 1 : 2;
};
template <class A, class B>
concept Equates = requires(const A& a, const B& b) {
    a == b;
};
template <class A, class B>
concept Differs = requires(const A& a, const B& b) {
    a != b;
};
template <class A, class B>
concept Bitwise = requires(const A& a, const B& b) {
    a& b;
}
|| requires(const A& a, const B& b) {
    a | b;
}
|| requires(const A& a, const B& b) {
    a ^ b;
}
|| requires(const A& a) {
    ~a;
}
|| requires(const A& a, const B& b) {
    a % b;
}
|| requires(const A& a, const B& b) {
    a << b;
};
template <class A, class I>
concept Indexes = requires(const A& a, const I& i) {
    a(i);
};

template <class E>
constexpr bool sound() {
    static_assert(!std::is_convertible_v<E, bool> && !std::is_constructible_v<bool, E>);
    static_assert(!std::is_convertible_v<E, int> && !std::is_constructible_v<int, E>);
    static_assert(!std::is_convertible_v<E, double> && !std::is_constructible_v<double, E>);
    static_assert(!std::is_convertible_v<E, float> && !std::is_convertible_v<E, std::int64_t>);
    static_assert(!std::is_convertible_v<E, const void*>);
    static_assert(!Branches<E>);
    static_assert(Logical<E, bool> && Logical<E, int> && Logical<E, double> && Logical<E, float> &&
                  Logical<E, std::uint8_t> && Logical<E, std::uint64_t> && Logical<E, Array> &&
                  Logical<E, Expr> && Logical<E, E> && Logical<E, Tensor<float, 1>> &&
                  Logical<E, Shared>);
    // No ==: it would have to be a bool, or C++ would swap its operands. neq and eq are functions.
    static_assert(!Equates<E, E> && !Equates<E, Expr> && !Equates<E, int> && !Equates<E, bool> &&
                  !Equates<E, double> && !Differs<E, E> && !Differs<E, Expr> && !Differs<E, int>);
    static_assert(!Equates<E, std::nullptr_t>);
    static_assert(!Bitwise<E, E> && !Bitwise<E, bool> && !Bitwise<E, int>);
    // A truth value is no position, and pointers are no numbers.
    static_assert(Indexes<E, int> && Indexes<E, std::uint8_t> && !Indexes<E, bool> &&
                  !Indexes<E, double>);
    static_assert(!std::is_convertible_v<const char*, Operand> &&
                  !std::is_convertible_v<E*, Operand>);
    return true;
}
static_assert(sound<Expr>());
static_assert(sound<Tensor<float, 1>>());
static_assert(sound<Tensor<bool, 2>>());
static_assert(sound<Shared>());
static_assert(!std::is_convertible_v<Expr, Array> && !std::is_convertible_v<Operand, bool>);
static_assert(!std::is_convertible_v<bool, Bound> && std::is_convertible_v<int, Bound>);

// In lowering rules `a & b` is the instruction; `a && b` would ask whether there are values.
template <class A>
concept ValuesAnd = requires(A a) {
    a&& a;
};
template <class A>
concept ValuesOr = requires(A a) {
    a || a;
};
static_assert(!ValuesAnd<loops::Value> && !ValuesOr<loops::Value>);

}  // namespace

TEST_CASE("masks and C++ truth values") {
    const auto x = vector<float>("x");
    const std::vector<float> values{-1, 0, 2, 3};
    for (const bool flag : {false, true}) {
        const Function f =
            function({.inputs = {x},
                      .outputs = {x > 0 && flag, flag && x > 0, x > 0 || flag, flag || x > 0, !x,
                                  !(x > 0 && flag), x && 2, where(flag, x, 0)}});
        const auto got = f(values);
        for (std::size_t k = 0; k < values.size(); ++k) {
            const bool positive = values[k] > 0;
            CHECK(got[0].data<bool>()[k] == (positive && flag));
            CHECK(got[1].data<bool>()[k] == (positive && flag));
            CHECK(got[2].data<bool>()[k] == (positive || flag));
            CHECK(got[3].data<bool>()[k] == (positive || flag));
            CHECK(got[4].data<bool>()[k] == (values[k] == 0));
            CHECK(got[5].data<bool>()[k] == !(positive && flag));
            CHECK(got[6].data<bool>()[k] == (values[k] != 0));
            CHECK(got[7].data<float>()[k] == (flag ? values[k] : 0));
        }
    }
    // The line is that of the operator.
    const Expr e = x > 0 && true;
    CHECK(e.loc().line == __LINE__ - 1);
}
