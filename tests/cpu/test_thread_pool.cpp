#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/cpu/thread_pool.h"

using arete::shared_pool;
using arete::ThreadPool;

namespace {

/// Runs a callable as the body of a run.
template <class F>
void run(ThreadPool& pool, std::int64_t chunks, F& f) {
    pool.run([](void* context, std::int64_t chunk) { (*static_cast<F*>(context))(chunk); }, &f,
             chunks);
}

void check_each_once(ThreadPool& pool, std::int64_t chunks) {
    std::vector<std::atomic<int>> counts(static_cast<std::size_t>(chunks));
    auto body = [&](std::int64_t i) { ++counts[i]; };
    run(pool, chunks, body);
    int wrong = 0;
    for (const auto& c : counts) wrong += c.load() != 1;
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("thread pool: every chunk runs once, whatever the number of threads") {
    for (int threads : {1, 2, 3, 8}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for (std::int64_t chunks : {0, 1, 2, 7, 1000}) {
            CAPTURE(threads);
            CAPTURE(chunks);
            check_each_once(pool, chunks);
        }
    }
}

TEST_CASE("thread pool: one for each core where no number is given") {
    CHECK(ThreadPool(0).threads() >= 1);
    CHECK(ThreadPool(-3).threads() == ThreadPool(0).threads());
}

TEST_CASE("thread pool: many short runs, each of which sees its own data") {
    ThreadPool pool(3);
    int wrong = 0;
    for (int round = 0; round < 20000; ++round) {
        const std::int64_t chunks = 1 + round % 5;
        std::int64_t sums[5] = {};
        auto body = [&](std::int64_t i) { sums[i] = round + i; };
        run(pool, chunks, body);
        for (std::int64_t i = 0; i < 5; ++i) wrong += sums[i] != (i < chunks ? round + i : 0);
    }
    CHECK(wrong == 0);
}

TEST_CASE("thread pool: workers that have gone to sleep wake up") {
    ThreadPool pool(2);
    for (int round = 0; round < 20; ++round) {
        check_each_once(pool, 16);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

TEST_CASE("thread pool: two threads take part") {
    ThreadPool pool(2);
    // Each chunk waits for the other, so one thread alone would not return.
    std::atomic<int> arrived{0};
    auto body = [&](std::int64_t) {
        ++arrived;
        while (arrived.load() < 2) std::this_thread::yield();
    };
    run(pool, 2, body);
    CHECK(arrived.load() == 2);
}

TEST_CASE("thread pool: a run inside a run, and runs of several threads at once") {
    ThreadPool pool(2);
    std::atomic<int> count{0};
    auto inner = [&](std::int64_t) { ++count; };
    auto outer = [&](std::int64_t) { run(pool, 10, inner); };
    run(pool, 10, outer);
    CHECK(count.load() == 100);

    count = 0;
    std::vector<std::thread> users;
    for (int u = 0; u < 4; ++u)
        users.emplace_back([&] {
            for (int round = 0; round < 500; ++round) run(pool, 7, inner);
        });
    for (auto& user : users) user.join();
    CHECK(count.load() == 4 * 500 * 7);
}

TEST_CASE("thread pool: shared by number of threads, for as long as somebody holds it") {
    auto pool = shared_pool(7);
    CHECK(pool == shared_pool(7));
    CHECK(pool != shared_pool(3));
    CHECK(shared_pool(0) == shared_pool(-1));
    CHECK(pool->threads() == 7);
    std::weak_ptr<ThreadPool> weak = pool;
    pool.reset();
    CHECK(weak.expired());
    check_each_once(*shared_pool(7), 5);
}
