// The same graphs in NumPy or JAX: an opinion that owes nothing to Arete's rows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/fuzz/run.h"

namespace arete::fuzz {

/// Collects cases and runs them in batches, since starting Python costs more than they do.
class Beside {
  public:
    using OnFinding = std::function<void(std::uint64_t seed, const Finding&)>;

    /// `library` is "numpy" or "jax". An ArgumentError where `python` does not have it.
    Beside(std::string library, std::string python, OnFinding on_finding);
    ~Beside();
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;

    /// False where the graph has an op without a name there.
    bool add(const Case& c, Expected expected);
    void flush();

  private:
    struct Waiting {
        Case c;
        Expected expected;
    };
    std::string library_, python_, folder_;
    OnFinding on_finding_;
    std::vector<Waiting> waiting_;
    std::string script_, data_;
};

/// The graph as a Python function `name` of its leaves; nothing where an op is not known there.
std::optional<std::string> to_python(const Case& c, const std::string& name, bool jax);

}  // namespace arete::fuzz
