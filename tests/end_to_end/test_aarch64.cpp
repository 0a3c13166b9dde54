// Code for a processor that this machine is not: 64-bit ARM with NEON. It cannot run here; what
// comes out must be an object file for it, made of its vector instructions.
#include <doctest/doctest.h>
#include <elf.h>

#include <algorithm>
#include <cstring>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "compiler/targets/cpu/target.h"
#include "examples/mnist/nets.h"
#include "tests/support.h"

using namespace arete;

namespace {

struct Code {
    std::string object, assembly;
};

Code compiled(CompileRequest r) {
    r.name = "arm";
    const Machine machine = described_machine("aarch64");
    r.target = cpu_target(machine);
    r.options = Options::from_environment();
    for (const Expr& e : r.inputs)
        if (!r.binding.sizes.count(e.node().id)) r.binding.sizes[e.node().id] = concrete(e.shape());
    const Compiled c = compile(r);
    Code out;
    for (std::string* text : {&out.object, &out.assembly}) {
        LlvmModule module(c.program, machine);
        module.optimize(true);
        *text = text == &out.object ? module.object() : module.assembly();
    }
    return out;
}

// An ELF object for AArch64 that defines a function `step`.
void check_object(const std::string& bytes) {
    Elf64_Ehdr head;
    REQUIRE(bytes.size() > sizeof head);
    std::memcpy(&head, bytes.data(), sizeof head);
    CHECK(std::memcmp(head.e_ident, ELFMAG, SELFMAG) == 0);
    CHECK(head.e_ident[EI_CLASS] == ELFCLASS64);
    CHECK(head.e_ident[EI_DATA] == ELFDATA2LSB);
    CHECK(head.e_machine == EM_AARCH64);
    CHECK(head.e_type == ET_REL);
    bool found = false;
    REQUIRE(head.e_shoff + head.e_shnum * sizeof(Elf64_Shdr) <= bytes.size());
    for (unsigned k = 0; k < head.e_shnum; ++k) {
        Elf64_Shdr section;
        std::memcpy(&section, bytes.data() + head.e_shoff + k * sizeof section, sizeof section);
        if (section.sh_type != SHT_SYMTAB) continue;
        Elf64_Shdr names;
        std::memcpy(&names, bytes.data() + head.e_shoff + section.sh_link * sizeof names,
                    sizeof names);
        for (std::uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
            Elf64_Sym symbol;
            std::memcpy(&symbol, bytes.data() + section.sh_offset + at, sizeof symbol);
            if (std::strcmp(bytes.data() + names.sh_offset + symbol.st_name, "step") != 0) continue;
            CHECK(ELF64_ST_TYPE(symbol.st_info) == STT_FUNC);
            CHECK(ELF64_ST_BIND(symbol.st_info) == STB_GLOBAL);
            CHECK(symbol.st_shndx != SHN_UNDEF);
            CHECK(symbol.st_size > 0);
            found = true;
        }
    }
    CHECK(found);
}

bool has(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("aarch64: kernels become objects with NEON instructions") {
    const auto x = matrix<float>("x", {64, 48}), w = matrix<float>("w", {48, 33});
    const auto image = tensor4<float>("image", {2, 3, 12, 12}),
               f = tensor4<float>("f", {8, 3, 5, 5});
    const auto d = vector<double>("d", {101});
    const auto i = vector<std::int32_t>("i", {37});
    RandomStream random(1);
    const struct {
        const char* name;
        std::vector<Expr> inputs, outputs;
        const char* instruction;  // one that only a vectorised kernel has
    } cases[] = {
        {"elementwise", {x}, {tanh(x) * 2 + exp(x)}, "fmla\tv"},
        {"dot", {x, w}, {dot(x, w)}, "fmla\tv"},
        {"sum", {x}, {sum(x)}, "fadd\tv"},
        {"softmax", {x}, {softmax(x)}, "fdiv\tv"},
        {"convolution and pool", {image, f}, {pool2d(conv2d(image, f), {2, 2})}, "fmla\tv"},
        {"doubles", {d}, {log(d) / sqrt(d)}, ".2d"},
        {"integers", {i}, {maximum(i * i, i + 3)}, "smax\tv"},
        {"random", {}, {random.uniform({100})}, ".4s"},
        {"argmax", {x}, {argmax(x, 1)}, nullptr},
    };
    for (const auto& c : cases) {
        INFO(c.name);
        const Code code = compiled({.inputs = c.inputs, .outputs = c.outputs});
        check_object(code.object);
        if (c.instruction) CHECK_MESSAGE(has(code.assembly, c.instruction), code.assembly);
    }
}

TEST_CASE("aarch64: a training step of the chapter's largest plain network") {
    const NetRow* row = find_net("dbl_conv_relu");
    REQUIRE(row);
    const Network net = build_net(*row, 10, {.seed = 1});
    const Expr cost = net.layer(net.size() - 1).cost(net);
    const std::vector<Expr> params(net.params.begin(), net.params.end());
    const std::vector<Expr> grads = grad(cost, params);
    CompileRequest r{.inputs = {net.x, net.y}, .outputs = {cost}};
    for (std::size_t k = 0; k < params.size(); ++k)
        r.updates.emplace_back(params[k], params[k] - 0.03f * grads[k]);
    r.binding.sizes = {{net.x.node().id, {10, kSide * kSide}}, {net.y.node().id, {10}}};
    const Code code = compiled(std::move(r));
    check_object(code.object);
    CHECK(has(code.assembly, "fmla\tv"));
    CHECK(code.object.size() > 10000);
}
