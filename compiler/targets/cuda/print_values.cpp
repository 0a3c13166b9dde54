// Scalar instructions and addresses in CUDA C++.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/printer.h"

namespace arete::cuda {

using namespace loops;

std::string_view value_type(DType t) {
    switch (t) {
        case DType::Bool: return "bool";
        case DType::U8: return "unsigned char";
        case DType::I32: return "int";
        case DType::I64: return "long long";
        case DType::F32: return "float";
        case DType::F64: return "double";
    }
    return "?";
}

std::string_view memory_type(DType t) {
    return t == DType::Bool ? "unsigned char" : value_type(t);
}

std::string identifier(std::string_view name) {
    std::string out;
    for (char c : name) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        out += letter || (c >= '0' && c <= '9') ? c : '_';
    }
    if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out = "v" + out;
    return out.substr(0, 60);
}

namespace {

std::string integer(std::int64_t v) {
    if (v == INT64_MIN) return "(-9223372036854775807LL - 1)";
    return v < 0 ? fmt::format("({}LL)", v) : fmt::format("{}LL", v);
}

std::string literal_text(const Scalar& s) {
    switch (s.dtype) {
        case DType::Bool: return s.i ? "true" : "false";
        case DType::U8: return fmt::format("static_cast<unsigned char>({})", s.i & 255);
        case DType::I32:
            if (s.i == INT32_MIN) return "(-2147483647 - 1)";
            return s.i < 0 ? fmt::format("({})", s.i) : fmt::format("{}", s.i);
        case DType::I64: return integer(s.i);
        case DType::F32: {
            const auto bits = std::bit_cast<std::int32_t>(s.f32);
            if (!std::isfinite(s.f32))
                return fmt::format("bits_f32(static_cast<int>({:#x}u))", std::uint32_t(bits));
            std::string digits = fmt::format("{:.9g}", s.f32);
            if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
            return std::signbit(s.f32) ? fmt::format("({}f)", digits) : digits + "f";
        }
        case DType::F64: {
            if (!std::isfinite(s.f64))
                return fmt::format("bits_f64(static_cast<long long>({:#x}ULL))",
                                   std::bit_cast<std::uint64_t>(s.f64));
            std::string digits = fmt::format("{:.17g}", s.f64);
            if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
            return std::signbit(s.f64) ? fmt::format("({})", digits) : digits;
        }
    }
    return "?";
}

std::string_view suffix(DType t) {
    return name(t);
}

// Which buffers does some statement write?
void written(const std::vector<Stmt>& body, IdVector<BufferId, char>& out) {
    for (const Stmt& s : body) {
        if (const auto* to = s.get_if<StoreTo>()) out[to->buffer] = 1;
        if (const auto* l = s.get_if<Loop>()) written(l->body, out);
        if (const auto* i = s.get_if<If>()) written(i->body, out);
    }
}

bool is_parenthesised(const std::string& s) {
    return s.find_first_of(" ?<>=&|+-*/%") == std::string::npos || s.front() == '(';
}

}  // namespace

ValuePrinter::ValuePrinter(const Kernel& kernel) : k_(kernel), fixed_(kernel.values.size(), 1) {
    IdVector<BufferId, char> changes(k_.buffers.size(), 0);
    written(k_.body, changes);
    for (ValueId id : k_.values.ids()) {
        const Instr& i = k_.values[id];
        if ((i.op == Op::Load || i.op == Op::LoadIf) && changes[i.buffer]) fixed_[id] = 0;
        for (ValueId a : operands(i))
            if (!fixed_[a]) fixed_[id] = 0;
        i.index.for_each_value([&](ValueId v) {
            if (!fixed_[v]) fixed_[id] = 0;
        });
    }
    scopes_.emplace_back();
}

void ValuePrinter::close() {
    for (ValueId id : scopes_.back()) texts_.erase(id);
    scopes_.pop_back();
}

std::string ValuePrinter::buffer_name(BufferId buffer) const {
    return fmt::format("{}_{}", identifier(k_.buffers[buffer].name), buffer);
}

std::string ValuePrinter::var_name(Var v) const {
    return fmt::format("{}_{}", identifier(k_.var_names[v]), v.number());
}

