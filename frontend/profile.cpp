// Tables of what kernels cost.
#include <algorithm>

#include "frontend/function.h"

namespace arete {

std::vector<OpClassProfile> by_op_class(const std::vector<KernelProfile>& profile) {
    std::vector<OpClassProfile> out;
    for (const KernelProfile& k : profile) {
        const std::string op = k.name.substr(0, 7) == "update_" ? "update" : k.name;
        auto it = std::find_if(out.begin(), out.end(), [&](const auto& c) { return c.op == op; });
        if (it == out.end()) it = out.insert(it, OpClassProfile{.op = op});
        ++it->kernels;
        it->calls += k.calls;
        it->ms += k.ms;
        it->share += k.share;
        // First work, then, below, work by time.
        it->gflops += k.gflops * k.ms;
        it->gbytes += k.gbytes * k.ms;
    }
    for (OpClassProfile& c : out) {
        c.gflops = c.ms > 0 ? c.gflops / c.ms : 0;
        c.gbytes = c.ms > 0 ? c.gbytes / c.ms : 0;
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const auto& a, const auto& b) { return a.ms > b.ms; });
    return out;
}

std::string to_string(const std::vector<KernelProfile>& profile) {
    std::vector<KernelProfile> sorted = profile;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.ms > b.ms; });
    std::string out = fmt::format("{:>7} {:>9} {:>9} {:>6} {:>8} {:>8}  {:<32} {}\n", "calls", "ms",
                                  "us/call", "share", "GFLOP/s", "GB/s", "kernel", "lines");
    for (const KernelProfile& k : sorted)
        out +=
            fmt::format("{:>7} {:>9.2f} {:>9.2f} {:>5.1f}% {:>8.1f} {:>8.1f}  {:<32} {}\n", k.calls,
                        k.ms, 1e3 * k.ms / static_cast<double>(std::max<std::int64_t>(1, k.calls)),
                        100 * k.share, k.gflops, k.gbytes, k.name, k.lines);
    if (profile.empty()) return out;
    out += fmt::format("\n{:>7} {:>9} {:>9} {:>6} {:>8} {:>8}  {}\n", "kernels", "ms", "us/call",
                       "share", "GFLOP/s", "GB/s", "op class");
    for (const OpClassProfile& c : by_op_class(profile)) {
        const double calls = static_cast<double>(std::max<std::int64_t>(1, c.calls)) / c.kernels;
        out += fmt::format("{:>7} {:>9.2f} {:>9.2f} {:>5.1f}% {:>8.1f} {:>8.1f}  {}\n", c.kernels,
                           c.ms, 1e3 * c.ms / calls, 100 * c.share, c.gflops, c.gbytes, c.op);
    }
    return out;
}

}  // namespace arete
