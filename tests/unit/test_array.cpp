// Arrays in host memory.
#include <cmath>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/core/array.h"

using namespace arete;

TEST_CASE("array: making, sharing and copying") {
    const Array a(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
    CHECK(a.dtype() == DType::F32);
    CHECK(a.rank() == 2);
    CHECK(a.size() == 6);
    CHECK(a.bytes() == 24);
    CHECK(a.shape(-1) == 3);
    Array shared = a, copied = a.copy();
    shared.data<float>()[0] = 9;
    CHECK(a.as_double(0) == 9);
    CHECK(copied.as_double(0) == 1);
    CHECK(!a.equals(copied));
    CHECK(a.equals(shared));
    const Array flat = a.reshaped({6});
    CHECK(flat.raw() == a.raw());
    CHECK(!flat.equals(a));
    CHECK(reinterpret_cast<std::uintptr_t>(Array(DType::U8, {3}).raw()) % 64 == 0);
    CHECK(Array().size() == 0);
    CHECK(Array(std::int64_t{5}).item<std::int64_t>() == 5);
    CHECK(full<float>({2}, 1.5f).as_double(1) == 1.5);
    CHECK(zeros(DType::I32, {2, 0}).size() == 0);
    CHECK(ones<bool>({2}).as_int(1) == 1);
    double sum = 0;
    for (const float v : a.values<float>()) sum += v;
    CHECK(sum == 29);
}

TEST_CASE("array: views") {
    int calls = 0;
    std::int32_t memory[] = {1, 2, 3, 4};
    Array view = Array::view(memory, {2, 2});
    view.data<std::int32_t>()[3] = 7;
    CHECK(memory[3] == 7);
    const std::int32_t fixed[] = {5, 6};
    CHECK(Array::view(fixed, {2}).as_int(1) == 6);
    {
        const Array owning(DType::I32, {2}, std::shared_ptr<void>(memory, [&](void*) { ++calls; }));
        const Array second = owning;
    }
    CHECK(calls == 1);
}

TEST_CASE("array: conversions") {
    const Array a(std::vector<double>{-1.7, 0.0, 1.7, 255, std::nan("")});
    CHECK(a.astype(DType::I32).as_int(0) == -1);
    CHECK(a.astype(DType::I64).as_int(2) == 1);
    CHECK(a.astype(DType::U8).as_int(3) == 255);
    CHECK(a.astype(DType::Bool).as_int(0) == 1);
    CHECK(a.astype(DType::Bool).as_int(1) == 0);
    CHECK(a.astype(DType::F32).as_double(0) == static_cast<double>(-1.7f));
    CHECK(std::isnan(a.astype(DType::F32).as_double(4)));
    CHECK(Array(std::vector<std::int64_t>{(std::int64_t{1} << 53) + 1}).as_int() ==
          (std::int64_t{1} << 53) + 1);
}

TEST_CASE("array: text") {
    CHECK(Array(1.5f).str() == "f32[] {1.5}");
    CHECK(Array(std::vector<std::int32_t>{1, -2}).str() == "i32[2] {1, -2}");
    CHECK(type_name(DType::Bool, {3, 4}) == "bool[3,4]");
    CHECK(zeros<float>({1000}).str().size() < 200);
    CHECK(Array(DType::F32, {0}).str().find("f32[0]") == 0);
}

TEST_CASE("array: errors") {
    const Array a(std::vector<float>{1, 2});
    CHECK_THROWS_WITH_AS(a.data<double>(), "Array: f32[2] read as f64", ArgumentError);
    CHECK_THROWS_WITH_AS(a.item<float>(), "Array: f32[2] holds 2 elements, not 1", ArgumentError);
    CHECK_THROWS_WITH_AS(a.reshaped({3}), "Array: cannot reshape f32[2] to f32[3]", ArgumentError);
    CHECK_THROWS_WITH_AS(a.shape(1), "Array: axis 1 of f32[2]", ArgumentError);
    CHECK_THROWS_AS(a.shape(-2), ArgumentError);
    CHECK_THROWS_AS((Array(std::vector<float>{1, 2}, {3})), ArgumentError);
    CHECK_THROWS_AS(Array(DType::F32, {-1}), ArgumentError);
}
