// Exhaustive visits of sums of cases.
#pragma once

namespace arete {

/// One function for each alternative of a std::variant, for std::visit: an alternative without one
/// does not compile.
///
///     std::visit(Cases{[](const Loop& l) { ... }, [](const StoreTo& s) { ... }}, statement);
template <class... F>
struct Cases : F... {
    using F::operator()...;
};
template <class... F>
Cases(F...) -> Cases<F...>;

}  // namespace arete