// Can it, or a part of it, leave 32 bits?
bool ValuePrinter::wide(const Index& e) const {
    constexpr double limit = 2147483647.0;
    double size = std::abs(static_cast<double>(e.constant()));
    for (const Index::Term& t : e.terms()) {
        if (t.kind == Index::Kind::Value) return true;
        Index alone;
        if (t.inner) {
            if (wide(*t.inner)) return true;
            const Range r = t.inner->range(k_.extents);
            const double most = std::max(std::abs(static_cast<double>(r.low)),
                                         std::abs(static_cast<double>(r.high)));
            size += std::abs(static_cast<double>(t.coefficient)) *
                    (t.kind == Index::Kind::Div ? most / static_cast<double>(t.divisor) + 1
                                                : static_cast<double>(t.divisor));
            if (static_cast<double>(t.divisor) > limit) return true;
        } else {
            size += std::abs(static_cast<double>(t.coefficient)) *
                    static_cast<double>(k_.extents[t.var()]);
        }
    }
    return size > limit;
}

std::string ValuePrinter::term(const Index::Term& t, bool is_wide) const {
    std::string s;
    switch (t.kind) {
        case Index::Kind::Var: s = var_name(t.var()); break;
        case Index::Kind::Value: s = text(t.value()); break;
        case Index::Kind::Div:
        case Index::Kind::Mod: {
            const bool div = t.kind == Index::Kind::Div, inner_wide = wide(*t.inner);
            const std::string inner = index(*t.inner);
            const std::string by =
                fmt::format("{}{}", t.divisor, inner_wide || t.divisor > INT32_MAX ? "LL" : "");
            if (t.inner->range(k_.extents).low >= 0)
                s = fmt::format("{} {} {}", inner, div ? "/" : "%", by);
            else
                s = fmt::format("{}<{}>({}, {})", div ? "floor_div" : "floor_rem",
                                inner_wide ? "long long" : "int", inner, by);
            if (t.coefficient != 1 || is_wide) s = "(" + s + ")";
            break;
        }
    }
    if (is_wide && t.kind == Index::Kind::Value && k_.values[t.value()].dtype != DType::I64)
        s = fmt::format("to_i64({})", s);
    if (t.coefficient == 1)
        return is_wide && t.kind != Index::Kind::Value
                   ? fmt::format("static_cast<long long>({})", s)
                   : s;
    if (is_wide) return fmt::format("{} * {}", integer(t.coefficient), s);
    return t.coefficient < 0 ? fmt::format("({}) * {}", t.coefficient, s)
                             : fmt::format("{} * {}", t.coefficient, s);
}

// In parentheses where it is more than a name.
std::string ValuePrinter::index(const Index& e) const {
    const bool is_wide = wide(e);
    if (e.is_const())
        return is_wide            ? integer(e.constant())
               : e.constant() < 0 ? fmt::format("({})", e.constant())
                                  : fmt::format("{}", e.constant());
    std::string out;
    for (const Index::Term& t : e.terms()) out += (out.empty() ? "" : " + ") + term(t, is_wide);
    if (e.constant() > 0) out += fmt::format(" + {}", e.constant());
    if (e.constant() < 0) out += fmt::format(" - {}", -e.constant());
    return is_parenthesised(out) && out.front() != '(' ? out : "(" + out + ")";
}

std::string ValuePrinter::address(BufferId buffer, const Index& e) const {
    const Buffer& b = k_.buffers[buffer];
    if (b.space == Space::Register && b.elements() == 1) return buffer_name(buffer);
    std::string at = index(e);
    if (at.front() == '(' && e.terms().size() + (e.constant() != 0) > 0 && at.back() == ')' &&
        at.find("LL - 1)") == std::string::npos)
        at = at.substr(1, at.size() - 2);
    return fmt::format("{}[{}]", buffer_name(buffer), at);
}

std::string ValuePrinter::cast(DType to, const std::string& x) const {
    return fmt::format("to_{}({})", suffix(to), x);
}

std::string ValuePrinter::rare(const Instr& i, const std::vector<std::string>& x) const {
    const char* f = i.op == Op::SinIf ? "far_sin" : i.op == Op::CosIf ? "far_cos" : "far_fmod";
    const std::string args = i.op == Op::FmodIf ? x[1] + ", " + x[2] : x[1];
    return fmt::format("({} ? {}({}) : {})", x[0], f, args, literal_text(Scalar::of(i.dtype, 0.0)));
}

