// What rows that are approximations made for a dtype stand for.
#pragma once

#include <string_view>

namespace arete::fuzz {

/// A function, or its derivative of some order where the op has attr order.
using Function = long double (*)(long double x, int order);

/// What an op stands for, to the last digits of long doubles; null for ops whose row says it.
const Function* function_of(std::string_view op);

}  // namespace arete::fuzz
