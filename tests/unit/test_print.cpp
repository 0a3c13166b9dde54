// pp, debugprint and to_dot against what was written by hand.
#include <algorithm>
#include <string>
#include <vector>

#include <arete/arete.h>
#include <doctest/doctest.h>

using namespace arete;

TEST_CASE("pp: operators, with the parentheses that are needed and no others") {
    const auto a = scalar<float>("a"), b = scalar<float>("b"), c = scalar<float>("c");
    const std::pair<Expr, const char*> cases[] = {
        {a + b + c, "a + b + c"},
        {a + (b + c), "a + (b + c)"},
        {a - (b - c), "a - (b - c)"},
        {a - b - c, "a - b - c"},
        {a - (b + c), "a - (b + c)"},
        {a * b + c, "a * b + c"},
        {a * (b + c), "a * (b + c)"},
        {(a + b) * c, "(a + b) * c"},
        {a / (b * c), "a / (b * c)"},
        {a / b * c, "a / b * c"},
        {a * (b / c), "a * (b / c)"},
        {-a * b, "-a * b"},
        {-(a * b), "-(a * b)"},
        {-(a + b), "-(a + b)"},
        {-(-a), "-(-a)"},
        {a - -b, "a - -b"},
        {a * -2, "a * -2"},
        {0.1f * a - 1, "0.1 * a - 1"},
        {pow(a + b, 2), "pow(a + b, 2)"},
        {sqr(a) * exp(-b), "sqr(a) * exp(-b)"},
        {maximum(a, b + 1), "maximum(a, b + 1)"},
        {a < b && b < c, "a < b && b < c"},
        {(a < b || b < c) && eq(a, c), "(a < b || b < c) && a == c"},
        {a + 1 < b * 2, "a + 1 < b * 2"},
        {eq(a < b, b < c), "a < b == b < c"},
        {!(a < b), "!(a < b)"},
        {neq(a, b), "a != b"},
        {where(a < b, a, b * 2), "where(a < b, a, b * 2)"},
        {cast(a + b, DType::F64), "cast(a + b, f64)"},
    };
    for (const auto& [e, text] : cases) CHECK(pp(e) == text);
}

TEST_CASE("pp: tensors in NumPy's notation") {
    const auto x = matrix<float>("x", {6, 5}), w = matrix<float>("w", {5, 3});
    const auto b = vector<float>("b", {3});
    const auto i = scalar<std::int64_t>("i");
    const auto k = vector<std::int64_t>("k", {4});
    const std::pair<Expr, const char*> cases[] = {
        {softmax(dot(x, w) + b), "softmax(dot(x, w) + b)"},
        {(x + 1).T(), "(x + 1).T"},
        {dot(x.T(), x), "dot(x.T, x)"},
        {sum(x), "sum(x)"},
        {sum(x, 1), "sum(x, axis=1)"},
        {max(x, {0, 1}, true), "max(x, keepdims=true)"},
        {argmax(x, 1), "argmax(x, axis=1)"},
        {softmax(x.T(), 0), "softmax(x.T, axis=0)"},
        {reshape(x, {5, 6}), "reshape(x, [5,6])"},
        {dimshuffle(b, {'x', 0}), "dimshuffle(b, {'x', 0})"},
        {x(slice(2, 5)), "x[2:5]"},
        {x(all, slice(1, none, 2)), "x[:, 1::2]"},
        {(x * 2)(slice(none, 3)), "(x * 2)[:3]"},
        {x(slice(none, none, -1)), "x[5::-1]"},
        {x(slice(i * 2, (i + 1) * 2)), "x[i * 2:i * 2 + 2]"},
        {x(k), "x[k]"},
        {x(all, k), "x[:, k]"},
        {x(arange(4), k), "x[arange(4), k]"},
        {arange(3, 9, 2), "arange(3, 9, 2)"},
        {matrix<float>("y").shape(0) + 1, "y.shape(0) + 1"},
        {pool2d(reshape(x, {1, 1, 6, 5}), {2, 2}), "pool2d(reshape(x, [1,1,6,5]), pool=[2,2])"},
        {b + Array(std::vector<float>{1, 2, 3.5f}), "b + [1, 2, 3.5]"},
        {x + zeros<float>({6, 5}), "x + <f32[6,5]>"},
        {vector<float>("", {3}) * 2, "<f32[3]> * 2"},
    };
    for (const auto& [e, text] : cases) CHECK(pp(e) == text);
    // A gradient is an expression like any other.
    const auto v = vector<float>("v", {3});
    CHECK(pp(grad(sum(sqr(v)), v)) == "broadcast_to(reshape(1, [1]), [3]) * (2 * v)");
}

TEST_CASE("pp: what repeats many times gets a name; depth does not matter") {
    const auto x = scalar<float>("x");
    Expr e = x;
    for (int k = 0; k < 60; ++k) e = exp(e) * exp(e);  // 2^60 leaves when written out
    const std::string text = pp(e);
    CHECK(text.size() < 4000);
    CHECK(text.find(" where $1 = ") != std::string::npos);
    // Few repetitions are written out.
    const Expr h = exp(x + 1);
    CHECK(pp(h * h) == "exp(x + 1) * exp(x + 1)");
    Expr chain = x;
    for (int k = 0; k < 50000; ++k) chain = sqr(chain);
    CHECK(pp(chain).find("sqr(sqr(sqr(") == 0);
}

