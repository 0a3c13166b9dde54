// CUDA's driver as a test sees it: memory is the host's, what is put into a stream is done when it
// is waited for, graphs run in an order that their edges just allow.
#include "tests/cuda/mock/mock_cuda.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/cuda/api.h"

using namespace arete::cuda;
using arete::test::MockCuda;

extern "C" {
MockCuda arete_mock_cuda;
}

namespace {

MockCuda& mock = arete_mock_cuda;
int sticky = 0;

struct Module {
    std::string text;
};
struct Function {
    Module* module;
    std::string name;
    int parameters;
};
struct Graph {
    std::vector<MockCuda::Node> nodes;
    std::vector<Function*> functions;
    std::vector<std::vector<unsigned>> sizes;
};

std::map<char*, std::size_t> memory, host_memory;
std::set<void*> modules, graphs, executables, streams;
std::vector<Function*> functions;
std::vector<std::function<void()>> queue;
std::vector<CuContext> current;
int context_tag = 0, stream_tag = 0;

bool lies_in(const std::map<char*, std::size_t>& pieces, const void* at, std::size_t bytes) {
    auto it = pieces.upper_bound(const_cast<char*>(static_cast<const char*>(at)));
    if (it == pieces.begin()) return false;
    --it;
    return static_cast<const char*>(at) + bytes <= it->first + it->second;
}
void expect(bool good) {
    if (!good) ++mock.stray;
}

// 0, or the result that the call shall have.
int entered(const char* name) {
    ++mock.calls;
    const bool meant = !mock.fail_function || std::strcmp(name, mock.fail_function) == 0;
    if (mock.fail_at > 0 && meant && --mock.fail_at == 0) {
        mock.failed = name;
        if (mock.fail_result >= 700 && mock.contexts > 0) sticky = mock.fail_result;
        return mock.fail_result;
    }
    return 0;
}
#define ENTER                                            \
    if (const int r_ = entered(__func__); r_) return r_; \
    if (sticky) return sticky
// Of calls that give something back: it is gone, whatever they return.
#define LEAVE const int result = entered(__func__)

void drain() {
    std::vector<std::function<void()>> now;
    now.swap(queue);
    for (const auto& f : now)
        if (!sticky) f();
}

void run_kernel(const Function& f, const unsigned* grid, const unsigned* block,
                const std::vector<void*>& arguments) {
    ++mock.launches;
    if (mock.crashing_kernel && f.name.find(mock.crashing_kernel) != std::string::npos) {
        sticky = 700;
        return;
    }
    for (void* a : arguments) expect(lies_in(memory, a, 0));
    if (mock.run)
        mock.run(f.module->text.c_str(), f.name.c_str(), grid, block, arguments.data(),
                 static_cast<int>(arguments.size()));
}

void forget_all() {
    for (const auto& [p, n] : memory) std::free(p);
    for (const auto& [p, n] : host_memory) std::free(p);
    memory.clear();
    host_memory.clear();
    modules.clear();
    graphs.clear();
    executables.clear();
    streams.clear();
    queue.clear();
    mock.streams = mock.modules = mock.graphs = mock.executables = mock.allocations =
        mock.host_allocations = 0;
    mock.bytes = 0;
    sticky = 0;
}

template <class T>
T* known(const std::set<void*>& all, void* handle) {
    expect(all.count(handle) != 0);
    return static_cast<T*>(handle);
}

}  // namespace