std::string ValuePrinter::binary(Op op, DType t, DType from, const std::string& a,
                                 const std::string& b) const {
    const bool f = is_float(t), bit = t == DType::Bool;
    const auto infix = [&](const char* sign) { return fmt::format("({} {} {})", a, sign, b); };
    const auto call = [&](const char* function) {
        return fmt::format("{}({}, {})", function, a, b);
    };
    // Of bytes, arithmetic is of ints, and has to be brought back.
    const auto bits = [&](const char* logical, const char* sign) {
        if (bit) return infix(logical);
        return t == DType::U8 ? fmt::format("static_cast<unsigned char>({} {} {})", a, sign, b)
                              : infix(sign);
    };
    switch (op) {
        case Op::Add: return f ? infix("+") : bit ? infix("||") : call("wrap_add");
        case Op::Sub: return f ? infix("-") : bit ? infix("!=") : call("wrap_sub");
        case Op::Mul: return f ? infix("*") : bit ? infix("&&") : call("wrap_mul");
        case Op::Div: return f ? infix("/") : bit ? infix("&&") : call("floor_div");
        case Op::Rem: return bit ? "false" : call("floor_rem");
        case Op::Min: return f ? call("minimum") : bit ? infix("&&") : call("lesser");
        case Op::Max: return f ? call("maximum") : bit ? infix("||") : call("greater");
        case Op::Eq: return infix("==");
        case Op::Ne: return infix("!=");
        case Op::Lt: return infix("<");
        case Op::Le: return infix("<=");
        case Op::And: return bits("&&", "&");
        case Op::Or: return bits("||", "|");
        case Op::Xor: return bits("!=", "^");
        case Op::Shl: return call("shift_left");
        case Op::Shr: return call("shift_right");
        case Op::Const:
        case Op::IndexOf:
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc:
        case Op::Neg:
        case Op::Abs:
        case Op::MulAdd:
        case Op::Fma:
        case Op::Scale:
        case Op::Sqrt:
        case Op::Floor:
        case Op::Ceil:
        case Op::Trunc:
        case Op::Round:
        case Op::Exp:
        case Op::Expm1:
        case Op::Log:
        case Op::Log1p:
        case Op::Tanh:
        case Op::Sin:
        case Op::Cos:
        case Op::Erf:
        case Op::Pow:
        case Op::Fmod:
        case Op::Not:
        case Op::Select:
        case Op::Cast:
        case Op::Bitcast:
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf: break;
    }
    throw InternalError(
        fmt::format("{}: {} of {} reached the CUDA printer", k_.name, name(op), name(from)));
}

std::string ValuePrinter::function(const Instr& i) const {
    std::vector<std::string> x;
    for (ValueId a : operands(i)) x.push_back(text(a));
    const bool f = is_float(i.dtype);
    const char* end = i.dtype == DType::F32 ? "f" : "";
    const auto of_float = [&](const char* function) {
        return f ? fmt::format("{}{}({})", function, end, x[0]) : x[0];
    };
    switch (i.op) {
        case Op::Neg: return f ? fmt::format("(-{})", x[0]) : fmt::format("wrap_neg({})", x[0]);
        case Op::Abs:
            if (i.dtype == DType::Bool || i.dtype == DType::U8) return x[0];
            return f ? of_float("fabs") : fmt::format("wrap_abs({})", x[0]);
        case Op::MulAdd:
        case Op::Fma: return fmt::format("fma{}({}, {}, {})", end, x[0], x[1], x[2]);
        case Op::Sqrt: return of_float("sqrt");
        case Op::Floor: return of_float("floor");
        case Op::Ceil: return of_float("ceil");
        case Op::Trunc: return of_float("trunc");
        case Op::Round: return of_float("rint");
        case Op::Not:
            if (i.dtype == DType::Bool) return fmt::format("(!{})", x[0]);
            return i.dtype == DType::U8 ? fmt::format("static_cast<unsigned char>(~{})", x[0])
                                        : fmt::format("(~{})", x[0]);
        case Op::Select: return fmt::format("({} ? {} : {})", x[0], x[1], x[2]);
        case Op::Cast: return cast(i.dtype, x[0]);
        case Op::Bitcast: return fmt::format("bits_{}({})", suffix(i.dtype), x[0]);
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf: return rare(i, x);
        case Op::Scale:  // of processors
        case Op::Const:
        case Op::IndexOf:
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc:
        case Op::Add:
        case Op::Sub:
        case Op::Mul:
        case Op::Div:
        case Op::Rem:
        case Op::Min:
        case Op::Max:
        case Op::Eq:
        case Op::Ne:
        case Op::Lt:
        case Op::Le:
        case Op::And:
        case Op::Or:
        case Op::Xor:
        case Op::Shl:
        case Op::Shr:
        case Op::Exp:
        case Op::Expm1:
        case Op::Log:
        case Op::Log1p:
        case Op::Tanh:
        case Op::Sin:
        case Op::Cos:
        case Op::Erf:
        case Op::Pow:
        case Op::Fmod: break;
    }
    for (std::size_t k = 0; k < 2; ++k)
        if (narrow_index(i)) x[k] = narrow(i.args[k]);
    return binary(i.op, i.dtype, k_.values[i.args[0]].dtype, x.at(0), x.at(1));
}

