// NVIDIA's libraries, which are loaded where they are, not linked.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace arete::cuda {

/// A shared library that is loaded. It stays so: drivers do not bear being unloaded.
class LoadedLibrary {
  public:
    LoadedLibrary(const LoadedLibrary&) = delete;
    LoadedLibrary& operator=(const LoadedLibrary&) = delete;
    ~LoadedLibrary();

    /// The first of these files, paths or names for the system's loader, that can be loaded; null
    /// where none can.
    static std::shared_ptr<LoadedLibrary> first_of(const std::vector<std::string>& files);

    /// The address of a function; null where there is none of this name.
    void* symbol(const char* name) const;
    const std::string& file() const { return file_; }

  private:
    LoadedLibrary(void* handle, std::string file) : handle_(handle), file_(std::move(file)) {}
    void* handle_;
    std::string file_;
};

/// Where a library may be, in the order in which it is looked for: the folder ARETE_CUDA_PATH and
/// its lib64 and lib, the loader's path, the toolkit's default folder, and where pip installs
/// NVIDIA's packages. `names`: "libnvrtc.so.13", the most wanted first.
std::vector<std::string> places_of(const std::vector<std::string>& names);

}  // namespace arete::cuda
