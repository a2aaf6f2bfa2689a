// A replacement for CUDA on the host: a block's threads, barriers and shuffles.
//
// The blocks of a launch run one after another, or together if requested. A CUDA thread is a fiber that yields only at
// barriers and when it sleeps, which is fast and deterministic. With THREADS_FOR_REAL it is a std::thread, so that
// ThreadSanitizer sees accesses that no barrier orders.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

using std::cos, std::erfc, std::exp, std::expm1, std::fabs, std::floor, std::log, std::log1p, std::pow, std::sin, std::sqrt, std::tanh;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("shared")))

struct Dim {
    unsigned x;
};

constexpr unsigned WARP_SIZE = 32, MOST_THREADS = 1024;
constexpr size_t FENCE = 256;
enum Outcome { FINE, STUCK, BEYOND_SHARED };

// A block's dynamic shared memory, filled with NaNs and followed by a fence.
struct Shared {
    size_t size;
    std::unique_ptr<char[], decltype(&std::free)> memory;

    explicit Shared(size_t size)
        : size(size), memory((char*)std::aligned_alloc(FENCE, (size + 2 * FENCE) / FENCE * FENCE), std::free) {
        memset(memory.get(), 0xff, size);
        memset(memory.get() + size, 0xa5, FENCE);
    }
    bool whole() const {
        return std::all_of(memory.get() + size, memory.get() + size + FENCE, [](char c) { return c == (char)0xa5; });
    }
};

#ifdef THREADS_FOR_REAL

#include <barrier>
#include <thread>

static thread_local Dim gridDim, blockIdx, blockDim, threadIdx;
static thread_local char* dynamic_shared;

// A block's barriers.
struct Meeting {
    std::barrier<> all;
    std::vector<std::unique_ptr<std::barrier<>>> warps;

    explicit Meeting(unsigned block) : all(block) {
        for (unsigned t = 0; t < block; t += WARP_SIZE)
            warps.push_back(std::make_unique<std::barrier<>>(std::min(WARP_SIZE, block - t)));
    }
};

static thread_local Meeting* meeting;

static void __syncthreads() { meeting->all.arrive_and_wait(); }
static void __syncwarp() { meeting->warps[threadIdx.x / WARP_SIZE]->arrive_and_wait(); }
static void __nanosleep(unsigned) { std::this_thread::yield(); }

