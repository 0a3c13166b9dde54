// What exact sums cost: sums and means of f32 in each direction, which keep what rounding loses,
// beside a plain sum of as many floats in f32, in turn, one thread. Medians of ratios of pairs.
//
//     bench_sums              arrays of 4 KB to 400 MB
#include <time.h>

#include <algorithm>
#include <functional>

#include <arete/arete.h>

#include "compiler/targets/cpu/llvm/module.h"
#include "tests/bench/limits.h"

using namespace arete;

namespace {

double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

struct Direction {
    const char* name;
    std::function<Expr(const Expr&)> sum;
};

}  // namespace

int main() {
    Options options = Options::from_environment();
    options.num_threads = 1;
    options.cache_dir.clear();
    const Machine machine = host_machine(options.cpu);
    const Direction directions[] = {
        {"all", [](const Expr& x) { return sum(x); }},
        {"of each row", [](const Expr& x) { return sum(x, 1); }},
        {"of each column", [](const Expr& x) { return sum(x, 0); }},
        {"mean of all", [](const Expr& x) { return mean(x); }},
        {"mean of squares", [](const Expr& x) { return mean(sqr(x)); }},
    };
    fmt::print("{:<18}{:>12}{:>12}{:>12}{:>10}\n", "sum", "bytes", "us", "plain us", "ratio");
    for (const std::int64_t rows : {32, 320, 3200, 100000}) {
        const std::int64_t columns = rows == 32 ? 32 : 1000;
        PlainSum plain(machine, 4 * rows * columns);
        const Array values = Generator(1).normal({rows, columns}, 0, 1);
        for (const Direction& d : directions) {
            const Expr x = matrix<float>("x", {rows, columns});
            Function f = function({.inputs = {x}, .outputs = {d.sum(x)}, .options = options});
            std::vector<Array> out{f(values)[0]};
            const std::vector<Array> in{values};
            // As many calls as take a millisecond, so that a call's overhead does not count.
            const auto calls = static_cast<int>(
                std::max<std::int64_t>(1, 20'000'000 / (4 * rows * columns)));
            std::vector<double> ratios, ours, theirs;
            for (int round = 0; round < (rows > 10000 ? 15 : 41); ++round) {
                const double start = cpu_seconds();
                for (int k = 0; k < calls; ++k) f.call_into(out, in);
                const double mine = (cpu_seconds() - start) / calls;
                double other = 0;
                const int times = std::min(calls, 5);
                for (int k = 0; k < times; ++k) other += plain.seconds() / times;
                const double scaled =
                    other * static_cast<double>(4 * rows * columns) / plain.bytes();
                ours.push_back(mine);
                theirs.push_back(scaled);
                ratios.push_back(mine / scaled);
            }
            fmt::print("{:<18}{:>12}{:>12.2f}{:>12.2f}{:>10.3f}\n", d.name, 4 * rows * columns,
                       1e6 * median(ours), 1e6 * median(theirs), median(ratios));
        }
    }
}
