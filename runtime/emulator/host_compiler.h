// Kernels as code of the host: the host's C++ compiler, and what it has made before.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace arete::emulator {

/// A library that is loaded as long as this lives.
class Library {
  public:
    /// From the bytes of a shared object. A DeviceError where the system does not load it.
    explicit Library(std::string_view bytes);
    ~Library();
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;
    /// The address of a symbol, which must be there.
    void* symbol(const std::string& name) const;

  private:
    void* handle_ = nullptr;
    int file_ = -1;
};

/// The host's C++ compiler.
class HostCompiler {
  public:
    /// That which ARETE_EMULATOR_CXX names, or the first of c++, g++ and clang++ on the path. A
    /// DeviceError says what to do where there is none. `cache_dir`: where shared objects are kept;
    /// empty: nowhere.
    explicit HostCompiler(std::string cache_dir);

    /// The shared object of a source text, from the cache or compiled. A DeviceError has what the
    /// compiler says.
    std::string shared_object(std::string_view source) const;
    /// Where the shared object of a text is kept; empty without a cache.
    std::string file_for(std::string_view source) const;
    const std::string& path() const { return path_; }

  private:
    std::string key(std::string_view source) const;
    std::string compile(std::string_view source) const;

    std::string path_, cache_dir_;
    std::vector<std::string> flags_;
};

}  // namespace arete::emulator
