// The loop interpreter: slow, simple, and the oracle of every test.
#include <algorithm>
#include <cstring>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"

namespace arete::loops {

namespace {

Scalar read(DType t, const void* p, std::int64_t i) {
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

void write(const Scalar& s, void* p, std::int64_t i) {
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

class Interpreter {
  public:
    Interpreter(const Kernel& k, std::span<void* const> params)
        : k_(k), vars_(k.extents.size(), 0), slots_(k.values.size()) {
        ARETE_CHECK(
            params.size() >= k.buffers.size() ||
                std::all_of(k.buffers.begin() + static_cast<std::ptrdiff_t>(params.size()),
                            k.buffers.end(), [](const Buffer& b) { return !b.is_parameter(); }),
            "{}: {} buffers for {} parameters", k.name, params.size(), k.buffers.size());
        for (std::size_t b = 0; b < k.buffers.size(); ++b) {
            if (!k.buffers[b].is_parameter()) {
                locals_.push_back(zeros(k.buffers[b].dtype, k.buffers[b].sizes));
                // What is read before it is written shows.
                if (k.buffers[b].scratch)
                    std::memset(locals_.back().raw(), 0xff, locals_.back().bytes());
                pointers_.push_back(locals_.back().raw());
            } else {
                pointers_.push_back(params[b]);
            }
        }
    }

    Failure run() {
        body(k_.body);
        return failure_;
    }

  private:
    std::int64_t at(const Index& e) const {
        std::int64_t sum = e.constant();
        for (const Index::Term& t : e.terms()) {
            std::int64_t v = 0;
            switch (t.kind) {
                case Index::Kind::Var: v = vars_[static_cast<std::size_t>(t.id)]; break;
                case Index::Kind::Value: v = slots_[static_cast<std::size_t>(t.id)].as_int(); break;
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

    std::int64_t checked(int buffer, const Index& e) const {
        std::int64_t i = at(e);
        const Buffer& b = k_.buffers[static_cast<std::size_t>(buffer)];
        ARETE_CHECK(i >= 0 && i < b.elements(), "{}: address {} = {} outside {} '{}'", k_.name,
                    k_.str(e), i, type_name(b.dtype, b.sizes), b.name);
        return i;
    }

    void evaluate_all(const std::vector<ValueId>& order) {
        for (ValueId id : order) {
            const Instr& i = k_.values[static_cast<std::size_t>(id)];
            Scalar& out = slots_[static_cast<std::size_t>(id)];
            switch (form(i.op)) {
                case Form::Constant: out = i.constant; break;
                case Form::Index: out = Scalar::of(DType::I64, at(i.index)); break;
                case Form::Load:
                    out = read(i.dtype, pointers_[static_cast<std::size_t>(i.target)],
                               checked(i.target, i.index));
                    break;
                case Form::LoadIf:
                    out = slots_[static_cast<std::size_t>(i.args[0])].i
                              ? read(i.dtype, pointers_[static_cast<std::size_t>(i.target)],
                                     checked(i.target, i.index))
                              : Scalar::of(i.dtype, 0);
                    break;
                case Form::Accumulator: throw InternalError("accumulator in a scheduled kernel");
                case Form::Function: {
                    Scalar args[3];
                    for (int a = 0; a < arity(i.op); ++a)
                        args[a] =
                            slots_[static_cast<std::size_t>(i.args[static_cast<std::size_t>(a)])];
                    out = evaluate(i.op, i.dtype, {args, static_cast<std::size_t>(arity(i.op))});
                }
            }
        }
    }

    // Evaluates what a statement reads: `value`, where it has one, and what is in its index.
    void evaluate_for(const void* statement, ValueId value, const Index& index) {
        auto [it, fresh] = orders_.try_emplace(statement);
        if (fresh) {
            std::vector<ValueId> roots;
            if (value >= 0) roots.push_back(value);
            index.for_each_value([&](ValueId v) { roots.push_back(v); });
            it->second = needed(k_, roots);
        }
        evaluate_all(it->second);
    }

    static Scalar combined(Reduction r, const Scalar& a, const Scalar& b) {
        Op op = r == Reduction::Sum || r == Reduction::Mean ? Op::Add
                : r == Reduction::Prod                      ? Op::Mul
                : r == Reduction::Max                       ? Op::Max
                                                            : Op::Min;
        Scalar args[] = {a, b};
        return evaluate(op, a.dtype, args);
    }

    void fold(const FoldLanes& f) {
        void* from = pointers_[static_cast<std::size_t>(f.from)];
        DType t = k_.buffers[static_cast<std::size_t>(f.from)].dtype;
        const auto lost = [&](std::int64_t at) {
            return read(t, pointers_[static_cast<std::size_t>(f.from_error)], at);
        };
        for (std::int64_t s = 0; s < f.slots; ++s) {
            Scalar sum = read(t, from, s * f.lanes);
            Scalar error = f.from_error >= 0 ? lost(s * f.lanes) : Scalar{};
            for (int l = 1; l < f.lanes; ++l) {
                const Scalar next = read(t, from, s * f.lanes + l);
                const Scalar rounded = combined(f.reduction, sum, next);
                if (f.from_error >= 0)
                    error = combined(
                        f.reduction, error,
                        combined(f.reduction, lost(s * f.lanes + l), rounding(sum, next, rounded)));
                sum = rounded;
            }
            write(sum, pointers_[static_cast<std::size_t>(f.to)], s);
            if (f.to_error >= 0) write(error, pointers_[static_cast<std::size_t>(f.to_error)], s);
        }
    }

    // What a + b lost when it was rounded.
    static Scalar rounding(const Scalar& a, const Scalar& b, const Scalar& sum) {
        const auto minus = [](const Scalar& x, const Scalar& y) {
            const Scalar args[] = {x, y};
            return evaluate(Op::Sub, x.dtype, args);
        };
        const Scalar of_b = minus(sum, a);
        return combined(Reduction::Sum, minus(a, minus(sum, of_b)), minus(b, of_b));
    }

    void transpose(const TransposeTile& t) {
        const DType type = k_.buffers[static_cast<std::size_t>(t.from)].dtype;
        for (std::int64_t r = 0; r < t.rows; ++r)
            for (std::int64_t c = 0; c < t.columns; ++c)
                write(read(type, pointers_[static_cast<std::size_t>(t.from)],
                           checked(t.from, t.at + Index(r * t.from_stride + c))),
                      pointers_[static_cast<std::size_t>(t.to)],
                      checked(t.to, t.place + Index(c * t.to_stride + r)));
    }

    void loop(const Loop& l) {
        for (std::int64_t i = 0; i < k_.extents[static_cast<std::size_t>(l.var)]; ++i) {
            vars_[static_cast<std::size_t>(l.var)] = i;
            body(l.body);
        }
    }

    void store(const StoreTo& s) {
        evaluate_for(&s, s.value, s.index);
        void* p = pointers_[static_cast<std::size_t>(s.buffer)];
        std::int64_t i = checked(s.buffer, s.index);
        Scalar v = slots_[static_cast<std::size_t>(s.value)];
        if (s.combine) v = combined(*s.combine, read(v.dtype, p, i), v);
        write(v, p, i);
    }

    void check(const CheckThat& c) {
        evaluate_for(&c, c.ok, c.element);
        if (slots_[static_cast<std::size_t>(c.ok)].i) return;
        Failure f{true, c.code, at(c.element)};
        if (!failure_.failed ||
            std::pair(f.code, f.element) < std::pair(failure_.code, failure_.element))
            failure_ = f;
    }

    void body(const std::vector<Stmt>& statements) {
        for (const Stmt& s : statements)
            std::visit(Cases{[&](const Loop& l) { loop(l); }, [&](const StoreTo& to) { store(to); },
                             [&](const CheckThat& that) { check(that); },
                             [&](const FoldLanes& f) { fold(f); }, [&](const PrefetchAt&) {},
                             [&](const TransposeTile& t) {
                                 evaluate_for(&t, -1, t.at);
                                 transpose(t);
                             }},
                       s);
    }

    const Kernel& k_;
    std::vector<std::int64_t> vars_;
    std::vector<Scalar> slots_;
    std::vector<Array> locals_;
    std::vector<void*> pointers_;
    std::unordered_map<const void*, std::vector<ValueId>> orders_;  // by statement
    Failure failure_;
};

}  // namespace

Failure interpret(const Kernel& kernel, std::span<void* const> buffers) {
    return Interpreter(kernel, buffers).run();
}

}  // namespace arete::loops