extern "C" {

CuResult cuInit(unsigned) {
    ENTER;
    return mock.init_result;
}
CuResult cuDriverGetVersion(int* v) {
    ENTER;
    *v = mock.driver_version;
    return 0;
}
CuResult cuDeviceGetCount(int* n) {
    ENTER;
    *n = mock.cards;
    return 0;
}
CuResult cuDeviceGet(CuDevice* d, int n) {
    ENTER;
    if (n >= mock.cards) return 101;
    *d = n;
    return 0;
}
CuResult cuDeviceGetName(char* name, int n, CuDevice) {
    ENTER;
    std::strncpy(name, "Mock H100", static_cast<std::size_t>(n));
    return 0;
}
CuResult cuDeviceGetAttribute(int* v, int which, CuDevice) {
    ENTER;
    *v = which == cu_attribute::major        ? mock.major
         : which == cu_attribute::minor      ? mock.minor
         : which == cu_attribute::processors ? 132
                                             : 0;
    return 0;
}
CuResult cuDevicePrimaryCtxRetain(CuContext* c, CuDevice) {
    ENTER;
    ++mock.contexts;
    *c = reinterpret_cast<CuContext>(&context_tag);
    return 0;
}
CuResult cuDevicePrimaryCtxRelease_v2(CuDevice) {
    LEAVE;
    expect(mock.contexts > 0);
    if (--mock.contexts == 0) {
        if (!sticky)
            mock.leaked += mock.streams + mock.modules + mock.graphs + mock.executables +
                           mock.allocations + mock.host_allocations;
        forget_all();
    }
    return result;
}
CuResult cuCtxPushCurrent_v2(CuContext c) {
    ENTER;
    current.push_back(c);
    return 0;
}
CuResult cuCtxPopCurrent_v2(CuContext* c) {
    LEAVE;
    if (current.empty()) return 201;
    *c = current.back();
    current.pop_back();
    return result;
}
CuResult cuGetErrorName(CuResult r, const char** name) {
    *name = r == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : r == 2 ? "CUDA_ERROR_OUT_OF_MEMORY"
                     : "CUDA_ERROR_MOCK";
    return 0;
}
CuResult cuGetErrorString(CuResult r, const char** text) {
    *text = r == 700 ? "an illegal memory access was encountered" : "an error of the mock";
    return 0;
}
CuResult cuStreamCreate(CuStream* s, unsigned) {
    ENTER;
    expect(!current.empty());
    ++mock.streams;
    *s = reinterpret_cast<CuStream>(&stream_tag);
    return 0;
}
CuResult cuStreamDestroy_v2(CuStream) {
    LEAVE;
    if (mock.streams > 0) --mock.streams;
    return result;
}
CuResult cuStreamSynchronize(CuStream) {
    ENTER;
    ++mock.waits;
    drain();
    return sticky;
}
CuResult cuMemGetInfo_v2(std::size_t* left, std::size_t* all) {
    ENTER;
    *all = mock.capacity;
    *left = mock.capacity - mock.bytes;
    return 0;
}
CuResult cuMemAlloc_v2(CuAddress* at, std::size_t n) {
    ENTER;
    expect(!current.empty() && n > 0);
    if (n > mock.capacity - mock.bytes) return 2;
    auto* p = static_cast<char*>(std::malloc(n));
    std::memset(p, 0xff, n);
    memory[p] = n;
    mock.bytes += n;
    ++mock.allocations;
    *at = reinterpret_cast<CuAddress>(p);
    return 0;
}
CuResult cuMemFree_v2(CuAddress at) {
    LEAVE;
    if (!sticky) drain();
    const auto it = memory.find(reinterpret_cast<char*>(at));
    if (it == memory.end()) {
        ++mock.stray;
        return 1;
    }
    mock.bytes -= it->second;
    --mock.allocations;
    std::free(it->first);
    memory.erase(it);
    return result;
}
CuResult cuMemHostAlloc(void** at, std::size_t n, unsigned) {
    ENTER;
    auto* p = static_cast<char*>(std::malloc(n));
    std::memset(p, 0xff, n);
    host_memory[p] = n;
    ++mock.host_allocations;
    *at = p;
    return 0;
}
CuResult cuMemFreeHost(void* at) {
    LEAVE;
    const auto it = host_memory.find(static_cast<char*>(at));
    if (it == host_memory.end()) {
        ++mock.stray;
        return 1;
    }
    if (!sticky && !*mock.failed) expect(queue.empty());  // what is on its way may read it
    if (!sticky) drain();
    std::free(it->first);
    host_memory.erase(it);
    --mock.host_allocations;
    return result;
}

}  // extern "C"

namespace {

CuResult put_copy(void* to, bool to_host, const void* from, bool from_host, std::size_t n) {
    expect(!current.empty());
    expect(lies_in(to_host ? host_memory : memory, to, n));
    expect(lies_in(from_host ? host_memory : memory, from, n));
    mock.copies_in += from_host;
    queue.push_back([=] { std::memmove(to, from, n); });
    return 0;
}
void* pointer(CuAddress a) {
    return reinterpret_cast<void*>(a);
}

}  // namespace

