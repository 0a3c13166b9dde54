// The expression graph: immutable nodes and the handles that join them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/core/array.h"
#include "compiler/core/dim.h"
#include "compiler/core/error.h"
#include "compiler/graph/attrs.h"

namespace arete {

/// Element type and (possibly symbolic) sizes of a tensor.
struct TensorType {
    DType dtype = DType::F32;
    Shape shape;

    int rank() const { return static_cast<int>(shape.size()); }
    /// "f32[64,784]".
    std::string str() const { return std::string(name(dtype)) + to_string(shape); }
    friend bool operator==(const TensorType&, const TensorType&) = default;
};

/// Properties that passes ask for instead of an op's name. A set of flags.
enum class Trait : std::uint32_t {
    None = 0,
    Commutative = 1 << 0,   ///< op(a, b) = op(b, a), bit for bit
    View = 1 << 1,          ///< only moves elements: no arithmetic, one load an element
    Alias = 1 << 2,         ///< the same elements in the same order under another shape
    Reduces = 1 << 3,       ///< the lowering has reduction axes
    Scatters = 1 << 4,      ///< the lowering writes at computed places, one after another
    Checks = 1 << 5,        ///< the lowering can fail at run time; runs before any update
    Random = 1 << 6,        ///< a draw; needs a stream of its own
    Increasing = 1 << 7,    ///< of one number: a < b gives f(a) < f(b), as real numbers
    Stored = 1 << 8,        ///< made for the order of its elements in memory
    Late = 1 << 9,          ///< what it does follows from sizes: gone once these are known
    Joins = 1 << 10,        ///< the inputs one after another along attr axis
    Saturates = 1 << 11,    ///< of one number: overflows, underflows, or is 1 but for rounding
    Step = 1 << 12,         ///< is a step of its own: no kernel computes it
    Fold = 1 << 13,         ///< reduces over attr axes, in any order; attr keepdims
    Bilinear = 1 << 14,     ///< a contraction: linear in each of its two operands
    Rounds = 1 << 15,       ///< gives whole numbers
    NotNegative = 1 << 16,  ///< no element of the result is below 0; NaN may be
    Plain = 1 << 17,  ///< arithmetic or a choice: kernels are named for what else they compute
};
constexpr Trait operator|(Trait a, Trait b) {
    return static_cast<Trait>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}

struct OpInfo;

/// Which op the user applied, where a node is part of what that op has become: of its definition,
/// or of its gradient. Names of kernels are made of it.
struct Origin {
    const OpInfo* op = nullptr;  ///< null: the node is what the user applied
    bool gradient = false;
};

/// What the graph needs to know of an op. ops/op.h adds how it is typed, lowered and derived.
struct OpInfo {
    /// Leaves have no inputs. `id` tells inputs and shared variables of one type apart.
    enum class Kind : std::uint8_t { Input, Shared, Constant, Apply };

    std::string_view name;
    Kind kind = Kind::Apply;
    Trait traits = Trait::None;
    std::string_view symbol = {};  ///< how pp writes it between two operands, or before one

    constexpr bool has(Trait t) const {
        return (static_cast<std::uint32_t>(traits) & static_cast<std::uint32_t>(t)) != 0;
    }
};

/// The handle of a shared variable's value, which lives wherever functions run: the runtime's
/// (runtime/shared_value.h). The graph only holds it.
class SharedStorage {
  public:
    SharedStorage() = default;
    SharedStorage(const SharedStorage&) = delete;
    SharedStorage& operator=(const SharedStorage&) = delete;
    virtual ~SharedStorage() = default;
    /// The value, in memory that may be the variable's own: for the reference evaluator.
    virtual Array host_value() const = 0;
    /// What functions that read the variable and do not update it add to it; 0: nothing.
    virtual std::int64_t default_increment() const { return 0; }
};

class Node;
class Expr;
struct SliceArg;
struct Indexed;

/// A handle to one output of a node: what users hold. Copying is cheap; the graph is immutable.
/// The builders among the members are defined in ops/.
class Expr {
  public:
    Expr() = default;
    explicit Expr(std::shared_ptr<const Node> node, int output = 0)
        : node_(std::move(node)), output_(output) {}

