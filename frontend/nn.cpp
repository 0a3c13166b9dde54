#include "frontend/nn.h"

#include <cmath>

#include "compiler/grad/grad.h"
#include "compiler/ops/convolution.h"
#include "compiler/ops/indexing.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/softmax.h"
#include "frontend/variables.h"

namespace arete {

namespace {

Shared parameter(const char* letter, int number, const Array& value) {
    return shared(value, fmt::format("{}{}", letter, number), true);
}

/// Drops each element with probability p, by a mask of its own.
Expr dropout_layer(const Expr& layer, double p_dropout, RandomStream& random) {
    if (p_dropout == 0) return layer;
    return layer * random.bernoulli(layer.shape(), 1 - p_dropout);
}

/// What inputs amount to in the mean where some are dropped while training.
Expr scaled(const Expr& product, double p_dropout) {
    return p_dropout == 0 ? product : (1 - p_dropout) * product;
}

void check_layer(std::int64_t n_in, std::int64_t n_out, double p_dropout) {
    if (n_in < 1 || n_out < 1)
        fail<ArgumentError>({}, "a layer of {} inputs and {} outputs: both must be positive", n_in,
                            n_out);
    if (!(p_dropout >= 0 && p_dropout < 1))
        fail<ArgumentError>({}, "p_dropout is {}, expected at least 0 and less than 1", p_dropout);
}

}  // namespace

Expr Layer::cost(const Network&) const {
    fail<GraphError>({}, "the last layer has no cost: a network must end in a SoftmaxLayer");
}

Expr Layer::accuracy(const Expr& y) const {
    if (!y_out.node_ptr()) fail<GraphError>({}, "a convolutional layer classifies nothing");
    return mean(eq(y, y_out));
}

void ConvPoolLayer::initialise(Generator& random, Init init, int number) {
    const Sizes &filter = options_.filter_shape, &image = options_.image_shape,
                &pool = options_.poolsize;
    if (filter.size() != 4 || image.size() != 4 || pool.size() != 2)
        fail<ArgumentError>({},
                            "ConvPoolLayer: image_shape and filter_shape have 4 sizes, poolsize "
                            "has 2; given are {}, {} and {}",
                            image.size(), filter.size(), pool.size());
    const auto field = static_cast<double>(filter[2] * filter[3]);
    const double n_out =
        static_cast<double>(filter[0]) * field / static_cast<double>(pool[0] * pool[1]);
    const double n_in = static_cast<double>(filter[1]) * field;
    const double n = init == Init::n_out ? n_out : n_in;
    w = parameter("w", number, random.normal(filter, 0, std::sqrt(1 / n)));
    b = parameter("b", number, random.normal({filter[0]}, 0, 1));
}

void ConvPoolLayer::set_inpt(const Expr& inpt, const Expr& inpt_dropout,
                             std::int64_t mini_batch_size, RandomStream&) {
    if (options_.image_shape[0] != mini_batch_size)
        fail<ArgumentError>({},
                            "ConvPoolLayer: image_shape is for mini-batches of {}, the network's "
                            "have {}",
                            options_.image_shape[0], mini_batch_size);
    const auto forward = [&](const Expr& x) {
        const Expr conv_out = conv2d(x, w);
        const Expr pooled_out = pool2d(conv_out, {options_.poolsize[0], options_.poolsize[1]});
        return options_.activation_fn(pooled_out + dimshuffle(b, {'x', 0, 'x', 'x'}));
    };
    this->inpt = reshape(inpt, options_.image_shape);
    output = forward(this->inpt);
    // A convolution drops none of its own inputs, but layers before it may.
    output_dropout =
        same(inpt, inpt_dropout) ? output : forward(reshape(inpt_dropout, options_.image_shape));
}

void FullyConnectedLayer::initialise(Generator& random, Init init, int number) {
    check_layer(options_.n_in, options_.n_out, options_.p_dropout);
    const auto n = static_cast<double>(init == Init::n_out ? options_.n_out : options_.n_in);
    w = parameter("w", number, random.normal({options_.n_in, options_.n_out}, 0, std::sqrt(1 / n)));
    b = parameter("b", number, random.normal({options_.n_out}, 0, 1));
}

void FullyConnectedLayer::set_inpt(const Expr& inpt, const Expr& inpt_dropout,
                                   std::int64_t mini_batch_size, RandomStream& random) {
    const double p = options_.p_dropout;
    this->inpt = reshape(inpt, {mini_batch_size, options_.n_in});
    output = options_.activation_fn(scaled(dot(this->inpt, w), p) + b);
    y_out = argmax(output, 1);
    const Expr dropped =
        dropout_layer(reshape(inpt_dropout, {mini_batch_size, options_.n_in}), p, random);
    output_dropout = options_.activation_fn(dot(dropped, w) + b);
}

void SoftmaxLayer::initialise(Generator&, Init, int number) {
    check_layer(options_.n_in, options_.n_out, options_.p_dropout);
    w = parameter("w", number, zeros<float>({options_.n_in, options_.n_out}));
    b = parameter("b", number, zeros<float>({options_.n_out}));
}

void SoftmaxLayer::set_inpt(const Expr& inpt, const Expr& inpt_dropout,
                            std::int64_t mini_batch_size, RandomStream& random) {
    const double p = options_.p_dropout;
    this->inpt = reshape(inpt, {mini_batch_size, options_.n_in});
    output = softmax(scaled(dot(this->inpt, w), p) + b);
    y_out = argmax(output, 1);
    const Expr dropped =
        dropout_layer(reshape(inpt_dropout, {mini_batch_size, options_.n_in}), p, random);
    output_dropout = softmax(dot(dropped, w) + b);
}

Expr SoftmaxLayer::cost(const Network& net) const {
    return -mean(log(output_dropout)(arange(net.y.shape(0)), net.y));
}

SharedData shared_data(const Array& x, const Array& y, const std::string& name) {
    if (x.rank() != 2 || x.dtype() != DType::F32 || y.rank() != 1 || y.dtype() != DType::I32 ||
        x.shape(0) != y.shape(0))
        fail<ArgumentError>({}, "{}: expected f32[n,features] and i32[n], the data is {} and {}",
                            name, type_name(x.dtype(), x.shape()), type_name(y.dtype(), y.shape()));
    return {shared(x, name + "_x", true), shared(y, name + "_y", true)};
}

Network::Network(std::vector<AnyLayer> layers, std::int64_t mini_batch_size,
                 const NetworkOptions& options)
    : x(matrix<float>("x")),
      y(vector<std::int32_t>("y")),
      layers_(std::move(layers)),
      mini_batch_size_(mini_batch_size) {
    if (layers_.empty() || mini_batch_size < 1)
        fail<ArgumentError>({},
                            "a network has {} layers and mini-batches of {}: both must be "
                            "positive",
                            layers_.size(), mini_batch_size);
    Generator weights(options.seed);
    RandomStream masks(options.seed);
    Expr inpt = x, inpt_dropout = x;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        Layer& layer = *layers_[i].layer;
        layer.initialise(weights, options.init, static_cast<int>(i));
        layer.set_inpt(inpt, inpt_dropout, mini_batch_size, masks);
        for (const Shared& p : layer.params()) params.push_back(p);
        inpt = layer.output;
        inpt_dropout = layer.output_dropout;
    }
    output = inpt;
    output_dropout = inpt_dropout;
}

}  // namespace arete
