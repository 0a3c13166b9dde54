#include "tests/bench/shapes.h"

namespace arete {

double flops(const ProductShape& p) {
    return 2.0 * static_cast<double>(p.m * p.k * p.n);
}

double flops(const ConvShape& c) {
    return 2.0 * static_cast<double>(c.n * c.co * c.out() * c.out() * c.ci * c.filter * c.filter);
}

GemmView gemm_view(const ProductShape& p) {
    switch (p.product) {
        case Product::NN: return {p.m, p.n, p.k, false, false, false};
        case Product::NT: return {p.m, p.k, p.n, false, true, false};
        case Product::TN: return {p.k, p.n, p.m, true, false, false};
        case Product::Update: return {p.k, p.n, p.m, true, false, true};
    }
    return {};
}

std::vector<std::pair<std::string, ProductShape>> all_products() {
    std::vector<std::pair<std::string, ProductShape>> all;
    const auto add = [&](const std::string& group, Product p, std::int64_t m, std::int64_t k,
                         std::int64_t n) {
        static constexpr const char* names[] = {"NN", "NT", "TN", "update"};
        all.emplace_back(group + names[static_cast<int>(p)] + "/" + std::to_string(m) + "x" +
                             std::to_string(k) + "x" + std::to_string(n),
                         ProductShape{p, m, k, n});
    };
    const Product gradients[] = {Product::NN, Product::NT, Product::TN};
    const Product every[] = {Product::NN, Product::NT, Product::TN, Product::Update};
    const std::int64_t layers[][2] = {{640, 1000},  {1000, 1000}, {784, 100},   {640, 100},
                                      {1000, 10},   {784, 2500},  {2500, 2000}, {2000, 1500},
                                      {1500, 1000}, {1000, 500},  {500, 10}};
    for (const std::int64_t batch : {10, 256})
        for (const Product p : every)
            for (const auto& [k, n] : layers) add("", p, batch, k, n);
    // A weight that no cache holds.
    for (const Product p : every) add("", p, 10, 5000, 4000);
    for (const Product p : gradients)
        for (const std::int64_t side : {256, 512, 1024}) add("", p, side, side, side);
    // Sizes that fit no vector and no tile, one axis after another and all together.
    for (const std::int64_t s : {1,  2,  3,  5,  7,  8,  13, 15, 16, 17,  23,  31,  32, 33,
                                 47, 48, 49, 63, 64, 65, 79, 96, 97, 113, 127, 128, 130})
        for (const Product p : gradients) {
            add("odd/all/", p, s, s, s);
            add("odd/m/", p, s, 128, 128);
            add("odd/k/", p, 128, s, 128);
            add("odd/n/", p, 128, 128, s);
        }
    return all;
}

std::vector<std::pair<std::string, ConvShape>> all_convolutions() {
    const std::pair<const char*, ConvShape> layers[] = {{"conv1", {0, 1, 28, 20, 5}},
                                                        {"conv2", {0, 20, 12, 40, 5}},
                                                        {"conv_odd", {0, 7, 15, 11, 3}}};
    std::vector<std::pair<std::string, ConvShape>> all;
    for (const auto& [name, layer] : layers)
        for (const std::int64_t batch : {10, 256}) {
            all.emplace_back(name, layer);
            all.back().second.n = batch;
        }
    return all;
}

std::string convolution_name(const std::string& layer, const std::string& what,
                             const ConvShape& c) {
    return layer + "/" + what + "/" + std::to_string(c.n);
}

}  // namespace arete
