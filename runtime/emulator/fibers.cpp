#include "runtime/emulator/fibers.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "compiler/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#if defined(__x86_64__)
// Keeps what a function must leave as it was (System V ABI for AMD64, 3.2.1) on this stack, and
// goes on with the other one.
extern "C" void arete_switch_stack(void** keep, void* go_on);
asm(R"(
.text
.p2align 4
.globl arete_switch_stack
.hidden arete_switch_stack
.type arete_switch_stack, @function
arete_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size arete_switch_stack, .-arete_switch_stack
)");
#endif

namespace arete::emulator {

namespace {

constexpr std::size_t stack_bytes = std::size_t{256} << 10, warp = 32;
constexpr int runs = -1, done = -2;

}  // namespace

// A stack, below which a page cannot be written.
struct Fibers::Fiber {
    char* memory = nullptr;
    void* stack = nullptr;  // where it goes on
    ucontext_t context{};
    int waits = runs;  // the scope of the barrier, or one of the above

    Fiber() {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        void* m = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m == MAP_FAILED) fail<MemoryError>({}, "no memory for an emulated thread's stack");
        memory = static_cast<char*>(m);
        (void)::mprotect(memory, page, PROT_NONE);
    }
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    ~Fiber() { ::munmap(memory, stack_bytes); }
};

struct Fibers::Machine {
    ThreadOrder order;
    bool portable;
    std::vector<std::unique_ptr<Fiber>> fibers;
    void* scheduler = nullptr;
    ucontext_t scheduler_context{};
    Fiber* now = nullptr;
    const std::function<void()>* thread = nullptr;

    // That of this system thread which runs a block.
    static thread_local Machine* current;

    static void start() {
        Machine& m = *current;
        (*m.thread)();
        m.now->waits = done;
        m.leave();
    }

    static void at_barrier(int scope) {
        Machine& m = *current;
        m.now->waits = scope;
        m.leave();
    }

    void leave() {
#if defined(__x86_64__)
        if (!portable) return arete_switch_stack(&now->stack, scheduler);
#endif
        ::swapcontext(&now->context, &scheduler_context);
    }

    void go_on(Fiber& f) {
        now = &f;
#if defined(__x86_64__)
        if (!portable) return arete_switch_stack(&scheduler, f.stack);
#endif
        ::swapcontext(&scheduler_context, &f.context);
    }

    void prepare(Fiber& f) const {
        f.waits = runs;
#if defined(__SANITIZE_ADDRESS__)
        // The last thread on this stack has not returned from its functions.
        __asan_unpoison_memory_region(f.memory, stack_bytes);
#endif
#if defined(__x86_64__)
        if (!portable) {
            // As arete_switch_stack leaves a stack: control words, six registers, where to return
            // to. A function begins 8 bytes below a multiple of 16, where it would return to.
            auto* top = reinterpret_cast<std::uint64_t*>(f.memory + stack_bytes) - 3;
            *--top = reinterpret_cast<std::uint64_t>(&start);
            for (int i = 0; i < 6; ++i) *--top = 0;
            std::uint32_t words[2] = {0, 0};
            asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(words[0]), "=m"(words[1]));
            std::memcpy(--top, words, sizeof words);
            f.stack = top;
            return;
        }
#endif
        ::getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.memory;
        f.context.uc_stack.ss_size = stack_bytes;
        f.context.uc_link = nullptr;
        ::makecontext(&f.context, &start, 0);
    }

    // Lets those from first to last go on that all wait at a barrier of the scope.
    bool release(std::size_t first, std::size_t last, int scope) {
        for (std::size_t t = first; t < last; ++t)
            if (fibers[t]->waits != scope) return false;
        for (std::size_t t = first; t < last; ++t) fibers[t]->waits = runs;
        return first < last;
    }
};

thread_local Fibers::Machine* Fibers::Machine::current = nullptr;

Fibers::Fibers(ThreadOrder order, bool portable) : machine_(std::make_unique<Machine>()) {
    machine_->order = order;
    machine_->portable = portable;
}

Fibers::~Fibers() = default;

bool Fibers::run(std::size_t threads, Three size, EmulatedThread& state,
                 const std::function<void()>& thread) {
    Machine& m = *machine_;
    while (m.fibers.size() < threads) m.fibers.push_back(std::make_unique<Fiber>());
    m.thread = &thread;
    Machine* const outer = std::exchange(Machine::current, &m);
    state.barrier = &Machine::at_barrier;
    for (std::size_t t = 0; t < threads; ++t) m.prepare(*m.fibers[t]);
    const auto step = [&](std::size_t t) {
        if (m.fibers[t]->waits != runs) return false;
        const auto n = static_cast<unsigned>(t);
        state.thread = {n % size.x, n / size.x % size.y, n / size.x / size.y};
        m.go_on(*m.fibers[t]);
        return true;
    };
    bool finished = false, stuck = false;
    while (!finished && !stuck) {
        bool any = false;
        switch (m.order) {
            case ThreadOrder::round_robin:
                for (std::size_t t = 0; t < threads; ++t) any = step(t) || any;
                break;
            case ThreadOrder::reversed:
                for (std::size_t t = threads; t-- > 0;) any = step(t) || any;
                break;
            case ThreadOrder::by_warp:
                for (std::size_t w = (threads + warp - 1) / warp; w-- > 0;) {
                    const std::size_t first = w * warp, last = std::min(threads, first + warp);
                    do
                        for (std::size_t t = first; t < last; ++t) any = step(t) || any;
                    while (m.release(first, last, 0));
                }
                break;
        }
        for (std::size_t first = 0; first < threads; first += warp)
            any = m.release(first, std::min(threads, first + warp), 0) || any;
        if (m.release(0, threads, 1)) continue;
        finished =
            std::all_of(m.fibers.begin(), m.fibers.begin() + static_cast<std::ptrdiff_t>(threads),
                        [](const auto& f) { return f->waits == done; });
        stuck = !any;
    }
    Machine::current = outer;
    return finished;
}

}  // namespace arete::emulator
