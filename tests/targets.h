// Ops and rules for tests that go through all of them: Arete's own, and those of each target of
// this build.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "compiler/rewrite/rewrite.h"

namespace arete::test {

/// all_ops(), then those that only targets make.
std::vector<const OpDef*> ops_of_all_targets();
/// One of those by name; null where there is none.
const OpDef* find_op_of_targets(std::string_view name);

/// The rules that a target adds to the phase `specialize`.
struct TargetRules {
    std::string device;
    std::span<const Rule> rules;
};
std::vector<TargetRules> target_rules();

}  // namespace arete::test
