// NVIDIA's graphics cards as a target: nests become grids of threads, printed as CUDA C++.
#pragma once

#include <memory>

#include "compiler/targets/cuda/machine.h"
#include "compiler/targets/target.h"

namespace arete {

/// The target of one card.
class CudaTarget final : public Target {
  public:
    /// `device`: which device runs its code, "cuda" or "emulator".
    CudaTarget(cuda::Card card, std::string device)
        : card_(std::move(card)), device_(std::move(device)) {}
    const cuda::Card& card() const { return card_; }
    /// Shall independent nests share a launch? They do, if not said.
    void set_merges(bool merges) { merges_ = merges; }

    std::string_view device() const override { return device_; }
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
    cuda::Card card_;
    std::string device_;
    bool merges_ = true;
};

/// The target of a described card: cuda_target("h100").
std::shared_ptr<const CudaTarget> cuda_target(std::string_view card,
                                              std::string device = "emulator");

}  // namespace arete
