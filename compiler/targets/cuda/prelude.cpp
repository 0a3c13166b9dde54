// Texts, not code of this program: the compilers of the kernels read them.
#include "compiler/targets/cuda/prelude.h"

#include <string>

#include "compiler/targets/cuda/prelude_far.h"

namespace arete::cuda {

namespace {

constexpr std::string_view device_head =
    R"cuda(// What kernels call. Rounding is decided where they are made: compile with --fmad=false.
#define ARETE_FN static __device__ __forceinline__
#define ARETE_FAR static __device__ __noinline__
#define ARETE_TABLE static __device__ const
#define ARETE_UNROLL _Pragma("unroll")
#define ARETE_SHARED(type, name, count, offset) __shared__ __align__(16) type name[count]

ARETE_FN int bits_i32(float x) { return __float_as_int(x); }
ARETE_FN float bits_f32(int x) { return __int_as_float(x); }
ARETE_FN long long bits_i64(double x) { return __double_as_longlong(x); }
ARETE_FN double bits_f64(long long x) { return __longlong_as_double(x); }
ARETE_FN unsigned long long high_product(unsigned long long a, unsigned long long b) {
    return __umul64hi(a, b);
}
)cuda";

constexpr std::string_view host_head =
    R"cuda(// CUDA's words on a host: one thread of a block at a time.
#include <math.h>

#define __global__
#define __launch_bounds__(...)
#define ARETE_FN static inline
#define ARETE_FAR static
#define ARETE_TABLE static const
#define ARETE_UNROLL
#define ARETE_SHARED(type, name, count, offset) \
    type* const __restrict__ name = reinterpret_cast<type*>(arete_emulated->shared + (offset))

struct arete_three {
    unsigned x, y, z;
};
// As in runtime/emulator/fibers.h.
struct arete_emulated_thread {
    arete_three block, thread;
    char* shared;
    void (*barrier)(int scope);
};
static arete_emulated_thread* arete_emulated;
#define blockIdx (arete_emulated->block)
#define threadIdx (arete_emulated->thread)
static inline void __syncwarp() { arete_emulated->barrier(0); }
static inline void __syncthreads() { arete_emulated->barrier(1); }
static inline void __threadfence() {}
static inline int atomicCAS(int* at, int expected, int value) {
    const int old = *at;
    if (old == expected) *at = value;
    return old;
}
static inline int atomicExch(int* at, int value) {
    const int old = *at;
    *at = value;
    return old;
}

ARETE_FN int bits_i32(float x) { int y; __builtin_memcpy(&y, &x, sizeof y); return y; }
ARETE_FN float bits_f32(int x) { float y; __builtin_memcpy(&y, &x, sizeof y); return y; }
ARETE_FN long long bits_i64(double x) { long long y; __builtin_memcpy(&y, &x, sizeof y); return y; }
ARETE_FN double bits_f64(long long x) { double y; __builtin_memcpy(&y, &x, sizeof y); return y; }
ARETE_FN unsigned long long high_product(unsigned long long a, unsigned long long b) {
    __extension__ typedef unsigned __int128 wide;
    return static_cast<unsigned long long>(static_cast<wide>(a) * b >> 64);
}

// Calls a kernel with as many pointers as it has parameters.
template <int... k>
struct arete_numbers {};
template <int n, int... k>
struct arete_first : arete_first<n - 1, n - 1, k...> {};
template <int... k>
struct arete_first<0, k...> {
    typedef arete_numbers<k...> type;
};
template <class... P, int... k>
static inline void arete_call(void (*kernel)(P...), void* const* p, arete_numbers<k...>) {
    kernel(static_cast<P>(p[k])...);
}
template <class... P>
static inline void arete_call(void (*kernel)(P...), void* const* p) {
    arete_call(kernel, p, typename arete_first<sizeof...(P)>::type());
}
// The thread that is set, or, given the size of a block, all of its threads one after another.
#define ARETE_ENTRY(kernel)                                                               \
    extern "C" void arete_run_##kernel(void* const* p, const unsigned* size, int reversed) { \
        if (!size) return arete_call(kernel, p);                                          \
        const unsigned n = size[0] * size[1] * size[2];                                   \
        for (unsigned i = 0; i < n; ++i) {                                                \
            const unsigned t = reversed ? n - 1 - i : i;                                  \
            arete_emulated->thread.x = t % size[0];                                       \
            arete_emulated->thread.y = t / size[0] % size[1];                             \
            arete_emulated->thread.z = t / size[0] / size[1];                             \
            arete_call(kernel, p);                                                        \
        }                                                                                 \
    }
extern "C" void arete_set_thread(arete_emulated_thread* thread) { arete_emulated = thread; }
)cuda";

// Integers wrap; their quotients are rounded down, and 0 of 0. NaN is an extreme, and -0 < +0.
constexpr std::string_view functions = R"cuda(
ARETE_FN int bits_i32(int x) { return x; }
ARETE_FN float bits_f32(float x) { return x; }
ARETE_FN long long bits_i64(long long x) { return x; }
ARETE_FN double bits_f64(double x) { return x; }
ARETE_FN unsigned char bits_u8(unsigned char x) { return x; }
ARETE_FN bool bits_bool(unsigned char x) { return x != 0; }

