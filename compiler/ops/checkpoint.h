// Gradients that compute values again instead of keeping them: JAX's checkpoint, Theano's
// scan_checkpoints.
#pragma once

#include <concepts>
#include <functional>
#include <utility>
#include <vector>

#include "compiler/ops/op.h"
#include "compiler/ops/operand.h"

namespace arete {

/// A region in the place of its results, gone once sizes are known, as if it had been written
/// there. Its gradient is a `recompute`, which reads the inputs only.
extern const OpDef checkpoint_op;
/// A region that is a step of its own: what it computes shares nothing with the graph around it,
/// and its intermediate values live as long as the step. Inputs are the region's parameters.
extern const OpDef recompute_op;

/// What `checkpoint` builds: f of parameters in the place of the inputs becomes a region, together
/// with what f draws; what else it uses from outside are further inputs.
std::vector<Expr> checkpointed(const std::function<std::vector<Expr>(const std::vector<Expr>&)>& f,
                               const std::vector<Operand>& inputs, Loc loc);

/// A function of one or of several expressions as `checkpoint` gives it back.
template <class F>
class Checkpoint {
  public:
    explicit Checkpoint(F f) : f_(std::move(f)) {}

    auto operator()(const Operand& x) const
        requires std::invocable<const F&, const Expr&>
    {
        return checkpointed([this](const std::vector<Expr>& p) { return listed(f_(p[0])); }, {x},
                            x.loc)[0];
    }
    auto operator()(const std::vector<Operand>& x, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) const
        requires std::invocable<const F&, const std::vector<Expr>&>
    {
        std::vector<Expr> out = checkpointed(
            [this](const std::vector<Expr>& p) { return listed(f_(p)); }, x, Loc{file, line});
        if constexpr (std::convertible_to<std::invoke_result_t<const F&, const std::vector<Expr>&>,
                                          Expr>)
            return out[0];
        else
            return out;
    }

  private:
    static std::vector<Expr> listed(const Expr& e) { return {e}; }
    static std::vector<Expr> listed(std::vector<Expr> list) { return list; }

    F f_;
};

/// JAX's checkpoint (also called remat; torch.utils.checkpoint): a function of the same value,
/// whose gradient keeps none of what f computes on the way, but computes it once more, from the
/// inputs, when the gradient is due: less memory for about one more forward pass. f gets an Expr,
/// or a vector of them, and gives an Expr or a vector. What f uses from outside (weights, say) gets
/// its gradient, too. Random draws that f makes are drawn again, with the same values. Derivatives
/// of any order do so. A GraphError where f gives nothing.
///
///     Expr h = checkpoint([&](const Expr& x) { return tanh(dot(tanh(dot(x, w1)), w2)); })(x);
template <class F>
Checkpoint<F> checkpoint(F f) {
    return Checkpoint<F>(std::move(f));
}

/// A loop in chunks of `every` steps, as scan_checkpoints asks for it: of a scan node without a
/// condition and without truncate_gradient.
struct CheckpointedScan {
    /// By state: its rows behind the last step of each chunk, the last chunk's may be shorter.
    std::vector<Expr> states;
    /// By output that is not fed back: its rows of the same steps.
    std::vector<Expr> outputs;
    /// By state: its last rows, as many as its taps look back.
    std::vector<Expr> last;
};
CheckpointedScan checkpointed_scan(const Node& scan, std::int64_t every);

}  // namespace arete