extern "C" {

CuResult cuMemcpyHtoDAsync_v2(CuAddress to, const void* from, std::size_t n, CuStream) {
    ENTER;
    return put_copy(pointer(to), false, from, true, n);
}
CuResult cuMemcpyDtoHAsync_v2(void* to, CuAddress from, std::size_t n, CuStream) {
    ENTER;
    return put_copy(to, true, pointer(from), false, n);
}
CuResult cuMemcpyDtoDAsync_v2(CuAddress to, CuAddress from, std::size_t n, CuStream) {
    ENTER;
    return put_copy(pointer(to), false, pointer(from), false, n);
}
CuResult cuMemsetD8Async(CuAddress to, unsigned char value, std::size_t n, CuStream) {
    ENTER;
    expect(lies_in(memory, pointer(to), n));
    queue.push_back([=] { std::memset(pointer(to), value, n); });
    return 0;
}
CuResult cuModuleLoadData(CuModule* m, const void* image) {
    ENTER;
    if (mock.load_result) return mock.load_result;
    if (std::memcmp(image,
                    "\x7f"
                    "ELF",
                    4) != 0)
        return 200;
    auto* module = new Module{static_cast<const char*>(image) + 4};
    modules.insert(module);
    ++mock.modules;
    *m = reinterpret_cast<CuModule>(module);
    return 0;
}
CuResult cuModuleUnload(CuModule m) {
    LEAVE;
    if (!sticky) drain();
    if (modules.erase(m)) --mock.modules;
    return result;
}
CuResult cuModuleGetFunction(CuFunction* f, CuModule m, const char* name) {
    ENTER;
    auto* module = known<Module>(modules, m);
    const std::size_t at = module->text.find(std::string("\n") + name + "(");
    if (at == std::string::npos) return 500;
    const std::size_t end = module->text.find(')', at);
    const auto n = std::count(module->text.begin() + static_cast<std::ptrdiff_t>(at),
                              module->text.begin() + static_cast<std::ptrdiff_t>(end), '*');
    functions.push_back(new Function{module, name, static_cast<int>(n)});
    *f = reinterpret_cast<CuFunction>(functions.back());
    return 0;
}
CuResult cuLaunchKernel(CuFunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned, CuStream, void** arguments, void**) {
    ENTER;
    auto* function = reinterpret_cast<Function*>(f);
    std::vector<void*> values;
    for (int k = 0; k < function->parameters; ++k)
        values.push_back(*static_cast<void**>(arguments[k]));
    queue.push_back([=] {
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        run_kernel(*function, grid, block, values);
    });
    return 0;
}
CuResult cuGraphCreate(CuGraph* g, unsigned) {
    ENTER;
    auto* graph = new Graph;
    graphs.insert(graph);
    ++mock.graphs;
    *g = reinterpret_cast<CuGraph>(graph);
    return 0;
}
CuResult cuGraphDestroy(CuGraph g) {
    LEAVE;
    if (graphs.erase(g)) {
        --mock.graphs;
        delete reinterpret_cast<Graph*>(g);
    }
    return result;
}

}  // extern "C"

namespace {

MockCuda::Node& add(CuGraph g, CuNode* fresh, const CuNode* after, std::size_t n) {
    auto* graph = known<Graph>(graphs, g);
    MockCuda::Node& node = graph->nodes.emplace_back();
    std::memset(static_cast<void*>(&node), 0, sizeof node);
    expect(n < 64);
    for (std::size_t i = 0; i < n && i < 64; ++i)
        node.after[node.after_count++] =
            static_cast<int>(reinterpret_cast<std::size_t>(after[i])) - 1;
    *fresh = reinterpret_cast<CuNode>(graph->nodes.size());
    graph->functions.emplace_back(nullptr);
    graph->sizes.emplace_back();
    return node;
}

}  // namespace

