#include "runtime/cuda/cuda_driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/cache_file.h"
#include "runtime/cuda/nvrtc.h"

namespace arete::cuda {

namespace {

// Memory that nobody uses and that is kept all the same.
constexpr std::size_t most_kept = std::size_t{256} << 20;
constexpr std::size_t staging_half = std::size_t{4} << 20;

CuAddress address(const void* p) {
    return reinterpret_cast<CuAddress>(p);
}

std::size_t rounded(std::size_t bytes) {
    const std::size_t unit = bytes > (std::size_t{1} << 20) ? std::size_t{64} << 10 : 512;
    return (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
}

struct OpenDrivers {
    std::mutex mutex;
    std::map<int, std::weak_ptr<CudaDriver>> by_number;
};

}  // namespace

// The context is the calling thread's as long as this lives.
class CudaDriver::Current {
  public:
    explicit Current(const CudaDriver& driver) : api_(*driver.api_) {
        driver.check(api_.push_context(driver.context_.context), "use of the device");
    }
    Current(const CuApi& api, CuContext context) : api_(api) { (void)api_.push_context(context); }
    ~Current() {
        CuContext popped = nullptr;
        (void)api_.pop_context(&popped);
    }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

  private:
    const CuApi& api_;
};

CudaDriver::Context::~Context() {
    if (!context) return;
    if (stream) {
        const Current current(*api, context);
        (void)api->destroy_stream(stream);
    }
    (void)api->release_context(device);
}

std::shared_ptr<CudaDriver> CudaDriver::open(int number) {
    static OpenDrivers& open = *new OpenDrivers;  // variables of the program may outlive it
    const std::lock_guard lock(open.mutex);
    std::weak_ptr<CudaDriver>& known = open.by_number[number];
    if (std::shared_ptr<CudaDriver> driver = known.lock()) return driver;
    std::shared_ptr<CudaDriver> driver(new CudaDriver(CuApi::open(), number));
    known = driver;
    return driver;
}

CudaDriver::CudaDriver(std::shared_ptr<const CuApi> api, int number)
    : name_(number == 0 ? "cuda" : fmt::format("cuda:{}", number)), api_(std::move(api)) {
    int count = 0;
    check(api_->device_count(&count), "the number of cards");
    if (count == 0) fail<DeviceError>({}, "device '{}': there is no card that CUDA can use", name_);
    if (number < 0 || number >= count)
        fail<DeviceError>({}, "device '{}': there is no such card; the last one is '{}'", name_,
                          count == 1 ? "cuda" : fmt::format("cuda:{}", count - 1));
    CuDevice device = 0;
    check(api_->device(&device, number), "the card");
    const auto attribute = [&](int which) {
        int value = 0;
        return api_->attribute(&value, which, device) == cu_result::success ? value : 0;
    };
    CardFacts facts;
    char card_name[256] = {};
    check(api_->device_name(card_name, sizeof card_name - 1, device), "the card's name");
    facts.name = card_name;
    facts.major = attribute(cu_attribute::major);
    facts.minor = attribute(cu_attribute::minor);
    facts.processors = attribute(cu_attribute::processors);
    facts.clock_khz = attribute(cu_attribute::clock_khz);
    facts.memory_clock_khz = attribute(cu_attribute::memory_clock_khz);
    facts.memory_bus_bits = attribute(cu_attribute::memory_bus_bits);
    facts.l2_bytes = attribute(cu_attribute::l2_bytes);
    facts.threads = attribute(cu_attribute::processor_threads);
    facts.blocks = attribute(cu_attribute::processor_blocks);
    facts.registers = attribute(cu_attribute::processor_registers);
    facts.shared_bytes = attribute(cu_attribute::processor_shared_bytes);
    facts.block_shared_bytes = attribute(cu_attribute::block_shared_bytes);
    card_ = card_of(facts);
    if (card_.major < 7)
        fail<DeviceError>({},
                          "device '{}': {} is of compute capability {}.{}, and 7.0 or newer is "
                          "needed",
                          name_, card_.name, card_.major, card_.minor);
    const char* said = std::getenv("ARETE_CUDA_CHECK");
    one_by_one_ = said && *said && std::string_view(said) != "0";

    context_.api = api_;
    context_.device = device;
    check(api_->retain_context(&context_.context, device), "the card's context");
    const Current current(*this);
    check(api_->create_stream(&context_.stream, cu_stream_non_blocking), "a stream");
}

CudaDriver::~CudaDriver() {
    const Current current(*api_, context_.context);
    if (staging_) {
        (void)api_->synchronize(context_.stream);
        (void)api_->free_host(staging_);
    }
    drop_kept();
    for (const auto& [memory, bytes] : sizes_) (void)api_->free(address(memory));
}

void CudaDriver::check(CuResult result, std::string_view what) const {
    if (result == cu_result::success) return;
    const std::string text = api_->text(result);
    if (is_sticky(result)) {
        const std::lock_guard lock(mutex_);
        if (lost_.empty()) lost_ = text;
        fail<DeviceFault>({}, "device '{}': {}", name_, lost_);
    }
    if (result == cu_result::out_of_memory)
        fail<DeviceError>({}, "device '{}': no memory for {}", name_, what);
    fail<DeviceError>({}, "device '{}': {}: {}", name_, what, text);
}

void CudaDriver::check_alive() const {
    const std::lock_guard lock(mutex_);
    if (!lost_.empty())
        fail<DeviceFault>({},
                          "device '{}' was lost by an earlier error: {}. Once all functions and "
                          "variables that use it are gone it can be opened again",
                          name_, lost_);
}

// ---- memory

void CudaDriver::drop_kept() noexcept {
    for (const auto& [bytes, memory] : kept_) (void)api_->free(address(memory));
    kept_.clear();
    kept_bytes_ = 0;
}

void* CudaDriver::allocate(std::size_t bytes, std::string_view what) {
    check_alive();
    const std::size_t size = rounded(bytes);
    CuResult result = cu_result::success;
    {
        const std::lock_guard lock(mutex_);
        if (const auto it = kept_.lower_bound(size);
            it != kept_.end() && it->first <= size + size / 4) {
            void* memory = it->second;
            sizes_.emplace(memory, it->first);
            kept_bytes_ -= it->first;
            kept_.erase(it);
            return memory;
        }
        const Current current(*api_, context_.context);
        CuAddress at = 0;
        result = api_->allocate(&at, size);
        if (result == cu_result::out_of_memory && !kept_.empty()) {
            drop_kept();
            result = api_->allocate(&at, size);
        }
        if (result == cu_result::success) {
            void* memory = reinterpret_cast<void*>(at);
            try {
                sizes_.emplace(memory, size);
            } catch (...) {
                (void)api_->free(at);
                throw;
            }
            return memory;
        }
    }
    if (result == cu_result::out_of_memory) {
        std::size_t left = 0, all = 0;
        std::string rest;
        const Current current(*api_, context_.context);
        if (api_->memory_info(&left, &all) == cu_result::success)
            rest = fmt::format("; {} of its {} bytes are free", left, all);
        fail<DeviceError>({}, "device '{}': no memory for {} bytes of {}{}", name_, bytes, what,
                          rest);
    }
    check(result, fmt::format("{} bytes of {}", bytes, what));
    return nullptr;
}

// What was asked for before uses it before whoever gets it next: all is in one stream.
void CudaDriver::release(void* memory) noexcept {
    const std::lock_guard lock(mutex_);
    const auto it = sizes_.find(memory);
    if (it == sizes_.end()) return;
    const std::size_t size = it->second;
    sizes_.erase(it);
    if (lost_.empty() && kept_bytes_ + size <= most_kept) try {
            kept_.emplace(size, memory);
            kept_bytes_ += size;
            return;
        } catch (...) {
            // No memory to remember it.
        }
    const Current current(*api_, context_.context);
    (void)api_->free(address(memory));  // which waits for all that uses it
}

void* CudaDriver::allocate_host(std::size_t bytes, std::string_view what) {
    check_alive();
    const Current current(*this);
    void* memory = nullptr;
    check(api_->allocate_host(&memory, std::max<std::size_t>(bytes, 1), 0),
          fmt::format("{} bytes of the host for {}", bytes, what));
    return memory;
}

void CudaDriver::release_host(void* memory) noexcept {
    const Current current(*api_, context_.context);
    (void)api_->synchronize(context_.stream);
    (void)api_->free_host(memory);
}

void* CudaDriver::staging() {
    if (!staging_) staging_ = allocate_host(2 * staging_half, "copies");
    return staging_;
}

void CudaDriver::copy_in(void* device, const void* host, std::size_t bytes) {
    check_alive();
    const std::lock_guard lock(staging_mutex_);
    const Current current(*this);
    auto* room = static_cast<char*>(staging());
    for (std::size_t done = 0; done < bytes;) {
        if (staged_bytes_ == staging_half) {
            check(api_->synchronize(context_.stream), "a copy to the device");
            staged_bytes_ = 0;
        }
        const std::size_t n = std::min(bytes - done, staging_half - staged_bytes_);
        std::memcpy(room + staged_bytes_, static_cast<const char*>(host) + done, n);
        check(api_->copy_in(address(device) + done, room + staged_bytes_, n, context_.stream),
              "a copy to the device");
        staged_bytes_ += n;
        done += n;
    }
}

void CudaDriver::copy_out(void* host, const void* device, std::size_t bytes) {
    check_alive();
    const std::lock_guard lock(staging_mutex_);
    const Current current(*this);
    auto* room = static_cast<char*>(staging()) + staging_half;
    for (std::size_t done = 0; done < bytes;) {
        const std::size_t n = std::min(bytes - done, staging_half);
        check(api_->copy_out(room, address(device) + done, n, context_.stream),
              "a copy from the device");
        check(api_->synchronize(context_.stream), "a copy from the device");
        staged_bytes_ = 0;
        std::memcpy(static_cast<char*>(host) + done, room, n);
        done += n;
    }
}

void CudaDriver::copy(void* to, const void* from, std::size_t bytes) {
    check_alive();
    const Current current(*this);
    check(api_->copy(address(to), address(from), bytes, context_.stream), "a copy on the device");
}

void CudaDriver::clear(void* memory, std::size_t bytes) {
    check_alive();
    const Current current(*this);
    check(api_->clear(address(memory), 0, bytes, context_.stream), "clearing memory");
}

void CudaDriver::finish() {
    check_alive();
    const Current current(*this);
    check(api_->synchronize(context_.stream), "waiting for the device");
}

// ---- kernels

class CudaModule final : public GpuModule {
  public:
    CudaModule(std::shared_ptr<CudaDriver> driver, CuModule module,
               std::vector<LaunchEntry> kernels)
        : driver_(std::move(driver)), module_(module), kernels_(std::move(kernels)) {}
    ~CudaModule() override {
        const CudaDriver::Current current(*driver_->api_, driver_->context_.context);
        (void)driver_->api_->unload_module(module_);
    }
    void find_functions() {
        const CudaDriver::Current current(*driver_);
        for (const LaunchEntry& k : kernels_) {
            CuFunction f = nullptr;
            driver_->check(driver_->api_->function(&f, module_, k.name.c_str()),
                           fmt::format("kernel '{}'", k.name));
            functions_.push_back(f);
        }
    }

