// What it costs to launch a kernel, and to let blocks wait for each other and exchange numbers.
// CLUSTER and NUMBERS are defined before this text.

typedef long long Index;
typedef unsigned long long Word;

#ifdef __CUDA_ARCH__
#define GIVE_WAY
#else  // threads that are emulated one after another
#define GIVE_WAY __nanosleep(0)
#endif

extern "C" __global__ void nothing(Index x) { (void)x; }

extern "C" __global__ void clear(Word* arrived) { *arrived = 0; }

// All blocks wait for each other, so many times; `arrived` is 0 at the start.
extern "C" __global__ void grid_barriers(Index times, Word* arrived) {
    for (Index i = 1; i <= times; ++i) {
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, (Word)1);
            while (__ldcv(arrived) < (Word)i * gridDim.x) GIVE_WAY;
            __threadfence();
        }
        __syncthreads();
    }
}

#if CLUSTER > 1
extern __shared__ float chip[];

extern "C" __global__ __cluster_dims__(CLUSTER, 1, 1) void cluster_barriers(Index times) {
    for (Index i = 0; i < times; ++i) {
        __cluster_barrier_arrive();
        __cluster_barrier_wait();
    }
}

// Each block writes NUMBERS to every block of its cluster, waits, and reads what it got, so many times.
extern "C" __global__ __cluster_dims__(CLUSTER, 1, 1) void cluster_exchanges(Index times, T* out) {
    const int me = __clusterRelativeBlockRank(), all = CLUSTER * NUMBERS;
    T sum = threadIdx.x;
    for (Index i = 0; i < times; ++i) {
        float* const box = chip + (i & 1) * all;
        for (int e = threadIdx.x; e < all; e += blockDim.x) {
            float* const theirs = (float*)__cluster_map_shared_rank(box, e / NUMBERS);
            theirs[me * NUMBERS + e % NUMBERS] = sum + e;
        }
        __cluster_barrier_arrive();
        __cluster_barrier_wait();
        for (int e = threadIdx.x; e < all; e += blockDim.x) sum += box[e];
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
    __cluster_barrier_arrive();  // others may still read this block's shared memory
    __cluster_barrier_wait();
}
#endif