extern "C" {

CuResult cuGraphAddKernelNode_v2(CuNode* fresh, CuGraph g, const CuNode* after, std::size_t n,
                                 const CuKernelNode* p) {
    ENTER;
    MockCuda::Node& node = add(g, fresh, after, n);
    auto* graph = reinterpret_cast<Graph*>(g);
    auto* f = reinterpret_cast<Function*>(p->function);
    node.kind = MockCuda::Node::Kernel;
    std::strncpy(node.name, f->name.c_str(), sizeof node.name - 1);
    expect(f->parameters <= 64);
    for (int k = 0; k < f->parameters && k < 64; ++k)
        node.arguments[node.argument_count++] = *static_cast<void**>(p->arguments[k]);
    graph->functions.back() = f;
    graph->sizes.back() = {p->grid[0],  p->grid[1],  p->grid[2],
                           p->block[0], p->block[1], p->block[2]};
    return 0;
}
CuResult cuGraphAddMemcpyNode(CuNode* fresh, CuGraph g, const CuNode* after, std::size_t n,
                              const CuCopyNode* p, CuContext c) {
    ENTER;
    expect(c == reinterpret_cast<CuContext>(&context_tag) && p->height == 1 && p->depth == 1);
    MockCuda::Node& node = add(g, fresh, after, n);
    node.kind = MockCuda::Node::Copy;
    node.bytes = p->width_bytes;
    const bool out = p->to.memory == cu_memory_host, in = p->from.memory == cu_memory_host;
    node.to = out ? p->to.host : pointer(p->to.device);
    node.from = in ? p->from.host : pointer(p->from.device);
    expect(lies_in(out ? host_memory : memory, node.to, node.bytes));
    expect(lies_in(in ? host_memory : memory, node.from, node.bytes));
    return 0;
}
CuResult cuGraphAddMemsetNode(CuNode* fresh, CuGraph g, const CuNode* after, std::size_t n,
                              const CuMemsetNode* p, CuContext c) {
    ENTER;
    expect(c == reinterpret_cast<CuContext>(&context_tag) && p->height == 1 &&
           p->element_bytes == 1 && p->value == 0);
    MockCuda::Node& node = add(g, fresh, after, n);
    node.kind = MockCuda::Node::Memset;
    node.to = pointer(p->to);
    node.bytes = p->width;
    expect(lies_in(memory, node.to, node.bytes));
    return 0;
}
CuResult cuGraphInstantiateWithFlags(CuGraphExec* e, CuGraph g, unsigned long long) {
    ENTER;
    auto* exec = new Graph(*known<Graph>(graphs, g));
    executables.insert(exec);
    ++mock.executables;
    mock.nodes = exec->nodes.data();
    mock.node_count = static_cast<int>(exec->nodes.size());
    *e = reinterpret_cast<CuGraphExec>(exec);
    return 0;
}
CuResult cuGraphExecDestroy(CuGraphExec e) {
    LEAVE;
    if (!sticky) drain();
    if (executables.erase(e)) {
        --mock.executables;
        if (mock.nodes == reinterpret_cast<Graph*>(e)->nodes.data()) {
            mock.nodes = nullptr;
            mock.node_count = 0;
        }
        delete reinterpret_cast<Graph*>(e);
    }
    return result;
}
CuResult cuGraphLaunch(CuGraphExec e, CuStream) {
    ENTER;
    auto* graph = known<Graph>(executables, e);
    ++mock.graph_launches;
    queue.push_back([graph] {
        // The last of those that could run, first.
        std::vector<bool> done(graph->nodes.size());
        for (std::size_t round = 0; round < done.size() && !sticky; ++round)
            for (std::size_t i = done.size(); i-- > 0;) {
                const MockCuda::Node& node = graph->nodes[i];
                if (done[i] || !std::all_of(node.after, node.after + node.after_count, [&](int a) {
                        return done[static_cast<std::size_t>(a)];
                    }))
                    continue;
                done[i] = true;
                switch (node.kind) {
                    case MockCuda::Node::Kernel:
                        run_kernel(*graph->functions[i], graph->sizes[i].data(),
                                   graph->sizes[i].data() + 3,
                                   {node.arguments, node.arguments + node.argument_count});
                        break;
                    case MockCuda::Node::Copy: std::memmove(node.to, node.from, node.bytes); break;
                    case MockCuda::Node::Memset: std::memset(node.to, 0, node.bytes); break;
                }
                break;
            }
    });
    return 0;
}

}  // extern "C"
