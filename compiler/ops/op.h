// OpDef: everything Arete knows of an op, in one row.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/loops/nest.h"

namespace arete {

struct OpDef;

/// What a type rule sees.
struct InferArgs {
    const OpDef& op;
    std::span<const Expr> inputs;
    const Attrs& attrs;
    Loc loc;
    std::span<const Region> regions = {};
    const Payload* payload = nullptr;

    const TensorType& type(std::size_t i) const { return inputs[i].type(); }
    /// "x is f32[64,784]": an operand by its name, or by its position where it has none.
    std::string describe(std::size_t i) const;
    /// Throws a GraphError "file:line: op: message".
    [[noreturn]] void error(std::string_view message) const;
};

/// What an elementwise op's scalar body sees: one value an input, all of one type unless the op's
/// type rule says otherwise.
struct ScalarArgs {
    std::span<const loops::Value> x;
    DType dtype;  ///< of the result
    const Attrs& attrs;
    loops::Value operator[](std::size_t i) const { return x[i]; }
};

/// Where a scattering op writes a value, and how it meets what is there.
struct Scattering {
    std::vector<loops::Index> index;  ///< of the result
    /// None: the value takes the place of what is there, the last one in row-major order staying.
    std::optional<loops::Reduction> combine = loops::Reduction::Sum;
    /// What the result is before: the elements of this input, zeros (`zeros`), or anything
    /// (`nothing`), where it is read at places that are written only.
    int onto = zeros;
    bool distinct = false;  ///< no two values have one place
    static constexpr int zeros = -1, nothing = -2;
};

/// What a lowering rule builds on: it returns the element of the result at an index, reading
/// elements of the inputs. The fuser decides whether a read is a load or the inlined producer.
class Lowering {
  public:
    virtual ~Lowering() = default;

    loops::Code& code;
    const Node& node;
    int output = 0;  ///< which result is asked for, of ops with several

    /// Element of input `i`. As many indices as the input has axes.
    virtual loops::Value load(int i, std::span<const loops::Index> index) = 0;
    loops::Value load(int i, std::initializer_list<loops::Index> index) {
        return load(i, std::span<const loops::Index>(index.begin(), index.size()));
    }
    /// The same where `guard` holds, else 0: nothing is read then, and the index may be anywhere.
    virtual loops::Value load_if(loops::Value guard, int i,
                                 std::span<const loops::Index> index) = 0;
    /// Element of input `i` by its row-major position.
    virtual loops::Value load_linear(int i, const loops::Index& address) = 0;
    /// A fresh reduction axis. All of them must be made before `reduce`.
    virtual loops::Index reduce_axis(std::string name, std::int64_t extent) = 0;
    /// The reduction of `element` over all reduction axes; once per lowering. Its result is `dtype`
    /// (the element's type, except for ArgMax and ArgMin: i64).
    virtual loops::Value reduce(loops::Reduction r, loops::Value element) = 0;
    /// Fails the call with this node's line unless `ok`. `message` says what is wrong, with "{}"
    /// where the value of `element` belongs.
    virtual void check(loops::Value ok, const loops::Index& element, std::string message) = 0;
    /// For ops that scatter: they are lowered over the index space of their *last* input; the
    /// returned value is added to the result at this index, or combined as `to` says.
    virtual void scatter_to(Scattering to) = 0;

    Sizes shape() const { return concrete(node.types[0].shape); }
    Sizes shape(int i) const { return concrete(node.inputs[i].shape()); }
    loops::Index floordiv(const loops::Index& e, std::int64_t k) const {
        return loops::floordiv(e, k, code.extents);
    }
    loops::Index mod(const loops::Index& e, std::int64_t k) const {
        return loops::mod(e, k, code.extents);
    }

