// A folder for what a test writes.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

namespace arete::test {

/// An empty folder that is gone with the object.
class TemporaryFolder {
  public:
    TemporaryFolder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }

    std::string path = (std::filesystem::temp_directory_path() / "arete-test-XXXXXX").string();
};

}  // namespace arete::test
