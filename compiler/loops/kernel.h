// The imperative form: loops, stores and checks. What the printers print and the interpreter runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "compiler/loops/nest.h"

namespace arete::loops {

enum class LoopKind : std::uint8_t {
    Serial,
    Parallel,  ///< iterations may run on several threads; only outermost
    Unrolled,  ///< repeated in the output, the variable a constant
    Vector,    ///< one iteration a lane
    // The head of a kernel for a GPU (see grid.h).
    Grid,   ///< one iteration a block of threads
    Block,  ///< one iteration a thread, or a warp where there is a warp loop
    Warp,   ///< one iteration a thread of a warp
};

/// Folds partial sums: to[s] = the combination of from[s * lanes + l] over all lanes l, for each
/// s < slots. Both take whole vectors; `to` is padded to a multiple of the lanes. One statement, so
/// that a printer can fold as many slots at a time as a vector has lanes. Of a sum kept with its
/// rounding errors (see add_exactly), these are two further buffers of the same shapes.
struct FoldLanes {
    BufferId from, to;
    std::int64_t slots = 1;
    int lanes = 1;
    Reduction reduction = Reduction::Sum;
    BufferId from_error, to_error;  // or neither
};

/// A hint that buffer[index] will be read soon. Does nothing else; the index may leave the buffer.
struct PrefetchAt {
    BufferId buffer;
    Index index;
    int cache = 1;  ///< the level that it is wanted in
};

/// Copies a small matrix, transposed: to[place + c * to_stride + r] = from[at + r * from_stride +
/// c] for r < rows and c < columns. `to` takes whole vectors, which are written:
/// what lies beyond `rows` holds anything. One statement, so that a printer can do it in registers.
struct TransposeTile {
    BufferId from;
    Index at;
    std::int64_t from_stride = 0;
    BufferId to;
    Index place;
    std::int64_t to_stride = 0;
    std::int64_t rows = 1, columns = 1;  ///< at most as many as lanes
    int lanes = 1;
};

struct Stmt;

/// A loop over the extent of `var`.
struct Loop {
    Var var;
    LoopKind kind = LoopKind::Serial;
    std::vector<Stmt> body;
    /// Of a vector: its width, at least the extent. Lanes beyond the extent touch no memory; in
    /// buffers that take whole vectors they hold anything.
    int lanes = 0;
    int dimension = 0;  ///< of a grid or block loop: x, y or z
};

/// The body, where the condition holds.
struct If {
    ValueId condition;
    std::vector<Stmt> body;
};

/// Threads that can wait for each other.
enum class Scope : std::uint8_t { Warp, Block, Grid };
std::string_view name(Scope s);

/// No thread of the scope goes on before all have come here; what any of them wrote before, all
/// read after it. Stands where all of them come.
struct Barrier {
    Scope scope = Scope::Block;
};

/// A statement. Whoever tells the alternatives apart visits them (core/cases.h), so that a new one
/// does not compile until every consumer knows it.
struct Stmt
    : std::variant<Loop, StoreTo, CheckThat, FoldLanes, PrefetchAt, TransposeTile, If, Barrier> {
    using variant::variant;
    template <class T>
    T* get_if() {
        return std::get_if<T>(this);
    }
    template <class T>
    const T* get_if() const {
        return std::get_if<T>(this);
    }
};

struct Kernel : Code {
    std::string name;
    std::string comment;  ///< how it was scheduled, for dumps
    std::vector<Stmt> body;
};

/// The plain translation: serial loops in the order of the axes, one scalar accumulator each, in
/// which floats add up in twice their precision.
Kernel naive(const Nest& nest);

/// The accumulator whose running extreme is that of accumulator k: k itself, or, for Max and Min,
/// one that looks for the position of the same element. One comparison then serves both.
AccId best_of(const Nest& nest, AccId k);

/// Statements that fold `element` into buffers at `slot`: `best` holds the value so far and,
/// for ArgMax and ArgMin, `where` the position of it. A sum of products becomes fused
/// multiply-adds, here for every consumer, so that all round alike.
std::vector<Stmt> accumulate(Kernel& kernel, Reduction reduction, Value element, BufferId best,
                             BufferId where, const Index& slot, const Index& position);
/// Statements that add a term, which must be a load from a buffer other than these, to
/// sum[at], and what rounding lost of it to error[at]: sum[at] + error[at] is as if it had been
/// added in twice the precision. A sum that is infinite has a NaN for its error.
std::vector<Stmt> add_exactly(Kernel& kernel, Value term, BufferId sum, BufferId error,
                              const Index& at);
/// The sum of both, rounded once.
Value rounded_sum(Value sum, Value error);
/// (sum + error) / count of doubles, rounded once: exact where the quotient is a double.
Value rounded_mean(Value sum, Value error, std::int64_t count);

/// A constant holding a reduction's identity.
Value identity_value(Code& code, Reduction reduction, DType t);

/// Copies instructions of one Code into another, with variables replaced by Index expressions,
/// accumulators by values, and buffers renumbered. Memoised for one substitution.
class Cloner {
  public:
    Cloner(const Code& from, Code& to) : from_(from), to_(to) {}

