// The loop interpreter: slow, simple, and the oracle of every test.
#include <algorithm>
#include <cstring>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/grid.h"
#include "compiler/loops/interpreter.h"

namespace arete::loops {

namespace {

Scalar read_from(DType t, const void* p, std::int64_t i) {
    return visit(t, [&](auto tag) {
        using T = decltype(tag);
        T v;
        std::memcpy(&v, static_cast<const char*>(p) + i * static_cast<std::int64_t>(sizeof(T)),
                    sizeof(T));
        Scalar s;
        s.dtype = t;
        if constexpr (std::is_same_v<T, float>)
            s.f32 = v;
        else if constexpr (std::is_same_v<T, double>)
            s.f64 = v;
        else
            s.i = static_cast<std::int64_t>(v);
        return s;
    });
}

void write_to(const Scalar& s, void* p, std::int64_t i) {
    visit(s.dtype, [&](auto tag) {
        using T = decltype(tag);
        T v;
        if constexpr (std::is_same_v<T, float>)
            v = s.f32;
        else if constexpr (std::is_same_v<T, double>)
            v = s.f64;
        else
            v = static_cast<T>(s.i);
        std::memcpy(static_cast<char*>(p) + i * static_cast<std::int64_t>(sizeof(T)), &v,
                    sizeof(T));
    });
}

Scalar combined(Reduction r, const Scalar& a, const Scalar& b) {
    Op op = r == Reduction::Sum || r == Reduction::Mean ? Op::Add
            : r == Reduction::Prod                      ? Op::Mul
            : r == Reduction::Max                       ? Op::Max
                                                        : Op::Min;
    Scalar args[] = {a, b};
    return evaluate(op, a.dtype, args);
}

// What a + b lost when it was rounded.
Scalar rounding(const Scalar& a, const Scalar& b, const Scalar& sum) {
    const auto minus = [](const Scalar& x, const Scalar& y) {
        const Scalar args[] = {x, y};
        return evaluate(Op::Sub, x.dtype, args);
    };
    const Scalar of_b = minus(sum, a);
    return combined(Reduction::Sum, minus(a, minus(sum, of_b)), minus(b, of_b));
}

}  // namespace

void OwnMemory::allocate(const Kernel& k, std::initializer_list<Space> spaces,
                         IdVector<BufferId, void*>& pointers) {
    arrays_.clear();
    for (BufferId b : k.buffers.ids()) {
        const Buffer& buffer = k.buffers[b];
        if (std::find(spaces.begin(), spaces.end(), buffer.space) == spaces.end()) continue;
        Array& a = arrays_.emplace_back(buffer.dtype, buffer.sizes);
        std::memset(a.raw(), buffer.dtype == DType::Bool ? 1 : 0xff, a.bytes());
        pointers[b] = a.raw();
    }
}

std::int64_t Interpreter::at(const Index& e) const {
    std::int64_t sum = e.constant();
    for (const Index::Term& t : e.terms()) {
        std::int64_t v = 0;
        switch (t.kind) {
            case Index::Kind::Var: v = thread_->vars[t.var()]; break;
            case Index::Kind::Value: v = slots_[t.value()].as_int(); break;
            case Index::Kind::Div:
            case Index::Kind::Mod: {
                std::int64_t i = at(*t.inner);
                std::int64_t r = ((i % t.divisor) + t.divisor) % t.divisor;
                v = t.kind == Index::Kind::Mod ? r : (i - r) / t.divisor;
                break;
            }
        }
        sum += t.coefficient * v;
    }
    return sum;
}

std::int64_t Interpreter::checked(BufferId buffer, const Index& e) const {
    std::int64_t i = at(e);
    const Buffer& b = k_.buffers[buffer];
    ARETE_CHECK(i >= 0 && i < b.elements(), "{}: address {} = {} outside {} '{}' in '{}'", k_.name,
                k_.str(e), i, type_name(b.dtype, b.sizes), b.name, line_of(k_, *statement_));
    return i;
}

Scalar Interpreter::read(BufferId buffer, std::int64_t element) {
    if (conflicts_) conflicts_->read(thread_->place, *statement_, buffer, element);
    return read_from(k_.buffers[buffer].dtype, thread_->pointers[buffer], element);
}

void Interpreter::write(const Scalar& s, BufferId buffer, std::int64_t element) {
    if (conflicts_) conflicts_->write(thread_->place, *statement_, buffer, element);
    write_to(s, thread_->pointers[buffer], element);
}

// Evaluates what a statement reads.
void Interpreter::evaluate_for(const Stmt& s) {
    statement_ = &s;
    auto [it, fresh] = orders_.try_emplace(&s);
    if (fresh) it->second = needed(k_, roots(s));
    for (ValueId id : it->second) {
        const Instr& i = k_.values[id];
        Scalar& out = slots_[id];
        switch (form(i.op)) {
            case Form::Constant: out = i.constant; break;
            case Form::Index: out = Scalar::of(DType::I64, at(i.index)); break;
            case Form::Load: out = read(i.buffer, checked(i.buffer, i.index)); break;
            case Form::LoadIf:
                out = slots_[i.args[0]].i ? read(i.buffer, checked(i.buffer, i.index))
                                          : Scalar::of(i.dtype, 0);
                break;
            case Form::Accumulator: throw InternalError("accumulator in a scheduled kernel");
            case Form::Function: {
                std::array<Scalar, 3> args;
                std::size_t n = 0;
                for (ValueId a : operands(i)) args[n++] = slots_[a];
                out = evaluate(i.op, i.dtype, {args.data(), n});
            }
        }
    }
}

void Interpreter::fold(const FoldLanes& f) {
    for (std::int64_t s = 0; s < f.slots; ++s) {
        Scalar sum = read(f.from, s * f.lanes);
        Scalar error = f.from_error ? read(f.from_error, s * f.lanes) : Scalar{};
        for (int l = 1; l < f.lanes; ++l) {
            const Scalar next = read(f.from, s * f.lanes + l);
            const Scalar rounded = combined(f.reduction, sum, next);
            if (f.from_error)
                error = combined(f.reduction, error,
                                 combined(f.reduction, read(f.from_error, s * f.lanes + l),
                                          rounding(sum, next, rounded)));
            sum = rounded;
        }
        write(sum, f.to, s);
        if (f.to_error) write(error, f.to_error, s);
    }
}

void Interpreter::transpose(const TransposeTile& t) {
    for (std::int64_t r = 0; r < t.rows; ++r)
        for (std::int64_t c = 0; c < t.columns; ++c)
            write(read(t.from, checked(t.from, t.at + Index(r * t.from_stride + c))), t.to,
                  checked(t.to, t.place + Index(c * t.to_stride + r)));
}

void Interpreter::loop(const Loop& l) {
    for (std::int64_t i = 0; i < k_.extents[l.var]; ++i) {
        thread_->vars[l.var] = i;
        run(l.body);
    }
}

void Interpreter::store(const StoreTo& s) {
    std::int64_t i = checked(s.buffer, s.index);
    Scalar v = slots_[s.value];
    if (s.combine) v = combined(*s.combine, read(s.buffer, i), v);
    write(v, s.buffer, i);
}

void Interpreter::check(const CheckThat& c) {
    if (slots_[c.ok].i) return;
    Failure f{true, c.code, at(c.element)};
    if (!failure_.failed ||
        std::pair(f.code, f.element) < std::pair(failure_.code, failure_.element))
        failure_ = f;
}

bool Interpreter::holds(const Stmt& s, const If& i) {
    evaluate_for(s);
    return slots_[i.condition].i != 0;
}

void Interpreter::run(const Stmt& s) {
    const auto evaluated = [&](const auto& f) {
        evaluate_for(s);
        f();
    };
    std::visit(
        Cases{[&](const Loop& l) { loop(l); },
              [&](const If& i) {
                  if (holds(s, i)) run(i.body);
              },
              [&](const Barrier&) {
                  throw InternalError(
                      fmt::format("{}: '{}' in a kernel without threads", k_.name, line_of(k_, s)));
              },
              [&](const StoreTo& to) { evaluated([&] { store(to); }); },
              [&](const CheckThat& that) { evaluated([&] { check(that); }); },
              [&](const FoldLanes& f) { evaluated([&] { fold(f); }); }, [](const PrefetchAt&) {},
              [&](const TransposeTile& t) { evaluated([&] { transpose(t); }); }},
        s);
}

Failure interpret(const Kernel& k, IdSpan<BufferId, void* const> parameters,
                  const InterpretOptions& options) {
    for (BufferId b : k.buffers.ids())
        ARETE_CHECK(parameters.contains(b) || !k.buffers[b].is_parameter(),
                    "{}: {} buffers for {} parameters", k.name, parameters.size(),
                    k.buffers.size());
    if (const std::optional<Launch> l = launch(k))
        return interpret_grid(k, *l, parameters, options);
    if (options.conflicts) return interpret_parallel(k, parameters, options);
    ThreadState thread;
    thread.vars.resize(k.extents.size());
    thread.pointers.assign(parameters.begin(), parameters.end());
    thread.pointers.resize(k.buffers.size());
    OwnMemory own;
    own.allocate(k, {Space::Private, Space::Register}, thread.pointers);
    Interpreter interpreter(k);
    interpreter.become(thread);
    interpreter.run(k.body);
    return interpreter.failure();
}

}  // namespace arete::loops
