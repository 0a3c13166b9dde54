// main() of all test binaries. Each run has an empty cache of compiled programs, so that what is
// tested was compiled by this build, and leaves none behind. Its first line says on which processor
// it ran; with --processor it is the only one. Where ARETE_CPU names one whose code does not run
// here, nothing is tested and 77 is returned, which CTest shows as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#ifdef ARETE_CPU_BACKEND
#include "compiler/targets/cpu/llvm/module.h"
#endif

int main(int argc, char** argv) {
#ifdef ARETE_CPU_BACKEND
    try {
        std::printf("processor: %s\n", arete::host_text().c_str());
        if (const char* cpu = std::getenv("ARETE_CPU"); cpu && *cpu) arete::host_machine(cpu);
    } catch (const std::exception& e) {
        std::printf("skipped: %s\n", e.what());
        return 77;
    }
#endif
    if (argc == 2 && std::string_view(argv[1]) == "--processor") return 0;
    std::fflush(stdout);
    namespace fs = std::filesystem;
    std::string folder = (fs::temp_directory_path() / "arete_test_XXXXXX").string();
    if (!::mkdtemp(folder.data())) {
        std::perror(folder.c_str());
        return 1;
    }
    ::setenv("ARETE_CACHE_DIR", (folder + "/cache").c_str(), 1);
    ::setenv("XDG_CACHE_HOME", folder.c_str(), 1);
    const int result = doctest::Context(argc, argv).run();
    std::error_code error;
    fs::remove_all(folder, error);
    return result;
}
