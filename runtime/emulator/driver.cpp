#include "runtime/emulator/driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <tuple>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/prelude.h"

namespace arete::emulator {

namespace {

constexpr std::size_t zone = 128;  // bytes before and behind each piece
constexpr int zone_byte = 0xa5, unwritten = 0xff;

bool untouched(const char* at) {
    return std::all_of(at, at + zone, [](char c) { return c == static_cast<char>(zone_byte); });
}

}  // namespace

EmulatorOptions EmulatorOptions::from_environment() {
    EmulatorOptions o;
    const char* order = std::getenv("ARETE_EMULATOR_ORDER");
    const std::string_view v = order ? order : "";
    if (v == "reversed")
        o.order = ThreadOrder::reversed;
    else if (v == "by-warp")
        o.order = ThreadOrder::by_warp;
    else if (!v.empty() && v != "round-robin")
        fail<ArgumentError>(
            {}, "ARETE_EMULATOR_ORDER={}: expected round-robin, reversed or by-warp", v);
    return o;
}

// Kernels of one shared object. A run uses the state of the object's threads: one at a time.
class EmulatorModule final : public cuda::GpuModule {
  public:
    EmulatorModule(const EmulatorDriver& driver, const cuda::Source& source,
                   std::string_view object)
        : driver_(driver),
          kernels_(source.kernels.begin(), source.kernels.end()),
          library_(object),
          fibers_(driver.options_.order, driver.options_.portable) {
        for (const cuda::LaunchEntry& k : kernels_)
            functions_.push_back(
                reinterpret_cast<Function>(library_.symbol("arete_run_" + k.name)));
        reinterpret_cast<void (*)(EmulatedThread*)>(library_.symbol("arete_set_thread"))(&state_);
    }

    void launch(std::size_t kernel, std::span<void* const> arguments) override {
        const cuda::LaunchEntry& k = kernels_[kernel];
        const Function f = functions_[kernel];
        const unsigned size[3] = {static_cast<unsigned>(k.block[0]),
                                  static_cast<unsigned>(k.block[1]),
                                  static_cast<unsigned>(k.block[2])};
        const std::int64_t blocks = k.grid[0] * k.grid[1] * k.grid[2];
        const bool reversed = driver_.options_.order == ThreadOrder::reversed;
        for (std::int64_t i = 0; i < blocks; ++i) {
            const std::int64_t b = reversed ? blocks - 1 - i : i;
            state_.block = {static_cast<unsigned>(b % k.grid[0]),
                            static_cast<unsigned>(b / k.grid[0] % k.grid[1]),
                            static_cast<unsigned>(b / k.grid[0] / k.grid[1])};
            if (!k.barriers)
                f(arguments.data(), size, reversed);
            else
                with_barriers(k, f, arguments.data(), size);
        }
        driver_.check_zones(k.name);
    }

  private:
    using Function = void (*)(void* const* arguments, const unsigned* size, int reversed);

    void with_barriers(const cuda::LaunchEntry& k, Function f, void* const* arguments,
                       const unsigned* size) {
        const auto bytes = static_cast<std::size_t>(k.shared_bytes);
        shared_.assign((bytes + zone) / sizeof(double) + 1, 0);
        state_.shared = reinterpret_cast<char*>(shared_.data());
        std::memset(state_.shared, unwritten, bytes);
        std::memset(state_.shared + bytes, zone_byte, zone);
        const bool ended =
            fibers_.run(static_cast<std::size_t>(size[0] * size[1] * size[2]),
                        {size[0], size[1], size[2]}, state_, [&] { f(arguments, nullptr, 0); });
        ARETE_CHECK(ended, "{}: threads of a block wait for others that do not come", k.name);
        ARETE_CHECK(untouched(state_.shared + bytes),
                    "{}: a thread writes behind its block's shared memory", k.name);
    }

    const EmulatorDriver& driver_;
    std::vector<cuda::LaunchEntry> kernels_;
    Library library_;
    Fibers fibers_;
    std::vector<Function> functions_;
    EmulatedThread state_;
    std::vector<double> shared_;  // of doubles, so that it begins where any element may
};

// A graph's nodes in an order that differs from the program's where it may.
class EmulatorGraph final : public cuda::GpuGraph {
  public:
    EmulatorGraph(EmulatorDriver& driver, std::shared_ptr<cuda::GpuModule> module,
                  std::vector<cuda::GraphNode> nodes)
        : driver_(driver), module_(std::move(module)), nodes_(std::move(nodes)) {
        // Of those that nothing waits for any more the first one goes last.
        std::vector<int> waiting(nodes_.size());
        for (const cuda::GraphNode& n : nodes_)
            for (int a : n.after) ++waiting[static_cast<std::size_t>(a)];
        std::set<std::size_t> free;
        for (std::size_t i = 0; i < nodes_.size(); ++i)
            if (waiting[i] == 0) free.insert(i);
        while (!free.empty()) {
            const std::size_t next = *free.begin();
            free.erase(free.begin());
            order_.push_back(next);
            for (int a : nodes_[next].after)
                if (--waiting[static_cast<std::size_t>(a)] == 0)
                    free.insert(static_cast<std::size_t>(a));
        }
        ARETE_CHECK(order_.size() == nodes_.size(), "a graph with a circle");
        std::reverse(order_.begin(), order_.end());
    }

