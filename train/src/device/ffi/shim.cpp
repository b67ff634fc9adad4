// What tch 0.24 lacks of libtorch 2.11, as C functions that its Rust neighbours call. CPU-side headers only: no CUDA is
// needed to build. A function returns nullptr, or the message of the exception, which the caller frees with cs_free.

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Tensors = std::vector<at::Tensor>;

Tensors gather(at::Tensor *const *tensors, size_t n) {
    Tensors out;
    out.reserve(n);
    for (size_t i = 0; i < n; ++i) out.push_back(*tensors[i]);
    return out;
}

// What is said where there is no memory to say more. Nobody frees it.
char no_memory[] = "out of memory";

// A text for the caller to free; never nullptr, which would say that all went well.
char *message(const char *text) {
    char *copy = strdup(text);
    return copy != nullptr ? copy : no_memory;
}

// Runs what may throw: no exception leaves a function of this file but as its message.
template <typename Body>
char *guarded(Body body) noexcept {
    try {
        body();
        return nullptr;
    } catch (const c10::Error &error) {
        return message(error.what_without_backtrace());
    } catch (const std::exception &error) {
        return message(error.what());
    } catch (...) {
        return message("an unknown exception of libtorch");
    }
}

at::Device cuda(int index) { return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index)); }

// A stream of a GPU by its number, or with nullptr the one that this thread computes on.
c10::Stream stream_of(int device, const int64_t *id) {
    if (id == nullptr) return c10::impl::VirtualGuardImpl(at::kCUDA).getStream(cuda(device));
    return c10::Stream::unpack3(*id, static_cast<c10::DeviceIndex>(device), at::kCUDA);
}

}  // namespace

extern "C" {

void cs_free(char *text) {
    if (text != no_memory) std::free(text);
}

// What libtorch says that it was built with, for the caller to free.
char *cs_show_config(char **text) {
    return guarded([&] { *text = message(at::show_config().c_str()); });
}

// The name of a GPU, for the caller to free; nullptr where the CUDA runtime does not tell. It is asked by its C function,
// whose result begins with the name in every version; what follows is left in a buffer that is larger than any.
char *cs_gpu_name(int device, char **name) {
    return guarded([&] {
        *name = nullptr;
        auto ask = reinterpret_cast<int (*)(void *, int)>(dlsym(RTLD_DEFAULT, "cudaGetDeviceProperties"));
        std::vector<char> properties(1 << 16);
        if (ask == nullptr || ask(properties.data(), device) != 0) return;
        properties[255] = 0;
        *name = message(properties.data());
    });
}

// One step of Adam (decoupled = 0) or AdamW (1) on n parameters in place; every array holds n tensors.
char *cs_fused_adam(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *means,
                    at::Tensor *const *squares, at::Tensor *const *steps, size_t n, double learning_rate, double beta1,
                    double beta2, double weight_decay, double epsilon, int decoupled) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        auto p = gather(parameters, n), g = gather(gradients, n), m = gather(means, n), v = gather(squares, n);
        auto t = gather(steps, n);
        at::_foreach_add_(t, 1);
        if (decoupled) {
            at::_fused_adamw_(p, g, m, v, {}, t, learning_rate, beta1, beta2, weight_decay, epsilon, false, false);
        } else {
            at::_fused_adam_(p, g, m, v, {}, t, learning_rate, beta1, beta2, weight_decay, epsilon, false, false);
        }
    });
}

// One step of SGD on n parameters in place; first = 1 where the momenta hold nothing yet. Without momentum there are none.
char *cs_fused_sgd(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *momenta, size_t n,
                   double learning_rate, double momentum, double weight_decay, int nesterov, int first) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        auto p = gather(parameters, n), g = gather(gradients, n), m = gather(momenta, momentum == 0 ? 0 : n);
        at::_fused_sgd_(p, g, m, weight_decay, momentum, learning_rate, 0.0, nesterov != 0, false, first != 0);
    });
}

// Scales n gradients in place so that their common L2 norm is at most max_norm; nothing is read back from the device.
char *cs_clip_gradients(at::Tensor *const *gradients, size_t n, double max_norm) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        auto g = gather(gradients, n);
        auto norm = at::stack(at::_foreach_norm(g, 2)).norm();
        at::_foreach_mul_(g, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
    });
}

// Leaves n parameters without a gradient, so that the next one is taken as it is and not added to zeros.
char *cs_drop_gradients(at::Tensor *const *parameters, size_t n) {
    return guarded([&] {
        for (size_t i = 0; i < n; ++i) parameters[i]->mutable_grad().reset();
    });
}

