// A replacement for CUDA on the host: a block's threads, barriers and shuffles.
//
// The clusters of a launch run one after another, or all blocks together if requested; a block alone is a cluster of
// one. A CUDA thread is a fiber that yields only at barriers and when it sleeps, which is fast and deterministic. With
// THREADS_FOR_REAL it is a std::thread, so that ThreadSanitizer sees accesses that no barrier orders. A block's shared
// memory is lost when the last of its threads has left.

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
#define __cluster_dims__(...)
#define __shared__ static __attribute__((section("shared")))

struct Dim {
    unsigned x, y;
};

constexpr unsigned WARP_SIZE = 32, MOST_THREADS = 1024;
constexpr size_t FENCE = 256;
typedef unsigned long long Slot;  // for what a lane shows others
enum Outcome { FINE, STUCK, BEYOND_SHARED, MISALIGNED };

// What wide loads and stores out of alignment use instead; a GPU ends the program.
static thread_local bool misaligned;
alignas(64) static char nowhere[64];
static void* checked(const void* pointer, size_t bytes) {
    if ((size_t)pointer % bytes == 0) return (void*)pointer;
    misaligned = true;
    return nowhere;
}
#define __builtin_assume_aligned checked


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
    void lose() { memset(memory.get(), 0xff, size); }
};

#ifdef THREADS_FOR_REAL

#include <condition_variable>
#include <mutex>
#include <thread>

static thread_local Dim gridDim, blockIdx, blockDim, threadIdx;
static thread_local char* dynamic_shared;

// A barrier that orders what it must and nothing else. Threads that meet again do so at another mutex: at the same one,
// a thread that is slow to leave would come after others' next arrival, and the sanitizer would see them in order.
class Barrier {
    struct Meeting {
        std::mutex mutex;
        std::condition_variable full;
        unsigned waiting = 0, times = 0;
    };
    static constexpr unsigned MEETINGS = 64;
    const unsigned members;
    Meeting meetings[MEETINGS];

public:
    explicit Barrier(unsigned members) : members(members) {}
    // arrive for the count-th time
    void arrive(unsigned count) {
        Meeting& meeting = meetings[count % MEETINGS];
        const std::lock_guard lock(meeting.mutex);
        if (++meeting.waiting < members) return;
        meeting.waiting = 0, ++meeting.times;
        meeting.full.notify_all();
    }
    void wait(unsigned count) {
        Meeting& meeting = meetings[count % MEETINGS];
        std::unique_lock lock(meeting.mutex);
        meeting.full.wait(lock, [&] { return meeting.times > count / MEETINGS; });
    }
    void meet(unsigned& count) { arrive(count), wait(count), ++count; }
};

// A running block: its barriers, its shared memory, and the blocks and the barrier of its cluster.
struct Block {
    Barrier all;
    std::vector<std::unique_ptr<Barrier>> warps;
    Shared shared;
    Slot slots[MOST_THREADS];
    Block* const* cluster = nullptr;
    unsigned rank = 0;
    Barrier* whole_cluster = nullptr;

    Block(unsigned size, size_t shared) : all(size), shared(shared) {
        for (unsigned t = 0; t < size; t += WARP_SIZE)
            warps.push_back(std::make_unique<Barrier>(std::min(WARP_SIZE, size - t)));
    }
};

static thread_local Block* own;
static thread_local unsigned at_all, at_warp, at_cluster;  // how often the thread has met the others of each

static void __syncthreads() { own->all.meet(at_all); }
static void __syncwarp() { own->warps[threadIdx.x / WARP_SIZE]->meet(at_warp); }
static void __nanosleep(unsigned) { std::this_thread::yield(); }
static void __cluster_barrier_arrive() { own->whole_cluster->arrive(at_cluster); }
static void __cluster_barrier_wait() { own->whole_cluster->wait(at_cluster++); }

template <class Kernel>
int launch_row(unsigned y, unsigned grid, unsigned block, Kernel kernel, size_t shared, bool together,
               unsigned cluster) {
    for (unsigned first = 0, count = together ? grid : cluster; first < grid; first += count) {
        std::vector<std::unique_ptr<Block>> blocks;
        std::vector<std::unique_ptr<Barrier>> barriers;
        std::vector<Block*> pointers;
        std::vector<std::thread> threads;
        for (unsigned b = 0; b < count; ++b) {
            if (b % cluster == 0) barriers.push_back(std::make_unique<Barrier>(cluster * block));
            blocks.push_back(std::make_unique<Block>(block, shared));
            pointers.push_back(blocks.back().get());
            blocks[b]->rank = b % cluster, blocks[b]->whole_cluster = barriers.back().get();
        }
        for (unsigned b = 0; b < count; ++b) blocks[b]->cluster = &pointers[b / cluster * cluster];
        for (unsigned b = 0; b < count; ++b)
            for (unsigned t = 0; t < block; ++t)
                threads.emplace_back([=, block_of_thread = blocks[b].get()] {
                    gridDim.x = grid, blockIdx.x = first + b, blockIdx.y = y, blockDim.x = block, threadIdx.x = t;
                    own = block_of_thread, dynamic_shared = own->shared.memory.get();
                    kernel();
                    __syncthreads();
                    if (t == 0) own->shared.lose();
                });
        for (auto& thread : threads) thread.join();
    }
    return FINE;
}

