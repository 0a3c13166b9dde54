// The driver of cards over a mock of CUDA: results are the processor's, every error says what is
// wrong, and nothing is left behind.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/targets/cuda/machine.h"
#include "runtime/cuda/api.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/device.h"
#include "runtime/shared_value.h"
#include "tests/cuda/mocked.h"
#include "tests/support.h"
#include "tests/temporary_folder.h"

using namespace arete;
using namespace arete::test;

namespace {

/// Steps of a small net with a check, an update in place, one that is copied, and a random mask.
struct Net {
    Shared images = shared(Generator(1).uniform({40, 6}, -1, 1), "images"),
           w = shared(Generator(2).normal({6, 3}, 0, 1), "w"), n = shared(Array(2.0f), "n");
    Expr i = scalar<std::int64_t>("i");
    Function step;

    explicit Net(const std::string& device, const std::string& cache = {}) {
        const Expr x = images(slice(i * 10, (i + 1) * 10));
        const Expr p = softmax(dot(x, w));
        const Expr cost = mean(sqr(p)) * n;
        Options options = Options::from_environment();
        options.device = device;
        options.cache_dir = cache;
        step = function({.inputs = {i},
                         .outputs = {cost, p},
                         .updates = {{w, w - 0.1f * grad(cost, w)}, {n, sum(w)}},
                         .name = "step",
                         .options = options});
    }
    std::vector<Array> values() const { return {w.get_value(), n.get_value()}; }
};

void check_same(const std::vector<Array>& a, const std::vector<Array>& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t k = 0; k < a.size(); ++k) CHECK(difference(a[k], b[k]) < 1e-5);
}

}  // namespace

TEST_CASE("cuda driver: steps have the interpreter's values; variables stay on the card") {
    const Mocked mock(true);
    const Net expected("interpreter"), net("cuda");
    for (std::int64_t k = 0; k < 4; ++k) {
        CAPTURE(k);
        check_same(net.step(k), expected.step(k));
        CHECK(!shared_value(net.w.node()).host_is_valid());
        CHECK(shared_value(net.images.node()).host_is_valid());
    }
    // One graph, launched once a call, and waited for once.
    const long launched = mock->graph_launches, waited = mock->waits, copied = mock->copies_in;
    check_same(net.step(std::int64_t{1}), expected.step(std::int64_t{1}));
    CHECK(mock->graph_launches == launched + 1);
    CHECK(mock->waits == waited + 1);
    CHECK(mock->copies_in == copied);
    check_same(net.values(), expected.values());
    CHECK(shared_value(net.w.node()).device_is_valid());
    // A check that fails leaves all as it was, and the next call works.
    const std::vector<Array> before = net.values();
    CHECK_THROWS_AS((void)net.step(std::int64_t{4}), RangeError);
    CHECK(message_of([&] { (void)net.step(std::int64_t{4}); }) ==
          message_of([&] { (void)expected.step(std::int64_t{4}); }));
    for (std::size_t k = 0; k < before.size(); ++k) CHECK(net.values()[k].equals(before[k]));
    check_same(net.step(std::int64_t{2}), expected.step(std::int64_t{2}));
}

TEST_CASE("cuda driver: kernels one by one, profiles, loops and the second card") {
    const Mocked mock(true);
    {
        const Variable one_by_one("ARETE_CUDA_CHECK", "1");
        const Net expected("interpreter"), net("cuda:1");
        for (std::int64_t k = 0; k < 3; ++k) check_same(net.step(k), expected.step(k));
        CHECK_THROWS_AS((void)net.step(std::int64_t{-1}), RangeError);
        check_same(net.values(), expected.values());
        CHECK(mock->graph_launches == 0);
        CHECK(shared_value(net.w.node()).device_value()->device() == "cuda:1");
    }
    const Expr x = vector<float>("x", {5});
    const auto run = [&](const std::string& device) {
        const Shared s = shared(Array(std::vector<float>{1, 2, 3, 4, 5}), "s");
        // Steps of the host between graphs: a loop with a condition, and a branch.
        const ScanResult loop = scan({.fn = [&](const std::vector<Expr>& a) -> StepResult {
                                          const Expr next = a[0] * 1.5f + s;
                                          return {{next}, {}, max(next) > 40.0f};
                                      },
                                      .outputs_info = {x},
                                      .n_steps = 30});
        const Expr last = loop.outputs[0](-1);
        const Function f = function({.inputs = {x},
                                     .outputs = {last, ifelse(sum(last) > 100.0f, exp(x), x)},
                                     .updates = {{s, s + 1.0f}},
                                     .device = device});
        std::vector<Array> out = f(std::vector<float>{1, 2, 3, 4, 5});
        for (Array& a : f(std::vector<float>{0, 0, 0, 0, -7})) out.push_back(a);
        out.push_back(s.get_value());
        return out;
    };
    check_same(run("cuda"), run("interpreter"));
    const Function timed = function(
        {.inputs = {x}, .outputs = {exp(x), sum(sqr(x))}, .profile = true, .device = "cuda"});
    CHECK(difference(timed(std::vector<float>{1, 2, 3, 4, 5})[1], Array(55.0f)) < 1e-5);
    CHECK(!timed.profile().empty());
}

