// The products and convolutions that are timed, and their names: one list for Arete's own benchmark
// and for those of the libraries it is compared with.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace arete {

/// A layer of m rows with a weight [k, n]: its output x w (NN), the gradient of its input g w'
/// (NT), of its weight x' g (TN), and the weight's update with that (Update).
enum class Product { NN, NT, TN, Update };

struct ProductShape {
    Product product = Product::NN;
    std::int64_t m = 0, k = 0, n = 0;
};

struct ConvShape {
    std::int64_t n = 0, ci = 0, side = 0, co = 0, filter = 0;
    std::int64_t out() const { return side - filter + 1; }
};

/// Floating-point operations of the product, or of one direction of the convolution.
double flops(const ProductShape& p);
double flops(const ConvShape& c);

/// A product as BLAS sees it: C[m, n] (+)= A[m, k] B[k, n], all rows of C contiguous.
struct GemmView {
    std::int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false;
    bool updates = false;  ///< C is added to, not overwritten
};
GemmView gemm_view(const ProductShape& p);

/// All that are timed, by name: "NN/10x640x1000", "odd/m/NT/17x128x128".
std::vector<std::pair<std::string, ProductShape>> all_products();
/// By layer: "conv1", for batches of 10 and of 256.
std::vector<std::pair<std::string, ConvShape>> all_convolutions();
/// "conv1/by_data/10".
std::string convolution_name(const std::string& layer, const std::string& what, const ConvShape& c);

}  // namespace arete