ARETE_FN unsigned natural(int x) { return static_cast<unsigned>(x); }
ARETE_FN unsigned natural(unsigned char x) { return x; }
ARETE_FN unsigned long long natural(long long x) { return static_cast<unsigned long long>(x); }
template <class T>
ARETE_FN T wrap_add(T a, T b) { return static_cast<T>(natural(a) + natural(b)); }
template <class T>
ARETE_FN T wrap_sub(T a, T b) { return static_cast<T>(natural(a) - natural(b)); }
template <class T>
ARETE_FN T wrap_mul(T a, T b) { return static_cast<T>(natural(a) * natural(b)); }
template <class T>
ARETE_FN T wrap_neg(T a) { return static_cast<T>(0 - natural(a)); }
template <class T>
ARETE_FN T wrap_abs(T a) { return a < 0 ? wrap_neg(a) : a; }
template <class T>
ARETE_FN T shift_left(T a, T bits) { return static_cast<T>(natural(a) << natural(bits)); }
template <class T>
ARETE_FN T shift_right(T a, T bits) { return static_cast<T>(natural(a) >> natural(bits)); }
template <class T>
ARETE_FN T floor_div(T a, T b) {
    if (b == 0) return 0;
    if (b == static_cast<T>(-1) && b < 0) return wrap_neg(a);
    const T q = static_cast<T>(a / b);
    return a % b != 0 && (a < 0) != (b < 0) ? static_cast<T>(q - 1) : q;
}
template <class T>
ARETE_FN T floor_rem(T a, T b) {
    if (b == 0 || (b == static_cast<T>(-1) && b < 0)) return 0;
    const T r = static_cast<T>(a % b);
    return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
}
template <class T>
ARETE_FN T lesser(T a, T b) { return b < a ? b : a; }
template <class T>
ARETE_FN T greater(T a, T b) { return a < b ? b : a; }

ARETE_FN bool is_negative(float x) { return bits_i32(x) < 0; }
ARETE_FN bool is_negative(double x) { return bits_i64(x) < 0; }
template <class T>
ARETE_FN T minimum(T a, T b) {
    if (a != a || b != b) return a + b;
    if (a == b) return is_negative(a) ? a : b;
    return a < b ? a : b;
}
template <class T>
ARETE_FN T maximum(T a, T b) {
    if (a != a || b != b) return a + b;
    if (a == b) return is_negative(a) ? b : a;
    return a < b ? b : a;
}

// Of floats saturating, NaN to 0.
template <class T>
ARETE_FN int saturated_i32(T x) {
    if (x != x) return 0;
    if (x <= static_cast<T>(-2147483648.0)) return -2147483647 - 1;
    if (x >= static_cast<T>(2147483647.0)) return 2147483647;
    return static_cast<int>(x);
}
template <class T>
ARETE_FN long long saturated_i64(T x) {
    if (x != x) return 0;
    if (x <= static_cast<T>(-9223372036854775808.0)) return -9223372036854775807LL - 1;
    if (x >= static_cast<T>(9223372036854775807.0)) return 9223372036854775807LL;
    return static_cast<long long>(x);
}
template <class T>
ARETE_FN unsigned char saturated_u8(T x) {
    if (!(x > static_cast<T>(0))) return 0;
    if (x >= static_cast<T>(255)) return 255;
    return static_cast<unsigned char>(static_cast<int>(x));
}
template <class T>
ARETE_FN int to_i32(T x) { return static_cast<int>(x); }
ARETE_FN int to_i32(float x) { return saturated_i32(x); }
ARETE_FN int to_i32(double x) { return saturated_i32(x); }
template <class T>
ARETE_FN long long to_i64(T x) { return static_cast<long long>(x); }
ARETE_FN long long to_i64(float x) { return saturated_i64(x); }
ARETE_FN long long to_i64(double x) { return saturated_i64(x); }
template <class T>
ARETE_FN unsigned char to_u8(T x) { return static_cast<unsigned char>(x); }
ARETE_FN unsigned char to_u8(float x) { return saturated_u8(x); }
ARETE_FN unsigned char to_u8(double x) { return saturated_u8(x); }
template <class T>
ARETE_FN bool to_bool(T x) { return x != static_cast<T>(0); }
template <class T>
ARETE_FN float to_f32(T x) { return static_cast<float>(x); }
template <class T>
ARETE_FN double to_f64(T x) { return static_cast<double>(x); }

// The lowest (code, element) of all checks that have failed.
struct arete_status {
    int lock, failed;
    long long code, element;
};
ARETE_FN bool arete_has_failed(const arete_status* s) {
    return static_cast<const volatile arete_status*>(s)->failed != 0;
}
ARETE_FAR void arete_fail(arete_status* s, long long code, long long element) {
    while (atomicCAS(&s->lock, 0, 1) != 0) {
    }
    __threadfence();
    volatile arete_status* v = s;
    if (!v->failed || code < v->code || (code == v->code && element < v->element)) {
        v->failed = 1;
        v->code = code;
        v->element = element;
    }
    __threadfence();
    atomicExch(&s->lock, 0);
}
)cuda";

std::string joined(std::string_view head) {
    return std::string(head) + std::string(functions) + std::string(far_functions_text);
}

}  // namespace

std::string_view device_prelude() {
    static const std::string text = joined(device_head);
    return text;
}

std::string_view host_prelude() {
    static const std::string text = joined(host_head);
    return text;
}

}  // namespace arete::cuda
