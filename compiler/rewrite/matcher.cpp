#include "compiler/rewrite/matcher.h"

#include "compiler/ops/elementwise.h"
#include "compiler/ops/elementwise_rows.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rows.h"

namespace arete {

Pattern Pattern::any(char name) {
    Pattern p;
    p.kind = Kind::Any;
    p.name = name;
    return p;
}

Pattern Pattern::number(double value) {
    Pattern p;
    p.kind = Kind::Constant;
    p.value = value;
    return p;
}

Pattern Pattern::apply(const char* op, std::vector<Pattern> args, char bind) {
    Pattern p;
    p.kind = Kind::Apply;
    p.op = op;
    p.args = std::move(args);
    p.name = bind;
    return p;
}

Pattern Pattern::op_class(const char* what, OpClass is, std::vector<Pattern> args, char bind) {
    Pattern p = apply(what, std::move(args), bind);
    p.kind = Kind::Class;
    p.is = is;
    return p;
}

const Expr& Match::operator[](char name) const {
    for (std::size_t k = 0; k < count_; ++k)
        if (bound_[k].first == name) return bound_[k].second ? *bound_[k].second : root_;
    throw InternalError(fmt::format("the pattern binds no '{}'", name));
}

bool Match::only_reader(char name) const {
    if (!around_ || around_->readers((*this)[name].node()) <= 1) return true;
    around_->refused();
    return false;
}

bool Match::read_elsewhere(char name) const {
    return around_ && around_->readers((*this)[name].node()) > 1;
}

bool Match::computed_anyway(const Expr& e) const {
    if (!around_ || around_->computes(e)) return true;
    around_->refused();
    return false;
}

namespace {

// One operand's elements elsewhere: the other operands say where.
bool moves_first_operand(const Node& n) {
    return n.op->has(Trait::View);
}

bool widens(const Node& n) {
    return n.op == &cast_op.info && n.types[0].dtype == DType::F64 &&
           n.inputs[0].dtype() == DType::F32;
}

Expr view_of(const Node& view, const Expr& x) {
    const Operand whole = at(x, view.loc());
    if (widens(view)) return cast(whole, DType::F64);
    std::vector<Expr> inputs = view.inputs;
    inputs[0] = broadcast_to(whole, view.inputs[0].shape());
    return apply(def(view), inputs, view.attrs, view.loc());
}

// The elementwise node below the views, and casts to a wider float, that e is; null where there is
// none. `views`: these, the outermost first.
const Node* elementwise_below(const Expr& e, std::vector<const Node*>& views) {
    const Expr* inner = &e;
    while (!inner->node().is_leaf() &&
           (moves_first_operand(inner->node()) || widens(inner->node()))) {
        views.push_back(&inner->node());
        inner = &views.back()->inputs[0];
    }
    const Node& f = inner->node();
    return views.empty() || f.is_leaf() || !def(f).scalar ? nullptr : &f;
}

// view(f(x, y)) as f(view(x), view(y)); nothing where the type would be another one.
Expr moved_inside(const Node& f, const std::vector<const Node*>& views, const Expr& e) {
    std::vector<Expr> inputs = f.inputs;
    for (Expr& x : inputs) {
        const bool number = x.rank() == 0 && constant_value(x);
        for (std::size_t k = views.size(); k-- > 0;)
            // A condition is no number that gets wider.
            if (widens(*views[k]) ? x.dtype() == DType::F32 : !number) x = view_of(*views[k], x);
    }
    const Expr moved = apply(def(f), inputs, f.attrs, f.loc());
    return moved.type() == e.type() ? moved : Expr();
}

// The same where below the views there is an op of this name; nothing where there is not.
Expr views_at_operands(std::string_view op, const Expr& e) {
    std::vector<const Node*> views;
    const Node* f = elementwise_below(e, views);
    return f && f->op->name == op ? moved_inside(*f, views, e) : Expr();
}

// The same expression, also where one of them was made a moment ago and is no node of the graph.
bool equal(const Expr& a, const Expr& b) {
    if (same(a, b)) return true;
    const Node &m = a.node(), &n = b.node();
    if (m.is_leaf() || m.op != n.op || a.output() != b.output() || m.id != n.id ||
        m.inputs.size() != n.inputs.size() || m.inputs.empty() || !m.regions.empty() ||
        !(m.attrs == n.attrs) || m.types != n.types)
        return false;
    // Only views differ, of nodes of the graph.
    if (!m.op->has(Trait::View) && m.op != &cast_op.info) return false;
    for (std::size_t k = 0; k < m.inputs.size(); ++k)
        if (!(k == 0 ? equal(m.inputs[0], n.inputs[0]) : same(m.inputs[k], n.inputs[k])))
            return false;
    return true;
}

}  // namespace

Expr with_views_inside(const Expr& e) {
    std::vector<const Node*> views;
    const Node* f = elementwise_below(e, views);
    const Expr moved = f ? moved_inside(*f, views, e) : Expr();
    return moved.empty() ? e : moved;
}

Matcher::Matcher(const Pattern& pattern, const Expr& e, const Surroundings* around,
                 bool through_views)
    : pattern_(pattern), e_(e), through_views_(through_views) {
    m_.around_ = around;
}

std::optional<Match> Matcher::next() {
    while (more_) {
        m_.count_ = 0;
        m_.kept_.reset();
        next_ = 0;
        const bool found = step(pattern_, e_);
        more_ = turn_last();
        if (!found) continue;
        m_.root_ = e_;
        return m_;
    }
    return std::nullopt;
}

bool Matcher::swapped() {
    if (next_ == made_) swaps_ &= ~(1u << made_++);
    return (swaps_ >> next_++ & 1) != 0;
}

bool Matcher::turn_last() {
    made_ = next_;  // choices that were not reached this time are open again
    while (made_ > 0 && (swaps_ >> (made_ - 1) & 1) != 0) --made_;
    if (made_ == 0) return false;
    swaps_ |= 1u << (made_ - 1);
    return true;
}

bool Matcher::bind(char name, const Expr& e) {
    for (std::size_t k = 0; k < m_.count_; ++k)
        if (m_.bound_[k].first == name)
            return equal(m_.bound_[k].second ? *m_.bound_[k].second : e_, e);
    ARETE_CHECK(m_.count_ < m_.bound_.size(), "a pattern with more than {} names",
                m_.bound_.size());
    m_.bound_[m_.count_++] = {name, &e == &e_ ? nullptr : &e};
    return true;
}

const Expr& Matcher::keep(Expr e) {
    if (!m_.kept_) m_.kept_ = std::make_shared<std::deque<Expr>>();
    return m_.kept_->emplace_back(std::move(e));
}

bool Matcher::step(const Pattern& p, const Expr& e) {
    switch (p.kind) {
        case Pattern::Kind::Any: return bind(p.name, e);
        case Pattern::Kind::Constant: {
            double v = 0;
            return is_constant_scalar(e, &v) && v == p.value;
        }
        case Pattern::Kind::Apply:
            if (e.node().op->name == p.op) return step_into(p, e);
            if (!through_views_) return false;
            if (Expr moved = views_at_operands(p.op, e); !moved.empty())
                return step_into(p, keep(std::move(moved)));
            return false;
        case Pattern::Kind::Class:
            if (e.node().is_leaf() || !p.is(def(e.node()))) return false;
            if (p.args.empty()) return !p.name || bind(p.name, e);
            return step_into(p, e);
    }
    return false;
}

// The operands; the op is the right one.
bool Matcher::step_into(const Pattern& p, const Expr& e) {
    const Node& n = e.node();
    if (n.inputs.size() != p.args.size()) return false;
    if (p.name && !bind(p.name, e)) return false;
    const bool turned = n.op->has(Trait::Commutative) && swapped();
    for (std::size_t i = 0; i < p.args.size(); ++i)
        if (!step(p.args[i], n.inputs[turned ? p.args.size() - 1 - i : i])) return false;
    return true;
}

std::optional<Match> match(const Pattern& pattern, const Expr& e) {
    return Matcher(pattern, e, nullptr).next();
}

}  // namespace arete
