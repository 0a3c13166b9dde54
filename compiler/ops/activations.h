// Activations of neural networks, elementwise. Integers give f32. Values and slopes are finite
// where the functions are, with the limits at infinities.
#pragma once

#include "compiler/ops/operand.h"

namespace arete {

/// a above 0, alpha (exp(a) - 1) else. Clevert, Unterthiner, Hochreiter (2015).
Expr elu(const Operand& a, double alpha = 1);
/// 1.0507 elu(a, 1.6733): Klambauer and others (2017), whose constants have sixteen digits here.
Expr selu(const Operand& a);
/// a above 0, alpha (exp(a / alpha) - 1) else: smooth for every alpha. Barron (2017).
Expr celu(const Operand& a, double alpha = 1);
/// a above 0, slope * a else.
Expr leaky_relu(const Operand& a, double slope = 0.01);
/// The same with slopes that are learned: an expression that is broadcast.
Expr prelu(const Operand& a, const Operand& slope);
/// a above theta, 0 else.
Expr thresholded_relu(const Operand& a, double theta = 1);
/// a times the probability that a normal number is below a: Hendrycks and Gimpel (2016), or their
/// approximation of it by tanh.
enum class Gelu : std::uint8_t { exact, tanh };
Expr gelu(const Operand& a, Gelu form = Gelu::exact);
Expr silu(const Operand& a);      ///< a sigmoid(a), also called swish
Expr mish(const Operand& a);      ///< a tanh(softplus(a)): Misra (2019)
Expr softsign(const Operand& a);  ///< a / (1 + |a|)
/// clip(alpha a + beta, 0, 1), with Theano's and ONNX's constants; PyTorch's are 1/6 and 1/2.
Expr hard_sigmoid(const Operand& a, double alpha = 0.2, double beta = 0.5);
Expr hard_swish(const Operand& a);  ///< a clip(a / 6 + 1/2, 0, 1): Howard and others (2019)

}  // namespace arete
