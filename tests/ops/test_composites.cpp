// Functions that are made of several ops beside NumPy's and SciPy's results
// (tests/reference/composites.py), with sizes that are known and that are not, in each mode that
// compiles; and their gradients beside differences.
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "tests/support.h"

#include <doctest/doctest.h>

using namespace arete;
using namespace arete::test;

namespace {

using X = const std::vector<Expr>&;
using Results = std::vector<Expr>;

struct Composite {
    std::function<Results(X)> build;
    bool smooth = true;    ///< differences are its slopes at the points of its case
    bool any_size = true;  ///< it takes operands whose sizes are not known
    double tolerance = 1e-12;
};

template <class F>
Composite of(F f) {
    return {[f](X x) { return Results{f(x)}; }};
}
template <class F>
Composite stepwise(F f) {
    Composite c = of(f);
    c.smooth = false;
    return c;
}
template <class F>
Composite known(F f) {
    Composite c = of(f);
    c.any_size = false;
    return c;
}
template <class F>
Composite several(F f) {
    return {[f](X x) { return f(x); }};
}

Expr padded(X x, PadMode mode, std::vector<std::pair<std::int64_t, std::int64_t>> widths) {
    return pad(x[0], widths, mode);
}

struct Reference {
    std::string name;
    std::vector<Array> operands, results;
};
std::vector<Reference> references();

// Copies with other elements, in each of the ways.
void add_updates(std::map<std::string, Composite>& table) {
    constexpr std::pair<const char*, Scatter> ways[] = {{"set", Scatter::set},
                                                        {"add", Scatter::add},
                                                        {"mul", Scatter::mul},
                                                        {"max", Scatter::max},
                                                        {"min", Scatter::min}};
    for (const auto& [name, how] : ways) {
        const auto add = [&](const char* what, auto build) {
            table[fmt::format("{} {}", name, what)] = of(build);
        };
        const auto to = [how = how](const Expr& part, const Expr& v) {
            return update_subtensor(how, part, v);
        };
        add("slices", [to](X x) { return to(x[0](slice(3, 0, -2), slice(none, none, 2)), x[1]); });
        add("element", [to](X x) { return to(x[0](-1, 2), x[1]); });
        add("rows", [to](X x) { return to(x[0](x[2]), x[1]); });
        add("number for rows", [to](X x) { return to(x[0](x[2]), x[1]); });
        add("pairs", [to](X x) { return to(x[0](x[3], x[2]), x[1]); });
        add("behind", [to](X x) { return to(x[0](all, x[2], 1), x[1]); });
        add("apart", [to](X x) { return to(x[0](x[2], slice(none, none, 2), x[2]), x[1]); });
        add("middle", [to](X x) { return to(x[0](all, x[3], x[2]), x[1]); });
        add("elements", [how = how](X x) { return scatter_elements(x[0], x[2], x[1], 0, how); });
        add("elements along rows",
            [how = how](X x) { return scatter_elements(x[0], x[2], x[1], 1, how); });
        table[fmt::format("{} places", name)] =
            known([how = how](X x) { return scatter_nd(x[0], x[2], x[1], how); });
        add("integers", [to](X x) { return to(x[0](x[2]), x[1]); });
        add("of nothing", [to](X x) { return to(x[0](x[2]), x[1]); });
    }
}

void add_einsums(std::map<std::string, Composite>& table) {
    for (const Reference& r : references()) {
        if (r.name.rfind("einsum ", 0) != 0) continue;
        const std::string letters = r.name == "einsum of integers" ? "ij,jk->ki" : r.name.substr(7);
        const auto build = [letters](X x) {
            return einsum(letters, std::vector<Operand>(x.begin(), x.end()));
        };
        // An axis that is broadcast must be known to be of size 1.
        const bool broadcast = letters == "ij,ij->i" || letters[0] == '.';
        table[r.name] = broadcast ? known(build) : of(build);
    }
}

Affine affine(X x) {
    return std::make_pair(Operand(x[1]), Operand(x[2]));
}

void add_networks(std::map<std::string, Composite>& table) {
    const auto add = [&](const char* name, auto build) { table[name] = of(build); };
    const auto both = [](const std::pair<Expr, Expr>& p) { return Results{p.first, p.second}; };
    add("layer_norm", [](X x) { return layer_norm(x[0]); });
    add("layer_norm of two axes", [](X x) { return layer_norm(x[0], affine(x), 2, 1e-3); });
    add("rms_norm", [](X x) { return rms_norm(x[0], x[1], 1e-6); });
    table["batch_norm"] = several([](X x) {
        const BatchNorm b = batch_norm(x[0], affine(x));
        return Results{b.output, b.mean, b.variance};
    });
    table["batch_norm_inference"] =
        of([](X x) { return batch_norm_inference(x[0], x[3], sqr(x[4]), affine(x)); });
    table["group_norm"] = known([](X x) { return group_norm(x[0], 2, affine(x)); });
    add("instance_norm", [](X x) { return instance_norm(x[0], affine(x)); });
    add("local_response_norm", [](X x) { return local_response_norm(x[0], 3, 0.1, 0.75, 2); });
    add("attention", [](X x) { return attention(x[0], x[1], x[2]); });
    add("attention causal", [](X x) { return attention(x[0], x[1], x[2], {.causal = true}); });
    table["attention masked"] = known(
        [](X x) { return attention(x[0], x[1], x[2], {.mask = Operand(x[3] > 0), .scale = 0.3}); });
    table["attention biased"] =
        known([](X x) { return attention(x[0], x[1], x[2], {.mask = Operand(x[3])}); });
    table["attention of groups"] = known([](X x) { return attention(x[0], x[1], x[2]); });
    table["rotary_embedding"] = known([](X x) { return rotary_embedding(x[0], x[1]); });
    table["rotary_embedding interleaved"] =
        known([](X x) { return rotary_embedding(x[0], x[1], true); });
    table["lstm_cell"] =
        several([both](X x) { return both(lstm_cell(x[0], x[1], x[2], x[3], x[4], x[5])); });
    table["gru_cell"] = known([](X x) { return gru_cell(x[0], x[1], x[2], x[3], x[4], x[5]); });
    table["conv1d"] = known([](X x) {
        return conv1d(
            x[0], x[1],
            {.border_mode = 2, .subsample = 2, .filter_flip = false, .filter_dilation = 2});
    });
    table["conv1d half in groups"] = known([](X x) {
        return conv1d(x[0], x[1],
                      {.border_mode = Border::half, .filter_flip = false, .num_groups = 2});
    });
    table["pool1d"] = known([](X x) { return pool1d(x[0], 3, {.stride = 2, .pad = 1}); });
}

void add_orders(std::map<std::string, Composite>& table) {
    const auto add = [&](const char* name, auto build) { table[name] = of(build); };
    const auto add_all = [&](const char* name, auto build) { table[name] = several(build); };
    add("sort", [](X x) { return sort(x[0]); });
    add("sort columns", [](X x) { return sort(x[0], 1); });
    add("sort down", [](X x) { return sort(x[0], 0, true); });
    table["sort odd"] = stepwise([](X x) { return sort(x[0]); });
    add("sort of integers", [](X x) { return sort(x[0], 0); });
    add("argsort", [](X x) { return argsort(x[0]); });
    table["argsort odd"] = stepwise([](X x) { return argsort(x[0]); });
    add("argsort down", [](X x) { return argsort(x[0], 0, true); });
    table["argsort long"] = stepwise([](X x) { return argsort(x[0]); });
    add("argsort of bytes", [](X x) { return argsort(x[0]); });
    add("argsort of extremes", [](X x) { return argsort(x[0]); });
    const auto top = [](const TopK& t) { return Results{t.values, t.positions}; };
    add_all("topk", [top](X x) { return top(topk(x[0], 3)); });
    table["topk of many"] = several([top](X x) { return top(topk(x[0], 7, 0, false)); });
    table["topk of many"].smooth = false;
    for (const char* where : {"", " among nan"}) {
        table[std::string("searchsorted") + where] =
            stepwise([](X x) { return searchsorted(x[0], x[1]); });
        table[std::string("searchsorted right") + where] =
            stepwise([](X x) { return searchsorted(x[0], x[1], true); });
    }
    table["searchsorted in none"] = stepwise([](X x) { return searchsorted(x[0], x[1]); });
    add("searchsorted of integers", [](X x) { return searchsorted(x[0], x[1]); });
    add("bincount", [](X x) { return bincount(x[0], 6); });
    add("bincount of weights", [](X x) { return bincount(x[0], 4, x[1]); });
    table["histogram"] = stepwise([](X x) { return histogram(x[0], 7, -4, 5); });
    table["histogram of edges"] = stepwise([](X x) { return histogram(x[0], x[1]); });
    table["histogram at its edges"] = stepwise([](X x) { return histogram(x[0], 2, 0, 2); });
    add("median", [](X x) { return median(x[0]); });
    add("median of an odd number", [](X x) { return median(x[0]); });
    add("median kept", [](X x) { return median(x[0], 1, true); });
    table["median with nan"] = stepwise([](X x) { return median(x[0], 1); });
    add("quantile 0", [](X x) { return quantile(x[0], 0, 0); });
    add("quantile 0.1", [](X x) { return quantile(x[0], 0.1, 0); });
    add("quantile 0.5", [](X x) { return quantile(x[0], 0.5, 0); });
    add("quantile 0.77", [](X x) { return quantile(x[0], 0.77, 0); });
    add("quantile 1", [](X x) { return quantile(x[0], 1, 0); });
    add("quantile of all", [](X x) { return quantile(x[0], 0.3); });
    add("take_along_axis", [](X x) { return take_along_axis(x[0], x[1], 0); });
    table["take_along_axis of one row"] = known([](X x) { return take_along_axis(x[0], x[1], 1); });
    table["gather_nd"] = known([](X x) { return gather_nd(x[0], x[1]); });
    const auto found = [](NonZero n) {
        n.indices.push_back(n.count);
        return n.indices;
    };
    table["nonzero"] = several([found](X x) { return found(nonzero(x[0], 20)); });
    table["nonzero too many"] = several([found](X x) { return found(nonzero(x[0], 5)); });
    table["nonzero"].smooth = table["nonzero too many"].smooth = false;
    const auto chosen = [](const Selected& s) { return Results{s.values, s.count}; };
    add_all("boolean_mask", [chosen](X x) { return chosen(boolean_mask(x[0], x[1], 20)); });
    add_all("boolean_mask of rows", [chosen](X x) { return chosen(boolean_mask(x[0], x[1], 4)); });
    const auto all_of = [](const Unique& u) {
        return Results{u.values, u.counts, u.inverse, u.count};
    };
    add_all("unique integers", [all_of](X x) { return all_of(unique(x[0], 15)); });
    table["unique odd"] = several([all_of](X x) { return all_of(unique(x[0], 15)); });
    table["unique odd"].smooth = false;
}

const std::map<std::string, Composite>& composites() {
    constexpr double inf = std::numeric_limits<double>::infinity();
    static std::map<std::string, Composite> table{
        {"i0", of([](X x) { return i0(x[0]); })},
        {"i1", of([](X x) { return i1(x[0]); })},
        {"lgamma below 0", of([](X x) { return lgamma(x[0]); })},
        {"digamma below 0", of([](X x) { return digamma(x[0]); })},
        {"reciprocal", of([](X x) { return reciprocal(x[0]); })},
        {"rsqrt", of([](X x) { return rsqrt(x[0]); })},
        {"gcd", stepwise([](X x) { return gcd(x[0], x[1]); })},
        {"lcm", stepwise([](X x) { return lcm(x[0], x[1]); })},
        {"stddev", of([](X x) { return stddev(x[0]); })},
        {"stddev 0", of([](X x) { return stddev(x[0], 0); })},
        {"stddev kept", of([](X x) { return stddev(x[0], {0, 2}, true); })},
        {"norm 0", stepwise([](X x) { return norm(x[0], 0, 1); })},
        {"norm 1", stepwise([](X x) { return norm(x[0], 1, 1); })},
        {"norm 2", of([](X x) { return norm(x[0], 2, 1); })},
        {"norm 3", of([](X x) { return norm(x[0], 3, 1); })},
        {"norm inf", of([](X x) { return norm(x[0], inf, 1); })},
        {"norm -inf", stepwise([](X x) { return norm(x[0], -inf, 1); })},
        {"norm half", stepwise([](X x) { return norm(x[0], 0.5, 1); })},
        {"norm of all", of([](X x) { return norm(x[0]); })},
        {"norm of none", of([](X x) { return norm(x[0], 2, 0); })},
        {"norm of integers", of([](X x) { return norm(cast(x[0], DType::F64), 2, 0); })},
        {"count_nonzero", stepwise([](X x) { return count_nonzero(x[0]); })},
        {"count_nonzero 1", stepwise([](X x) { return count_nonzero(x[0], 1, true); })},
        {"count_nonzero of none", stepwise([](X x) { return count_nonzero(x[0], 0); })},
        {"ptp", of([](X x) { return ptp(x[0], 1); })},
        {"nansum", stepwise([](X x) { return nansum(x[0], 0); })},
        {"nanprod", stepwise([](X x) { return nanprod(x[0], 1); })},
        {"nanmean", stepwise([](X x) { return nanmean(x[0], 0); })},
        {"nanmax", stepwise([](X x) { return nanmax(x[0], 0); })},
        {"nanmin", stepwise([](X x) { return nanmin(x[0], 0, true); })},
        {"nanmax of integers", stepwise([](X x) { return nanmax(x[0], 0); })},
        {"mean of none", of([](X x) { return mean(x[0], 0); })},
        {"sum of none", of([](X x) { return sum(x[0], 0); })},
        {"prod of none", of([](X x) { return prod(x[0], 0); })},
        {"any of none", stepwise([](X x) { return any(x[0], 0); })},
        {"all of none", stepwise([](X x) { return all(x[0], 0); })},
        {"argmin", stepwise([](X x) { return argmin(x[0], 1); })},
        {"cumsum", of([](X x) { return cumsum(x[0]); })},
        {"cumsum 1", of([](X x) { return cumsum(x[0], 1); })},
        {"cumsum -1", of([](X x) { return cumsum(x[0], -1); })},
        {"cumsum of a vector", of([](X x) { return cumsum(x[0]); })},
        {"cumsum of none", of([](X x) { return cumsum(x[0]); })},
        {"cumprod", of([](X x) { return cumprod(x[0], 1); })},
        {"cummax", of([](X x) { return cummax(x[0]); })},
        {"cummax of holes", stepwise([](X x) { return cummax(x[0]); })},
        {"cummin", of([](X x) { return cummin(x[0], 1); })},
        {"split", several([](X x) { return split(x[0], 3); })},
        {"split 1", several([](X x) { return split(x[0], 2, 1); })},
        {"split sizes", several([](X x) { return split(x[0], {1, 3, 2}); })},
        {"tile", of([](X x) { return tile(x[0], {2, 3}); })},
        {"tile more", of([](X x) { return tile(x[0], {2, 1, 2}); })},
        {"tile less", of([](X x) { return tile(x[0], {2}); })},
        {"repeat", of([](X x) { return repeat(x[0], 3); })},
        {"repeat 0", of([](X x) { return repeat(x[0], 2, 0); })},
        {"repeat -1", of([](X x) { return repeat(x[0], 2, -1); })},
        {"flip", of([](X x) { return flip(x[0]); })},
        {"flip 1", of([](X x) { return flip(x[0], {1}); })},
        {"flip 0 -1", of([](X x) { return flip(x[0], {0, -1}); })},
        {"flip of none", of([](X x) { return flip(x[0]); })},
        {"roll", of([](X x) { return roll(x[0], 3); })},
        {"roll 1", of([](X x) { return roll(x[0], -2, 1); })},
        {"roll far", of([](X x) { return roll(x[0], 11, 0); })},
        {"roll two", of([](X x) {
             return roll(x[0], std::vector<std::int64_t>{1, -2}, std::vector<int>{0, 1});
         })},
        {"pad", of([](X x) { return pad(x[0], {{1, 2}, {0, 3}}); })},
        {"pad value", of([](X x) { return pad(x[0], {{2, 0}, {1, 1}}, PadMode::constant, 7.5); })},
        {"pad edge", of([](X x) { return padded(x, PadMode::edge, {{1, 3}, {2, 2}}); })},
        {"pad reflect", of([](X x) { return padded(x, PadMode::reflect, {{1, 3}, {2, 2}}); })},
        {"pad symmetric", of([](X x) { return padded(x, PadMode::symmetric, {{1, 3}, {2, 2}}); })},
        {"pad wrap", of([](X x) { return padded(x, PadMode::wrap, {{1, 3}, {2, 2}}); })},
        {"pad edge far", of([](X x) { return padded(x, PadMode::edge, {{7, 8}}); })},
        {"pad reflect far", of([](X x) { return padded(x, PadMode::reflect, {{7, 8}}); })},
        {"pad symmetric far", of([](X x) { return padded(x, PadMode::symmetric, {{7, 8}}); })},
        {"pad wrap far", of([](X x) { return padded(x, PadMode::wrap, {{7, 8}}); })},
        {"pad edge one", of([](X x) { return padded(x, PadMode::edge, {{2, 1}, {1, 1}}); })},
        {"pad reflect one", of([](X x) { return padded(x, PadMode::reflect, {{2, 1}, {1, 1}}); })},
        {"pad symmetric one",
         of([](X x) { return padded(x, PadMode::symmetric, {{2, 1}, {1, 1}}); })},
        {"pad wrap one", of([](X x) { return padded(x, PadMode::wrap, {{2, 1}, {1, 1}}); })},
        {"pad cube", of([](X x) { return padded(x, PadMode::edge, {{1, 0}, {0, 1}, {2, 0}}); })},
        {"diag", of([](X x) { return diag(x[0]); })},
        {"diag 2", of([](X x) { return diag(x[0], 2); })},
        {"diag -1", of([](X x) { return diag(x[0], -1); })},
        {"diag of a matrix", known([](X x) { return diag(x[0], 1); })},
        {"diagonal 0", known([](X x) { return diagonal(x[0]); })},
        {"diagonal 2", known([](X x) { return diagonal(x[0], 2); })},
        {"diagonal -2", known([](X x) { return diagonal(x[0], -2); })},
        {"diagonal 6", known([](X x) { return diagonal(x[0], 6); })},
        {"diagonal -6", known([](X x) { return diagonal(x[0], -6); })},
        {"diagonal of axes", known([](X x) { return diagonal(x[0], 1, 2, 0); })},
        {"trace", known([](X x) { return trace(x[0]); })},
        {"trace of axes", known([](X x) { return trace(x[0], -1, 1, 2); })},
        {"tril", of([](X x) { return tril(x[0]); })},
        {"tril 1", of([](X x) { return tril(x[0], 1); })},
        {"triu -1", of([](X x) { return triu(x[0], -1); })},
        {"swapaxes", of([](X x) { return swapaxes(x[0], 0, -1); })},
        {"moveaxis", of([](X x) { return moveaxis(x[0], {0}, {-1}); })},
        {"moveaxis two", of([](X x) { return moveaxis(x[0], {0, 2}, {1, 0}); })},
        {"meshgrid", several([](X x) { return meshgrid({x[0], x[1]}); })},
        {"meshgrid ij", several([](X x) { return meshgrid({x[0], x[1]}, Grid::ij); })},
        {"one_hot", stepwise([](X x) { return one_hot(x[0], 4, DType::F64); })},
        {"eye", of([](X) { return eye(3, {}, 0, DType::F64); })},
        {"eye 2", of([](X) { return eye(3, 5, 1, DType::F64); })},
        {"ones", of([](X) { return ones({2, 3}, DType::F64); })},
        {"zeros", of([](X) { return zeros({2, 0}, DType::F64); })},
        {"linspace", of([](X) { return linspace(Array(-1.5), Array(2.0), 8); })},
        {"linspace open", of([](X) { return linspace(Array(0.0), Array(1.0), 5, false); })},
        {"linspace one", of([](X) { return linspace(Array(3.0), Array(9.0), 1); })},
        {"tensordot", of([](X x) { return tensordot(x[0], x[1], {1, 2}, {1, 0}); })},
        {"tensordot 1", of([](X x) { return tensordot(x[0], x[1], 1); })},
        {"tensordot 0", of([](X x) { return tensordot(x[0], x[1], 0); })},
        {"inner", of([](X x) { return inner(x[0], x[1]); })},
        {"inner of vectors", of([](X x) { return inner(x[0], x[1]); })},
        {"outer", of([](X x) { return outer(x[0], x[1]); })},
        {"matmul", known([](X x) { return matmul(x[0], x[1]); })},
        {"matmul of a column", of([](X x) { return matmul(x[0], x[1]); })},
        {"matmul of a row", of([](X x) { return matmul(x[0], x[1]); })},
        {"matmul of matrices", of([](X x) { return matmul(x[0], x[1]); })},
        {"matmul of integers", of([](X x) { return matmul(x[0], x[1]); })},
        {"kron", of([](X x) { return kron(x[0], x[1]); })},
        {"kron of a vector", of([](X x) { return kron(x[0], x[1]); })},
        {"sigmoid_binary_crossentropy",
         of([](X x) { return sigmoid_binary_crossentropy(x[0], x[1]); })},
        {"binary_crossentropy", stepwise([](X x) { return binary_crossentropy(x[0], x[1]); })},
        {"huber", of([](X x) { return huber(x[0], x[1]); })},
        {"huber 2.5", of([](X x) { return huber(x[0], x[1], 2.5); })},
        {"hinge", of([](X x) { return hinge(x[0], x[1]); })},
        {"kl_divergence", stepwise([](X x) { return kl_divergence(x[0], x[1]); })},
        {"smooth_labels", of([](X x) { return smooth_labels(x[0], 0.1); })},
    };
    if (!table.count("set rows")) add_updates(table);
    if (!table.count("sort")) {
        add_orders(table);
        add_einsums(table);
        add_networks(table);
    }
    return table;
}

Array array_of(std::istringstream& words) {
    std::string dtype, sizes;
    words >> dtype >> sizes;
    DType t = DType::F64;
    for (const DType u : all_dtypes)
        if (dtype == name(u)) t = u;
    Sizes shape;
    if (sizes != "-") {
        std::istringstream parts(sizes);
        for (std::string n; std::getline(parts, n, ',');) shape.push_back(std::stoll(n));
    }
    Array out(DType::F64, shape);
    std::int64_t i = 0;
    for (std::string w; words >> w; ++i) out.data<double>()[i] = std::strtod(w.c_str(), nullptr);
    REQUIRE(i == out.size());
    return out.astype(t);
}

std::vector<Reference> references() {
    std::vector<Reference> out;
    std::stringstream file;
    for (const char* name : {"composites.txt", "networks.txt"}) {
        std::ifstream one(std::string(ARETE_SOURCE_DIR "/tests/reference/") + name);
        REQUIRE(one);
        file << one.rdbuf();
    }
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string kind;
        words >> kind;
        if (kind == "case") {
            std::string rest;
            std::getline(words >> std::ws, rest);
            out.push_back({rest, {}, {}});
        } else if (kind == "in") {
            out.back().operands.push_back(array_of(words));
        } else if (kind == "out") {
            out.back().results.push_back(array_of(words));
        }
    }
    return out;
}

