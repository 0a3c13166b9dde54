// Graphs of many kinds, as users write them: what Arete is compared with others on.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <arete/arete.h>

namespace arete {

/// How an input is drawn.
struct Drawn {
    enum class From : std::uint8_t { Normal, Uniform, Labels };
    Sizes sizes;
    From from = From::Normal;
    double low = 0, high = 1;  ///< mean and deviation; the range; labels are below `high`
    DType dtype = DType::F32;
};

enum class WorkKind : std::uint8_t {
    Forward,   ///< the value
    Gradient,  ///< a cost and its gradients
    Step,      ///< a cost; the inputs that it is derived by are shared, and lose 0.001 times that
};

/// A graph, its inputs, and what it is compared in.
struct Workload {
    std::string name;   ///< also of its twins in peers_workloads.py
    std::string group;  ///< elementwise, reduction, product, ...
    WorkKind kind = WorkKind::Forward;
    std::vector<Drawn> inputs;
    std::function<Expr(std::span<const Expr>)> build;  ///< of Gradient and Step, a scalar
    std::vector<int> wrt = {};                         ///< inputs that the cost is derived by
    double flops = 0;  ///< of products and convolutions, for the table; 0: not told
};

const std::vector<Workload>& workloads();

}  // namespace arete
