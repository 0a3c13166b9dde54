#include "compiler/loops/code.h"

#include <functional>

#include "compiler/core/error.h"

namespace arete::loops {

namespace {

struct Description {
    std::string_view name;
    int arity = 0;
    Form form = Form::Function;
};

// The row of each instruction.
constexpr Description describe(Op op) {
    switch (op) {
        case Op::Const: return {"const", 0, Form::Constant};
        case Op::IndexOf: return {"index", 0, Form::Index};
        case Op::Load: return {"load", 0, Form::Load};
        case Op::LoadIf: return {"load_if", 1, Form::LoadIf};
        case Op::Acc: return {"acc", 0, Form::Accumulator};
        case Op::Add: return {"add", 2};
        case Op::Sub: return {"sub", 2};
        case Op::Mul: return {"mul", 2};
        case Op::Div: return {"div", 2};
        case Op::Rem: return {"rem", 2};
        case Op::Min: return {"min", 2};
        case Op::Max: return {"max", 2};
        case Op::Neg: return {"neg", 1};
        case Op::Abs: return {"abs", 1};
        case Op::MulAdd: return {"muladd", 3};
        case Op::Fma: return {"fma", 3};
        case Op::Scale: return {"scale", 2};
        case Op::Sqrt: return {"sqrt", 1};
        case Op::Floor: return {"floor", 1};
        case Op::Ceil: return {"ceil", 1};
        case Op::Trunc: return {"trunc", 1};
        case Op::Round: return {"round", 1};
        case Op::Exp: return {"exp", 1};
        case Op::Expm1: return {"expm1", 1};
        case Op::Log: return {"log", 1};
        case Op::Log1p: return {"log1p", 1};
        case Op::Tanh: return {"tanh", 1};
        case Op::Sin: return {"sin", 1};
        case Op::Cos: return {"cos", 1};
        case Op::Erf: return {"erf", 1};
        case Op::Pow: return {"pow", 2};
        case Op::Fmod: return {"fmod", 2};
        case Op::Eq: return {"eq", 2};
        case Op::Ne: return {"ne", 2};
        case Op::Lt: return {"lt", 2};
        case Op::Le: return {"le", 2};
        case Op::And: return {"and", 2};
        case Op::Or: return {"or", 2};
        case Op::Xor: return {"xor", 2};
        case Op::Not: return {"not", 1};
        case Op::Shl: return {"shl", 2};
        case Op::Shr: return {"shr", 2};
        case Op::Select: return {"select", 3};
        case Op::Cast: return {"cast", 1};
        case Op::Bitcast: return {"bitcast", 1};
        case Op::SinIf: return {"sin_if", 2};
        case Op::CosIf: return {"cos_if", 2};
        case Op::FmodIf: return {"fmod_if", 3};
    }
    return {"?"};
}

}  // namespace

Form form(Op op) {
    return describe(op).form;
}

int arity(Op op) {
    return describe(op).arity;
}

std::string_view name(Op op) {
    return describe(op).name;
}

bool is_transcendental(Op op) {
    return op >= Op::Exp && op <= Op::Fmod;
}

bool is_rare(Op op) {
    return op >= Op::SinIf && op <= Op::FmodIf;
}

std::string_view name(Space s) {
    switch (s) {
        case Space::Parameter: return "param";
        case Space::Shared: return "shared";
        case Space::Private: return "private";
        case Space::Register: return "register";
    }
    return "?";
}

BufferId Code::add_buffer(Buffer b) {
    return buffers.add(std::move(b));
}

Var Code::add_var(std::string name, std::int64_t extent) {
    var_names.push_back(std::move(name));
    return extents.add(extent);
}

namespace {

std::size_t mix(std::size_t seed, std::size_t v) {
    return seed ^ (v + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2));
}

std::size_t hash(const Index& e) {
    std::size_t h = static_cast<std::size_t>(e.constant());
    for (const Index::Term& t : e.terms()) {
        h = mix(h, static_cast<std::size_t>(t.kind));
        h = mix(h, static_cast<std::size_t>(t.number));
        h = mix(h, static_cast<std::size_t>(t.coefficient));
        h = mix(h, static_cast<std::size_t>(t.divisor));
        if (t.inner) h = mix(h, hash(*t.inner));
    }
    return h;
}

std::size_t hash(const Instr& i) {
    std::size_t h = mix(static_cast<std::size_t>(i.op), static_cast<std::size_t>(i.dtype));
    for (ValueId a : i.args) h = mix(h, a.index());
    h = mix(mix(h, i.buffer.index()), i.acc.index());
    if (i.op == Op::Const) h = mix(h, static_cast<std::size_t>(i.constant.i));
    return mix(h, hash(i.index));
}

bool same(const Instr& a, const Instr& b) {
    return a.op == b.op && a.dtype == b.dtype && a.args == b.args && a.buffer == b.buffer &&
           a.acc == b.acc && (a.op != Op::Const || a.constant == b.constant) && a.index == b.index;
}

}  // namespace

