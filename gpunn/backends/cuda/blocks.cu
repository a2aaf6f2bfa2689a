// How blocks wait for each other, for head.cu and resident.cu: the CLUSTER > 1 blocks of a cluster, or blocks of a grid
// that all run at the same time.

#if CLUSTER > 1
// Wait until every block of the cluster has come here and its writes are visible.
static __device__ void meet_in_cluster() {
    __cluster_barrier_arrive();
    __cluster_barrier_wait();
}
#endif

// Wait until each of `blocks` blocks has come here and its writes are visible; me: the block's number; flags: one for
// each block; tag: larger each time.
static __device__ void meet_in_grid(Index* flags, int me, int blocks, Index tag) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        __stwt(flags + me, tag);
    }
    for (int b = threadIdx.x; b < blocks; b += blockDim.x)
        for (int tries = 0; __ldcv(flags + b) < tag; ++tries) {
            if (tries == 1 << 24) __trap();  // after seconds: a block is missing
            __nanosleep(20);
        }
    __threadfence();
    __syncthreads();
}

