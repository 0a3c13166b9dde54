// The vector levels that this processor runs, for tests that compare results across them.
#pragma once

#include <arete/arete.h>

#include <string>
#include <vector>

namespace arete::test {

/// Of tests that run at every level by themselves: once is enough (tests/CMakeLists.txt).
constexpr const char* every_level_suite = "every level";

/// Options for each level of ARETE_CPU that the processor has, without the disk cache.
inline std::vector<Options> every_level() {
    std::vector<Options> out;
    for (const char* level : {"baseline", "avx2", "avx512_256", "avx512"}) {
        Options o = Options::from_environment();
        o.cpu = level;
        o.cache_dir.clear();
        const auto x = scalar<float>("x");
        try {
            function({.inputs = {x}, .outputs = {x}, .options = o})(1.0f);
            out.push_back(o);
        } catch (const ArgumentError&) {
            // not on this processor
        }
    }
    return out;
}

}  // namespace arete::test
