// The value of a shared variable, where functions find it.
#pragma once

#include <cstdint>
#include <mutex>

#include "compiler/core/array.h"
#include "compiler/graph/node.h"

namespace arete {

/// What is behind a shared variable's handle. Locked by calls that read or update it, in the order
/// of the variables' ids; the functions below are for who holds the lock.
class SharedValue final : public SharedStorage {
  public:
    explicit SharedValue(Array value) : host_(std::move(value)) {}

    std::mutex& mutex() const { return mutex_; }

    /// The host's copy, up to date.
    const Array& host() const { return host_; }
    Array host_value() const override { return host_; }
    /// Memory of the host for a function that reads the value and may write it.
    void* host_memory() { return host_.raw(); }
    /// Replaces the value by one of the same dtype and sizes, whose memory is used from now on.
    void set(Array value) { host_ = std::move(value); }

    /// Default update: added to an i64 scalar (the counter of a random stream) by each call that
    /// reads it and does not update it otherwise.
    std::int64_t default_increment() const override { return default_increment_; }
    void set_default_increment(std::int64_t by) { default_increment_ = by; }

  private:
    mutable std::mutex mutex_;
    Array host_;
    std::int64_t default_increment_ = 0;
};

/// The value of a shared variable.
inline SharedValue& shared_value(const Node& variable) {
    ARETE_CHECK(variable.storage, "'{}' is not a shared variable", variable.name);
    return static_cast<SharedValue&>(*variable.storage);
}

}  // namespace arete
