// The report: what is in its page, and how it works in a browser.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/mnist/nets.h"
#include "tests/support.h"

using namespace arete;
namespace fs = std::filesystem;

namespace {

/// A folder of its own, removed at the end.
struct Folder {
    fs::path path = fs::temp_directory_path() / ("arete_report_" + std::to_string(getpid()));
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
    std::string file(const char* name) const { return (path / name).string(); }
};

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void has(const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, "it has no ", part);
}

/// A training step of a small net whose report has something of everything.
Function small_step(bool profile) {
    const NetRow row{"small", {3}, {20}, sigmoid, "sigmoid", 0, 0.1, 0, 1, ""};
    Generator random(1);
    const Network net = build_net(row, 4, {.seed = 1});
    const SharedData data =
        shared_data(random.uniform({8, kSide * kSide}, 0, 1), zeros<std::int32_t>({8}), "digits");
    return net.train_function(data, 0.1, {.lmbda = 0.1, .profile = profile});
}

std::string first_of(std::initializer_list<const char*> programs) {
    for (const char* p : programs)
        if (std::system(fmt::format("command -v {} > /dev/null 2>&1", p).c_str()) == 0) return p;
    return {};
}

}  // namespace

TEST_CASE("report: a page with the graph, the kernels, the memory and the rewrites") {
    const Folder folder;
    const std::string path = folder.file("step.html");
    const auto x = vector<float>("x", {6});
    const auto w = shared(ones<float>({6}), "</script><b>\"w\"");
    const int line = __LINE__ + 1;
    const Expr y = log(sigmoid(x * w)) + 0;
    const Function f =
        function({.inputs = {x}, .outputs = {y}, .updates = {{w, w - 0.5f * x}}, .name = "tiny"});
    f.report(path);  // the sizes are known: it need not have been called
    const std::string page = read(path);
    CHECK(page.rfind("<!doctype html>", 0) == 0);
    has(page, "\"function\":\"tiny\"");
    has(page, "\"rule\":\"log_sigmoid\"");
    has(page, "\"algebra\":\"log(sigmoid(x)) = -softplus(-x)\"");
    has(page, fmt::format("test_report.cpp:{}", line));
    has(page, "\"title\":\"as written\"");
    has(page, "\"title\":\"after specialize\"");
    has(page, "\"nest\":\"nest ");
    has(page, "\"schedule\":\"kernel ");
    has(page, "\"llvm\":\"define internal void @k0_");
    has(page, "\"asm\":\"k0_");
    has(page, "\"memory\":{\"arena\":");
    CHECK(page.find("\"us\":") == std::string::npos);  // nothing was measured
    // What users write cannot break out of the data; the page loads nothing.
    has(page, "\\u003c/script>\\u003cb>\\\"w\\\"");
    std::size_t scripts = 0;
    for (std::size_t at = page.find("</script>"); at != std::string::npos;
         at = page.find("</script>", at + 1))
        ++scripts;
    CHECK(scripts == 2);
    for (const char* word : {"http://", "https://", "src=", "@import", "url("}) {
        std::size_t at = page.find(word);
        // The name of the SVG name space is no address.
        if (at != std::string::npos && page.compare(at, 26, "http://www.w3.org/2000/svg") == 0)
            at = page.find(word, at + 1);
        CHECK_MESSAGE(at == std::string::npos, word);
    }
    CHECK(f.stats().specialisations == 0);
}

TEST_CASE("report: measured functions have times; interpreted ones have no code") {
    const Folder folder;
    const Function step = small_step(true);
    for (int k = 0; k < 3; ++k) step(k % 2);
    step.report(folder.file("step.html"));
    const std::string page = read(folder.file("step.html"));
    has(page, "\"calls\":3,\"us\":");
    has(page, "\"gflops\":");
    has(page, "\"share\":");
    const auto x = matrix<float>("x");
    const Function f = function({.inputs = {x}, .outputs = {dot(x, x)}, .mode = Mode::interpret});
    CHECK_THROWS_AS(f.report(folder.file("f.html")), ArgumentError);  // unknown sizes, never called
    CHECK(!fs::exists(folder.file("f.html")));
    f(zeros<float>({3, 3}));
    f.report(folder.file("f.html"));
    const std::string interpreted = read(folder.file("f.html"));
    has(interpreted, "f32[3,3]");
    CHECK(interpreted.find("\"llvm\":") == std::string::npos);
    CHECK_THROWS_AS(f.report("/no/such/folder/f.html"), ArgumentError);
}

TEST_CASE("report: sums of pieces, which stand for no value of their own") {
    const Folder folder;
    const auto x = tensor4<float>("x", {128, 1, 28, 28});
    const auto w = shared(ones<float>({20, 1, 5, 5}), "w");
    const Expr cost = sum(sqr(relu(pool2d(conv2d(x, w), {2, 2}))));
    const Function f =
        function({.inputs = {x}, .outputs = {cost}, .updates = {{w, w - 0.1f * grad(cost, w)}}});
    f.report(folder.file("step.html"));
    has(read(folder.file("step.html")), "conv2d_grad_weights");
}

TEST_CASE("report: it works in a browser, without an error on its console") {
    const std::string chromium = first_of({"chromium", "chromium-browser", "google-chrome"});
    if (chromium.empty() || first_of({"python3"}).empty()) {
        MESSAGE("skipped: chromium or python3 is not installed");
        return;
    }
    const Folder folder;
    const std::string path = folder.file("step.html");
    const Function step = small_step(true);
    for (int k = 0; k < 3; ++k) step(k % 2);
    step.report(path);
    const char* shots = std::getenv("ARETE_REPORT_SHOTS");  // a folder for pictures of the page
    const std::string command =
        fmt::format("timeout 240 python3 {}/tests/report/browse.py {} {} {} 2>&1", ARETE_SOURCE_DIR,
                    chromium, path, shots ? shots : "");
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::string out;
    std::array<char, 4096> buffer{};
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
        out.append(buffer.data(), n);
    const int status = pclose(pipe);
    INFO("the browser says: " << out);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}