template <class Kernel>
int launch(unsigned grid, unsigned block, Kernel kernel, size_t shared = 0, bool together = false) {
    for (unsigned first = 0, count = together ? grid : 1; first < grid; first += count) {
        std::vector<std::unique_ptr<Meeting>> meetings;
        std::vector<Shared> memories;
        std::vector<std::thread> threads;
        for (unsigned b = 0; b < count; ++b) {
            meetings.push_back(std::make_unique<Meeting>(block));
            memories.emplace_back(shared);
        }
        for (unsigned b = 0; b < count; ++b)
            for (unsigned t = 0; t < block; ++t)
                threads.emplace_back([=, own = meetings[b].get(), memory = memories[b].memory.get()] {
                    gridDim.x = grid, blockIdx.x = first + b, blockDim.x = block, threadIdx.x = t;
                    meeting = own, dynamic_shared = memory;
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

static Dim gridDim, blockIdx, blockDim, threadIdx;
static char* dynamic_shared;

// A barrier for a block or a warp.
struct Barrier {
    unsigned members, waiting, generation;
};

// A running block: its barriers and its shared memory.
struct Block {
    unsigned index;
    Shared shared;
    Barrier all, warps[MOST_THREADS / WARP_SIZE];

    Block(unsigned index, unsigned size, size_t shared) : index(index), shared(shared), all{size, 0, 0} {
        for (unsigned w = 0; w * WARP_SIZE < size; ++w)
            warps[w] = {std::min(WARP_SIZE, size - w * WARP_SIZE), 0, 0};
    }
};

// A thread's stack, its position, and the barrier it waits at. It is entered once through a context and afterwards by
// jumps, which make no system calls.
struct Fiber {
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    jmp_buf here;
    Block* block;
    unsigned thread;
    Barrier* at;
    unsigned generation;
    bool entered, done;

    bool ready() const { return !done && (!at || at->generation != generation); }
};

static std::vector<std::unique_ptr<Fiber>> fibers;  // grows to the largest number needed
static Fiber* running;
static jmp_buf scheduler;
static std::function<void()> body;

static void give_way() {
    if (!_setjmp(running->here)) _longjmp(scheduler, 1);
}

static void live() {  // a fiber runs one kernel after another
    for (;;) {
        body();
        running->done = true;
        give_way();
    }
}

static void wait_at(Barrier& barrier) {
    if (++barrier.waiting == barrier.members) {
        barrier.waiting = 0, ++barrier.generation;
        return;
    }
    running->at = &barrier, running->generation = barrier.generation;
    give_way();
}

static void __syncthreads() { wait_at(running->block->all); }
static void __syncwarp() { wait_at(running->block->warps[threadIdx.x / WARP_SIZE]); }
static void __nanosleep(unsigned) { give_way(); }

static void resume(Fiber& fiber) {
    running = &fiber;
    threadIdx.x = fiber.thread, blockIdx.x = fiber.block->index, dynamic_shared = fiber.block->shared.memory.get();
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

static Outcome run_together(std::vector<std::unique_ptr<Block>>& blocks) {
    const unsigned all = blocks.size() * blockDim.x;
    while (fibers.size() < all) fibers.push_back(std::make_unique<Fiber>());
    for (unsigned f = 0; f < all; ++f) {
        Fiber& fiber = *fibers[f];
        fiber.block = blocks[f / blockDim.x].get(), fiber.thread = f % blockDim.x;
        fiber.done = false, fiber.at = nullptr;
    }
    for (unsigned left = all, ran = 1; left; ) {
        if (!ran) return STUCK;  // all remaining threads wait for one that has left
        ran = 0;
        for (unsigned f = 0; f < all; ++f) {
            if (!fibers[f]->ready()) continue;
            resume(*fibers[f]), ++ran;
            left -= fibers[f]->done;
        }
    }
    for (const auto& block : blocks)
        if (!block->shared.whole()) return BEYOND_SHARED;
    return FINE;
}

// static shared memory; there is only one, so blocks that run together must not use any
extern "C" char __start_shared __attribute__((weak)), __stop_shared __attribute__((weak));
extern "C" long shared_bytes() { return &__stop_shared - &__start_shared; }

template <class Kernel>
int launch(unsigned grid, unsigned block, Kernel kernel, size_t shared = 0, bool together = false) {
    body = kernel, gridDim.x = grid, blockDim.x = block;
    for (unsigned first = 0, count = together ? grid : 1; first < grid; first += count) {
        if (shared_bytes()) memset(&__start_shared, 0xff, shared_bytes());  // NaNs
        std::vector<std::unique_ptr<Block>> blocks;
        for (unsigned b = 0; b < count; ++b) blocks.push_back(std::make_unique<Block>(first + b, block, shared));
        if (const Outcome outcome = run_together(blocks)) {
            for (auto& fiber : fibers) fiber->entered = false;  // stuck fibers start anew
            return outcome;
        }
    }
    return FINE;
}

#endif

// Another lane's x: every lane of the warp stores its own and loads another.
template <class X> X __shfl_xor_sync(unsigned, X x, int apart) {
    static X slots[MOST_THREADS];
    slots[threadIdx.x] = x;
    __syncwarp();
    const X other = slots[threadIdx.x ^ apart];
    __syncwarp();
    return other;
}

static float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
static unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
static int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static void __trap() { std::abort(); }

// Words that other blocks wait for: sequentially consistent, so a reader also sees all earlier writes.
template <class X> static void __stwt(X* to, X x) { __atomic_store_n(to, x, __ATOMIC_SEQ_CST); }
template <class X> static X __ldcv(const X* from) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