    void launch(std::size_t kernel, std::span<void* const> arguments) override {
        driver_->check_alive();
        const LaunchEntry& k = kernels_[kernel];
        std::vector<void*> values(arguments.begin(), arguments.end()), pointers;
        for (void*& v : values) pointers.push_back(&v);
        const auto n = [](std::int64_t v) { return static_cast<unsigned>(v); };
        const CudaDriver::Current current(*driver_);
        driver_->check(
            driver_->api_->launch(functions_[kernel], n(k.grid[0]), n(k.grid[1]), n(k.grid[2]),
                                  n(k.block[0]), n(k.block[1]), n(k.block[2]), 0,
                                  driver_->context_.stream, pointers.data(), nullptr),
            fmt::format("launch of kernel '{}'", k.name));
        if (driver_->one_by_one())
            driver_->check(driver_->api_->synchronize(driver_->context_.stream),
                           fmt::format("kernel '{}'", k.name));
    }

  private:
    friend class CudaGraph;
    std::shared_ptr<CudaDriver> driver_;
    CuModule module_;
    std::vector<LaunchEntry> kernels_;
    std::vector<CuFunction> functions_;
};

class CudaGraph final : public GpuGraph {
  public:
    CudaGraph(std::shared_ptr<CudaDriver> driver, std::shared_ptr<GpuModule> module)
        : driver_(std::move(driver)), module_(std::move(module)) {}
    ~CudaGraph() override {
        const CudaDriver::Current current(*driver_->api_, driver_->context_.context);
        if (exec_) (void)driver_->api_->destroy_exec(exec_);
        if (graph_) (void)driver_->api_->destroy_graph(graph_);
    }

