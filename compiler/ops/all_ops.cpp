// The list of families. A new family is added here and in families.h.
#include <vector>

#include "compiler/ops/checks.h"
#include "compiler/ops/columns.h"
#include "compiler/ops/families.h"
#include "compiler/ops/gather.h"
#include "compiler/ops/leaves.h"

namespace arete {

std::span<const OpDef* const> all_ops() {
    static const std::vector<const OpDef*> ops = [] {
        std::vector<const OpDef*> out{&input_op, &param_op, &shared_op, &constant_op};
        for (auto family :
             {elementwise_ops, special_ops,       elementary_ops, bits_ops,        activation_ops,
              reduction_ops,   movement_ops,      indexing_ops,   check_ops,       gather_ops,
              subtensor_ops,   sorting_ops,       linalg_ops,     convolution_ops, padding_ops,
              pooling_ops,     columns_ops,       softmax_ops,    random_ops,      product_ops,
              control_ops,     factorization_ops, custom_ops})
            for (const OpDef* op : family()) out.push_back(op);
        return out;
    }();
    return ops;
}

}  // namespace arete
