#include "tests/fuzz/supervise.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <thread>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/numpy.h"
#include "tests/fuzz/shrink.h"

namespace arete::fuzz {

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Processor time of a process, all its threads together; -1 where it is gone.
double cpu_of(pid_t pid) {
    clockid_t clock{};
    timespec t{};
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return -1;
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::int64_t resident_megabytes(pid_t pid) {
    std::FILE* f = std::fopen(fmt::format("/proc/{}/statm", pid).c_str(), "r");
    if (!f) return 0;
    long long all = 0, resident = 0;
    const int read = std::fscanf(f, "%lld %lld", &all, &resident);
    std::fclose(f);
    return read == 2 ? resident * (sysconf(_SC_PAGESIZE) >> 10) >> 10 : 0;
}

/// What a worker writes and its supervisor reads.
struct Shared {
    std::uint64_t seed;  ///< being run
    char setting[64];
    double cpu_at_start, wall_at_start;
    Tally tally;
    // One finding at a time: written by the worker, taken by the supervisor.
    std::uint64_t failed_seed;
    Finding::Kind kind;
    char failed_setting[64];
    char message[4000];
    volatile int full;

    void set(const std::string& s) { std::snprintf(setting, sizeof setting, "%s", s.c_str()); }
    void put(std::uint64_t at, const Finding& f) {
        failed_seed = at;
        kind = f.kind;
        std::snprintf(failed_setting, sizeof failed_setting, "%s", f.setting.c_str());
        std::snprintf(message, sizeof message, "%s", f.message.c_str());
        __sync_synchronize();
        full = 1;
    }
    Failure take() {
        __sync_synchronize();
        Failure f{failed_seed, {kind, failed_setting, message}};
        full = 0;
        return f;
    }
};

Shared* shared_page() {
    void* p =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return new (p) Shared();
}

// A process that is to die of its signals, whatever its parent did about them.
void plain_signals() {
#ifndef __SANITIZE_ADDRESS__  // whose own handlers say where it was
    for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) std::signal(s, SIG_DFL);
#endif
    for (const int s : {SIGABRT, SIGTERM, SIGINT}) std::signal(s, SIG_DFL);
}

std::string how_it_ended(int status) {
    if (WIFSIGNALED(status))
        return fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return fmt::format("exit status {}", WEXITSTATUS(status));
}

/// Seeds first, first + step, ...; ends at the last, or with the process.
void work(const SuperviseOptions& options, Shared& shared, std::uint64_t first,
          std::uint64_t step) {
    std::unique_ptr<Beside> beside;
    if (!options.against.empty())
        beside = std::make_unique<Beside>(options.against, options.python,
                                          [&](std::uint64_t seed, const Finding& f) {
                                              while (shared.full) usleep(1000);
                                              shared.put(seed, f);
                                          });
    const std::uint64_t end = options.first + options.count;
    for (std::uint64_t seed = first; seed < end; seed += step) {
        shared.set("draw");
        shared.cpu_at_start = cpu_of(getpid());
        shared.wall_at_start = now();
        __sync_synchronize();
        shared.seed = seed;
        std::optional<Finding> finding;
        try {
            const Case c = Drawer(seed, options.draw).draw();
            Verdict v = run(c, {options.settings(seed), options.gradients, options.rules,
                                [&](const std::string& s) {
                                    ++shared.tally.runs;
                                    shared.set(s);
                                }});
            finding = v.finding;
            Tally& t = shared.tally;
            t.skipped += v.skipped;
            t.refused += v.refused;
            t.results += v.results.size();
            for (const Array& a : v.results) t.elements += static_cast<std::uint64_t>(a.size());
            t.gradients += c.gradients.size();
            if (beside && !finding && !v.skipped && !v.refused && !v.results.empty()) {
                shared.set(options.against);
                t.beside += beside->add(c, std::move(v.expected));
            }
        } catch (const std::exception& e) {
            finding = Finding{Finding::Kind::Exception, "draw", e.what()};
        }
        if (finding) {
            while (shared.full) usleep(1000);
            shared.put(seed, *finding);
        }
        ++shared.tally.cases;
    }
    if (beside) {
        shared.set(options.against);
        beside->flush();
    }
    while (shared.full) usleep(1000);
}

struct Worker {
    Shared* shared = nullptr;
    pid_t pid = -1;
    std::uint64_t next = 0;  ///< first seed of the process
    std::int64_t megabytes = 0;
    bool done = false;
};

}  // namespace