Value Code::append(Instr instr) {
    std::size_t h = hash(instr);
    auto [first, last] = interned_.equal_range(h);
    for (auto it = first; it != last; ++it)
        if (same(values[it->second], instr)) return {this, it->second};
    const ValueId id = values.add(std::move(instr));
    interned_.emplace(h, id);
    return {this, id};
}

Value Code::constant(DType t, double v) {
    Instr i;
    i.dtype = t;
    i.constant = Scalar::of(t, v);
    return append(std::move(i));
}

Value Code::constant(DType t, std::int64_t v) {
    Instr i;
    i.dtype = t;
    i.constant = Scalar::of(t, v);
    return append(std::move(i));
}

Value Code::index(const Index& e) {
    if (e.is_const()) return constant(DType::I64, e.constant());
    if (e.terms().size() == 1 && e.constant() == 0 && e.terms()[0].coefficient == 1 &&
        e.terms()[0].kind == Index::Kind::Value)
        return {this, e.terms()[0].value()};
    Instr i;
    i.op = Op::IndexOf;
    i.dtype = DType::I64;
    i.index = e;
    return append(std::move(i));
}

Value Code::load(BufferId buffer, const Index& address) {
    Instr i;
    i.op = Op::Load;
    i.dtype = buffers[buffer].dtype;
    i.buffer = buffer;
    i.index = address;
    return append(std::move(i));
}

Value Code::load_if(Value guard, BufferId buffer, const Index& address) {
    const Instr& g = values[guard.id];
    if (g.op == Op::Const && g.constant.i) return load(buffer, address);
    Instr i;
    i.op = Op::LoadIf;
    i.dtype = buffers[buffer].dtype;
    i.args[0] = guard.id;
    i.buffer = buffer;
    i.index = address;
    return append(std::move(i));
}

Value Code::copy(const Instr& old, std::span<const Value> args, const Index& index) {
    if (old.op == Op::IndexOf) return this->index(index);
    if (arity(old.op) > 0 && old.op != Op::LoadIf) return make(old.op, old.dtype, args);
    Instr i = old;
    for (std::size_t k = 0; k < args.size(); ++k) i.args[k] = args[k].id;
    i.index = index;
    return append(std::move(i));
}

Value Code::acc(AccId accumulator, DType t) {
    Instr i;
    i.op = Op::Acc;
    i.dtype = t;
    i.acc = accumulator;
    return append(std::move(i));
}

Value Code::make(Op op, DType t, std::span<const Value> args) {
    ARETE_CHECK(static_cast<int>(args.size()) == arity(op), "{} of {} operands", name(op),
                args.size());
    Instr instr;
    instr.op = op;
    instr.dtype = t;
    bool all_constant = true;
    std::array<Scalar, 3> constants;
    for (std::size_t k = 0; k < args.size(); ++k) {
        ARETE_CHECK(args[k].code == this, "{}: operand of another kernel", name(op));
        instr.args[k] = args[k].id;
        const Instr& a = values[args[k].id];
        all_constant = all_constant && a.op == Op::Const;
        constants[k] = a.constant;
    }
    // How a MulAdd is rounded is for the processor to say.
    if (all_constant && !is_transcendental(op) && op != Op::MulAdd) {
        instr = Instr{};
        instr.dtype = t;
        instr.constant = evaluate(op, t, {constants.data(), args.size()});
    }
    return append(std::move(instr));
}

std::string Code::str(const Index& e) const {
    return e.str([this](const Index::Term& t) {
        return t.kind == Index::Kind::Var ? var_names[t.var()] : fmt::format("%{}", t.number);
    });
}

DType Value::dtype() const {
    return code->values[id].dtype;
}

Value literal(Value like, double v) {
    return like.code->constant(like.dtype(), v);
}

namespace {

Value binary(Op op, Value a, Value b, bool to_bool = false) {
    ARETE_CHECK(a.dtype() == b.dtype(), "{}: {} and {}", name(op), name(a.dtype()),
                name(b.dtype()));
    Value args[] = {a, b};
    return a.code->make(op, to_bool ? DType::Bool : a.dtype(), args);
}

Value unary(Op op, Value a) {
    return a.code->make(op, a.dtype(), {&a, 1});
}

}  // namespace

#define ARETE_LOOPS_BINARY(fn, op, to_bool)   \
    Value fn(Value a, Value b) {              \
        return binary(Op::op, a, b, to_bool); \
    }                                         \
    Value fn(Value a, double b) {             \
        return fn(a, literal(a, b));          \
    }                                         \
    Value fn(double a, Value b) {             \
        return fn(literal(b, a), b);          \
    }
