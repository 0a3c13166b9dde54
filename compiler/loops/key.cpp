// What a kernel computes as bytes, whatever its parts are called.
#include "compiler/loops/key.h"
#include "compiler/core/cases.h"

#include <bit>

namespace arete::loops {

namespace {

class KeyWriter {
  public:
    std::string write(const Kernel& k) {
        number(k.buffers.size());
        for (const Buffer& b : k.buffers) {
            number(b.dtype);
            number(b.elements());
            number(b.space);
            number(b.padded);
        }
        number(k.extents.size());
        for (std::int64_t extent : k.extents) number(extent);
        number(k.values.size());
        for (const Instr& i : k.values) {
            number(i.op);
            number(i.dtype);
            for (ValueId a : i.args) number(a);
            if (i.op == Op::Const)
                number(i.dtype == DType::F32
                           ? static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(i.constant.f32))
                           : i.constant.i);
            number(i.buffer);
            number(i.acc);
            index(i.index);
        }
        statements(k.body);
        return std::move(out_);
    }

  private:
    template <class Tag>
    void number(Id<Tag> id) {
        number(id.number());
    }

    template <class T>
    void number(T v) {
        const auto n = static_cast<std::int64_t>(v);
        // Most numbers are small.
        if (n >= -100 && n < 100) {
            out_.push_back(static_cast<char>(n));
            return;
        }
        out_.push_back(127);
        out_.append(reinterpret_cast<const char*>(&n), sizeof n);
    }

    void index(const Index& e) {
        number(e.constant());
        number(e.terms().size());
        for (const Index::Term& t : e.terms()) {
            number(t.coefficient);
            number(t.kind);
            number(t.number);
            number(t.divisor);
            if (t.inner) index(*t.inner);
        }
    }

    void statements(const std::vector<Stmt>& body) {
        number(body.size());
        for (const Stmt& s : body) statement(s);
    }

    // Every member by name: a new one does not compile until it is part of the key.
    void statement(const Stmt& s) {
        number(s.index());
        std::visit(Cases{[&](const Loop& l) {
                             const auto& [var, kind, body, lanes, dimension] = l;
                             number(var);
                             number(kind);
                             number(lanes);
                             number(dimension);
                             statements(body);
                         },
                         [&](const If& i) {
                             const auto& [condition, body] = i;
                             number(condition);
                             statements(body);
                         },
                         [&](const Barrier& b) {
                             const auto& [scope] = b;
                             number(scope);
                         },
                         [&](const StoreTo& store) {
                             const auto& [buffer, at, value, combine] = store;
                             number(buffer);
                             index(at);
                             number(value);
                             number(combine ? static_cast<int>(*combine) : -1);
                         },
                         [&](const CheckThat& check) {
                             const auto& [ok, code, element] = check;
                             number(ok);
                             number(code);
                             index(element);
                         },
                         [&](const FoldLanes& f) {
                             const auto& [from, to, slots, lanes, reduction, from_error, to_error] =
                                 f;
                             for (BufferId b : {from, to, from_error, to_error}) number(b);
                             number(slots);
                             number(lanes);
                             number(reduction);
                         },
                         [&](const PrefetchAt& p) {
                             const auto& [buffer, at, cache] = p;
                             number(buffer);
                             index(at);
                             number(cache);
                         },
                         [&](const TransposeTile& t) {
                             const auto& [from, at, from_stride, to, place, to_stride, rows,
                                          columns, lanes] = t;
                             index(at);
                             index(place);
                             for (BufferId b : {from, to}) number(b);
                             for (std::int64_t v : {from_stride, to_stride, rows, columns})
                                 number(v);
                             number(lanes);
                         }},
                   s);
    }

    std::string out_;
};

}  // namespace

std::string key(const Kernel& kernel) {
    return KeyWriter().write(kernel);
}

}  // namespace arete::loops