std::vector<Expr> leaves_of(const Reference& r, bool sizes_known) {
    std::vector<Expr> out;
    for (const Array& a : r.operands)
        out.push_back(tensor(a.dtype(), a.rank(), fmt::format("x{}", out.size()),
                             sizes_known ? a.shape() : Sizes{}));
    return out;
}

}  // namespace

TEST_CASE("composites: every one has NumPy's results, whatever is known of sizes") {
    std::set<std::string> seen;
    for (const Reference& r : references()) {
        INFO(r.name);
        const auto found = composites().find(r.name);
        REQUIRE(found != composites().end());
        CHECK(seen.insert(r.name).second);
        const Composite& c = found->second;
        for (const bool sizes_known : {true, false}) {
            if (!sizes_known && (!c.any_size || r.operands.empty())) continue;
            INFO(sizes_known);
            const std::vector<Expr> leaves = leaves_of(r, sizes_known);
            const std::vector<Expr> built = c.build(leaves);
            REQUIRE(built.size() == r.results.size());
            for (const Mode mode : {Mode::fast_run, Mode::interpret}) {
                const auto got = function({.inputs = leaves,
                                           .outputs = built,
                                           .on_unused_input = OnUnusedInput::ignore,
                                           .mode = mode})
                                     .call(r.operands);
                for (std::size_t k = 0; k < got.size(); ++k)
                    CHECK_MESSAGE(difference(got[k], r.results[k]) <= c.tolerance, "got ",
                                  got[k].str(), ", expected ", r.results[k].str());
            }
        }
    }
    for (const auto& [name, c] : composites())
        CHECK_MESSAGE(seen.count(name), "no results for ", name);
}

