// Layers and networks that read like the book's network3.py.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ops/elementwise.h"
#include "frontend/function.h"
#include "frontend/random.h"
#include "frontend/shared.h"

namespace arete {

class Network;

/// A layer's nonlinearity: `sigmoid`, `tanh`, `relu`, `linear`, or any function like these.
using Activation = Expr (*)(const Operand&);
/// The activation that does nothing.
inline Expr linear(const Operand& z) {
    return z.expr();
}

/// Deviation of the initial weights: sqrt(1 / n_out) as in the book's code, or sqrt(1 / n_in),
/// which the book says would be better. Biases are N(0, 1), softmax layers start at zero.
enum class Init : std::uint8_t { n_out, n_in };

/// A layer: its parameters, and once set_inpt() was called its output as an expression of its
/// input: as computed while training (`output_dropout`) and otherwise (`output`).
class Layer {
  public:
    virtual ~Layer() = default;

    /// Makes w and b, named with the layer's number.
    virtual void initialise(Generator& random, Init init, int number) = 0;
    /// Builds the outputs from the output of the layer before.
    virtual void set_inpt(const Expr& inpt, const Expr& inpt_dropout, std::int64_t mini_batch_size,
                          RandomStream& random) = 0;
    /// The cost of a network whose last layer this is; a GraphError where the layer has none.
    virtual Expr cost(const Network& net) const;
    /// The share of a mini-batch that the layer, as the last one, classifies as y says.
    Expr accuracy(const Expr& y) const;

    std::vector<Shared> params() const { return {w, b}; }

    Shared w, b;
    Expr inpt, output, output_dropout;
    Expr y_out;  ///< the class of each row of the output; empty for convolutions
};

struct ConvPoolOptions {
    Sizes image_shape;   ///< mini-batch, input feature maps, height, width
    Sizes filter_shape;  ///< filters, input feature maps, height, width
    Sizes poolsize = {2, 2};
    Activation activation_fn = sigmoid;
};

/// A convolution followed by max-pooling, then the bias and the activation.
class ConvPoolLayer : public Layer {
  public:
    explicit ConvPoolLayer(ConvPoolOptions options) : options_(std::move(options)) {}
    void initialise(Generator& random, Init init, int number) override;
    void set_inpt(const Expr& inpt, const Expr& inpt_dropout, std::int64_t mini_batch_size,
                  RandomStream& random) override;

  private:
    ConvPoolOptions options_;
};

struct FullyConnectedOptions {
    std::int64_t n_in = 0, n_out = 0;
    Activation activation_fn = sigmoid;
    double p_dropout = 0;  ///< share of the *inputs* that training drops
};

class FullyConnectedLayer : public Layer {
  public:
    explicit FullyConnectedLayer(FullyConnectedOptions options) : options_(options) {}
    void initialise(Generator& random, Init init, int number) override;
    void set_inpt(const Expr& inpt, const Expr& inpt_dropout, std::int64_t mini_batch_size,
                  RandomStream& random) override;

  private:
    FullyConnectedOptions options_;
};

struct SoftmaxOptions {
    std::int64_t n_in = 0, n_out = 0;
    double p_dropout = 0;
};

/// A fully-connected layer with softmax, which gives the network its cost.
class SoftmaxLayer : public Layer {
  public:
    explicit SoftmaxLayer(SoftmaxOptions options) : options_(options) {}
    void initialise(Generator& random, Init init, int number) override;
    void set_inpt(const Expr& inpt, const Expr& inpt_dropout, std::int64_t mini_batch_size,
                  RandomStream& random) override;
    /// The log-likelihood cost, averaged over the mini-batch.
    Expr cost(const Network& net) const override;

