#include <doctest/doctest.h>

#include "tests/support.h"

using namespace arete;
using test::message_of;

namespace {

// A row with a wrong gradient: what verify_grad is there to find.
constinit const OpDef wrong_square{
    .info = {.name = "wrong_square"},
    .doc = "x * x, whose pullback forgets the 2",
    .infer = infer_elementwise_float,
    .scalar = [](const ScalarArgs& x) { return x[0] * x[0]; },
    .pullback = [](const PullbackArgs& a) -> std::vector<Expr> { return {a.g[0] * a.x[0]}; }};

Array points(Sizes sizes) {
    return Generator(3).uniform(std::move(sizes), 0.2, 1.2);
}

}  // namespace

TEST_CASE("verify_grad accepts right gradients") {
    CHECK(verify_grad([](const std::vector<Expr>& x) { return tanh(dot(x[0], x[1])) + x[2]; },
                      {points({3, 4}), points({4, 5}), points({5})}) < 1e-6);
    CHECK(verify_grad(
              [](const std::vector<Expr>& x) {
                  return pool2d(conv2d(x[0], x[1]), {2, 2});
              },
              {points({2, 2, 7, 7}), points({3, 2, 2, 2})}) < 1e-6);
    // A value that an input does not reach has slope 0.
    CHECK(verify_grad([](const std::vector<Expr>& x) { return exp(x[0]); },
                      {points({3}), points({2})}) < 1e-6);
}

TEST_CASE("verify_grad finds a wrong gradient and says where") {
    std::string m = message_of([] {
        verify_grad([](const std::vector<Expr>& x) { return apply(wrong_square, {x[0]}, {}, {}); },
                    {points({2})});
    });
    CHECK(m.find("test_verify_grad.cpp:") == 0);
    CHECK(m.find("verify_grad: element 0 of input 1: the gradient is") != std::string::npos);
    CHECK(message_of([] {
              verify_grad([](const std::vector<Expr>& x) { return x[0]; },
                          {Array(std::vector<std::int32_t>{1, 2})});
          }).find("point 1 is i32[2], not a float") != std::string::npos);
}
