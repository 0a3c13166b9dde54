#include "examples/mnist/nets.h"

namespace arete {

namespace {

constexpr std::int64_t kFilterSide = 5, kPool = 2;

// [region table]
// clang-format off
const NetRow kNets[] = {
    // name          filters   hidden        activation          p    eta   lmbda epochs
    {"shallow",       {},       {100},        sigmoid, "sigmoid", 0,   0.1,  0,    60, "97.80 in the chapter"},
    {"basic_conv",    {20},     {100},        sigmoid, "sigmoid", 0,   0.1,  0,    60, "98.78 in the chapter"},
    {"omit_fc",       {20},     {},           sigmoid, "sigmoid", 0,   0.1,  0,    60, "an exercise"},
    {"dbl_conv",      {20, 40}, {100},        sigmoid, "sigmoid", 0,   0.1,  0,    60, "99.06 in the chapter"},
    {"dbl_conv_tanh", {20, 40}, {100},        tanh,    "tanh",    0,   0.1,  0,    60, "an exercise"},
    {"dbl_conv_relu", {20, 40}, {100},        relu,    "relu",    0,   0.03, 0.1,  60, "99.23 in the chapter"},
    {"dropout",       {20, 40}, {1000, 1000}, relu,    "relu",    0.5, 0.03, 0,    40, "99.60 in the chapter, on expanded data"},
    {"ciresan",       {},       {2500, 2000, 1500, 1000, 500},
                                              tanh,    "tanh",    0,   1e-3, 0,    60, "99.65 in the paper, on deformed data and with eta falling to 1e-6"},
};
// clang-format on
// [end]

/// Sides and feature maps before the fully-connected layers.
struct Maps {
    std::int64_t count = 1, side = kSide;
    void pass_layer(std::int64_t filters) {
        count = filters;
        side = (side - kFilterSide + 1) / kPool;
    }
    std::int64_t features() const { return count * side * side; }
};

/// Multiplications of each layer, for one image.
std::vector<double> multiplications(const NetRow& row) {
    std::vector<double> products;
    Maps maps;
    for (std::int64_t filters : row.filters) {
        const std::int64_t out = maps.side - kFilterSide + 1;
        products.push_back(static_cast<double>(filters * maps.count * kFilterSide * kFilterSide *
                                               out * out));
        maps.pass_layer(filters);
    }
    std::int64_t n_in = maps.features();
    for (std::int64_t n_out : row.hidden) {
        products.push_back(static_cast<double>(n_in * n_out));
        n_in = n_out;
    }
    products.push_back(static_cast<double>(n_in * kClasses));
    return products;
}

}  // namespace

std::span<const NetRow> nets() { return kNets; }

const NetRow* find_net(std::string_view name) {
    for (const NetRow& row : kNets)
        if (row.name == name) return &row;
    return nullptr;
}

std::string net_names() {
    std::string names;
    for (const NetRow& row : kNets) {
        if (!names.empty()) names += ", ";
        names += row.name;
    }
    return names;
}

Network build_net(const NetRow& row, std::int64_t mini_batch_size, const NetworkOptions& options) {
    std::vector<AnyLayer> layers;
    Maps maps;
    for (std::int64_t filters : row.filters) {
        layers.push_back(ConvPoolLayer(
            {.image_shape = {mini_batch_size, maps.count, maps.side, maps.side},
             .filter_shape = {filters, maps.count, kFilterSide, kFilterSide},
             .poolsize = {kPool, kPool},
             .activation_fn = row.activation_fn}));
        maps.pass_layer(filters);
    }
    std::int64_t n_in = maps.features();
    for (std::int64_t n_out : row.hidden) {
        layers.push_back(FullyConnectedLayer({.n_in = n_in,
                                              .n_out = n_out,
                                              .activation_fn = row.activation_fn,
                                              .p_dropout = row.p_dropout}));
        n_in = n_out;
    }
    layers.push_back(
        SoftmaxLayer({.n_in = n_in, .n_out = kClasses, .p_dropout = row.p_dropout}));
    return Network(std::move(layers), mini_batch_size, options);
}

std::string describe(const NetRow& row) {
    std::string text;
    for (std::int64_t filters : row.filters)
        text += fmt::format("C{} {}x{} pool {}, ", filters, kFilterSide, kFilterSide, kPool);
    for (std::int64_t n : row.hidden) text += fmt::format("FC{}, ", n);
    text += fmt::format("S{}, {}", kClasses, row.activation);
    if (row.p_dropout != 0) text += fmt::format(", dropout {}", row.p_dropout);
    return text;
}

double flops(const NetRow& row, std::int64_t mini_batch_size, bool training) {
    double total = 0;
    bool first = true;
    for (double layer : multiplications(row)) {
        const int passes = !training ? 1 : first ? 2 : 3;
        total += 2 * layer * passes;
        first = false;
    }
    return total * static_cast<double>(mini_batch_size);
}

}  // namespace arete
