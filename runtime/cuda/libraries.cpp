#include "runtime/cuda/libraries.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>

namespace arete::cuda {

LoadedLibrary::~LoadedLibrary() {
    ::dlclose(handle_);
}

std::shared_ptr<LoadedLibrary> LoadedLibrary::first_of(const std::vector<std::string>& files) {
    for (const std::string& file : files)
        if (void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE))
            return std::shared_ptr<LoadedLibrary>(new LoadedLibrary(handle, file));
    return nullptr;
}

void* LoadedLibrary::symbol(const char* name) const {
    return ::dlsym(handle_, name);
}

namespace {

std::vector<std::string> matches(const std::string& pattern) {
    std::vector<std::string> out;
    glob_t found{};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
        out.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    return out;
}

std::string variable(const char* name) {
    const char* v = std::getenv(name);
    return v ? v : "";
}

}  // namespace

std::vector<std::string> places_of(const std::vector<std::string>& names) {
    std::vector<std::string> out;
    const auto in = [&](const std::string& folder) {
        for (const std::string& name : names) out.push_back(folder + "/" + name);
    };
    if (const std::string path = variable("ARETE_CUDA_PATH"); !path.empty())
        for (const char* below : {"", "/lib64", "/lib"}) in(path + below);
    out.insert(out.end(), names.begin(), names.end());
    in("/usr/local/cuda/lib64");
    for (const std::string& python : {variable("VIRTUAL_ENV"), variable("CONDA_PREFIX"),
                                      variable("HOME") + "/.local", std::string("/usr/local")})
        if (!python.empty())
            for (const std::string& folder :
                 matches(python + "/lib/python3*/*-packages/nvidia/*/lib"))
                in(folder);
    return out;
}

}  // namespace arete::cuda
