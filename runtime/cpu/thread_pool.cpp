#include "runtime/cpu/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace arete {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPauseTime = std::chrono::microseconds(5);
constexpr auto kSpinTime = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield" ::: "memory");
#endif
}

/// Waits for `ready` to hold, giving up after kSpinTime. Pauses first, then lets other threads have
/// the core, so that waiting costs little on a busy machine.
template <class Ready>
bool spin_until(const Ready& ready) {
    for (int i = 0; i < 64; ++i) {
        if (ready()) return true;
        pause();
    }
    const auto begin = Clock::now();
    for (;;) {
        const auto waited = Clock::now() - begin;
        if (waited > kSpinTime) return ready();
        if (waited < kPauseTime) {
            for (int i = 0; i < 16; ++i) {
                if (ready()) return true;
                pause();
            }
        } else {
            if (ready()) return true;
            std::this_thread::yield();
        }
    }
}

constexpr std::uint64_t kChunkMask = 0xffffffffu;

int resolve(int threads) {
    if (threads > 0) return threads;
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(resolve(threads)) {}

ThreadPool::~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    wake_.fetch_add(1, std::memory_order_seq_cst);
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::start() {
    started_ = true;
    try {
        workers_.reserve(static_cast<std::size_t>(threads_ - 1));
        for (int i = 1; i < threads_; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::exception&) {
        // The system grants no more threads, or memory for them: those that it did, and the caller,
        // do the work.
    }
}

void ThreadPool::run(Body body, void* context, std::int64_t chunks) {
    const bool alone = threads_ == 1 || chunks <= 1 ||
                       chunks > std::numeric_limits<std::uint32_t>::max() ||
                       busy_.test_and_set(std::memory_order_acquire);
    if (alone) {
        for (std::int64_t i = 0; i < chunks; ++i) body(context, i);
        return;
    }
    if (!started_) start();

    const auto total = static_cast<std::uint32_t>(chunks);
    const std::uint64_t run = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    // Closed while the fields change: whoever has read one of the new values fails to claim.
    ticket_.store(run << 32 | kChunkMask, std::memory_order_relaxed);
    body_.store(body, std::memory_order_release);
    context_.store(context, std::memory_order_release);
    chunks_.store(total, std::memory_order_release);
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(run << 32, std::memory_order_release);
    wake_.fetch_add(1, std::memory_order_seq_cst);
    wake_.notify_all();

    help();
    const auto finished = [&] { return done_.load(std::memory_order_acquire) == total; };
    if (!spin_until(finished)) {
        for (;;) {
            const std::uint32_t now = done_.load(std::memory_order_acquire);
            if (now == total) break;
            done_.wait(now, std::memory_order_acquire);
        }
    }
    busy_.clear(std::memory_order_release);
}

/// Claims and runs chunks until the present run has none left.
void ThreadPool::help() {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
        const Body body = body_.load(std::memory_order_acquire);
        void* const context = context_.load(std::memory_order_acquire);
        const std::uint32_t total = chunks_.load(std::memory_order_acquire);
        const std::uint64_t chunk = ticket & kChunkMask;
        if (chunk >= total) return;
        if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire))
            continue;
        body(context, static_cast<std::int64_t>(chunk));
        if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == total) done_.notify_one();
        ticket = ticket_.load(std::memory_order_acquire);
    }
}

void ThreadPool::work() {
    std::uint32_t seen = 0;
    for (;;) {
        const auto woken = [&] { return wake_.load(std::memory_order_acquire) != seen; };
        if (!spin_until(woken)) wake_.wait(seen, std::memory_order_acquire);
        seen = wake_.load(std::memory_order_acquire);
        if (stop_.load(std::memory_order_relaxed)) return;
        help();
    }
}

std::shared_ptr<ThreadPool> shared_pool(int threads) {
    static std::mutex mutex;
    static std::map<int, std::weak_ptr<ThreadPool>> pools;
    const int n = resolve(threads);
    std::lock_guard lock(mutex);
    std::shared_ptr<ThreadPool> pool = pools[n].lock();
    if (!pool) {
        pool = std::make_shared<ThreadPool>(n);
        pools[n] = pool;
    }
    return pool;
}

}  // namespace arete
