// Programs as CUDA C++.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/program/program.h"

namespace arete::cuda {

/// How a kernel is launched.
struct LaunchEntry {
    std::string name;  ///< of the function
    std::array<std::int64_t, 3> grid{1, 1, 1}, block{1, 1, 1};
    std::int64_t shared_bytes = 0;  ///< of a block
    bool barriers = false;          ///< threads wait for each other
    bool status = false;            ///< the last argument is the status
    bool checks = false;            ///< and checks may fail, which they write to it
    std::string writes;             ///< by parameter before it: '1' where it is written

    friend bool operator==(const LaunchEntry&, const LaunchEntry&) = default;
};

/// A kernel of a source, by its number in Source::kernels.
using LaunchId = Id<struct LaunchTag>;

/// A program's kernels as CUDA C++ without the prelude, and how its steps launch them.
struct Source {
    std::string text;
    IdVector<LaunchId, LaunchEntry> kernels;
    /// By step, those of bodies behind the step that owns them: the kernel it launches, if any.
    std::vector<LaunchId> steps;
    /// Of a program whose only argument is an integer: the kernel that counts it up and appends
    /// each output to a stack of them. Its arguments: the integer, how often it has run, then each
    /// output and its stack.
    LaunchId advance;

    friend bool operator==(const Source&, const Source&) = default;
};

/// Prints the kernels of a scheduled program. Equal ones are printed once.
Source print(const Program& program);

/// One kernel as text under a name. `lines`: what it computes of the user's program.
std::string print_kernel(const KernelStep& step, std::string_view lines, const std::string& name);

/// A source in the form that caches keep, and back. The latter throws a CompileError where the
/// bytes are no source.
std::string to_bytes(const Source& source);
Source source_from(std::string_view bytes);

}  // namespace arete::cuda