Report supervise(const SuperviseOptions& options,
                 const std::function<void(const Failure&)>& on_failure) {
    Report report;
    const double start = now();
    const auto jobs = static_cast<std::uint64_t>(std::max(1, options.jobs));
    std::vector<Worker> workers(jobs);
    const auto add = [&](Failure f) {
        if (on_failure) on_failure(f);
        report.failures.push_back(std::move(f));
    };
    // Processes are followed by fresh ones, so that nothing can pile up unseen.
    constexpr std::uint64_t per_process = 4000;
    const auto launch = [&](Worker& w) {
        if (w.next >= options.first + options.count) {
            w.done = true;
            return;
        }
        w.shared->seed = w.next;
        w.shared->cpu_at_start = 0;
        w.shared->wall_at_start = now();
        w.shared->set("start");
        std::fflush(nullptr);
        w.pid = fork();
        if (w.pid < 0) throw std::runtime_error("cannot fork");
        if (w.pid == 0) {
            plain_signals();
            SuperviseOptions mine = options;
            const std::uint64_t end =
                std::min(options.first + options.count, w.next + per_process * jobs);
            mine.count = end - options.first;
            work(mine, *w.shared, w.next, jobs);
            std::fflush(nullptr);
            _exit(0);
        }
        w.megabytes = resident_megabytes(w.pid);
    };
    for (std::uint64_t k = 0; k < jobs; ++k) {
        workers[k].shared = shared_page();
        workers[k].next = options.first + k;
        launch(workers[k]);
    }
    const auto running = [&] {
        for (const Worker& w : workers)
            if (!w.done) return true;
        return false;
    };
    const auto stop = [&](Worker& w) {
        kill(w.pid, SIGKILL);
        int status = 0;
        waitpid(w.pid, &status, 0);
    };
    while (running()) {
        usleep(20'000);
        const bool over = (options.seconds > 0 && now() - start > options.seconds) ||
                          static_cast<int>(report.failures.size()) >= options.most_findings;
        for (Worker& w : workers) {
            if (w.done) continue;
            if (w.shared->full) add(w.shared->take());
            if (over) {
                stop(w);
                w.done = true;
                continue;
            }
            int status = 0;
            const pid_t ended = waitpid(w.pid, &status, WNOHANG);
            const std::uint64_t seed = w.shared->seed;
            const std::string setting = w.shared->setting;
            if (ended == w.pid) {
                if (w.shared->full) add(w.shared->take());
                const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
                if (!well) add({seed, {Finding::Kind::Crash, setting, how_it_ended(status)}});
                w.next = seed + jobs;
                launch(w);
                continue;
            }
            const double cpu = cpu_of(w.pid) - w.shared->cpu_at_start,
                         wall = now() - w.shared->wall_at_start;
            const std::int64_t megabytes = resident_megabytes(w.pid) - w.megabytes;
            std::optional<Finding> limit;
            // Memory of a process grows by and by; a jump is a case's.
            if (cpu > options.cpu_limit)
                limit = {Finding::Kind::Hang, setting,
                         fmt::format("{:.0f} s of processor time", cpu)};
            else if (wall > options.wall_limit)
                limit = {Finding::Kind::Hang, setting, fmt::format("{:.0f} s", wall)};
            else if (megabytes > options.megabytes)
                limit = {Finding::Kind::Memory, setting, fmt::format("{} megabytes", megabytes)};
            if (!limit || w.shared->seed != seed) continue;
            stop(w);
            add({seed, *limit});
            ++w.shared->tally.cases;
            w.next = seed + jobs;
            launch(w);
        }
    }
    for (Worker& w : workers) {
        const Tally& t = w.shared->tally;
        report.tally.cases += t.cases;
        report.tally.skipped += t.skipped;
        report.tally.refused += t.refused;
        report.tally.runs += t.runs;
        report.tally.results += t.results;
        report.tally.elements += t.elements;
        report.tally.gradients += t.gradients;
        report.tally.beside += t.beside;
        munmap(w.shared, sizeof(Shared));
    }
    report.tally.seconds = now() - start;
    return report;
}

std::optional<Finding> run_apart(const Case& c, const RunOptions& options, double seconds,
                                 std::int64_t megabytes) {
    Shared* shared = shared_page();
    const std::unique_ptr<Shared, void (*)(Shared*)> owner(
        shared, [](Shared* p) { munmap(p, sizeof(Shared)); });
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("cannot fork");
    if (pid == 0) {
        plain_signals();
        RunOptions mine = options;
        mine.progress = [&](const std::string& s) { shared->set(s); };
        try {
            if (const auto f = run(c, mine).finding) shared->put(c.seed, *f);
        } catch (const std::exception& e) {
            shared->put(c.seed, {Finding::Kind::Exception, shared->setting, e.what()});
        }
        _exit(0);
    }
    const double start = now();
    const std::int64_t before = resident_megabytes(pid);
    int status = 0;
    for (unsigned wait = 200; waitpid(pid, &status, WNOHANG) != pid;
         wait = std::min(20'000U, wait * 2)) {
        usleep(wait);
        std::optional<Finding> limit;
        if (cpu_of(pid) > seconds || now() - start > 20 * seconds)
            limit = {Finding::Kind::Hang, shared->setting, fmt::format("{:.0f} s", now() - start)};
        else if (resident_megabytes(pid) - before > megabytes)
            limit = {Finding::Kind::Memory, shared->setting, "too much memory"};
        if (!limit) continue;
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return limit;
    }
    if (shared->full) return shared->take().finding;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
    return Finding{Finding::Kind::Crash, shared->setting, how_it_ended(status)};
}

}  // namespace arete::fuzz
