// Training and evaluation of networks: the functions they compile and the loops that call them.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "compiler/grad/grad.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/reduction.h"
#include "frontend/nn.h"
#include "frontend/variables.h"

namespace arete {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// A function of a mini-batch's number with one scalar result, called without allocating.
class BatchFunction {
  public:
    BatchFunction(Function function, DType result)
        : function_(std::move(function)),
          inputs_{Array(std::int64_t{0})},
          outputs_{Array(result, {})} {}

    void run(std::int64_t i) {
        *index_ = i;
        function_.call_into(outputs_, inputs_);
    }
    /// The result of the last run.
    double value() const { return outputs_[0].as_double(); }
    double compile_ms() const { return function_.stats().compile_ms; }
    const Function& function() const { return function_; }

  private:
    Function function_;
    std::vector<Array> inputs_, outputs_;
    std::int64_t* index_ = inputs_[0].data<std::int64_t>();
};

/// Percent of whole mini-batches classified right. Counted in integers, so that equal counts give
/// equal percentages.
double percent_right(BatchFunction& accuracy, std::int64_t batches, std::int64_t mini_batch_size) {
    std::int64_t right = 0;
    for (std::int64_t j = 0; j < batches; ++j) {
        accuracy.run(j);
        right += std::llround(accuracy.value() * static_cast<double>(mini_batch_size));
    }
    return 100.0 * static_cast<double>(right) / static_cast<double>(batches * mini_batch_size);
}

/// Rows of mini-batch i.
Expr batch_of(const Expr& rows, const Expr& i, std::int64_t mini_batch_size) {
    return rows(slice(i * mini_batch_size, (i + 1) * mini_batch_size));
}

std::int64_t batches_of(const SharedData& data, std::int64_t mini_batch_size, const char* what) {
    const std::int64_t batches = data.size() / mini_batch_size;
    if (batches == 0)
        fail<ArgumentError>({}, "{} has {} rows, fewer than a mini-batch of {}", what, data.size(),
                            mini_batch_size);
    return batches;
}

}  // namespace

Function Network::train_function(const SharedData& data, double eta,
                                 const SgdOptions& options) const {
    const std::int64_t batches = batches_of(data, mini_batch_size_, "training data");
    const Layer& last = *layers_.back().layer;
    Expr cost = last.cost(*this);
    if (options.lmbda != 0) {
        Expr l2_norm_squared;
        for (const AnyLayer& any : layers_) {
            const Expr term = sum(sqr(any.layer->w));
            l2_norm_squared = l2_norm_squared.empty() ? term : l2_norm_squared + term;
        }
        cost = cost + 0.5 * options.lmbda / static_cast<double>(batches) * l2_norm_squared;
    }
    const std::vector<Expr> wrt(params.begin(), params.end());
    const std::vector<Expr> grads = grad(cost, wrt);
    std::vector<Update> updates;
    for (std::size_t k = 0; k < params.size(); ++k)
        updates.push_back({params[k], params[k] - eta * grads[k]});

    const Expr i = scalar<std::int64_t>("i");
    return function({.inputs = {i},
                     .outputs = {cost},
                     .updates = updates,
                     .givens = {{x, batch_of(data.x, i, mini_batch_size_)},
                                {y, batch_of(data.y, i, mini_batch_size_)}},
                     .name = "train",
                     .mode = options.mode,
                     .profile = options.profile,
                     .options = options.options});
}

Function Network::accuracy_function(const SharedData& data, const SgdOptions& options) const {
    const Expr i = scalar<std::int64_t>("i");
    return function({.inputs = {i},
                     .outputs = {layers_.back().layer->accuracy(y)},
                     .givens = {{x, batch_of(data.x, i, mini_batch_size_)},
                                {y, batch_of(data.y, i, mini_batch_size_)}},
                     .name = "accuracy",
                     .mode = options.mode,
                     .profile = options.profile,
                     .options = options.options});
}

Function Network::predict_function(const SgdOptions& options) const {
    return function({.inputs = {x},
                     .outputs = {layers_.back().layer->y_out},
                     .name = "predict",
                     .mode = options.mode,
                     .profile = options.profile,
                     .options = options.options});
}