    void build(const std::vector<GraphNode>& nodes) {
        const CuApi& api = *driver_->api_;
        const CudaDriver::Current current(*driver_);
        driver_->check(api.create_graph(&graph_, 0), "a graph");
        std::vector<CuNode> made;
        for (const GraphNode& node : nodes) {
            std::vector<CuNode> after;
            for (int a : node.after) after.push_back(made[static_cast<std::size_t>(a)]);
            CuNode& fresh = made.emplace_back(nullptr);
            driver_->check(add(node, after, fresh), "a node of a graph");
        }
        driver_->check(api.instantiate(&exec_, graph_, 0), "a graph");
    }

    void launch() override {
        driver_->check_alive();
        const CudaDriver::Current current(*driver_);
        driver_->check(driver_->api_->launch_graph(exec_, driver_->context_.stream),
                       "launch of a graph");
    }

  private:
    CuResult add(const GraphNode& node, const std::vector<CuNode>& after, CuNode& fresh) const {
        const CuApi& api = *driver_->api_;
        if (node.kind == GraphNode::Kind::Kernel) {
            const auto& module = static_cast<const CudaModule&>(*module_);
            const LaunchEntry& k = module.kernels_[node.kernel];
            std::vector<void*> values = node.arguments, pointers;
            for (void*& v : values) pointers.push_back(&v);
            CuKernelNode p;
            p.function = module.functions_[node.kernel];
            for (std::size_t d = 0; d < 3; ++d) {
                p.grid[d] = static_cast<unsigned>(k.grid[d]);
                p.block[d] = static_cast<unsigned>(k.block[d]);
            }
            p.arguments = pointers.data();
            return api.add_kernel(&fresh, graph_, after.data(), after.size(), &p);
        }
        if (node.kind == GraphNode::Kind::Clear) {
            CuMemsetNode p;
            p.to = address(node.to);
            p.width = node.bytes;
            return api.add_memset(&fresh, graph_, after.data(), after.size(), &p,
                                  driver_->context_.context);
        }
        CuCopyNode p;
        if (node.kind == GraphNode::Kind::CopyIn) {
            p.from.memory = cu_memory_host;
            p.from.host = node.from;
        } else {
            p.from.device = address(node.from);
        }
        if (node.kind == GraphNode::Kind::CopyOut) {
            p.to.memory = cu_memory_host;
            p.to.host = node.to;
        } else {
            p.to.device = address(node.to);
        }
        p.from.pitch = p.to.pitch = p.width_bytes = node.bytes;
        p.from.height = p.to.height = 1;
        return api.add_copy(&fresh, graph_, after.data(), after.size(), &p,
                            driver_->context_.context);
    }

