// What kernels.cu finds in CUDA's place: a block's threads, its barriers and shuffles, on the host.
//
// The blocks of a launch run one after another. A CUDA thread is a fiber, which gives way at a barrier and
// nowhere else: fast, and the same every time. With THREADS_FOR_REAL it is a std::thread, so that
// ThreadSanitizer sees what no barrier orders.

#include <algorithm>
#include <cmath>
#include <cstring>

using std::cos, std::erfc, std::exp, std::expm1, std::fabs, std::floor, std::log, std::log1p, std::pow, std::sin, std::sqrt, std::tanh;

#define __global__
#define __device__
#define __shared__ static __attribute__((section("shared")))

struct Dim {
    unsigned x;
};

constexpr unsigned WARP_SIZE = 32, MOST_THREADS = 1024;
enum Outcome { FINE, STUCK, BROKEN_WARP };

#ifdef THREADS_FOR_REAL

#include <barrier>
#include <memory>
#include <thread>
#include <vector>

static thread_local Dim gridDim, blockIdx, blockDim, threadIdx;
static std::unique_ptr<std::barrier<>> block_barrier;
static std::vector<std::unique_ptr<std::barrier<>>> warp_barriers;

static void __syncthreads() { block_barrier->arrive_and_wait(); }
static void __syncwarp() { warp_barriers[threadIdx.x / WARP_SIZE]->arrive_and_wait(); }

template <class Kernel> int launch(unsigned grid, unsigned block, Kernel kernel) {
    for (unsigned b = 0; b < grid; ++b) {
        block_barrier = std::make_unique<std::barrier<>>(block);
        warp_barriers.clear();
        for (unsigned t = 0; t < block; t += WARP_SIZE)
            warp_barriers.push_back(std::make_unique<std::barrier<>>(std::min(WARP_SIZE, block - t)));
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < block; ++t)
            threads.emplace_back([=] {
                gridDim.x = grid, blockIdx.x = b, blockDim.x = block, threadIdx.x = t;
                kernel();
            });
        for (auto& thread : threads) thread.join();
    }
    return FINE;
}

#else

#include <setjmp.h>
#include <ucontext.h>

#include <functional>
#include <memory>

static Dim gridDim, blockIdx, blockDim, threadIdx;

// Threads that wait for each other.
struct Barrier {
    unsigned members, waiting, generation;
};

// A thread's stack, where it is, and what it waits for. Entered once by way of a context and then by jumps,
// which make no system calls.
struct Fiber {
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    jmp_buf here;
    Barrier* at;
    unsigned generation;
    bool entered, done;

    bool ready() const { return !done && (!at || at->generation != generation); }
};

static Fiber fibers[MOST_THREADS];
static Barrier block_barrier, warp_barriers[MOST_THREADS / WARP_SIZE];
static jmp_buf scheduler;
static std::function<void()> body;

static void give_way() {
    if (!_setjmp(fibers[threadIdx.x].here)) _longjmp(scheduler, 1);
}

static void live() {  // a fiber's life: a kernel after another
    for (;;) {
        body();
        fibers[threadIdx.x].done = true;
        give_way();
    }
}

static void wait_at(Barrier& barrier) {
    Fiber& own = fibers[threadIdx.x];
    if (++barrier.waiting == barrier.members) {
        barrier.waiting = 0, ++barrier.generation;
        return;
    }
    own.at = &barrier, own.generation = barrier.generation;
    give_way();
}

static void __syncthreads() { wait_at(block_barrier); }
static void __syncwarp() { wait_at(warp_barriers[threadIdx.x / WARP_SIZE]); }

static void resume(unsigned t) {
    Fiber& fiber = fibers[t];
    threadIdx.x = t;
    fiber.at = nullptr;
    if (_setjmp(scheduler)) return;
    if (fiber.entered) _longjmp(fiber.here, 1);
    constexpr size_t STACK = 32 << 10;
    fiber.entered = true;
    fiber.stack.reset(new char[STACK]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get(), fiber.context.uc_stack.ss_size = STACK;
    makecontext(&fiber.context, live, 0);
    setcontext(&fiber.context);
}

static bool run_block(unsigned block) {
    block_barrier = {block, 0, 0};
    for (unsigned w = 0; w * WARP_SIZE < block; ++w)
        warp_barriers[w] = {std::min(WARP_SIZE, block - w * WARP_SIZE), 0, 0};
    for (unsigned t = 0; t < block; ++t) fibers[t].done = false, fibers[t].at = nullptr;
    for (unsigned left = block, ran = 1; left; ) {
        if (!ran) return false;  // all that are left wait for one that is gone
        ran = 0;
        for (unsigned t = 0; t < block; ++t) {
            if (!fibers[t].ready()) continue;
            resume(t), ++ran;
            left -= fibers[t].done;
        }
    }
    return true;
}

extern "C" char __start_shared __attribute__((weak)), __stop_shared __attribute__((weak));
extern "C" long shared_bytes() { return &__stop_shared - &__start_shared; }

template <class Kernel> int launch(unsigned grid, unsigned block, Kernel kernel) {
    body = kernel, gridDim.x = grid, blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) {
        if (shared_bytes()) memset(&__start_shared, 0xff, shared_bytes());  // nobody wrote it: NaNs
        if (!run_block(block)) {
            for (Fiber& fiber : fibers) fiber.entered = false;  // whoever hangs in a kernel starts anew
            return STUCK;
        }
    }
    return FINE;
}

#endif

// Another lane's x: all lanes of the warp put theirs down, and each picks one up.
template <class X> X __shfl_xor_sync(unsigned, X x, int apart) {
    static X slots[MOST_THREADS];
    slots[threadIdx.x] = x;
    __syncwarp();
    const X other = slots[threadIdx.x ^ apart];
    __syncwarp();
    return other;
}
