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
    SharedValue& value = value_of(*this);
    std::lock_guard lock(value.mutex());
    // Who has the variable's own memory may write to it.
    if (borrow) (void)value.host_memory();
    return borrow ? value.host() : value.host().copy();
}

void Shared::set_value(const Array& value, bool borrow) const {
    SharedValue& old = value_of(*this);
    std::lock_guard lock(old.mutex());
    if (value.dtype() != old.dtype() || value.shape() != old.sizes())
        fail<ArgumentError>(loc(), "set_value: shared variable '{}' is {}, the value is {}",
                            node().name, type_name(old.dtype(), old.sizes()),
                            type_name(value.dtype(), value.shape()));
    old.set(borrow ? value : value.copy());
}

namespace {
const std::shared_ptr<DeviceValue>& on_some_device(const SharedValue& value, const Expr& e) {
    if (!value.device_value())
        fail<DeviceError>(e.loc(),
                          "shared variable '{}' is on no device: no function that uses it has run "
                          "on one",
                          e.node().name);
    return value.device_value();
}
}  // namespace

DeviceArray Shared::borrow_device() const {
    SharedValue& value = value_of(*this);
    std::lock_guard lock(value.mutex());
    const std::shared_ptr<DeviceValue> copy = on_some_device(value, *this);
    (void)value.on_device(copy->identity(), [&] { return copy; });
    return {copy->device(), value.dtype(), value.sizes(),
            std::shared_ptr<void>(copy, copy->memory())};
}

void Shared::device_written() const {
    SharedValue& value = value_of(*this);
    std::lock_guard lock(value.mutex());
    (void)on_some_device(value, *this);
    value.device_written();
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
