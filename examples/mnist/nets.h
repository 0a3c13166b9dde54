// The chapter's networks as a table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/nn.h"

namespace arete {

/// One network and how the chapter trains it: convolutional layers (5x5 filters, pooled 2x2), then
/// fully-connected ones, then a softmax layer of 10, on images of 28x28.
struct NetRow {
    std::string_view name;
    std::vector<std::int64_t> filters;  ///< of each convolutional layer
    std::vector<std::int64_t> hidden;   ///< neurons of each fully-connected layer
    Activation activation_fn;
    std::string_view activation;
    double p_dropout;  ///< of the fully-connected layers and the softmax layer
    double eta, lmbda;
    int epochs;
    std::string_view note;
};

/// Side of the images and number of classes.
inline constexpr std::int64_t kSide = 28, kClasses = 10;

/// Every network, in the chapter's order.
std::span<const NetRow> nets();
/// The network of that name; null where there is none.
const NetRow* find_net(std::string_view name);
/// "shallow, basic_conv, ...".
std::string net_names();

/// The network with fresh parameters.
Network build_net(const NetRow& row, std::int64_t mini_batch_size, const NetworkOptions& options);
/// "C20 5x5 pool 2, C40 5x5 pool 2, FC100, S10, relu".
std::string describe(const NetRow& row);
/// Floating-point operations of one mini-batch in convolutions and products, a multiply and an add
/// counting as two. Training counts the forward pass, the weight gradients and the data gradients,
/// of which the first layer has none.
double flops(const NetRow& row, std::int64_t mini_batch_size, bool training);

}  // namespace arete
