// Is a result what was promised? docs/architecture.md says what rules and schedules may change;
// this is the one place where the fuzzer says it.
#pragma once

#include <optional>
#include <string>

#include "tests/fuzz/evaluate.h"

namespace arete::fuzz {

/// Evaluations of one case under several noises: what a value may be.
class Expected {
  public:
    void add(Evaluation e) { evaluations_.push_back(std::move(e)); }
    std::size_t evaluations() const { return evaluations_.size(); }
    std::size_t results() const { return evaluations_.front().values.size(); }
    const Evaluation& first() const { return evaluations_.front(); }

    /// The first element of result `k` that is nothing it may be; none where all is well. `slack`
    /// is how often the spread of the evaluations is forgiven. `as_written`: without stabilising
    /// rules, which may give a number where the graph as written gives none.
    std::optional<std::string> wrong(std::size_t k, const Array& is, double slack,
                                     bool as_written) const;

    /// Do rounding and range hardly matter, so that fixed tolerances mean something?
    bool well_conditioned() const;

  private:
    std::string describe(std::size_t k, std::int64_t element) const;
    bool allowed(std::size_t k, std::int64_t element, long double is, double slack,
                 bool as_written) const;
    bool allowed(std::size_t k, std::int64_t element, std::int64_t is) const;

    std::vector<Evaluation> evaluations_;
};

/// Do the bits agree, but for NaNs?
bool same_bits(const Array& a, const Array& b);

}  // namespace arete::fuzz
