// Threads of an emulated block: stacks that take turns where they wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace arete::emulator {

/// In which order threads run from one barrier to the next. A missing barrier shows in at least one
/// of them.
enum class ThreadOrder : std::uint8_t {
    round_robin,  ///< in the order of their numbers
    reversed,
    by_warp,  ///< the last warp first, each warp as far as it comes without the others
};

/// What a kernel asks of the machine; the same in the prelude for hosts
/// (compiler/targets/cuda/prelude.cpp).
struct Three {
    unsigned x = 0, y = 0, z = 0;
};
struct EmulatedThread {
    Three block, thread;
    char* shared = nullptr;
    void (*barrier)(int scope) = nullptr;  ///< 0: the warp, 1: the block
};

/// Runs the threads of blocks, one block after another.
class Fibers {
  public:
    /// `portable`: switch by the C library rather than in assembly.
    Fibers(ThreadOrder order, bool portable);
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    /// Runs `thread` once for each of so many threads of a block, with `state` set to what that
    /// thread is. False where some wait for others that do not come.
    bool run(std::size_t threads, Three size, EmulatedThread& state,
             const std::function<void()>& thread);

  private:
    struct Fiber;
    struct Machine;
    std::unique_ptr<Machine> machine_;
};

}  // namespace arete::emulator
