// A card, by CUDA's driver.
#pragma once

#include <map>
#include <mutex>
#include <unordered_map>

#include "compiler/targets/cuda/machine.h"
#include "runtime/cuda/api.h"
#include "runtime/cuda/driver.h"

namespace arete::cuda {

/// One card in its primary context, with a stream of its own. Memory that is given back is kept for
/// whoever asks next, up to a limit.
class CudaDriver final : public GpuDriver, public std::enable_shared_from_this<CudaDriver> {
  public:
    /// The driver of a card, the same for all who ask while it is used. A DeviceError where there
    /// is no driver or no such card.
    static std::shared_ptr<CudaDriver> open(int number);
    ~CudaDriver() override;

    const Card& card() const { return card_; }

    const std::string& name() const override { return name_; }
    void* allocate(std::size_t bytes, std::string_view what) override;
    void release(void* memory) noexcept override;
    void* allocate_host(std::size_t bytes, std::string_view what) override;
    void release_host(void* memory) noexcept override;
    void copy_in(void* device, const void* host, std::size_t bytes) override;
    void copy_out(void* host, const void* device, std::size_t bytes) override;
    void copy(void* to, const void* from, std::size_t bytes) override;
    void clear(void* memory, std::size_t bytes) override;
    void finish() override;
    std::unique_ptr<GpuModule> load(const Source& source) override { return load(source, {}); }
    /// The same with code that is kept in a folder, or none. NVRTC is needed only for what is not
    /// there.
    std::unique_ptr<GpuModule> load(const Source& source, const std::string& cache_dir);
    std::unique_ptr<GpuGraph> graph(std::shared_ptr<GpuModule> module,
                                    std::vector<GraphNode> nodes) override;
    /// As ARETE_CUDA_CHECK=1 says.
    bool one_by_one() const override { return one_by_one_; }

  private:
    friend class CudaModule;
    friend class CudaGraph;
    class Current;
    // The context, and the stream in it.
    struct Context {
        std::shared_ptr<const CuApi> api;
        CuDevice device = 0;
        CuContext context = nullptr;
        CuStream stream = nullptr;
        ~Context();
    };

    CudaDriver(std::shared_ptr<const CuApi> api, int number);
    // Throws where a result is none; `what` says what was asked for.
    void check(CuResult result, std::string_view what) const;
    void check_alive() const;
    void* staging();
    void drop_kept() noexcept;
    std::unique_ptr<GpuModule> module_of(const Source& source, const std::string& cubin,
                                         CuResult& result);

    std::string name_;
    std::shared_ptr<const CuApi> api_;
    Context context_;
    Card card_;
    bool one_by_one_ = false;

    mutable std::mutex mutex_;                      // of what follows
    mutable std::string lost_;                      // why nothing can be asked for any more
    std::unordered_map<void*, std::size_t> sizes_;  // of memory that is in use
    std::multimap<std::size_t, void*> kept_;
    std::size_t kept_bytes_ = 0;

    std::mutex staging_mutex_;
    void* staging_ = nullptr;       // two halves: for copies to the device, and from it
    std::size_t staged_bytes_ = 0;  // of the first half that copies may still read
};

}  // namespace arete::cuda
