// Scalar SSA instructions, buffers and loop variables: what nests and kernels are made of.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/core/array.h"
#include "compiler/core/dtype.h"
#include "compiler/loops/index.h"

namespace arete::loops {

/// The closed set of scalar instructions. Consumers (evaluator, printers, verifier) switch over it
/// without a default, so that a new one does not compile until each knows it.
enum class Op : std::uint8_t {
    Const,    ///< a literal
    IndexOf,  ///< an Index as an i64
    Load,     ///< buffer[index]
    LoadIf,   ///< args[0] ? buffer[index] : 0; nothing is read where it is false
    Acc,      ///< the result of a nest's accumulator; gone once scheduled
    // Arithmetic, both operands of the result's type. Integers wrap; their Div and Rem floor, and
    // are 0 where the divisor is. Rem is for integers only; floats have Fmod.
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Min,
    Max,
    Neg,
    Abs,
    MulAdd,  ///< a * b + c, rounded once where the processor has an instruction for it
    Fma,     ///< a * b + c, rounded once
    Scale,   ///< of floats: a * 2^b for a whole b, rounded once; NaN where one of them is
    Sqrt,
    Floor,
    Ceil,
    Trunc,
    Round,  ///< to nearest, ties to even
    // Replaced by shorter instructions in expand_math before anything runs natively.
    Exp,
    Expm1,
    Log,
    Log1p,
    Tanh,
    Sin,
    Cos,
    Erf,
    Pow,
    Fmod,  ///< of floats: a - b trunc(a / b) without rounding; the sign is that of a
    // Comparisons give bool; Ne is true and the others false where an operand is NaN.
    Eq,
    Ne,
    Lt,
    Le,
    And,
    Or,
    Xor,
    Not,  ///< bitwise; logical on bool
    Shl,
    Shr,      ///< shifts of integers; Shr is logical (fills with zeros)
    Select,   ///< args[0] ? args[1] : args[2]
    Cast,     ///< numeric conversion, as core/convert.h says
    Bitcast,  ///< same size, same bits
    // args[0] ? f(args[1], ...) : 0, where the condition holds rarely: a call of a function in
    // far.h, behind a branch that jumps over it where no lane wants it.
    SinIf,
    CosIf,
    FmodIf,
};

/// Where an instruction's value comes from.
enum class Form : std::uint8_t {
    Constant,
    Index,
    Load,
    LoadIf,
    Accumulator,
    Function,  ///< of its operands alone: evaluate() says which
};
Form form(Op op);

/// Number of operands of an instruction (0 for Const, IndexOf, Load, Acc).
int arity(Op op);
std::string_view name(Op op);
/// True for the instructions that expand_math replaces.
bool is_transcendental(Op op);
/// True for the functions that few elements need (SinIf, CosIf, FmodIf).
bool is_rare(Op op);

/// A value of any element type.
struct Scalar {
    DType dtype = DType::F32;
    union {
        std::int64_t i = 0;  // bool, u8, i32 (sign-extended), i64
        float f32;
        double f64;
    };
    static Scalar of(DType t, double v);
    static Scalar of(DType t, std::int64_t v);
    static Scalar of(DType t, int v) { return of(t, static_cast<std::int64_t>(v)); }
    double as_double() const;
    std::int64_t as_int() const;
    friend bool operator==(const Scalar& a, const Scalar& b) {
        return a.dtype == b.dtype &&
               (a.dtype == DType::F32
                    ? std::bit_cast<std::uint32_t>(a.f32) == std::bit_cast<std::uint32_t>(b.f32)
                    : a.i == b.i);
    }
};

/// Applies a pure instruction to constants; the meaning of every instruction is defined here.
/// `dtype` is the result's type. Transcendental instructions use the C library; Fmod is exact.
Scalar evaluate(Op op, DType dtype, std::span<const Scalar> args);

struct Instr {
    Op op = Op::Const;
    DType dtype = DType::F32;
    std::array<ValueId, 3> args;
    Scalar constant;  // Const
    BufferId buffer;  // Load, LoadIf
    AccId acc;        // Acc
    Index index;      // Load, LoadIf, IndexOf
};

/// Where a kernel's buffer lives, and who sees it.
enum class Space : std::uint8_t {
    Parameter,  ///< memory of the caller, seen by all
    Shared,     ///< by the threads of a block, as long as the block runs
    Private,    ///< memory of one thread, as long as it runs the kernel
    Register,   ///< values of one thread: accumulators
};
std::string_view name(Space s);

/// The operands of an instruction, without those in its index.
inline std::span<const ValueId> operands(const Instr& i) {
    return {i.args.data(), static_cast<std::size_t>(arity(i.op))};
}

struct Buffer {
    std::string name;
    DType dtype = DType::F32;
    Sizes sizes;  // for reading dumps; accesses are linear
    Space space = Space::Parameter;
    bool padded = false;  // see takes_whole_vectors
    bool is_parameter() const { return space == Space::Parameter; }
    /// Is it as wide as the vectors that walk it? Their lanes beyond the loop's extent are then
    /// read and written, too, and hold anything. True of registers.
    bool takes_whole_vectors() const { return space == Space::Register || padded; }
    std::int64_t elements() const { return count(sizes); }
};

struct VarInfo {
    std::string name;
    std::int64_t extent = 1;
};

class Code;

/// A scalar value under construction. Operators append instructions to its Code.
struct Value {
    Code* code = nullptr;
    ValueId id;
    DType dtype() const;
    /// Is there a value at all? (`!v` is an instruction, as are `a & b` and `a | b`.)
    explicit operator bool() const { return static_cast<bool>(id); }
};
// These would ask whether there are values.
void operator&&(Value a, Value b) = delete;
void operator||(Value a, Value b) = delete;

/// Buffers, variables and instructions. Instructions are hash-consed: building the same one twice
/// gives the same id, and ids are a topological order.
class Code {
  public:
    IdVector<BufferId, Buffer> buffers;
    IdVector<Var, std::int64_t> extents;
    IdVector<Var, std::string> var_names;
    IdVector<ValueId, Instr> values;

