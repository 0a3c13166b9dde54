// Nests and kernels as text, for ARETE_DUMP=loops.
#include <algorithm>
#include <set>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"

namespace arete::loops {

namespace {

std::string constant_text(const Scalar& s) {
    if (is_float(s.dtype)) return fmt::format("{}", s.as_double());
    if (s.dtype == DType::Bool) return s.i ? "true" : "false";
    return fmt::format("{}", s.i);
}

// Writes each instruction once, at the first statement that needs it in a body.
class Printer {
  public:
    explicit Printer(const Code& code) : code_(code) {}

    std::string out;

    void header(std::string_view kind, std::string_view kernel) {
        out += fmt::format("{} {}\n", kind, kernel);
        for (BufferId b : code_.buffers.ids()) {
            const Buffer& buffer = code_.buffers[b];
            out += fmt::format("  {} {}: {}\n", name(buffer.space), buffer_name(b),
                               type_name(buffer.dtype, buffer.sizes));
        }
    }

    void values(std::span<const ValueId> roots, int depth, std::set<ValueId>& done) {
        for (ValueId id : needed(code_, roots)) {
            const Instr& i = code_.values[id];
            if (i.op == Op::Const || !done.insert(id).second) continue;
            line(depth, fmt::format("%{} = {}.{}{}", id, name(i.op), name(i.dtype), operands(i)));
        }
    }

    std::string operand(ValueId id) const {
        const Instr& i = code_.values[id];
        return i.op == Op::Const ? constant_text(i.constant) : fmt::format("%{}", id);
    }

    /// One statement, without its values and its body.
    std::string text(const Stmt& s) const {
        return std::visit(
            Cases{[&](const Loop& l) {
                      return fmt::format("{} {} in 0..{}:", kind_of(l), var(l.var), extent(l.var));
                  },
                  [&](const If& i) { return fmt::format("if {}:", operand(i.condition)); },
                  [&](const Barrier& b) { return fmt::format("barrier of the {}", name(b.scope)); },
                  [&](const StoreTo& store) { return text_of(store); },
                  [&](const CheckThat& check) { return text_of(check); },
                  [&](const FoldLanes& f) { return text_of(f); },
                  [&](const TransposeTile& t) { return text_of(t); },
                  [&](const PrefetchAt& p) {
                      return fmt::format("prefetch {}[{}] to level {}", buffer_name(p.buffer),
                                         code_.str(p.index), p.cache);
                  }},
            s);
    }

    void statements(const std::vector<Stmt>& body, int depth) {
        // A load may be stale once a store has happened, so instructions are named per statement.
        for (const Stmt& s : body) {
            std::set<ValueId> done;
            statement(s, depth, done);
            if (const Loop* l = s.get_if<Loop>()) statements(l->body, depth + 1);
            if (const If* i = s.get_if<If>()) statements(i->body, depth + 1);
        }
    }

    void statement(const Stmt& s, int depth, std::set<ValueId>& done) {
        values(roots(s), depth, done);
        line(depth, text(s));
    }

    void line(int depth, std::string_view text) {
        out += fmt::format("{:{}}{}\n", "", 2 * depth, text);
    }

    std::string var(Var v) const { return code_.var_names[v]; }
    std::int64_t extent(Var v) const { return code_.extents[v]; }

  private:
    static std::string kind_of(const Loop& l) {
        const auto dimension = [&](const char* kind) {
            return fmt::format("{} {} for", kind, "xyz"[l.dimension]);
        };
        switch (l.kind) {
            case LoopKind::Serial: return "for";
            case LoopKind::Parallel: return "parallel for";
            case LoopKind::Unrolled: return "unrolled for";
            case LoopKind::Vector: return fmt::format("vector<{}> for", l.lanes);
            case LoopKind::Grid: return dimension("grid");
            case LoopKind::Block: return dimension("block");
            case LoopKind::Warp: return "warp for";
        }
        return "";
    }

    std::string text_of(const StoreTo& s) const {
        std::string how = s.combine ? fmt::format("{}=", name(*s.combine)) : "=";
        return fmt::format("{}[{}] {} {}", buffer_name(s.buffer), code_.str(s.index), how,
                           operand(s.value));
    }

    std::string text_of(const CheckThat& c) const {
        return fmt::format("check {} else ({}, {})", operand(c.ok), c.code, code_.str(c.element));
    }

    std::string text_of(const FoldLanes& f) const {
        return fmt::format("{}[0..{}] = {} of {} lanes of {}", buffer_name(f.to), f.slots,
                           name(f.reduction), f.lanes, buffer_name(f.from)) +
               (!f.from_error ? ""
                              : fmt::format(", and what is lost of it: {} and {}",
                                            buffer_name(f.to_error), buffer_name(f.from_error)));
    }

    std::string text_of(const TransposeTile& t) const {
        return fmt::format("{}[{}] = {} columns of {} rows, {} apart, of {}[{}], {} apart",
                           buffer_name(t.to), code_.str(t.place), t.columns, t.rows, t.from_stride,
                           buffer_name(t.from), code_.str(t.at), t.to_stride);
    }

    std::string buffer_name(BufferId b) const {
        const std::string& own = code_.buffers[b].name;
        return own.empty() ? fmt::format("b{}", b) : own;
    }

    std::string operands(const Instr& i) const {
        switch (form(i.op)) {
            case Form::Index: return fmt::format(" {}", code_.str(i.index));
            case Form::Load:
                return fmt::format(" {}[{}]", buffer_name(i.buffer), code_.str(i.index));
            case Form::LoadIf:
                return fmt::format(" {}, {}[{}]", operand(i.args[0]), buffer_name(i.buffer),
                                   code_.str(i.index));
            case Form::Accumulator: return fmt::format(" {}", i.acc);
            case Form::Constant:
            case Form::Function: break;
        }
        std::string text;
        for (ValueId a : loops::operands(i)) text += (text.empty() ? " " : ", ") + operand(a);
        return text;
    }

    const Code& code_;
};

}  // namespace

std::string to_string(const Nest& nest) {
    Printer p(nest);
    p.header(nest.sequential ? "sequential nest" : "nest", nest.name);
    int depth = 1;
    for (Var v : nest.axes) p.line(depth++, fmt::format("for {} in 0..{}:", p.var(v), p.extent(v)));
    std::set<ValueId> done;
    if (!nest.accumulators.empty()) {
        std::string over;
        for (Var v : nest.reduce_axes)
            over += fmt::format("{}{} in 0..{}", over.empty() ? "" : ", ", p.var(v), p.extent(v));
        p.line(depth, fmt::format("reduce over {}:", over.empty() ? "nothing" : over));
        std::set<ValueId> inside;
        for (AccId k : nest.accumulators.ids()) {
            const Accumulator& a = nest.accumulators[k];
            p.values({&a.element, 1}, depth + 1, inside);
            p.line(depth + 1,
                   fmt::format("acc {} {}= {}", k, name(a.reduction), p.operand(a.element)));
        }
    }
    for (const CheckThat& c : nest.checks) p.statement(c, depth, done);
    for (const StoreTo& s : nest.stores) p.statement(s, depth, done);
    return p.out;
}

std::string line_of(const Kernel& kernel, const Stmt& s) {
    return Printer(kernel).text(s);
}

std::string to_string(const Kernel& kernel) {
    Printer p(kernel);
    p.header("kernel", kernel.name);
    if (!kernel.comment.empty()) p.line(1, "# " + kernel.comment);
    p.statements(kernel.body, 1);
    return p.out;
}

}  // namespace arete::loops
