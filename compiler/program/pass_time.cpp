#include "compiler/program/pass_time.h"

#include <fmt/format.h>

namespace arete {

std::string to_string(const std::vector<PassTime>& passes) {
    double all = 0;
    for (const PassTime& p : passes) all += p.ms;
    std::string out = fmt::format("{:>9} {:>6}  {}\n", "ms", "share", "pass");
    for (const PassTime& p : passes)
        out +=
            fmt::format("{:>9.2f} {:>5.1f}%  {}\n", p.ms, all > 0 ? 100 * p.ms / all : 0.0, p.name);
    return out + fmt::format("{:>9.2f} {:>5.1f}%  all\n", all, 100.0);
}

}  // namespace arete