TEST_CASE(
    "cuda driver: without a driver, or with one that is of no use, the error says what to do") {
    const auto said = [] { return message_of([] { (void)Net("cuda"); }); };
    const auto has = [](const std::string& text, const std::string& part) {
        CAPTURE(text);
        CHECK(text.find(part) != std::string::npos);
    };
    {
        const Mocked mock;
        mock->init_result = 100;
        has(said(), "there is no card that CUDA can use");
        mock->init_result = 34;
        has(said(), "stub of the driver's library");
        mock->init_result = 803;
        has(said(), "the driver does not start: CUDA_ERROR_MOCK");
        mock->init_result = 0;
        mock->driver_version = 11080;
        has(said(), "the driver is of CUDA 11.8, and 12.0 or newer is needed");
        mock->driver_version = 12000;
        mock->cards = 0;
        has(said(), "there is no card that CUDA can use");
        mock->cards = 2;
        mock->major = 6;
        has(said(), "compute capability 6.0, and 7.0 or newer is needed");
        mock->major = 9;
        has(message_of([] { (void)Net("cuda:2"); }),
            "device 'cuda:2': there is no such card; the last one is 'cuda:1'");
        for (const char* bad : {"cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999"})
            has(message_of([&] { (void)Net(bad); }), "expected the number of a card");
        // The driver does not load what NVRTC makes: too old, or another architecture.
        for (const int result : {200, 209, 222}) {
            mock->load_result = result;
            const Net net("cuda");
            has(message_of([&] { (void)net.step(std::int64_t{0}); }),
                "the driver, of CUDA 12.0, does not load what NVRTC 13.0 has compiled");
        }
        mock->load_result = 0;
        mock->major = 11;  // which this NVRTC does not know
        const Net net("cuda");
        has(message_of([&] { (void)net.step(std::int64_t{0}); }),
            "compiles for sm_80 to sm_100, and the card is of sm_110");
    }
    // A library that lacks functions, and none at all where the system has none.
    const TemporaryFolder own;
    const std::string& folder = own.path;
    {
        const Variable path("ARETE_CUDA_PATH", folder.c_str());
        std::filesystem::copy(ARETE_MOCK_CUDA_DIR "/libnvrtc.so.13", folder + "/libcuda.so.1");
        has(said(), "has no function cuInit: the driver is too old");
    }
    has(message_of([] { (void)cuda::CuApi::open({"/no/such/libcuda.so.1"}); }),
        "libcuda.so.1 is not found; NVIDIA's driver is needed");
    has(message_of([] { (void)cuda::Nvrtc::open({"/no/such/libnvrtc.so"}); }),
        "NVRTC, which compiles kernels for cards, is not found: install NVIDIA's toolkit or the "
        "package nvidia-cuda-nvrtc, or name the folder");
}

