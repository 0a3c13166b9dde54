#include "examples/mnist/progress.h"

#include <cstdio>

#include <unistd.h>

namespace arete {

Progress::Progress(std::string test_set, bool quiet)
    : test_set_(std::move(test_set)), quiet_(quiet), bar_(!quiet && isatty(STDERR_FILENO) != 0) {}

void Progress::clear_bar() {
    if (bar_shown_) fmt::print(stderr, "\r\x1b[K");
    bar_shown_ = false;
}

void Progress::batch(const BatchReport& report) {
    if (quiet_) return;
    if (!compiled_) {
        compiled_ = true;
        fmt::print("compiled the training step in {:.0f} ms\n", report.compile_ms);
        std::fflush(stdout);
    }
    if (!bar_) return;
    constexpr std::int64_t kWidth = 30;
    const std::int64_t done = report.batch + 1;
    const auto filled = static_cast<std::size_t>(kWidth * done / report.batches);
    fmt::print(stderr, "\r\x1b[Kepoch {}/{} [{:-<{}}] {}/{}  cost {:.4f}  {:.0f} images/s",
               report.epoch + 1, report.epochs, std::string(filled, '#'), kWidth, done,
               report.batches, report.cost, report.images_per_second);
    std::fflush(stderr);
    bar_shown_ = true;
}

void Progress::epoch(const EpochReport& report) {
    clear_bar();
    if (quiet_) return;
    fmt::print("epoch {}/{}: cost {:.4f}, validation {:.2f} %, {} {:.2f} %, {:.0f} images/s{}\n",
               report.epoch + 1, report.epochs, report.cost, report.validation_accuracy, test_set_,
               report.test_accuracy, report.images_per_second, report.best ? "  (best)" : "");
    std::fflush(stdout);
}

}  // namespace arete
