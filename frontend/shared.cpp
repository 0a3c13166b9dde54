#include "frontend/shared.h"

#include "compiler/ops/leaves.h"
#include "runtime/shared_value.h"

namespace arete {

namespace {
SharedValue& value_of(const Expr& e) {
    if (e.empty()) fail<GraphError>({}, "a Shared that was never assigned has no value");
    return shared_value(e.node());
}
}  // namespace

Shared::Shared(const Expr& e) : Expr(e) {
    if (e.empty()) fail<GraphError>({}, "an empty expression is not a shared variable");
    if (e.node().op->kind != OpInfo::Kind::Shared)
        fail<GraphError>(e.loc(), "'{}' is not a shared variable", e.node().op->name);
}

Array Shared::get_value(bool borrow) const {
    const SharedValue& value = value_of(*this);
    std::lock_guard lock(value.mutex());
    return borrow ? value.host() : value.host().copy();
}

void Shared::set_value(const Array& value, bool borrow) const {
    SharedValue& old = value_of(*this);
    std::lock_guard lock(old.mutex());
    const Array& now = old.host();
    if (value.dtype() != now.dtype() || value.shape() != now.shape())
        fail<ArgumentError>(loc(), "set_value: shared variable '{}' is {}, the value is {}",
                            node().name, type_name(now.dtype(), now.shape()),
                            type_name(value.dtype(), value.shape()));
    old.set(borrow ? value : value.copy());
}

Shared shared(const Array& value, std::string name, bool borrow, const char* file, int line) {
    return with_memory(Loc{file, line}, "shared variable", "", [&] {
        auto node = std::make_shared<Node>();
        node->op = &shared_op.info;
        node->types = {{value.dtype(), Shape(value.shape().begin(), value.shape().end())}};
        node->name = std::move(name);
        node->locs = {Loc{file, line}};
        node->id = next_id();
        node->storage = std::make_shared<SharedValue>(borrow ? value : value.copy());
        return Shared(Expr(std::move(node)));
    });
}

}  // namespace arete