    IdVector<Var, Index> vars;  // of the old ones; must cover all that are used
    IdVector<AccId, Value> accs;
    IdVector<BufferId, BufferId> buffers;  // by the old one; none: nothing reads or writes it
    IdVector<BufferId, Index> shift;  // added to addresses, by the old buffer; empty: nothing is
    Value value(ValueId id);
    /// From now on `id` is this value of the other Code.
    void replace(ValueId id, Value by) { done_.insert_or_assign(id, by); }
    /// What stands for an old buffer that is read or written.
    BufferId buffer(BufferId old) const;
    Index index(const Index& e);
    StoreTo store(const StoreTo& s);
    CheckThat check(const CheckThat& c);

  private:
    const Code& from_;
    Code& to_;
    std::unordered_map<ValueId, Value> done_;
};

/// A copy of a nest in which other values take the place of some: `replace` gets an instruction and
/// its operands in the copy, and gives its value there, or none where it stays.
Nest with_values(const Nest& nest,
                 const std::function<Value(const Instr&, std::span<const Value>)>& replace);

/// Copies what a nest computes into `to`, which has its buffers and axes already, with the
/// variables of `from` replaced.
void clone_body(const Nest& from, Nest& to, IdVector<Var, Index> vars);

std::string to_string(const Kernel& kernel);
/// One statement's line of that text, without the values that it needs and without its body.
std::string line_of(const Kernel& kernel, const Stmt& s);
/// Throws an InternalError where a kernel is malformed: types, addresses that can leave their
/// buffer, loops inside of the wrong ones; see grid.h for what holds of kernels for a GPU.
void verify(const Kernel& kernel);

/// Values that a statement itself asks for, also in its indices; not those of its body.
std::vector<ValueId> roots(const Stmt& s);

/// Ids of the instructions that `roots` need, ascending: an order of evaluation.
std::vector<ValueId> needed(const Code& code, std::span<const ValueId> roots);

/// The first failed check of a run.
struct Failure {
    bool failed = false;
    int code = 0;
    std::int64_t element = 0;
    std::string message;  ///< of a function of the host that threw
};

/// In which order the interpreter runs what may run at the same time: blocks of a grid, threads
/// between two barriers, iterations of parallel loops.
enum class Order : std::uint8_t {
    Ascending,
    Reversed,
    Shuffled,      ///< threads stop after a few statements, and any goes on
    GreedyByWarp,  ///< a warp's threads step together, as far as they come without other warps
};

struct InterpretOptions {
    Order order = Order::Ascending;
    std::uint64_t seed = 1;  ///< of Shuffled
    /// Throws an InternalError that names both statements where iterations of a parallel loop read
    /// or write what another one writes. Always so of blocks and threads.
    bool conflicts = false;
};

/// Runs a kernel on `buffers` (one pointer a parameter, null for others), one scalar at a time: the
/// oracle of the tests. Vector lanes that are masked off are not run. Memory that is not the
/// caller's starts with NaN or -1 everywhere; threads that read what another one has written since
/// they last met at a barrier, or shared memory that none has written, are errors that name the
/// statements.
Failure interpret(const Kernel& kernel, IdSpan<BufferId, void* const> buffers,
                  const InterpretOptions& options = {});

}  // namespace arete::loops
