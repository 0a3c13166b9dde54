// The chapter's first convolutional network, layer by layer, trained for a moment on the digits in
// the repository. Usage: small_network [mini-batches]
#include <cstdio>
#include <cstdlib>

#include <arete/arete.h>

#include "examples/mnist/embedded_digits.h"
#include "frontend/nn.h"

using namespace arete;

int main(int argc, char** argv) {
    try {
        const std::int64_t limit = argc > 1 ? std::atoll(argv[1]) : 800;

        // [region data]
        const MnistData digits = load_embedded_digits();
        const SharedData training = shared_data(digits.train_x, digits.train_y, "training");
        const SharedData validation = shared_data(digits.valid_x, digits.valid_y, "validation");
        const SharedData held_out = shared_data(digits.test_x, digits.test_y, "held_out");
        // [end]

        // [region layers]
        const std::int64_t mini_batch_size = 10;
        const Network net(
            {ConvPoolLayer({.image_shape = {mini_batch_size, 1, 28, 28},
                            .filter_shape = {20, 1, 5, 5},
                            .poolsize = {2, 2},
                            .activation_fn = relu}),
             FullyConnectedLayer({.n_in = 20 * 12 * 12, .n_out = 100, .activation_fn = relu}),
             SoftmaxLayer({.n_in = 100, .n_out = 10})},
            mini_batch_size, {.seed = 1});
        // [end]

        // [region sgd]
        const SgdResult result = net.sgd(training, 1, mini_batch_size, 0.03, validation, held_out,
                                         {.lmbda = 0.1, .limit = limit});
        fmt::print("held-out training digits: {:.1f} %\n", result.best_test_accuracy);
        // [end]

        // [region predict]
        const Array classes = net.predict(digits.test_x);
        fmt::print("predicted {}\nlabels    {}\n", classes.str(), digits.test_y.str());
        // [end]
    } catch (const Error& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
    return 0;
}