    std::shared_ptr<CudaDriver> driver_;
    std::shared_ptr<GpuModule> module_;
    CuGraph graph_ = nullptr;
    CuGraphExec exec_ = nullptr;
};

std::unique_ptr<GpuGraph> CudaDriver::graph(std::shared_ptr<GpuModule> module,
                                            std::vector<GraphNode> nodes) {
    check_alive();
    auto out = std::make_unique<CudaGraph>(shared_from_this(), std::move(module));
    out->build(nodes);
    return out;
}

std::unique_ptr<GpuModule> CudaDriver::module_of(const Source& source, const std::string& cubin,
                                                 CuResult& result) {
    CuModule module = nullptr;
    {
        const Current current(*this);
        result = api_->load_module(&module, cubin.data());
    }
    if (result != cu_result::success) return nullptr;
    auto out = std::make_unique<CudaModule>(
        shared_from_this(), module,
        std::vector<LaunchEntry>(source.kernels.begin(), source.kernels.end()));
    out->find_functions();
    return out;
}

std::unique_ptr<GpuModule> CudaDriver::load(const Source& source, const std::string& cache_dir) {
    check_alive();
    const auto damaged = [](CuResult r) {
        return r == cu_result::invalid_image || r == cu_result::no_binary ||
               r == cu_result::unsupported_ptx;
    };
    const std::string text = device_text(source), architecture = card_.architecture();
    const CacheFile file(cache_dir, "AreteCub",
                         fmt::format("{}\n{}\n{}", build_id,
                                     fmt::join(Nvrtc::options(architecture, false), " "), text));
    CuResult result = cu_result::success;
    if (const std::optional<std::string> known = file.load()) {
        if (auto module = module_of(source, *known, result)) return module;
        // What this driver does not load is as good as nothing.
        if (!damaged(result)) check(result, "loading kernels");
    }
    const std::shared_ptr<Nvrtc> nvrtc = Nvrtc::open();
    const std::string cubin =
        nvrtc->compile(text, nvrtc->architecture_for(card_.major, card_.minor), false).bytes;
    auto module = module_of(source, cubin, result);
    if (damaged(result)) {
        int version = 0;
        (void)api_->driver_version(&version);
        fail<DeviceError>({},
                          "device '{}': the driver, of CUDA {}, does not load what NVRTC {} has "
                          "compiled ({}): update the driver, or name the folder of an older NVRTC "
                          "in ARETE_CUDA_PATH",
                          name_, version_text(version), version_text(nvrtc->version()),
                          api_->text(result));
    }
    check(result, "loading kernels");
    file.store(cubin);
    return module;
}

}  // namespace arete::cuda
