// Processors as a target: scheduled for vectors and caches, translated by LLVM.
#pragma once

#include <memory>

#include "compiler/targets/cpu/machine.h"
#include "compiler/targets/target.h"

namespace arete {

/// The target of one processor.
class CpuTarget final : public Target {
  public:
    explicit CpuTarget(Machine machine) : machine_(std::move(machine)) {}
    const Machine& machine() const { return machine_; }

    std::string_view device() const override { return "cpu"; }
    std::string text() const override;
    std::string key() const override;
    Products products() const override;
    std::span<const Rule> rules() const override;
    FusionCosts fusion_costs() const override;
    GroupingModel grouping() const override;
    void schedule(Program& program) const override;
    std::string translate(const Program& program, const Translation& watch) const override;
    std::vector<Listing> listings(const Program& program) const override;

  private:
    Machine machine_;
};

/// The target of a description (machines.h).
std::shared_ptr<const CpuTarget> cpu_target(const Machine& machine);

}  // namespace arete