static unsigned __clusterRelativeBlockRank() { return own->rank; }
static char* shared_of(unsigned rank) { return own->cluster[rank]->shared.memory.get(); }
static Slot* slots_of_block() { return own->slots; }

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

// A running block: its barriers, its shared memory, its threads that have not left, and its cluster's first block,
// which holds the cluster's barrier.
struct Block {
    unsigned index, left;
    Shared shared;
    Slot slots[MOST_THREADS];
    Barrier all, warps[MOST_THREADS / WARP_SIZE], whole_cluster;
    std::unique_ptr<Block>* cluster = nullptr;

    Block(unsigned index, unsigned size, size_t shared, unsigned cluster)
        : index(index), left(size), shared(shared), all{size, 0, 0}, whole_cluster{size * cluster, 0, 0} {
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
    unsigned generation, arrived;  // arrived: the generation of the cluster's barrier at the last arrival
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

static unsigned arrive_at(Barrier& barrier) {
    const unsigned generation = barrier.generation;
    if (++barrier.waiting == barrier.members) barrier.waiting = 0, ++barrier.generation;
    return generation;
}

static void wait_for(Barrier& barrier, unsigned generation) {
    if (barrier.generation != generation) return;
    running->at = &barrier, running->generation = generation;
    give_way();
}

static void wait_at(Barrier& barrier) { wait_for(barrier, arrive_at(barrier)); }

static void __syncthreads() { wait_at(running->block->all); }
static void __syncwarp() { wait_at(running->block->warps[threadIdx.x / WARP_SIZE]); }
static void __nanosleep(unsigned) { give_way(); }
static void __cluster_barrier_arrive() { running->arrived = arrive_at((*running->block->cluster)->whole_cluster); }
static void __cluster_barrier_wait() { wait_for((*running->block->cluster)->whole_cluster, running->arrived); }

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
            if (!fibers[f]->done) continue;
            Block& block = *fibers[f]->block;
            --left;
            if (--block.left == 0) block.shared.lose();
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
int launch_row(unsigned y, unsigned grid, unsigned block, Kernel kernel, size_t shared, bool together,
               unsigned cluster) {
    body = kernel, gridDim.x = grid, blockIdx.y = y, blockDim.x = block;
    for (unsigned first = 0, count = together ? grid : cluster; first < grid; first += count) {
        if (shared_bytes()) memset(&__start_shared, 0xff, shared_bytes());  // NaNs
        std::vector<std::unique_ptr<Block>> blocks;
        for (unsigned b = 0; b < count; ++b)
            blocks.push_back(std::make_unique<Block>(first + b, block, shared, cluster));
        for (unsigned b = 0; b < count; ++b) blocks[b]->cluster = &blocks[b / cluster * cluster];
        misaligned = false;
        Outcome outcome = run_together(blocks);
        if (!outcome && misaligned) outcome = MISALIGNED;
        if (outcome) {
            for (auto& fiber : fibers) fiber->entered = false;  // stuck fibers start anew
            return outcome;
        }
    }
    return FINE;
}

static unsigned __clusterRelativeBlockRank() {
    return running->block->index - (*running->block->cluster)->index;
}
static char* shared_of(unsigned rank) { return running->block->cluster[rank]->shared.memory.get(); }
static Slot* slots_of_block() { return running->block->slots; }

#endif

// One row of blocks after another.
template <class Kernel>
int launch(unsigned grid, unsigned block, Kernel kernel, size_t shared = 0, bool together = false,
           unsigned cluster = 1, unsigned rows = 1) {
    for (unsigned y = 0; y < rows; ++y)
        if (int outcome = launch_row(y, grid, block, kernel, shared, together, cluster)) return outcome;
    return FINE;
}

// The place in another block's shared memory that has the same offset.
static void* __cluster_map_shared_rank(const void* here, unsigned rank) {
    return shared_of(rank) + ((const char*)here - dynamic_shared);
}

// Another lane's x: every lane of the warp stores its own and loads another.
template <class X> X __shfl_xor_sync(unsigned, X x, int apart) {
    static_assert(sizeof(X) <= sizeof(Slot));
    Slot* const slots = slots_of_block();
    memcpy(slots + threadIdx.x, &x, sizeof x);
    __syncwarp();
    X other;
    memcpy(&other, slots + (threadIdx.x ^ apart), sizeof other);
    __syncwarp();
    return other;
}

static float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
static unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
static int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static void __trap() { std::abort(); }

template <class X> static X atomicAdd(X* to, X x) { return __atomic_fetch_add(to, x, __ATOMIC_SEQ_CST); }

// Words that other blocks wait for: sequentially consistent, so a reader also sees all earlier writes.
static void __threadfence() {}
template <class X> static void __stwt(X* to, X x) { __atomic_store_n(to, x, __ATOMIC_SEQ_CST); }
template <class X> static X __ldcv(const X* from) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
