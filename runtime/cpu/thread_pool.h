// A fork-join pool of threads that spin for a short time and then sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace arete {

/// Runs the chunks of a parallel loop on several threads, the caller among them. Which thread runs
/// which chunk is left to chance, so a result that must not depend on the number of threads may
/// depend on the chunk's index only.
class ThreadPool {
  public:
    /// Runs chunk `chunk`. Must not throw: it may be called from any thread.
    using Body = void (*)(void* context, std::int64_t chunk);

    /// A pool of `threads` threads, the caller of run() included; 0 or less: one for each core. The
    /// threads are started by the first run() that has work for them.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    /// Calls body(context, 0), ..., body(context, chunks - 1), in any order and at the same time,
    /// and returns once all have returned; their writes are visible to the caller then. Allocates
    /// nothing once the threads run. One run at a time: a second thread that calls run() meanwhile
    /// (or a body that calls it) does its own chunks itself, one after another.
    void run(Body body, void* context, std::int64_t chunks);

    /// Threads that take part in a run, the caller included.
    int threads() const { return threads_; }

  private:
    void start();
    void work();
    void help();

    const int threads_;
    std::vector<std::thread> workers_;
    bool started_ = false;  // read and written under busy_
    std::atomic_flag busy_;
    std::atomic<bool> stop_{false};

    // The run in progress. A claim reads these and then advances ticket_ by compare-and-swap; that
    // it succeeds proves that the run it read of is still in progress.
    std::atomic<Body> body_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<std::uint32_t> chunks_{0};

    alignas(64) std::atomic<std::uint64_t> ticket_{0};  // number of the run << 32 | next chunk
    alignas(64) std::atomic<std::uint32_t> done_{0};    // chunks that have returned
    alignas(64) std::atomic<std::uint32_t> wake_{0};  // changes with each run; workers sleep on it
};

/// The process's pool of `threads` threads (0 or less: one for each core), made where nobody holds
/// one. Callers keep the pointer for as long as they run on it.
std::shared_ptr<ThreadPool> shared_pool(int threads);

}  // namespace arete