SgdResult Network::sgd(const SharedData& training_data, int epochs, std::int64_t mini_batch_size,
                       double eta, const SharedData& validation_data, const SharedData& test_data,
                       const SgdOptions& options) const {
    if (mini_batch_size != mini_batch_size_)
        fail<ArgumentError>({}, "sgd: mini_batch_size is {}, the network was built for {}",
                            mini_batch_size, mini_batch_size_);
    const std::int64_t num_training_batches =
        batches_of(training_data, mini_batch_size, "training data");
    const std::int64_t num_validation_batches =
        batches_of(validation_data, mini_batch_size, "validation data");
    const std::int64_t num_test_batches = batches_of(test_data, mini_batch_size, "test data");
    const std::int64_t batches =
        options.limit > 0 ? std::min(options.limit, num_training_batches) : num_training_batches;

    const auto begin_building = Clock::now();
    const DType cost_type = output.dtype();
    BatchFunction train_mb(train_function(training_data, eta, options), cost_type);
    BatchFunction validate_mb_accuracy(accuracy_function(validation_data, options), DType::F32);
    BatchFunction test_mb_accuracy(accuracy_function(test_data, options), DType::F32);
    const double building_ms = 1000 * seconds_since(begin_building);
    const auto compile_ms = [&] {
        return train_mb.compile_ms() + validate_mb_accuracy.compile_ms() +
               test_mb_accuracy.compile_ms();
    };

    SgdResult result;
    double training_seconds = 0;
    const auto begin = Clock::now();
    for (int epoch = 0; epoch < epochs; ++epoch) {
        const auto begin_epoch = Clock::now();
        const double compiled_before = train_mb.compile_ms();
        const auto epoch_seconds = [&] {
            return seconds_since(begin_epoch) - (train_mb.compile_ms() - compiled_before) / 1000;
        };
        const auto rate = [&](std::int64_t done) {
            return static_cast<double>(done * mini_batch_size) / std::max(epoch_seconds(), 1e-9);
        };
        for (std::int64_t minibatch_index = 0; minibatch_index < batches; ++minibatch_index) {
            train_mb.run(minibatch_index);
            if (options.on_batch && minibatch_index % options.report_every == 0)
                options.on_batch({epoch, epochs, minibatch_index, batches, train_mb.value(),
                                  rate(minibatch_index + 1), building_ms + compile_ms()});
        }
        result.last_cost = train_mb.value();
        const double images_per_second = rate(batches);
        training_seconds += epoch_seconds();

        const double validation_accuracy =
            percent_right(validate_mb_accuracy, num_validation_batches, mini_batch_size);
        const double test_accuracy =
            percent_right(test_mb_accuracy, num_test_batches, mini_batch_size);
        result.validation_accuracy.push_back(validation_accuracy);
        result.test_accuracy.push_back(test_accuracy);
        const bool best = validation_accuracy >= result.best_validation_accuracy;
        if (best) {
            result.best_validation_accuracy = validation_accuracy;
            result.best_epoch = epoch;
            result.best_test_accuracy = test_accuracy;
        }
        if (options.on_epoch)
            options.on_epoch({epoch, epochs, result.last_cost, validation_accuracy, test_accuracy,
                              best, images_per_second});
    }
    result.compile_ms = building_ms + compile_ms();
    result.profile = train_mb.function().profile();
    result.passes = train_mb.function().stats().passes;
    result.seconds = seconds_since(begin) - compile_ms() / 1000;
    result.images_per_second =
        static_cast<double>(epochs * batches * mini_batch_size) / std::max(training_seconds, 1e-9);
    if (!options.report.empty()) train_mb.function().report(options.report);
    return result;
}

double Network::accuracy(const SharedData& data, const SgdOptions& options) const {
    const std::int64_t batches = batches_of(data, mini_batch_size_, "the data");
    BatchFunction accuracy_mb(accuracy_function(data, options), DType::F32);
    return percent_right(accuracy_mb, batches, mini_batch_size_);
}

Array Network::predict(const Array& images, const SgdOptions& options) const {
    if (images.rank() != 2 || images.dtype() != DType::F32)
        fail<ArgumentError>({}, "predict: expected f32[n,features], the argument is {}",
                            type_name(images.dtype(), images.shape()));
    const Function classify = predict_function(options);
    const std::int64_t n = images.shape(0), features = images.shape(1);
    Array classes(DType::I64, {n});
    std::vector<Array> batch{zeros<float>({mini_batch_size_, features})};
    for (std::int64_t first = 0; first < n; first += mini_batch_size_) {
        // The last mini-batch may be short: the rows after it are left as they are.
        const std::int64_t rows = std::min(mini_batch_size_, n - first);
        std::memcpy(batch[0].data<float>(), images.data<float>() + first * features,
                    sizeof(float) * static_cast<std::size_t>(rows * features));
        const Array found = classify.call(batch)[0];
        for (std::int64_t r = 0; r < rows; ++r)
            classes.data<std::int64_t>()[first + r] = found.as_int(r);
    }
    return classes;
}

}  // namespace arete
