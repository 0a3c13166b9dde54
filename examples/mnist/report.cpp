#include "examples/mnist/report.h"

#include <cmath>

namespace arete {

namespace {

std::string number(double v) { return std::isfinite(v) ? fmt::format("{}", v) : "null"; }

std::string numbers(const std::vector<double>& values) {
    std::string text = "[";
    for (std::size_t i = 0; i < values.size(); ++i) text += (i ? ", " : "") + number(values[i]);
    return text + "]";
}

}  // namespace

std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            out += {'\\', c};
        else if (static_cast<unsigned char>(c) < 0x20)
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else
            out += c;
    }
    return out + "\"";
}

std::string to_json(const Run& run, const SgdResult& result) {
    std::string out = "{\n";
    const auto field = [&](std::string_view name, const std::string& value) {
        if (out.size() > 2) out += ",\n";
        out += fmt::format("  \"{}\": {}", name, value);
    };
    field("net", json_string(run.net));
    field("epochs", number(run.epochs));
    field("batch", fmt::format("{}", run.batch));
    field("limit", fmt::format("{}", run.limit));
    field("eta", number(run.eta));
    field("lmbda", number(run.lmbda));
    field("init", json_string(run.init));
    field("seed", fmt::format("{}", run.seed));
    field("data", json_string(run.data));
    field("test_set", json_string(run.test_set));
    field("device", json_string(run.device));
    field("threads", fmt::format("{}", run.threads));
    field("validation_accuracies", numbers(result.validation_accuracy));
    field("test_accuracies", numbers(result.test_accuracy));
    field("best_validation_accuracy", number(result.best_validation_accuracy));
    field("best_epoch", fmt::format("{}", result.best_epoch + 1));
    field("test_accuracy", number(result.best_test_accuracy));
    field("last_cost", number(result.last_cost));
    field("seconds", number(result.seconds));
    field("images_per_second", number(result.images_per_second));
    field("compile_ms", number(result.compile_ms));
    return out + "\n}\n";
}

}  // namespace arete
