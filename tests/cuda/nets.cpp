#include "tests/cuda/nets.h"

#include <arete/arete.h>

#include "compiler/targets/cuda/target.h"

namespace arete::test {

namespace {

/// A card's target that keeps the program that it has scheduled.
class Watched final : public Target {
  public:
    explicit Watched(const std::string& card) : card_(cuda_target(card)) {}
    mutable Program scheduled;

    std::string_view device() const override { return card_->device(); }
    std::string text() const override { return card_->text(); }
    std::string key() const override { return card_->key(); }
    Products products() const override { return card_->products(); }
    std::span<const Rule> rules() const override { return card_->rules(); }
    FusionCosts fusion_costs() const override { return card_->fusion_costs(); }
    GroupingModel grouping() const override { return card_->grouping(); }
    void schedule(Program& program) const override {
        card_->schedule(program);
        scheduled = program;
    }
    std::string translate(const Program& program, const Translation& watch) const override {
        return card_->translate(program, watch);
    }
    std::vector<Listing> listings(const Program& program) const override {
        return card_->listings(program);
    }

  private:
    std::shared_ptr<const CudaTarget> card_;
};

}  // namespace

Program training_step(const std::string& net, std::int64_t batch, const std::string& card) {
    const NetRow* row = find_net(net);
    ARETE_CHECK(row, "{}", net);
    const Network network = build_net(*row, batch, {.seed = 1});
    Array y(DType::I32, {2 * batch});
    for (std::int64_t i = 0; i < y.size(); ++i)
        y.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 10);
    const SharedData data =
        shared_data(Generator(1).uniform({2 * batch, kSide * kSide}, 0, 1), y, "images");
    const Function train = network.train_function(data, row->eta, {.lmbda = row->lmbda});
    const auto target = std::make_shared<Watched>(card);
    (void)train.plan(target);
    return target->scheduled;
}

}  // namespace arete::test
