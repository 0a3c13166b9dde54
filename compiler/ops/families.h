// The families of ops, as all_ops.cpp lists them. Each file of rows defines one.
#pragma once

#include <span>

#include "compiler/ops/op.h"

namespace arete {

std::span<const OpDef* const> elementwise_ops();
std::span<const OpDef* const> special_ops();
std::span<const OpDef* const> elementary_ops();
std::span<const OpDef* const> bits_ops();
std::span<const OpDef* const> activation_ops();
std::span<const OpDef* const> reduction_ops();
std::span<const OpDef* const> movement_ops();
std::span<const OpDef* const> indexing_ops();
std::span<const OpDef* const> subtensor_ops();
std::span<const OpDef* const> sorting_ops();
std::span<const OpDef* const> linalg_ops();
std::span<const OpDef* const> convolution_ops();
std::span<const OpDef* const> padding_ops();
std::span<const OpDef* const> pooling_ops();
std::span<const OpDef* const> softmax_ops();
std::span<const OpDef* const> random_ops();
std::span<const OpDef* const> product_ops();
std::span<const OpDef* const> control_ops();
std::span<const OpDef* const> factorization_ops();
std::span<const OpDef* const> custom_ops();

}  // namespace arete
