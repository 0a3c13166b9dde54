// Processors that are described in full, so that a plan for one of them is the same wherever it is
// made.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compiler/targets/cpu/machine.h"

namespace arete {

/// A processor, or a level that many have, by the name that ARETE_CPU takes.
struct DescribedMachine {
    std::string name;
    Machine machine;
    /// LLVM's names of the features without which code for it does not run.
    std::vector<std::string> needs;
};

/// baseline, avx2, avx512_256, avx512, zen3, zen4, zen5, sapphire_rapids, aarch64, neoverse_v2.
const std::vector<DescribedMachine>& described_machines();

/// By name; null where there is none.
const DescribedMachine* find_machine(std::string_view name);

/// The machine of a name, to compile for, not necessarily to run here. Caches of other sizes may
/// follow: "zen4,l2=512K,l3=4M". An ArgumentError lists the names where one is unknown.
Machine described_machine(std::string_view name);

/// Changes the sizes of caches: "l1=32K,l2=512K,l3=32M", any of them, with or without a unit. Each
/// cache holds at least what the one before it does. An ArgumentError where the text says anything
/// else.
void set_caches(Machine& machine, std::string_view sizes);

/// "native, baseline, avx2, ...": for messages.
std::string machine_names();

}  // namespace arete