// Does it compare an index of 32 bits with another, or with a number?
bool ValuePrinter::narrow_index(const Instr& i) const {
    if (i.op != Op::Eq && i.op != Op::Ne && i.op != Op::Lt && i.op != Op::Le) return false;
    bool any = false;
    for (std::size_t k = 0; k < 2; ++k) {
        const Instr& x = k_.values[i.args[k]];
        const bool index = x.op == Op::IndexOf && !wide(x.index);
        const bool number = x.op == Op::Const && x.dtype == DType::I64 && x.constant.i >= 0 &&
                            x.constant.i <= INT32_MAX;
        if (!index && !number) return false;
        any = any || index;
    }
    return any;
}
std::string ValuePrinter::narrow(ValueId id) const {
    const Instr& i = k_.values[id];
    if (i.op == Op::Const) return fmt::format("{}", i.constant.i);
    return index(i.index);
}

std::string ValuePrinter::expression(ValueId id) const {
    const Instr& i = k_.values[id];
    const auto loaded = [&] {
        const std::string at = address(i.buffer, i.index);
        const Buffer& b = k_.buffers[i.buffer];
        return b.dtype == DType::Bool ? fmt::format("({} != 0)", at) : at;
    };
    switch (form(i.op)) {
        case Form::Constant: return literal_text(i.constant);
        case Form::Index: return fmt::format("static_cast<long long>({})", index(i.index));
        case Form::Load: return loaded();
        case Form::LoadIf:
            return fmt::format("({} ? {} : {})", text(i.args[0]), loaded(),
                               literal_text(Scalar::of(i.dtype, 0)));
        case Form::Accumulator:
            throw InternalError(fmt::format("{}: an accumulator reached the printer", k_.name));
        case Form::Function: return function(i);
    }
    return {};
}

std::vector<std::string> ValuePrinter::values(std::span<const ValueId> roots,
                                              std::vector<std::string>& lines) {
    for (ValueId id : passing_) texts_.erase(id);
    passing_.clear();
    // Only what is not known yet, and what that needs.
    std::vector<ValueId> all;
    std::vector<ValueId> stack(roots.begin(), roots.end());
    std::unordered_map<ValueId, int> uses;
    for (ValueId r : roots) ++uses[r];
    while (!stack.empty()) {
        const ValueId id = stack.back();
        stack.pop_back();
        if (texts_.count(id) || std::find(all.begin(), all.end(), id) != all.end()) continue;
        all.push_back(id);
        const Instr& i = k_.values[id];
        const auto need = [&](ValueId v) {
            ++uses[v];
            stack.push_back(v);
        };
        for (ValueId a : operands(i)) need(a);
        i.index.for_each_value(need);
    }
    std::sort(all.begin(), all.end());
    for (ValueId id : all) {
        const Instr& i = k_.values[id];
        std::string e = expression(id);
        constexpr std::size_t long_text = 70;
        const bool as_text = i.op == Op::Const || (uses[id] == 1 && e.size() < long_text);
        if (as_text) {
            texts_[id] = std::move(e);
            passing_.push_back(id);
            continue;
        }
        const std::string variable = fmt::format("t{}", variables_++);
        lines.push_back(fmt::format("const {} {} = {};", value_type(i.dtype), variable, e));
        texts_[id] = variable;
        if (fixed_[id])
            scopes_.back().push_back(id);
        else
            passing_.push_back(id);
    }
    std::vector<std::string> out;
    for (ValueId r : roots) out.push_back(text(r));
    return out;
}

}  // namespace arete::cuda