    void launch() override {
        for (std::size_t i : order_) {
            const cuda::GraphNode& n = nodes_[i];
            switch (n.kind) {
                case cuda::GraphNode::Kind::Kernel: module_->launch(n.kernel, n.arguments); break;
                case cuda::GraphNode::Kind::Copy:
                case cuda::GraphNode::Kind::CopyIn:
                case cuda::GraphNode::Kind::CopyOut: std::memcpy(n.to, n.from, n.bytes); break;
                case cuda::GraphNode::Kind::Clear: driver_.clear(n.to, n.bytes); break;
            }
        }
    }

  private:
    EmulatorDriver& driver_;
    std::shared_ptr<cuda::GpuModule> module_;
    std::vector<cuda::GraphNode> nodes_;
    std::vector<std::size_t> order_;
};

std::unique_ptr<cuda::GpuGraph> EmulatorDriver::graph(std::shared_ptr<cuda::GpuModule> module,
                                                      std::vector<cuda::GraphNode> nodes) {
    return std::make_unique<EmulatorGraph>(*this, std::move(module), std::move(nodes));
}

std::shared_ptr<EmulatorDriver> EmulatorDriver::open(const EmulatorOptions& options) {
    // What the environment says of the host's compiler is part of what a driver is.
    const auto said = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value ? value : "");
    };
    using Key = std::tuple<EmulatorOptions, std::string, std::string, std::string>;
    struct Open {
        std::mutex mutex;
        std::map<Key, std::weak_ptr<EmulatorDriver>> drivers;
    };
    static Open& open = *new Open;  // variables of the program may outlive it
    const std::lock_guard lock(open.mutex);
    std::weak_ptr<EmulatorDriver>& known = open.drivers[{
        options, said("ARETE_EMULATOR_CXX"), said("ARETE_EMULATOR_FLAGS"), said("PATH")}];
    if (std::shared_ptr<EmulatorDriver> driver = known.lock()) return driver;
    auto driver = std::make_shared<EmulatorDriver>(options);
    known = driver;
    return driver;
}

const std::string& EmulatorDriver::name() const {
    static const std::string name = "emulator";
    return name;
}

void* EmulatorDriver::allocate_host(std::size_t bytes, std::string_view what) {
    void* memory = std::malloc(std::max<std::size_t>(bytes, 1));
    if (!memory)
        fail<DeviceError>({}, "device 'emulator': no memory for {} bytes of {}", bytes, what);
    return memory;
}

void EmulatorDriver::release_host(void* memory) noexcept {
    std::free(memory);
}

EmulatorDriver::EmulatorDriver(EmulatorOptions options)
    : options_(std::move(options)), compiler_(options_.cache_dir) {}

EmulatorDriver::~EmulatorDriver() {
    for (const auto& [memory, piece] : pieces_) std::free(static_cast<char*>(memory) - zone);
}

void* EmulatorDriver::allocate(std::size_t bytes, std::string_view what) {
    const std::size_t all = (bytes + 2 * zone + zone - 1) / zone * zone;
    auto* memory = static_cast<char*>(std::aligned_alloc(zone, all));
    if (!memory)
        fail<DeviceError>({}, "device 'emulator': no memory for {} bytes of {}", bytes, what);
    std::memset(memory, zone_byte, zone);
    std::memset(memory + zone, unwritten, bytes);
    std::memset(memory + zone + bytes, zone_byte, zone);
    const std::lock_guard lock(mutex_);
    pieces_.emplace(memory + zone, Piece{bytes, std::string(what)});
    return memory + zone;
}

void EmulatorDriver::release(void* memory) noexcept {
    const std::lock_guard lock(mutex_);
    pieces_.erase(memory);
    std::free(static_cast<char*>(memory) - zone);
}

void EmulatorDriver::copy_in(void* device, const void* host, std::size_t bytes) {
    std::memcpy(device, host, bytes);
}
void EmulatorDriver::copy_out(void* host, const void* device, std::size_t bytes) {
    std::memcpy(host, device, bytes);
}
void EmulatorDriver::copy(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}
void EmulatorDriver::clear(void* memory, std::size_t bytes) {
    std::memset(memory, 0, bytes);
}

std::string EmulatorDriver::text(const cuda::Source& source) {
    std::string out = std::string(cuda::host_prelude()) + source.text + "\n";
    for (const cuda::LaunchEntry& k : source.kernels)
        out += fmt::format("ARETE_ENTRY({})\n", k.name);
    return out;
}

std::unique_ptr<cuda::GpuModule> EmulatorDriver::load(const cuda::Source& source) {
    return std::make_unique<EmulatorModule>(*this, source, compiler_.shared_object(text(source)));
}

void EmulatorDriver::check_zones(const std::string& kernel) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [memory, piece] : pieces_) {
        const auto* m = static_cast<const char*>(memory);
        ARETE_CHECK(untouched(m - zone) && untouched(m + piece.bytes),
                    "{}: a thread writes outside of '{}'", kernel, piece.what);
    }
}

}  // namespace arete::emulator