TEST_CASE("composites: gradients of those that are smooth are those of differences") {
    int verified = 0;
    for (const Reference& r : references()) {
        INFO(r.name);
        const Composite& c = composites().at(r.name);
        bool floats = !r.operands.empty();
        for (const Array& a : r.operands)
            floats = floats && a.dtype() == DType::F64 && a.size() > 0;
        if (!c.smooth || !floats || r.results[0].size() == 0) continue;
        CHECK_NOTHROW(verify_grad(
            [&](const std::vector<Expr>& x) {
                Expr total;
                for (const Expr& e : c.build(x)) {
                    const Expr flat = flatten(e);
                    total = total.empty() ? flat : concatenate({total, flat});
                }
                return total;
            },
            r.operands, {.step = 1e-6, .tolerance = 1e-5}));
        ++verified;
    }
    CHECK(verified > 70);
}

TEST_CASE("composites: losses far from their targets, and their slopes") {
    const auto x = vector<double>("x", {4}), t = vector<double>("t", {4});
    const Expr loss = sigmoid_binary_crossentropy(x, t);
    const auto f = function({.inputs = {x, t}, .outputs = {loss, grad(sum(loss), x)}});
    const auto got = f.call(std::array{Array(std::vector<double>{0, 40, 1000, -1000}),
                                       Array(std::vector<double>{0, 1, 0, 0})});
    CHECK(got[0].as_double(0) == doctest::Approx(std::log(2.0)));
    CHECK(got[0].as_double(1) == doctest::Approx(std::exp(-40.0)).epsilon(1e-10));
    CHECK(got[0].as_double(2) == 1000);
    CHECK(got[0].as_double(3) == 0);
    CHECK(got[1].as_double(0) == 0.5);
    CHECK(got[1].as_double(1) == doctest::Approx(-std::exp(-40.0)).epsilon(1e-10));
    CHECK(got[1].as_double(2) == 1);
    CHECK(got[1].as_double(3) == 0);
}