// Loads libtorch_cuda.so from beside the libtorch_cpu.so that this process runs on; *found is 0 where there is none.
// To be called before anything else of libtorch.
char *cs_load_cuda(int *found) {
    return guarded([&] {
        *found = 0;
        Dl_info info;
        if (dladdr(reinterpret_cast<const void *>(&at::globalContext), &info) == 0) return;
        char real[PATH_MAX];
        if (realpath(info.dli_fname, real) == nullptr) return;
        const std::string folder = dirname(real);
        const std::string path = folder + "/libtorch_cuda.so";
        if (access(path.c_str(), F_OK) != 0) return;
        if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
        // What cuDNN compiles at run time needs it and finds it by its bare name only. Python's torch loads it first, too;
        // elsewhere than beside Python's packages it is left to the loader.
        dlopen((folder + "/../../nvidia/cu13/lib/libnvrtc-builtins.so.13.0").c_str(), RTLD_NOW | RTLD_GLOBAL);
        *found = 1;
    });
}

// Whether convolutions and matrix products in float32 may round their inputs to TF32 on CUDA.
char *cs_allow_tf32(int allow) {
    return guarded([&] {
        at::globalContext().setAllowTF32CuDNN(allow != 0);
        at::globalContext().setAllowTF32CuBLAS(allow != 0);
    });
}

// Whether they may.
char *cs_allows_tf32(int *allows) {
    return guarded([&] {
        *allows = at::globalContext().allowTF32CuDNN() && at::globalContext().allowTF32CuBLAS() ? 1 : 0;
    });
}

// Has autocast on CUDA compute in bfloat16, and switches it on or off for this thread.
char *cs_autocast_bf16(int enabled) {
    return guarded([&] {
        at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
        at::autocast::set_autocast_enabled(at::kCUDA, enabled != 0);
        if (!enabled) at::autocast::clear_cache();
    });
}

// Has cuDNN try its algorithms the first time that it meets a shape, and keep the fastest.
char *cs_benchmark_cudnn(int enabled) {
    return guarded([&] { at::globalContext().setBenchmarkCuDNN(enabled != 0); });
}

// A new tensor in pinned memory of the host, of the shape and kind of another, its values not set.
char *cs_pinned_like(at::Tensor **pinned, const at::Tensor *like) {
    return guarded([&] {
        auto options = like->options().device(at::kCPU).pinned_memory(true);
        *pinned = new at::Tensor(at::empty(like->sizes(), options));
    });
}

// The number of a stream of a GPU other than the one that is computed on. Such streams are non-blocking: nothing orders
// them against the others but events.
char *cs_pool_stream(int device, int64_t *id) {
    return guarded([&] {
        at::globalContext().lazyInitDevice(at::kCUDA);
        *id = c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(cuda(device)).id();
    });
}

// Queues a copy between two tensors of one shape and kind, one of them in pinned memory, on a stream; does not wait.
char *cs_copy(at::Tensor *to, const at::Tensor *from, int device, const int64_t *stream) {
    return guarded([&] {
        at::NoGradGuard no_grad;
        c10::StreamGuard guard(stream_of(device, stream));
        to->copy_(*from, /*non_blocking=*/true);
    });
}

char *cs_event_new(c10::Event **event) {
    return guarded([&] { *event = new c10::Event(at::kCUDA); });
}

char *cs_event_free(c10::Event *event) {
    return guarded([&] { delete event; });
}

// The event comes once all that is queued on the stream by now is done.
char *cs_event_record(c10::Event *event, int device, const int64_t *stream) {
    return guarded([&] { event->record(stream_of(device, stream)); });
}

// What is queued on the stream from now on waits for the event; this thread does not.
char *cs_event_block(const c10::Event *event, int device, const int64_t *stream) {
    return guarded([&] { event->block(stream_of(device, stream)); });
}

// *over is 1 where the event has come or was never recorded.
char *cs_event_query(const c10::Event *event, int *over) {
    return guarded([&] { *over = event->query() ? 1 : 0; });
}

// Waits for all that is queued on a GPU.
char *cs_synchronize(int device) {
    return guarded([&] {
        c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(static_cast<c10::DeviceIndex>(device));
    });
}

// Bytes of a GPU that tensors hold now and held at most, and that libtorch had reserved at most.
char *cs_device_memory(int device, int64_t *now, int64_t *peak, int64_t *peak_reserved) {
    return guarded([&] {
        constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
        auto *allocator = c10::getDeviceAllocator(at::kCUDA);
        auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
        *now = stats.allocated_bytes[all].current;
        *peak = stats.allocated_bytes[all].peak;
        *peak_reserved = stats.reserved_bytes[all].peak;
    });
}
}
