// as printed
#include <cmath>
#include <cstdint>

#include <arete/arete.h>
#include <fmt/format.h>

int main() {
    using namespace arete;
    const Expr x0 = tensor(DType::F32, 2, "x0", {2, -1});
    const Expr x1 = tensor(DType::I64, 0, "x1", {});
    const Expr e1 = softmax(x0, 1);  // f32[2,x.shape(1)]
    const Expr e2 = dimshuffle(x0, std::vector<DimItem>{1, 0});  // f32[x.shape(1),2]
    const Expr e3 = dimshuffle(e2, std::vector<DimItem>{1, 0});  // f32[2,x.shape(1)]
    const Expr e4 = constant(Array(float(2.f)));  // f32[]
    const Expr e5 = e3 * e4;  // f32[2,x.shape(1)]
    const Expr e6 = concatenate({e5, x0}, 0);  // f32[4,x.shape(1)]
    const Expr e7 = apply(*find_op("check_index"), {x1}, {{"size", Dim(4)}}, {});  // i64[]
    const Expr e8 = constant(Array(std::int64_t(0)));  // i64[]
    const Expr e9 = apply(*find_op("dynamic_slice"), {e6, e7, e8}, {{"steps", Ints{1, 1}}, {"sizes", Shape{1, Dim(x0.shape()[1])}}}, {});  // f32[1,x.shape(1)]
    const Expr e10 = reshape(e9, Shape{Dim(x0.shape()[1])});  // f32[x.shape(1)]
    const Expr e11 = e1 + e10;  // f32[2,x.shape(1)]
    const Expr e12 = cast(e11, DType::U8);  // u8[2,x.shape(1)]
    const Expr e13 = constant(Array(float(0.25f)));  // f32[]
    const Expr e14 = e13 < e11;  // bool[2,x.shape(1)]
    const Expr e15 = constant(Array(float(0.f)));  // f32[]
    const Expr e16 = where(e14, e11, e15);  // f32[2,x.shape(1)]
    const Expr e17 = sum(e16, Axes(Ints{1}), true);  // f32[2,1]
    const Expr s0 = shared(full<double>({3}, 0.5), "s0");
    const Expr e18 = constant(Array(std::vector<double>{1, 2, 0.10000000000000001}, {3}));  // f64[3]
    const Expr e19 = s0 * e18;  // f64[3]
    Options options = Options::from_environment();
    options.num_threads = 2;
    const Function f = function({.inputs = {x0, x1},
                                 .outputs = {e12, e17},
                                 .updates = {{s0, e19}},
                                 .on_unused_input = OnUnusedInput::ignore,
                                 .mode = Mode::fast_compile,
                                 .options = options});
    const std::vector<Array> arguments{Array(std::vector<float>{1.f, -0.f, INFINITY, NAN, 1.40129846e-45f, 0.100000001f}, {2, 3}), Array(std::int64_t(-2))};
    for (const Array& a : f.call(arguments)) fmt::print("{}\n", a.str());
    fmt::print("{}\n", Shared(s0).get_value().str());
}