    /// No expression at all. There is no conversion to bool: `if (x > 0)` must not compile, and
    /// `x > 0 && flag` be the logical op. (`!e` is one too.)
    bool empty() const { return node_ == nullptr; }
    const Node& node() const;
    const std::shared_ptr<const Node>& node_ptr() const { return node_; }
    int output() const { return output_; }
    const TensorType& type() const;
    DType dtype() const { return type().dtype; }
    int rank() const { return type().rank(); }
    const Shape& shape() const { return type().shape; }
    Loc loc() const;

    /// The size of an axis as an i64 scalar (negative axes count from the end).
    Expr shape(int axis, const char* file = __builtin_FILE(), int line = __builtin_LINE()) const;
    /// NumPy indexing, one argument an axis: integers, scalars, slices, `all`, integer arrays. Not
    /// a template, so that arguments become SliceArgs, which know their line, where the user wrote
    /// them; `index` takes any number.
    Expr operator()(const SliceArg& a) const;
    Expr operator()(const SliceArg& a, const SliceArg& b) const;
    Expr operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c) const;
    Expr operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c,
                    const SliceArg& d) const;
    Expr operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c, const SliceArg& d,
                    const SliceArg& e) const;
    Expr operator()(const SliceArg& a, const SliceArg& b, const SliceArg& c, const SliceArg& d,
                    const SliceArg& e, const SliceArg& f) const;
    Expr index(std::initializer_list<SliceArg> items) const;
    /// Reversed axes.
    Expr T(const char* file = __builtin_FILE(), int line = __builtin_LINE()) const;
    /// The value of a closed expression (no inputs): compiles and runs it.
    Array eval() const;

  private:
    std::shared_ptr<const Node> node_;
    int output_ = 0;
};

/// True for the same output of the same node.
inline bool same(const Expr& a, const Expr& b) {
    return a.node_ptr() == b.node_ptr() && a.output() == b.output();
}

/// A graph owned by a node: the body of a loop or a branch. It is closed: its leaves are its own
/// parameters and constants, and what it uses from outside are inputs of the node. So a region is
/// transformed as any graph is, and no pass moves a node across its border but those that are made
/// for it (rewrite/control.h).
struct Region {
    std::vector<Expr> params;  ///< leaves; one for each value that the node hands in
    std::vector<Expr> results;
};

/// What a user gave a node that is no graph: a function of the host, a gradient.
class Payload {
  public:
    Payload() = default;
    Payload(const Payload&) = delete;
    Payload& operator=(const Payload&) = delete;
    virtual ~Payload() = default;
    /// What the user calls it.
    virtual std::string_view name() const = 0;
};

/// An application of an op, or a leaf.
class Node {
  public:
    Node() = default;
    Node(const Node&) = default;
    Node(Node&&) = default;
    Node& operator=(const Node&) = default;
    Node& operator=(Node&&) = default;
    /// Lets go of long chains of nodes one by one: recursion would run out of stack.
    ~Node();

    const OpInfo* op = nullptr;
    std::vector<Expr> inputs;
    Attrs attrs;
    std::vector<TensorType> types;  ///< of the outputs
    std::vector<Region> regions;
    /// The user's line, and further lines once equal nodes have merged. Not part of identity.
    std::vector<Loc> locs;
    Origin origin;         ///< not part of identity
    std::string name;      ///< what the user called it; may be empty; not part of identity
    std::uint64_t id = 0;  ///< of inputs, shared variables and draws: tells equal ones apart
    std::shared_ptr<SharedStorage> storage;  ///< of shared variables
    std::shared_ptr<const Payload> payload;  ///< of few ops
    /// Of the result of x(...), what was written (ops/indexing.h); not part of identity, and gone
    /// once nodes are interned.
    std::shared_ptr<const Indexed> indexed;

    Loc loc() const { return locs.empty() ? Loc{} : locs.front(); }
    bool is_leaf() const { return op->kind != OpInfo::Kind::Apply; }
};

inline const Node& Expr::node() const {
    ARETE_CHECK(node_, "use of an empty expression");
    return *node_;
}
inline const TensorType& Expr::type() const {
    return node().types[output_];
}
inline Loc Expr::loc() const {
    return node().loc();
}

/// A fresh id, unique in the process. Ids only put leaves in the order of their creation and tell
/// them apart; no result depends on their values.
std::uint64_t next_id();

}  // namespace arete
