// Tests' end of the mock of CUDA's driver (tests/cuda/mock).
#pragma once

#include <string>

#include "tests/cuda/mock/mock_cuda.h"

namespace arete::test {

/// As long as this lives, Arete loads the mock in place of NVIDIA's libraries; the mock begins as
/// new. At the end nothing of it may be in use.
class Mocked {
  public:
    /// `run_kernels`: by the emulator, from the text that was loaded; otherwise they do nothing.
    explicit Mocked(bool run_kernels = false);
    ~Mocked();
    Mocked(const Mocked&) = delete;
    Mocked& operator=(const Mocked&) = delete;
    MockCuda* operator->() const { return mock_; }
    MockCuda& operator*() const { return *mock_; }

  private:
    MockCuda* mock_;
};

/// An environment variable with a value, as long as this lives; null: without it.
class Variable {
  public:
    Variable(const char* name, const char* value);
    ~Variable();
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    std::string name_, old_;
    bool was_ = false;
};

}  // namespace arete::test
