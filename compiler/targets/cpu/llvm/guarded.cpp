// What becomes of LLVM's own failures: a CompileError instead of a dead process.
#include <llvm/ADT/SmallString.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/PrettyStackTrace.h>
#include <llvm/Support/raw_ostream.h>

#include <csetjmp>
#include <csignal>
#include <exception>
#include <mutex>

#include "compiler/core/error.h"
#include "compiler/targets/cpu/llvm/impl.h"

namespace arete::llvm_codegen {

namespace {

// The run of LLVM on this thread, while there is one.
struct Run {
    sigjmp_buf back;
    llvm::SmallString<2048> where;  // what LLVM says it was doing
    llvm::SmallString<512> why;
    int signal = 0;
};
thread_local Run* current = nullptr;

// On the way out of a crash: what LLVM prints beside its stack dumps, innermost first.
void tell_where(Run& run) {
    llvm::raw_svector_ostream out(run.where);
    const void* entry = llvm::SavePrettyStackState();
    for (const auto* e = static_cast<const llvm::PrettyStackTraceEntry*>(entry); e;
         e = e->getNextEntry())
        e->print(out);
}

[[noreturn]] void leave(int signal) {
    Run& run = *current;
    current = nullptr;  // a second failure is on its own
    run.signal = signal;
    tell_where(run);
    siglongjmp(run.back, 1);
}

constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
struct sigaction before[std::size(signals)];

void on_signal(int signal, siginfo_t* info, void* context) {
    if (current) leave(signal);
    // Another thread's: as if this handler were not there.
    for (std::size_t k = 0; k < std::size(signals); ++k) {
        if (signals[k] != signal) continue;
        const struct sigaction& old = before[k];
        if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
        if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
        // The instruction runs again, and this time the process ends.
        sigaction(signal, &old, nullptr);
        if (info->si_code <= 0) raise(signal);
    }
}

void on_fatal_error(void*, const char* reason, bool) {
    if (!current) return;
    current->why = reason;
    leave(0);
}

// Handlers are the process's: the first run installs them, the last takes them back.
class Handlers {
  public:
    Handlers() {
        const std::lock_guard lock(mutex());
        if (users()++) return;
        llvm::install_fatal_error_handler(on_fatal_error);
        struct sigaction own = {};
        own.sa_sigaction = on_signal;
        own.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&own.sa_mask);
        for (std::size_t k = 0; k < std::size(signals); ++k)
            sigaction(signals[k], &own, &before[k]);
    }
    ~Handlers() {
        const std::lock_guard lock(mutex());
        if (--users()) return;
        llvm::remove_fatal_error_handler();
        for (std::size_t k = 0; k < std::size(signals); ++k)
            sigaction(signals[k], &before[k], nullptr);
    }
    Handlers(const Handlers&) = delete;
    Handlers& operator=(const Handlers&) = delete;

  private:
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }
    static int& users() {
        static int count = 0;
        return count;
    }
};

// Room for the handler where LLVM has used up the thread's stack.
class OwnStack {
  public:
    OwnStack() : memory_(new char[size]) {
        stack_t own = {};
        own.ss_sp = memory_.get();
        own.ss_size = size;
        sigaltstack(&own, &before_);
    }
    ~OwnStack() { sigaltstack(&before_, nullptr); }
    OwnStack(const OwnStack&) = delete;
    OwnStack& operator=(const OwnStack&) = delete;

  private:
    static constexpr std::size_t size = 256 << 10;
    std::unique_ptr<char[]> memory_;
    stack_t before_ = {};
};

// The errors that LLVM reports by its context: it would print them and exit.
struct Reports final : llvm::DiagnosticHandler {
    bool handleDiagnostics(const llvm::DiagnosticInfo& d) override {
        if (d.getSeverity() != llvm::DS_Error || !first.empty()) return true;
        llvm::raw_string_ostream out(first);
        llvm::DiagnosticPrinterRawOStream printer(out);
        d.print(printer);
        return true;
    }
    std::string first;
};

[[noreturn]] void raise_error(const LlvmModule::Impl& impl, std::string_view what,
                              std::string_view where) {
    // The kernel that LLVM was at; all lines where it did not say.
    std::string lines, kernel;
    for (const auto& [name, own] : impl.kernel_lines)
        if (where.find("@" + name) != std::string_view::npos && name.size() > kernel.size()) {
            kernel = name;
            lines = own;
        }
    if (kernel.empty())
        for (const auto& [name, own] : impl.kernel_lines)
            lines += (lines.empty() || own.empty() ? "" : " ") + own;
    const std::string first = lines.substr(0, lines.find(' '));
    std::string text = first.empty() ? "" : first + ": ";
    text += fmt::format("LLVM {} cannot compile ", llvm_version());
    text += kernel.empty() ? "this function" : fmt::format("kernel '{}'", kernel);
    if (lines.size() > first.size()) text += fmt::format(" ({})", lines);
    text += fmt::format(" for {}: {}", impl.machine.cpu, what);
    if (!where.empty()) text += fmt::format(" while {}", where.substr(0, where.find('\n')));
    throw CompileError({}, text);
}

}  // namespace

void guarded(LlvmModule::Impl& impl, const std::function<void()>& work) {
    ARETE_CHECK(!impl.lost, "a module of which LLVM has died is used again");
    auto reports = std::make_unique<Reports>();
    Reports& reported = *reports;
    impl.context->setDiagnosticHandler(std::move(reports));
    const void* stack = llvm::SavePrettyStackState();
    // What is needed after the way back lives outside of this frame's registers.
    auto run = std::make_unique<Run>();
    auto error = std::make_unique<std::exception_ptr>();
    {
        const Handlers handlers;
        const OwnStack own;
        if (sigsetjmp(run->back, 1) == 0) {
            current = run.get();
            try {
                work();
            } catch (...) {
                *error = std::current_exception();
            }
            current = nullptr;
        } else {
            llvm::RestorePrettyStackState(stack);
            impl.lost = true;
        }
    }
    if (*error) std::rethrow_exception(*error);
    if (impl.lost) {
        std::string what = run->why.empty() ? fmt::format("it crashed (signal {})", run->signal)
                                            : std::string(run->why.str());
        raise_error(impl, what, std::string_view(run->where.data(), run->where.size()));
    }
    if (!reported.first.empty()) raise_error(impl, reported.first, "");
}

}  // namespace arete::llvm_codegen