TEST_CASE("composites: ops that change the gradient alone") {
    const auto x = vector<double>("x", {3});
    const Array at(std::vector<double>{-2, 0.5, 3});
    const auto slope = [&](const Expr& y) {
        const Expr cost = sum(sqr(y) * 2) + sum(x);
        std::string found;
        for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret}) {
            const auto got = function({.inputs = {x}, .outputs = {y, grad(cost, x)}, .mode = mode})
                                 .call(std::array{at});
            CHECK(difference(got[0], at) == 0);
            if (!found.empty()) CHECK(got[1].str() == found);
            found = got[1].str();
        }
        return found;
    };
    CHECK(slope(x * 1) == "f64[3] {-7, 3, 13}");
    CHECK(slope(zero_grad(x)) == "f64[3] {1, 1, 1}");
    CHECK(slope(disconnected_grad(x)) == "f64[3] {1, 1, 1}");
    CHECK(slope(grad_clip(x, -3, 5)) == "f64[3] {-2, 3, 6}");
    CHECK(slope(grad_scale(x, -0.5)) == "f64[3] {5, 0, -5}");
    // The one is used, the other is not.
    CHECK(grad(sum(zero_grad(x)), x).type().str() == "f64[3]");
    CHECK_THROWS_AS(grad(sum(disconnected_grad(x)), x), GraphError);
}

