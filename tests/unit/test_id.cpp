// Numbers of things of different kinds, and what they index.
#include <type_traits>
#include <unordered_map>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "compiler/core/id.h"

using namespace arete;

namespace {
using Apple = Id<struct AppleTag>;
using Pear = Id<struct PearTag>;
}  // namespace

TEST_CASE("ids: kinds do not mix, and none is no number") {
    CHECK(!std::is_convertible_v<int, Apple>);
    CHECK(!std::is_convertible_v<Apple, int>);
    CHECK(!std::is_convertible_v<Pear, Apple>);
    CHECK(!std::is_constructible_v<Apple, Pear>);
    CHECK(!Apple());
    CHECK(Apple(0));
    CHECK(Apple() == Apple(-1));
    CHECK(Apple() < Apple(0));
    CHECK(Apple(2) < Apple(3));
    CHECK(fmt::format("%{}", Apple(7)) == "%7");
    std::unordered_map<Apple, int> by{{Apple(3), 5}};
    CHECK(by.count(Apple(3)) == 1);
    CHECK(by.count(Apple(4)) == 0);
}

TEST_CASE("ids: vectors and spans") {
    IdVector<Apple, int> v;
    CHECK(v.ids().begin() == v.ids().end());
    CHECK(!v.contains(Apple(0)));
    const Apple a = v.add(10), b = v.add(20);
    CHECK(a == Apple(0));
    CHECK(v[b] == 20);
    v[a] = 11;
    CHECK(v.at(a) == 11);
    CHECK_THROWS_AS(v.at(Apple(2)), std::out_of_range);
    CHECK_THROWS_AS(v.at(Apple()), std::out_of_range);
    CHECK(v.contains(b));
    CHECK(!v.contains(Apple()));
    std::vector<int> seen;
    for (const Apple i : v.ids()) seen.push_back(v[i]);
    CHECK(seen == std::vector<int>{11, 20});
    CHECK(v == IdVector<Apple, int>{11, 20});
    const IdSpan<Apple, const int> span = v;
    CHECK(span.size() == 2);
    CHECK(span[b] == 20);
    CHECK(!span.contains(Apple(2)));
    const IdSpan<Apple, const int> of_vector = seen;
    CHECK(of_vector[a] == 11);
}