  private:
    SoftmaxOptions options_;
};

/// A layer of any kind, as Network takes them.
struct AnyLayer {
    template <std::derived_from<Layer> L>
    AnyLayer(L layer) : layer(std::make_shared<L>(std::move(layer))) {}
    std::shared_ptr<Layer> layer;
};

/// Rows and their classes in shared variables: functions pick a mini-batch by its number, so that
/// only a number goes in with each call.
struct SharedData {
    Shared x, y;
    std::int64_t size() const { return x.shape()[0].value(); }
};
/// x f32[n, features] and y i32[n], whose memory is used as it is.
SharedData shared_data(const Array& x, const Array& y, const std::string& name);

/// Where training is.
struct BatchReport {
    int epoch = 0, epochs = 0;            ///< from 0
    std::int64_t batch = 0, batches = 0;  ///< from 0, in this epoch
    double cost = 0;                      ///< of this mini-batch
    double images_per_second = 0;         ///< in this epoch so far, compiling left out
    double compile_ms = 0;
};
struct EpochReport {
    int epoch = 0, epochs = 0;
    double cost = 0;                                    ///< of the last mini-batch
    double validation_accuracy = 0, test_accuracy = 0;  ///< percent
    bool best = false;                                  ///< best validation accuracy so far
    double images_per_second = 0;
};

struct SgdOptions {
    double lmbda = 0;        ///< L2 regularisation; its term is left out where 0
    std::int64_t limit = 0;  ///< only the first so many mini-batches of each epoch; 0: all
    std::function<void(const BatchReport&)> on_batch;  ///< every `report_every` mini-batches
    std::function<void(const EpochReport&)> on_epoch;
    std::int64_t report_every = 100;
    Mode mode = Mode::fast_run;
    bool profile = false;            ///< measure every kernel of the training function
    std::optional<Options> options;  ///< threads and dumps
    std::string report;  ///< sgd writes the training function's report to this file in the end
};

struct SgdResult {
    std::vector<double> validation_accuracy, test_accuracy;  ///< percent, by epoch
    double best_validation_accuracy = 0;
    int best_epoch = -1;
    double best_test_accuracy = 0;  ///< at the best validation epoch (of equal ones the last)
    double last_cost = 0;
    double seconds = 0;                  ///< training and evaluation, without compiling
    double images_per_second = 0;        ///< while training
    double compile_ms = 0;               ///< of the three functions
    std::vector<KernelProfile> profile;  ///< of the training function, where asked for
    std::vector<PassTime> passes;        ///< what compiling the training function cost
};

struct NetworkOptions {
    std::uint64_t seed = 0;  ///< decides everything random
    Init init = Init::n_out;
};

/// A stack of layers that ends in one with a cost.
class Network {
  public:
    Network(std::vector<AnyLayer> layers, std::int64_t mini_batch_size,
            const NetworkOptions& options = {});

    /// Trains by mini-batch stochastic gradient descent, in the data's order. `mini_batch_size`
    /// must be the network's. The network may be trained further by another call.
    SgdResult sgd(const SharedData& training_data, int epochs, std::int64_t mini_batch_size,
                  double eta, const SharedData& validation_data, const SharedData& test_data,
                  const SgdOptions& options = {}) const;

    /// (i) -> cost of mini-batch i of `data`, after which all parameters have moved by -eta times
    /// the gradient.
    Function train_function(const SharedData& data, double eta, const SgdOptions& options) const;
    /// (i) -> the share of mini-batch i of `data` that is classified right.
    Function accuracy_function(const SharedData& data, const SgdOptions& options) const;
    /// (x) -> the class of each row of a mini-batch.
    Function predict_function(const SgdOptions& options) const;

    /// Percent of `data` (its whole mini-batches) that is classified right.
    double accuracy(const SharedData& data, const SgdOptions& options = {}) const;
    /// i64[n]: the class of each row of x, for any number of rows.
    Array predict(const Array& x, const SgdOptions& options = {}) const;

    std::int64_t mini_batch_size() const { return mini_batch_size_; }
    const Layer& layer(std::size_t i) const { return *layers_[i].layer; }
    std::size_t size() const { return layers_.size(); }

    std::vector<Shared> params;  ///< w and b of each layer, in order
    Expr x, y;                   ///< a mini-batch: f32[n, features] and i32[n]
    Expr output, output_dropout;

  private:
    std::vector<AnyLayer> layers_;
    std::int64_t mini_batch_size_;
};

}  // namespace arete
