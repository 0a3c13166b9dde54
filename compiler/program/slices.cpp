#include "compiler/program/slices.h"

#include <algorithm>
#include <limits>

#include "compiler/loops/kernel.h"

namespace arete {

using namespace loops;

namespace {

// low <= e <= high, as far as a guard says.
struct Condition {
    Index e;
    std::int64_t low = std::numeric_limits<std::int64_t>::min();
    std::int64_t high = std::numeric_limits<std::int64_t>::max();
};

const Instr& at(const Nest& nest, ValueId id) {
    return nest.values[id];
}

void add_bound(std::vector<Condition>& out, const Index& e, std::int64_t low, std::int64_t high) {
    auto same = std::find_if(out.begin(), out.end(), [&](const Condition& c) { return c.e == e; });
    if (same == out.end()) same = out.insert(out.end(), Condition{e});
    same->low = std::max(same->low, low);
    same->high = std::min(same->high, high);
}

// The comparisons of an Index with a literal that hold wherever `guard` does.
void collect(const Nest& nest, ValueId guard, std::vector<Condition>& out) {
    const Instr& g = at(nest, guard);
    if (g.op == Op::And) {
        collect(nest, g.args[0], out);
        collect(nest, g.args[1], out);
        return;
    }
    if (g.op != Op::Le && g.op != Op::Lt) return;
    const Instr &a = at(nest, g.args[0]), &b = at(nest, g.args[1]);
    const std::int64_t strict = g.op == Op::Lt ? 1 : 0;
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    if (a.op == Op::Const && b.op == Op::IndexOf)
        add_bound(out, b.index, a.constant.as_int() + strict, most);
    else if (a.op == Op::IndexOf && b.op == Op::Const)
        add_bound(out, a.index, least, b.constant.as_int() - strict);
}

std::int64_t width(const Range& r) {
    return r.high - r.low;
}

// index, with a variable of each condition's e expressed by e and the others: i = e + ky where the
// guard bounds e = i - ky. Of the variables that can be, the one that leaves the tightest bounds.
Range bounds_under(Index index, const std::vector<Condition>& conditions, Box extents) {
    Range best = index.range(extents);
    for (const Condition& c : conditions) {
        if (c.low < -(std::int64_t{1} << 40) || c.high > (std::int64_t{1} << 40)) continue;
        const Box before = extents;
        std::optional<Index> tightest;
        for (const Index::Term& t : c.e.terms()) {
            if (t.kind != Index::Kind::Var || std::abs(t.coefficient) != 1 ||
                c.e.uses_nested(t.var()) || !index.uses(t.var()))
                continue;
            Box wider = before;
            const Var fresh = wider.add(std::max<std::int64_t>(1, c.high - c.low + 1));
            // t = +-(low + fresh - (e without t))
            const Index rest = c.e - Index::var(t.var()) * t.coefficient;
            const Index value = (Index::var(fresh) + Index(c.low) - rest) * t.coefficient;
            const Index now = index.substitute(
                [&](const Index::Term& old) {
                    if (old.kind == Index::Kind::Value) return Index::value(old.value());
                    return old.var() == t.var() ? value : Index::var(old.var());
                },
                wider);
            const Range r = now.range(wider);
            if (width(r) >= width(best)) continue;
            best = r;
            tightest = now;
            extents = wider;
        }
        if (tightest) index = *tightest;
    }
    return best;
}

}  // namespace

std::vector<Access> accesses(const Nest& nest) {
    std::vector<Access> out;
    for (ValueId id : needed(nest, roots(nest))) {
        const Instr& i = at(nest, id);
        if (i.op == Op::Load || i.op == Op::LoadIf)
            out.push_back({i.buffer, &i.index, i.op == Op::LoadIf ? i.args[0] : ValueId(), false});
    }
    for (const StoreTo& s : nest.stores) out.push_back({s.buffer, &s.index, {}, true});
    return out;
}

Range bounds(const Nest& nest, const Access& access) {
    std::vector<Condition> conditions;
    if (access.guard) collect(nest, access.guard, conditions);
    return bounds_under(*access.index, conditions, nest.extents);
}

std::optional<std::int64_t> slice(const Nest& nest, const Access& access, Var axis) {
    const std::int64_t size = access.index->coefficient(axis);
    if (size <= 0 || access.index->uses_nested(axis)) return std::nullopt;
    const Index rest = *access.index - Index::var(axis) * size;
    const Range r = bounds(nest, {access.buffer, &rest, access.guard, access.write});
    if (r.low < 0 || r.high >= size) return std::nullopt;
    return size;
}

std::unordered_map<SlotId, Use> uses_of(const Part& p) {
    std::unordered_map<SlotId, Use> out;
    for (const Access& a : accesses(p.nest)) {
        Use& u = out[p.slots[a.buffer]];
        (a.write ? u.written : u.read) = true;
    }
    return out;
}

std::unordered_map<SlotId, std::int64_t> slices_of(const Part& p, Var axis) {
    std::unordered_map<SlotId, std::int64_t> out;
    for (const Access& a : accesses(p.nest)) {
        const SlotId slot = p.slots[a.buffer];
        const std::int64_t size =
            a.index->uses(axis) ? slice(p.nest, a, axis).value_or(0) : std::int64_t{-1};
        const auto [at, fresh] = out.emplace(slot, size);
        if (!fresh && at->second != size) at->second = 0;
    }
    return out;
}

}  // namespace arete