TEST_CASE("cuda driver: without NVRTC only what is in the cache runs") {
    const TemporaryFolder own;
    const std::string folder = own.path, cache = folder + "/cache";
    std::filesystem::create_symlink(ARETE_MOCK_CUDA_DIR "/libcuda.so.1", folder + "/libcuda.so.1");
    const auto first = [&] {
        const Net net("cuda", cache);
        return net.step(std::int64_t{0});
    };
    const auto files = [&] {
        std::vector<std::filesystem::path> out;
        for (const auto& f : std::filesystem::directory_iterator(cache)) out.push_back(f.path());
        return out;
    };
    const Mocked mock(true);
    const std::vector<Array> expected = first();
    const std::size_t kept = files().size();
    CHECK(kept == 2);  // the program, and its code
    {
        // Whatever else there is would make other code than the mock's.
        const Variable path("ARETE_CUDA_PATH", folder.c_str());
        check_same(first(), expected);
    }
    // What is damaged is made anew, and so is what the driver does not load.
    for (const auto& file : files()) {
        const auto size = std::filesystem::file_size(file);
        for (const std::uintmax_t left : {size / 2, std::uintmax_t{10}, std::uintmax_t{0}}) {
            std::filesystem::resize_file(file, left);
            check_same(first(), expected);
            CHECK(std::filesystem::file_size(file) == size);
        }
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekp(static_cast<std::streamoff>(size) - 20);
        bytes.put('~');
        bytes.close();
        check_same(first(), expected);
    }
    mock->fail_function = "cuModuleLoadData";
    mock->fail_at = 1;
    mock->fail_result = 209;
    check_same(first(), expected);
    CHECK(std::string(mock->failed) == "cuModuleLoadData");
    CHECK(files().size() == kept);
}

TEST_CASE("cuda driver: memory that is lacking is named, and nothing is lost") {
    const Mocked mock(true);
    const std::vector<Array> expected = Net("cuda").step(std::int64_t{0});
    // Each piece of memory in turn.
    int failures = 0;
    std::vector<std::string> named;
    for (int at = 1;; ++at) {
        const Net net("cuda");
        mock->fail_function = "cuMemAlloc_v2";
        mock->fail_at = at;
        mock->fail_result = 2;
        const std::string said = message_of([&] { (void)net.step(std::int64_t{0}); });
        if (mock->fail_at > 0) {  // there were not so many
            CHECK(said.empty());
            break;
        }
        ++failures;
        CAPTURE(at);
        CAPTURE(said);
        CHECK(said.find("test_driver.cpp") != std::string::npos);
        CHECK(said.find("function 'step': device 'cuda': no memory for ") != std::string::npos);
        CHECK(said.find(" bytes of ") != std::string::npos);
        named.push_back(said);
        // The same function works once there is memory.
        mock->fail_at = 0;
        check_same(net.step(std::int64_t{0}), expected);
    }
    mock->fail_at = 0;
    CHECK(failures >= 6);
    for (const char* what :
         {"bytes of intermediate values", "bytes of arguments", "bytes of results",
          "bytes of shared variable 'images'", "bytes of shared variable 'w'"}) {
        CAPTURE(what);
        CHECK(std::any_of(named.begin(), named.end(),
                          [&](const std::string& s) { return s.find(what) != std::string::npos; }));
    }
    // A card that is full says how full; memory that is kept for later is given up first.
    const Expr x = vector<float>("x");
    const Function f =
        function({.inputs = {x}, .outputs = {dot(exp(x), exp(x * 2) + x)}, .device = "cuda"});
    (void)f(zeros<float>({1000}));
    mock->capacity = mock->bytes + 100000;
    const std::string said = message_of([&] { (void)f(zeros<float>({40000})); });
    CAPTURE(said);
    CHECK(said.find("no memory for 160000 bytes of ") != std::string::npos);
    CHECK(said.find("bytes are free") != std::string::npos);
    CHECK_NOTHROW((void)f(zeros<float>({1000})));
}

TEST_CASE("cuda driver: whichever call fails, an error says so, and nothing is left behind") {
    const Mocked mock;
    mock->cards = 1;
    const auto scenario = [&] {
        const Net net("cuda");
        (void)net.step(std::int64_t{0});
        (void)net.step.run_many(0, 2);
        (void)net.values();
        net.w.set_value(net.w.get_value());
        (void)net.step(std::int64_t{1});
    };
    scenario();
    const long all = mock->calls;
    MESSAGE(all, " calls");
    CHECK(all > 60);
    for (const int result : {2, 999, 700, 1}) {
        int thrown = 0;
        for (int at = 1; at <= all; at += (result == 2 || result == 700) ? 1 : 3) {
            mock->fail_at = at;
            mock->fail_result = result;
            mock->failed = "";
            std::string said;
            try {
                scenario();
            } catch (const DeviceError& e) {
                said = e.what();
            }
            mock->fail_at = 0;
            CAPTURE(at);
            CAPTURE(result);
            CAPTURE(mock->failed);
            CAPTURE(said);
            if (!said.empty()) {
                ++thrown;
                CHECK(said.find("device 'cuda'") != std::string::npos);
            }
            CHECK(mock->contexts == 0);
            CHECK(mock->leaked == 0);
            mock->leaked = 0;
        }
        CHECK(thrown > 20);
    }
    mock->stray = 0;  // of what could not be waited for
    CHECK_NOTHROW(scenario());
    CHECK(mock->stray == 0);
}

