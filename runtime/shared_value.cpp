#include "runtime/shared_value.h"

#include <cstring>

namespace arete {

const Array& SharedValue::host() const {
    if (!host_valid_) {
        device_->to_host(host_.raw());
        host_valid_ = true;
    }
    return host_;
}

void* SharedValue::host_memory(bool written) {
    void* memory = const_cast<void*>(host().raw());
    if (written) device_valid_ = false;
    return memory;
}

void SharedValue::restore(const Array& value) {
    if (value.bytes()) std::memcpy(host_.raw(), value.raw(), value.bytes());
    host_valid_ = true;
    device_valid_ = false;
}

void SharedValue::set(Array value) {
    host_ = std::move(value);
    host_valid_ = true;
    device_valid_ = false;
}

DeviceValue& SharedValue::on_device(const void* identity,
                                    const std::function<std::shared_ptr<DeviceValue>()>& make) {
    if (!device_ || device_->identity() != identity) {
        (void)host();  // while the other copy is there
        device_valid_ = false;
        device_ = make();
    }
    if (!device_valid_) {
        device_->from_host(host().raw());
        device_valid_ = true;
    }
    return *device_;
}

}  // namespace arete