    BufferId add_buffer(Buffer b);
    Var add_var(std::string name, std::int64_t extent);

    Value constant(DType t, double v);
    Value constant(DType t, std::int64_t v);
    Value index(const Index& e);
    Value load(BufferId buffer, const Index& address);
    Value load_if(Value guard, BufferId buffer, const Index& address);
    Value acc(AccId accumulator, DType t);
    /// Appends `op`, folding constants. Operands must have the types that `op` asks for.
    Value make(Op op, DType t, std::span<const Value> args);
    Value append(Instr instr);
    /// A copy of an instruction, of this or another Code, with other operands and index.
    Value copy(const Instr& old, std::span<const Value> args, const Index& index);

    /// Text of an Index, naming variables and values.
    std::string str(const Index& e) const;

  private:
    std::unordered_multimap<std::size_t, ValueId> interned_;
};

// Operators and functions for lowering rules. Both operands have one type; a C++ number takes the
// type of the Value beside it.
#define ARETE_LOOPS_BINARY(fn)   \
    Value fn(Value a, Value b);  \
    Value fn(Value a, double b); \
    Value fn(double a, Value b);
ARETE_LOOPS_BINARY(operator+)
ARETE_LOOPS_BINARY(operator-)
ARETE_LOOPS_BINARY(operator*)
ARETE_LOOPS_BINARY(operator/)
ARETE_LOOPS_BINARY(rem)
ARETE_LOOPS_BINARY(min)
ARETE_LOOPS_BINARY(max)
ARETE_LOOPS_BINARY(pow)
ARETE_LOOPS_BINARY(fmod)
ARETE_LOOPS_BINARY(eq)
ARETE_LOOPS_BINARY(ne)
ARETE_LOOPS_BINARY(lt)
ARETE_LOOPS_BINARY(le)
ARETE_LOOPS_BINARY(gt)
ARETE_LOOPS_BINARY(ge)
#undef ARETE_LOOPS_BINARY
Value operator-(Value a);
Value operator&(Value a, Value b);
Value operator|(Value a, Value b);
Value operator^(Value a, Value b);
Value operator!(Value a);
Value shl(Value a, int bits);
Value shr(Value a, int bits);
Value abs(Value a);
Value muladd(Value a, Value b, Value c);
Value fma(Value a, Value b, Value c);
Value scale(Value a, Value n);
Value sqrt(Value a);
Value floor(Value a);
Value ceil(Value a);
Value trunc(Value a);
Value round(Value a);
Value exp(Value a);
Value expm1(Value a);
Value log(Value a);
Value log1p(Value a);
Value tanh(Value a);
Value sin(Value a);
Value cos(Value a);
Value erf(Value a);
Value select(Value condition, Value a, Value b);
/// One of the functions that few elements need: `op` of operands of one type, 0 where `condition`
/// does not hold.
Value rarely(Op op, Value condition, std::span<const Value> args);
Value cast(Value a, DType t);
Value bitcast(Value a, DType t);
/// A literal of the type of `like`.
Value literal(Value like, double v);

}  // namespace arete::loops