TEST_CASE("cuda driver: a kernel that crashes is named, and what is lost says so") {
    const Mocked mock;
    const auto net = std::make_unique<Net>("cuda");
    (void)net->step(std::int64_t{0});
    mock->crashing_kernel = "update_w";
    const std::string said = message_of([&] { (void)net->step(std::int64_t{1}); });
    CAPTURE(said);
    CHECK(said.find("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access") != std::string::npos);
    CHECK(said.find("in one of the kernels ") != std::string::npos);
    CHECK(said.find("'update_w' (test_driver.cpp:") != std::string::npos);
    CHECK(said.find("ARETE_CUDA_CHECK=1") != std::string::npos);
    mock->crashing_kernel = nullptr;
    // The only copy of w is gone; the images are there.
    CHECK(message_of([&] { (void)net->w.get_value(); }).find("was lost by an earlier error") !=
          std::string::npos);
    CHECK(net->images.get_value().size() == 240);
    CHECK(message_of([&] { (void)net->step(std::int64_t{1}); }).find("was lost") !=
          std::string::npos);
    // It gets a new value; elsewhere it can be used at once.
    net->w.set_value(zeros<float>({6, 3}));
    net->n.set_value(Array(1.0f));
    CHECK(net->w.get_value().data<float>()[0] == 0);
    const Function twice = function({.outputs = {net->w * 2}, .device = "interpreter"});
    CHECK(twice()[0].data<float>()[0] == 0);
}

TEST_CASE("cuda driver: one by one, the kernel that crashes is known") {
    const Mocked mock;
    const Variable one_by_one("ARETE_CUDA_CHECK", "1");
    {
        const Net net("cuda");
        mock->crashing_kernel = "update_w";
        const std::string said = message_of([&] { (void)net.step(std::int64_t{1}); });
        CAPTURE(said);
        CHECK(said.find("; in kernel 'update_w' (test_driver.cpp:") != std::string::npos);
        CHECK(said.find("one of") == std::string::npos);
    }
    // With all that used it gone, the card can be opened again.
    mock->crashing_kernel = nullptr;
    const Net again("cuda");
    CHECK_NOTHROW((void)again.step(std::int64_t{1}));
}

TEST_CASE("cuda driver: descriptions of cards from what drivers tell") {
    using cuda::card_of;
    const cuda::Card h = card_of({"NVIDIA H200", 9, 0, 132, 1980000, 3201000, 6144, 50 << 20, 2048,
                                  32, 65536, 228 << 10, 48 << 10});
    CHECK(h.architecture() == "sm_90");
    CHECK(h.memory_gb_s == doctest::Approx(4917).epsilon(0.01));
    CHECK(h.l2_gb_s == doctest::Approx(cuda::described_card("h100").l2_gb_s));
    CHECK(h.fp64_lanes == 64);
    // What is not told is as in the nearest description.
    CHECK(card_of({"card", 8, 0}).processors == cuda::described_card("a100").processors);
    CHECK(card_of({"card", 8, 6}).architecture() == "sm_86");
    CHECK(card_of({"card", 12, 0}).fp64_lanes == 2);
    CHECK(card_of({"card", 7, 5}).architecture() == "sm_75");
}

TEST_CASE("card: steps have the interpreter's values") {
    // On a card that is there; skipped, and shown as skipped, elsewhere.
    std::string missing;
    try {
        (void)cuda::CudaDriver::open(0);
    } catch (const DeviceError& e) {
        missing = e.what();
    }
    if (!missing.empty()) {
        std::cout << "skipped: " << missing << "\n";
        if (std::getenv("ARETE_TEST_ALONE")) std::exit(77);
        return;
    }
    const Net expected("interpreter"), net("cuda");
    for (std::int64_t k = 0; k < 4; ++k) check_same(net.step(k), expected.step(k));
    check_same(net.step.run_many(0, 4), expected.step.run_many(0, 4));
    CHECK_THROWS_AS((void)net.step(std::int64_t{4}), RangeError);
    check_same(net.values(), expected.values());
}