  protected:
    Lowering(loops::Code& c, const Node& n) : code(c), node(n) {}
};

/// What a pullback sees: y = op(x), and g, the gradient of the cost with respect to each output
/// (empty where the cost does not depend on it). It returns the gradient with respect to each
/// input, empty where there is none. Gradients of elementwise ops may have the broadcast shape:
/// the reverse walk sums them back to the input's.
struct PullbackArgs {
    const Node& node;
    std::span<const Expr> x;
    std::vector<Expr> y;
    std::vector<Expr> g;
    /// The reverse walk itself, for rows with regions: gradients of a scalar with respect to
    /// expressions, empty where it does not depend on them.
    std::function<std::vector<Expr>(const Expr& cost, const std::vector<Expr>& wrt)> grad = {};
};

/// One test case of an op: what its inputs may be, and how a user builds it. For floats the values
/// are drawn uniformly from [low, high]; integers from the integers in it; bool from {0, 1}.
struct SampleInput {
    Sizes sizes;
    double low = -2, high = 2;
    bool integer = false;  ///< an index or a label: i64 whatever the dtype of the case
};
struct Sample {
    std::string name;
    std::vector<SampleInput> inputs;
    std::function<Expr(std::span<const Expr>)> build;
    bool differentiable = true;  ///< false where this case is not smooth at the points drawn
    bool floats_only = false;
};

/// Computes a node's outputs, whose memory is given, on the host. May throw.
using HostFn = void (*)(const Node& node, std::span<const Array> inputs, std::span<Array> outputs);
using InferFn = std::vector<TensorType> (*)(const InferArgs&);
using ScalarFn = loops::Value (*)(const ScalarArgs&);
using LowerFn = loops::Value (*)(Lowering&, std::span<const loops::Index>);
/// One expression for each result.
using ExpandFn = std::vector<Expr> (*)(const Node&);
using PullbackFn = std::vector<Expr> (*)(const PullbackArgs&);
using SamplesFn = std::vector<Sample> (*)();

/// Of an op that puts a gradient where a view has read, zeros elsewhere: the view, and which
/// operand is the gradient (-1: the last); the others say where the view reads.
struct Placing {
    const OpInfo* view = nullptr;  ///< null: no such op
    int gradient = 0;
};

/// An op. Exactly one of `scalar`, `lower`, `expand` and `host` is set (none for leaves, and nodes
/// with regions): a scalar body applied elementwise with broadcasting, an indexed definition of
/// each element, a definition in terms of other ops, which the compiler substitutes before it
/// fuses, or a function of the host that is called (such ops have Trait::Step).
struct OpDef {
    OpInfo info;
    const char* doc = "";
    int arity = 1;  ///< -1: any number
    InferFn infer = nullptr;
    ScalarFn scalar = nullptr;
    LowerFn lower = nullptr;
    ExpandFn expand = nullptr;
    HostFn host = nullptr;
    PullbackFn pullback = nullptr;  ///< null: not differentiable, gradients stop with an error
    SamplesFn samples = nullptr;
    Placing placing = {};
};
static_assert(std::is_standard_layout_v<OpDef>, "a node's OpInfo is the head of its OpDef");

/// The row of a node's op.
inline const OpDef& def(const Node& node) {
    return *reinterpret_cast<const OpDef*>(node.op);
}

/// A node applying `op`, typed by the op's rule; output 0. Throws what the rule throws.
Expr apply(const OpDef& op, std::vector<Expr> inputs, Attrs attrs, Loc loc);
/// All outputs. A user's op of the name of one of all_ops() becomes "user_<name>", so that no rule
/// takes it for that.
std::vector<Expr> apply_all(const OpDef& op, std::vector<Expr> inputs, Attrs attrs, Loc loc,
                            std::vector<Region> regions = {},
                            std::shared_ptr<const Payload> payload = nullptr);
/// A leaf of any kind.
Expr make_leaf(const OpDef& op, TensorType type, Loc loc, std::string name = {});
/// The types that a node's rule gives for its present inputs. A GraphError where a size is
/// negative, where it has no value (see Dim), or where a tensor of that type has more bytes than
/// any memory.
std::vector<TensorType> infer_types(const Node& node);

/// Every op, family by family, and a lookup by name (null where there is none).
std::span<const OpDef* const> all_ops();
const OpDef* find_op(std::string_view name);

/// NumPy's broadcast of two shapes, of unknown sizes too (see Dim's broadcast). Null where they
/// cannot be broadcast.
std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b);
/// True for ops whose operands are broadcast together: those with a scalar body, broadcast_to, and
/// those typed as elementwise ops are.
bool broadcasts(const OpDef& op);

// Type rules shared by rows.
std::vector<TensorType> infer_elementwise(const InferArgs& a);        ///< the inputs' common type
std::vector<TensorType> infer_elementwise_bool(const InferArgs& a);   ///< bool, broadcast
std::vector<TensorType> infer_elementwise_float(const InferArgs& a);  ///< as the first, floats only
std::vector<TensorType> infer_same(const InferArgs& a);               ///< the first input's type

}  // namespace arete
