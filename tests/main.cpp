// main() of all test binaries. Each run has an empty cache of compiled programs, so that what is
// tested was compiled by this build, and leaves none behind.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

int main(int argc, char** argv) {
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