ARETE_LOOPS_BINARY(operator+, Add, false)
ARETE_LOOPS_BINARY(operator-, Sub, false)
ARETE_LOOPS_BINARY(operator*, Mul, false)
ARETE_LOOPS_BINARY(operator/, Div, false)
ARETE_LOOPS_BINARY(rem, Rem, false)
ARETE_LOOPS_BINARY(min, Min, false)
ARETE_LOOPS_BINARY(max, Max, false)
ARETE_LOOPS_BINARY(pow, Pow, false)
ARETE_LOOPS_BINARY(fmod, Fmod, false)
ARETE_LOOPS_BINARY(eq, Eq, true)
ARETE_LOOPS_BINARY(ne, Ne, true)
ARETE_LOOPS_BINARY(lt, Lt, true)
ARETE_LOOPS_BINARY(le, Le, true)
#undef ARETE_LOOPS_BINARY
Value gt(Value a, Value b) {
    return lt(b, a);
}
Value gt(Value a, double b) {
    return lt(literal(a, b), a);
}
Value gt(double a, Value b) {
    return lt(b, literal(b, a));
}
Value ge(Value a, Value b) {
    return le(b, a);
}
Value ge(Value a, double b) {
    return le(literal(a, b), a);
}
Value ge(double a, Value b) {
    return le(b, literal(b, a));
}
Value operator-(Value a) {
    return unary(Op::Neg, a);
}
Value operator&(Value a, Value b) {
    return binary(Op::And, a, b);
}
Value operator|(Value a, Value b) {
    return binary(Op::Or, a, b);
}
Value operator^(Value a, Value b) {
    return binary(Op::Xor, a, b);
}
Value operator!(Value a) {
    return unary(Op::Not, a);
}
Value shl(Value a, int bits) {
    return binary(Op::Shl, a, a.code->constant(a.dtype(), std::int64_t{bits}));
}
Value shr(Value a, int bits) {
    return binary(Op::Shr, a, a.code->constant(a.dtype(), std::int64_t{bits}));
}
Value abs(Value a) {
    return unary(Op::Abs, a);
}
Value muladd(Value a, Value b, Value c) {
    Value args[] = {a, b, c};
    return a.code->make(Op::MulAdd, a.dtype(), args);
}
Value fma(Value a, Value b, Value c) {
    Value args[] = {a, b, c};
    return a.code->make(Op::Fma, a.dtype(), args);
}
Value sqrt(Value a) {
    return unary(Op::Sqrt, a);
}
Value floor(Value a) {
    return unary(Op::Floor, a);
}
Value ceil(Value a) {
    return unary(Op::Ceil, a);
}
Value trunc(Value a) {
    return unary(Op::Trunc, a);
}
Value round(Value a) {
    return unary(Op::Round, a);
}
Value exp(Value a) {
    return unary(Op::Exp, a);
}
Value expm1(Value a) {
    return unary(Op::Expm1, a);
}
Value log(Value a) {
    return unary(Op::Log, a);
}
Value log1p(Value a) {
    return unary(Op::Log1p, a);
}
Value tanh(Value a) {
    return unary(Op::Tanh, a);
}
Value sin(Value a) {
    return unary(Op::Sin, a);
}
Value cos(Value a) {
    return unary(Op::Cos, a);
}
Value erf(Value a) {
    return unary(Op::Erf, a);
}
Value scale(Value a, Value n) {
    return binary(Op::Scale, a, n);
}
Value select(Value condition, Value a, Value b) {
    ARETE_CHECK(condition.dtype() == DType::Bool && a.dtype() == b.dtype(), "select of {}, {}, {}",
                name(condition.dtype()), name(a.dtype()), name(b.dtype()));
    if (a.id == b.id) return a;
    Value args[] = {condition, a, b};
    return a.code->make(Op::Select, a.dtype(), args);
}
Value rarely(Op op, Value condition, std::span<const Value> args) {
    std::vector<Value> all{condition};
    all.insert(all.end(), args.begin(), args.end());
    return condition.code->make(op, args[0].dtype(), all);
}
Value cast(Value a, DType t) {
    // Widening an i32 and narrowing it again leaves it as it was.
    const Instr& i = a.code->values[a.id];
    if (i.op == Op::Cast && i.dtype == DType::I64 && t == DType::I32) {
        Value inner{a.code, i.args[0]};
        if (inner.dtype() == DType::I32) return inner;
    }
    return a.dtype() == t ? a : a.code->make(Op::Cast, t, {&a, 1});
}
Value bitcast(Value a, DType t) {
    return a.dtype() == t ? a : a.code->make(Op::Bitcast, t, {&a, 1});
}

}  // namespace arete::loops