TEST_CASE("debugprint: a tree with ids, attributes, types and lines") {
    const int line = __LINE__ + 1;
    const auto x = matrix<float>("x", {4, 8});
    const auto w = shared(zeros<float>({8, 16}), "w");
    const auto h = relu(dot(x, w));
    const Expr y = sum(h * h, 1) + 2;
    const std::string at = "  # test_print.cpp:";
    const auto expected = [&](bool lines) {
        const std::pair<std::string, int> rows[] = {
            {"add [id A] f32[4]", 3},
            {" |sum{axes=[1], keepdims=false} [id B] f32[4]", 3},
            {" | |mul [id C] f32[4,16]", 3},
            {" | | |relu [id D] f32[4,16]", 2},
            {" | | | |dot [id E] f32[4,16]", 2},
            {" | | | | |x [id F] f32[4,8]", 0},
            {" | | | | |w [id G] f32[8,16] shared", 1},
            {" | | |relu [id D] f32[4,16] ...", -1},
            {" |constant{2} [id H] f32[]", 3},
        };
        std::string text;
        for (const auto& [row, offset] : rows) {
            text += row;
            if (lines && offset >= 0)
                text += std::string(45 - row.size(), ' ') + at + std::to_string(line + offset);
            text += "\n";
        }
        return text;
    };
    CHECK(debugprint(y) == expected(true));
    CHECK(debugprint(y, {.lines = false}) == expected(false));
    // Ids are given as values are met.
    CHECK(debugprint(y, {.depth = 1, .lines = false}) ==
          "add [id A] f32[4]\n"
          " |sum{axes=[1], keepdims=false} [id B] f32[4] ...\n"
          " |constant{2} [id C] f32[]\n");
    // Several expressions share ids.
    CHECK(debugprint({h, x}, {.lines = false}) ==
          "relu [id A] f32[4,16]\n"
          " |dot [id B] f32[4,16]\n"
          " | |x [id C] f32[4,8]\n"
          " | |w [id D] f32[8,16] shared\n"
          "x [id C] f32[4,8]\n");
}

TEST_CASE("debugprint: shared parts are printed once, and more than 26 have ids") {
    const auto x = vector<float>("x", {3});
    Expr e = x;
    for (int k = 0; k < 60; ++k) e = e * e;
    const std::string text = debugprint(e, {.lines = false});
    CHECK(std::count(text.begin(), text.end(), '\n') == 121);
    CHECK(text.find("[id Z]") != std::string::npos);
    CHECK(text.find("[id AA]") != std::string::npos);
    CHECK(text.find("x [id BI] f32[3]") != std::string::npos);  // the 61st
}

TEST_CASE("to_dot: nodes with types, and an edge an operand") {
    const auto x = vector<float>("x", {3});
    const std::string box = "[shape=box, fontname=monospace, label=";
    CHECK(to_dot(exp(x) * x) ==
          "digraph G {\n"
          "0" +
              box + "\"%0 input x\nf32[3]\"];\n" + "1" + box + "\"%1 exp\nf32[3]\"];\n" + "2" +
              box + "\"%2 mul\nf32[3]\"];\n" + "0->1 ;\n0->2 ;\n1->2 ;\n}\n");
}

TEST_CASE("pp: names for values, and pairs that share parts") {
    const auto x = matrix<float>("x", {4, 3}), w = matrix<float>("w", {3, 5});
    const Expr h = dot(x, w), y = relu(h) * 2;
    CHECK(pp(y, {.names = {{h, "h"}}}) == "relu(h) * 2");
    CHECK(pp(y, {.names = {{y, "y"}}}) == "y");
    const auto i = scalar<std::int64_t>("i");
    CHECK(pp(x(i)) == "reshape(x[i:i + 1], [3])");
    CHECK(pp(x(i), {.checks = true, .names = {}}).find("check_") != std::string::npos);
    const PrettyPair pair = pp_pair(log(softmax(h + 1)), log_softmax(h + 1));
    CHECK(pair.first == "log(softmax(dot(x, w) + 1))");  // h + 1 was built twice: only h is common
    const Expr z = h + 1;
    const PrettyPair same_part = pp_pair(log(softmax(z)), log_softmax(z) * x(0, 0));
    CHECK(same_part.first == "log(softmax(a))");
    CHECK(same_part.second == "log_softmax(a) * reshape(x[:1, :1], [])");
    CHECK(same_part.where == std::vector<std::string>{"a = dot(x, w) + 1"});
    const PrettyPair gone = pp_pair(z + 0, z);
    CHECK(gone.first == "a + 0");
    CHECK(gone.second == "a");
    // Long ones are cut two levels below.
    Expr deep = x;
    for (int k = 0; k < 40; ++k) deep = sqr(deep) + 1;
    const PrettyPair cut = pp_pair(matrix<float>("y") + exp(deep), x);
    CHECK(cut.first == "y + exp(a)");
    REQUIRE(cut.where.size() == 1);
    CHECK(cut.where[0].find("a = sqr(") == 0);
}
