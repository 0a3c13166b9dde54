// Training with Network::sgd on the embedded digits.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "examples/mnist/embedded_digits.h"
#include "examples/mnist/nets.h"

using namespace arete;

namespace {

struct Data {
    MnistData arrays = load_embedded_digits();
    SharedData training = shared_data(arrays.train_x, arrays.train_y, "training");
    SharedData validation = shared_data(arrays.valid_x, arrays.valid_y, "validation");
    SharedData test = shared_data(arrays.test_x, arrays.test_y, "test");
};

/// The cost of each of the first `limit` mini-batches.
std::vector<double> costs(const Data& data, const std::string& name, std::uint64_t seed,
                          int threads, std::int64_t limit) {
    const NetRow& row = *find_net(name);
    const Network net = build_net(row, 10, {.seed = seed});
    Options options = Options::from_environment();
    options.num_threads = threads;
    std::vector<double> out;
    net.sgd(data.training, 1, 10, row.eta, data.validation, data.test,
            {.lmbda = row.lmbda,
             .limit = limit,
             .on_batch = [&](const BatchReport& r) { out.push_back(r.cost); },
             .report_every = 1,
             .options = options});
    CHECK(static_cast<std::int64_t>(out.size()) == limit);
    return out;
}

Array small_rows(const Array& a, std::int64_t n) {
    return Array(a.dtype(), {n, a.shape(1)}, a.storage());
}

}  // namespace

TEST_CASE("training: the same bits from run to run and whatever the number of threads") {
    const Data data;
    for (const char* name : {"shallow", "dbl_conv_relu", "dropout"}) {
        CAPTURE(name);
        const std::int64_t limit = std::string(name) == "dropout" ? 5 : 40;
        const auto first = costs(data, name, 3, 1, limit);
        CHECK(first == costs(data, name, 3, 1, limit));
        CHECK(first == costs(data, name, 3, 2, limit));
        CHECK(first != costs(data, name, 4, 1, limit));
    }
}

TEST_CASE("training: accuracies, the best epoch and predictions agree") {
    const Data data;
    const NetRow& row = *find_net("shallow");
    const Network net = build_net(row, 10, {.seed = 1, .init = Init::n_in});
    std::vector<EpochReport> epochs;
    const SgdResult result =
        net.sgd(data.training, 3, 10, row.eta, data.validation, data.test,
                {.on_epoch = [&](const EpochReport& r) { epochs.push_back(r); }});
    REQUIRE(epochs.size() == 3);
    REQUIRE(result.validation_accuracy.size() == 3);
    REQUIRE(result.test_accuracy.size() == 3);
    CHECK(result.best_validation_accuracy > 85);

    int best = 0;
    for (int e = 0; e < 3; ++e)
        if (result.validation_accuracy[e] >= result.validation_accuracy[best]) best = e;
    CHECK(result.best_epoch == best);
    CHECK(result.best_test_accuracy == result.test_accuracy[best]);
    CHECK(net.accuracy(data.test) == result.test_accuracy.back());

    // 1000 rows, and a number of rows that is no multiple of the mini-batch.
    const Array classes = net.predict(data.arrays.test_x);
    int right = 0;
    for (std::int64_t i = 0; i < 1000; ++i)
        right += classes.as_int(i) == data.arrays.test_y.as_int(i);
    CHECK(right / 10.0 == doctest::Approx(result.test_accuracy.back()));
    const Array some = net.predict(small_rows(data.arrays.test_x, 37));
    REQUIRE(some.size() == 37);
    for (std::int64_t i = 0; i < 37; ++i) CHECK(some.as_int(i) == classes.as_int(i));
}

TEST_CASE("training: L2 regularisation adds its term and shrinks the weights") {
    const Data data;
    const NetRow& row = *find_net("shallow");
    const Network plain = build_net(row, 10, {.seed = 1}), decayed = build_net(row, 10, {.seed = 1});
    const Function a = plain.train_function(data.training, 0.1, {});
    const Function b = decayed.train_function(data.training, 0.1, {.lmbda = 5});
    double squares = 0;
    for (std::size_t l = 0; l < plain.size(); ++l) {
        const Array w = plain.layer(l).w.get_value();
        for (const float v : w.values<float>()) squares += static_cast<double>(v) * v;
    }
    const double ca = a(0)[0].as_double(), cb = b(0)[0].as_double();
    CHECK(cb - ca == doctest::Approx(0.5 * 5 / 800 * squares).epsilon(1e-4));
    const Array wa = plain.layer(0).w.get_value(), wb = decayed.layer(0).w.get_value();
    // Pixel 0 is never inked, so only the decay moves its weights.
    const Array w0 = build_net(row, 10, {.seed = 1}).layer(0).w.get_value();
    CHECK(wa.as_double(0) == w0.as_double(0));
    CHECK(wb.as_double(0) == doctest::Approx(w0.as_double(0) * (1 - 0.1 * 5 / 800)).epsilon(1e-6));
}

TEST_CASE("networks: what is wrong is said") {
    const Data data;
    const Network net({SoftmaxLayer({.n_in = 784, .n_out = 10})}, 10);
    CHECK_THROWS_WITH_AS(net.sgd(data.training, 1, 20, 0.1, data.validation, data.test),
                         "sgd: mini_batch_size is 20, the network was built for 10", ArgumentError);
    const Network headless({FullyConnectedLayer({.n_in = 784, .n_out = 10})}, 10);
    CHECK_THROWS_WITH_AS(headless.train_function(data.training, 0.1, {}),
                         "the last layer has no cost: a network must end in a SoftmaxLayer",
                         GraphError);
    CHECK_THROWS_AS(Network({}, 10), ArgumentError);
    CHECK_THROWS_AS(Network({SoftmaxLayer({.n_in = 784, .n_out = 10, .p_dropout = 1})}, 10),
                    ArgumentError);
    CHECK_THROWS_WITH_AS(
        Network({ConvPoolLayer({.image_shape = {20, 1, 28, 28}, .filter_shape = {20, 1, 5, 5}})}, 10),
        "ConvPoolLayer: image_shape is for mini-batches of 20, the network's have 10", ArgumentError);
    CHECK_THROWS_AS(shared_data(data.arrays.train_x, data.arrays.test_y, "d"), ArgumentError);
    CHECK_THROWS_AS(
        build_net(*find_net("shallow"), 2000, {}).train_function(data.test, 0.1, {}), ArgumentError);
}
