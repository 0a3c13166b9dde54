// ARETE_DUMP's list of stages, and the other variables: options or an ArgumentError.
#include <cstdlib>

#include "compiler/core/error.h"
#include "compiler/core/options.h"
#include "tests/fuzz/targets/target.h"

using namespace arete;

std::vector<std::string> fuzz_seeds() {
    return {"graph",
            "all",
            "graph,rewrites,fusion,loops,llvm,asm",
            ",,loops,",
            "none",
            "",
            "graph\n/tmp/dump\n4\navx2\n1\noff",
            "all\n\n0\nbaseline\n0\n/var/cache",
            "llvm\ndump\n99999999999\nnative\n-1\n"};
}

// Lines are ARETE_DUMP, ARETE_DUMP_DIR and so on.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string all(reinterpret_cast<const char*>(data), size);
    try {
        for (const Stage s : parse_stages(all))
            if (name(s) == "?") std::abort();
    } catch (const ArgumentError&) {
    }
    static constexpr const char* variables[] = {"ARETE_DUMP", "ARETE_DUMP_DIR", "ARETE_NUM_THREADS",
                                                "ARETE_CPU",  "ARETE_VERIFY",   "ARETE_CACHE_DIR"};
    std::size_t at = 0;
    for (const char* variable : variables) {
        const std::size_t end = std::min(all.find('\n', at), all.size());
        // A variable ends at a zero.
        ::setenv(variable, all.substr(at, end - at).c_str(), 1);
        at = std::min(end + 1, all.size());
    }
    try {
        const Options o = Options::from_environment();
        if (o.num_threads < 0) std::abort();
    } catch (const ArgumentError&) {
    }
    return 0;
}
