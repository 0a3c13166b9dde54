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
        for (std::size_t b = 0; b < code_.buffers.size(); ++b) {
            const Buffer& buffer = code_.buffers[b];
            out += fmt::format("  {} {}: {}\n",
                               buffer.local     ? "local"
                               : buffer.scratch ? "scratch"
                                                : "param",
                               buffer_name(b), type_name(buffer.dtype, buffer.sizes));
        }
    }

    void values(std::span<const ValueId> roots, int depth, std::set<ValueId>& done) {
        for (ValueId id : needed(code_, roots)) {
            const Instr& i = code_.values[static_cast<std::size_t>(id)];
            if (i.op == Op::Const || !done.insert(id).second) continue;
            line(depth, fmt::format("%{} = {}.{}{}", id, name(i.op), name(i.dtype), operands(i)));
        }
    }

    std::string operand(ValueId id) const {
        const Instr& i = code_.values[static_cast<std::size_t>(id)];
        return i.op == Op::Const ? constant_text(i.constant) : fmt::format("%{}", id);
    }

    void store(const StoreTo& s, int depth, std::set<ValueId>& done) {
        std::vector<ValueId> roots{s.value};
        s.index.for_each_value([&](ValueId v) { roots.push_back(v); });
        values(roots, depth, done);
        std::string how = s.combine ? fmt::format("{}=", name(*s.combine)) : "=";
        line(depth, fmt::format("{}[{}] {} {}", buffer_name(static_cast<std::size_t>(s.buffer)),
                                code_.str(s.index), how, operand(s.value)));
    }

    void check(const CheckThat& c, int depth, std::set<ValueId>& done) {
        std::vector<ValueId> roots{c.ok};
        values(roots, depth, done);
        line(depth,
             fmt::format("check {} else ({}, {})", operand(c.ok), c.code, code_.str(c.element)));
    }

    void fold(const FoldLanes& f, int depth) {
        line(depth,
             fmt::format("{}[0..{}] = {} of {} lanes of {}",
                         buffer_name(static_cast<std::size_t>(f.to)), f.slots, name(f.reduction),
                         f.lanes, buffer_name(static_cast<std::size_t>(f.from))) +
                 (f.from_error < 0
                      ? ""
                      : fmt::format(", and what is lost of it: {} and {}",
                                    buffer_name(static_cast<std::size_t>(f.to_error)),
                                    buffer_name(static_cast<std::size_t>(f.from_error)))));
    }

    void transpose(const TransposeTile& t, int depth, std::set<ValueId>& done) {
        std::vector<ValueId> roots;
        t.at.for_each_value([&](ValueId v) { roots.push_back(v); });
        values(roots, depth, done);
        line(depth,
             fmt::format("{}[{}] = {} columns of {} rows, {} apart, of {}[{}], {} apart",
                         buffer_name(static_cast<std::size_t>(t.to)), code_.str(t.place), t.columns,
                         t.rows, t.from_stride, buffer_name(static_cast<std::size_t>(t.from)),
                         code_.str(t.at), t.to_stride));
    }

    void statements(const std::vector<Stmt>& body, int depth) {
        // A load may be stale once a store has happened, so instructions are named per statement.
        for (const Stmt& s : body) {
            std::set<ValueId> done;
            std::visit(Cases{[&](const Loop& l) { loop(l, depth); },
                             [&](const StoreTo& store_to) { store(store_to, depth, done); },
                             [&](const CheckThat& that) { check(that, depth, done); },
                             [&](const FoldLanes& f) { fold(f, depth); },
                             [&](const TransposeTile& t) { transpose(t, depth, done); },
                             [&](const PrefetchAt& p) {
                                 line(depth,
                                      fmt::format("prefetch {}[{}] to level {}",
                                                  buffer_name(static_cast<std::size_t>(p.buffer)),
                                                  code_.str(p.index), p.cache));
                             }},
                       s);
        }
    }

    void line(int depth, std::string_view text) {
        out += fmt::format("{:{}}{}\n", "", 2 * depth, text);
    }

    std::string var(Var v) const { return code_.var_names[static_cast<std::size_t>(v)]; }
    std::int64_t extent(Var v) const { return code_.extents[static_cast<std::size_t>(v)]; }

  private:
    static std::string kind_of(const Loop& l) {
        switch (l.kind) {
            case LoopKind::Serial: return "for";
            case LoopKind::Parallel: return "parallel for";
            case LoopKind::Unrolled: return "unrolled for";
            case LoopKind::Vector: return fmt::format("vector<{}> for", l.lanes);
        }
        return "";
    }

    void loop(const Loop& l, int depth) {
        line(depth, fmt::format("{} {} in 0..{}:", kind_of(l), var(l.var), extent(l.var)));
        statements(l.body, depth + 1);
    }

    std::string buffer_name(std::size_t b) const {
        return code_.buffers[b].name.empty() ? fmt::format("b{}", b) : code_.buffers[b].name;
    }

    std::string operands(const Instr& i) const {
        switch (form(i.op)) {
            case Form::Index: return fmt::format(" {}", code_.str(i.index));
            case Form::Load:
                return fmt::format(" {}[{}]", buffer_name(static_cast<std::size_t>(i.target)),
                                   code_.str(i.index));
            case Form::LoadIf:
                return fmt::format(" {}, {}[{}]", operand(i.args[0]),
                                   buffer_name(static_cast<std::size_t>(i.target)),
                                   code_.str(i.index));
            case Form::Accumulator: return fmt::format(" {}", i.target);
            case Form::Constant:
            case Form::Function: break;
        }
        std::string text;
        for (int k = 0; k < arity(i.op); ++k)
            text += (k ? ", " : " ") + operand(i.args[static_cast<std::size_t>(k)]);
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
        for (std::size_t k = 0; k < nest.accumulators.size(); ++k) {
            const Accumulator& a = nest.accumulators[k];
            p.values({&a.element, 1}, depth + 1, inside);
            p.line(depth + 1,
                   fmt::format("acc {} {}= {}", k, name(a.reduction), p.operand(a.element)));
        }
    }
    for (const CheckThat& c : nest.checks) p.check(c, depth, done);
    for (const StoreTo& s : nest.stores) p.store(s, depth, done);
    return p.out;
}

std::string to_string(const Kernel& kernel) {
    Printer p(kernel);
    p.header("kernel", kernel.name);
    if (!kernel.comment.empty()) p.line(1, "# " + kernel.comment);
    p.statements(kernel.body, 1);
    return p.out;
}

}  // namespace arete::loops