TEST_CASE("composites: values that are looked at pass, and so do their gradients") {
    for (const Mode mode : {Mode::fast_run, Mode::fast_compile, Mode::interpret, Mode::debug}) {
        const auto x = vector<double>("x");
        std::vector<std::string> seen;
        const Expr y = probe(x * 2, [&seen](const Array& value) { seen.push_back(value.str()); });
        const Expr z = ensure(y, y < 100, "too large");
        const Shared runs = shared(Array(std::int64_t{0}), "runs");
        const Function f = function({.inputs = {x},
                                     .outputs = {z, grad(sum(sqr(z)), x)},
                                     .updates = {{runs, runs + 1}},
                                     .mode = mode});
        const auto got = f(std::vector<double>{1, -3});
        CHECK(got[0].str() == "f64[2] {2, -6}");
        CHECK(got[1].str() == "f64[2] {8, -24}");
        REQUIRE(!seen.empty());
        CHECK(seen[0] == "f64[2] {2, -6}");
        CHECK(runs.get_value().as_int() == 1);
        std::string text;
        try {
            f(std::vector<double>{1, 50});
        } catch (const CallError& e) {
            text = e.what();
        }
        CHECK(text.find("ensure: too large") != std::string::npos);
        CHECK(text.find("test_composites.cpp") != std::string::npos);
        CHECK(runs.get_value().as_int() == 1);
        CHECK(f(std::vector<double>{})[0].size() == 0);
    }
    const auto x = vector<double>("x");
    CHECK_THROWS_AS(ensure(x, x, "no condition"), GraphError);
}
