// The resident kernel's examples, which are read ahead of their use.

// Tiles, by their first example in the first block: a step ends where the mini-batch or the pass does. A block that has
// none of a step's examples, as others share them out, has an empty tile.
struct Tiles {
    int count;  // examples

    __device__ int stop(int from) const { return least((from / BATCH + 1) * BATCH, count); }
    __device__ int first(int from) const { return from + SHARES_EXAMPLES * rank() * SHARE; }  // in this block
    __device__ int left(int from) const {  // of the block's examples of the step
        return least(SHARE - from % BATCH, stop(from) - first(from));
    }
    __device__ int columns(int from) const { return least(C, left(from)); }
    __device__ bool last(int from) const { return left(from) <= C; }
    __device__ int next(int from) const { return last(from) ? stop(from) : from + C; }
};

// A thread loads words of PER_WORD inputs: of the 32 lanes of a warp eight read side by side in an example, and four in
// the next ones. Each lane begins with another input of its word, so that the writes go to different banks.
#if PER_WORD == 4
typedef unsigned Word;
#else
typedef Input Word;
#endif
constexpr int WORDS = N_IN / PER_WORD, EIGHTS = quotient_up(WORDS, 8), LOADS = quotient_up(EIGHTS * 8 * C, WIDTH);

// the column and the word of a thread's load q, computed anew each time: kept, they would take registers
struct Spot {
    int j, k;

    __device__ explicit Spot(int q) {
        const int e = thread() + q * WIDTH;
        j = e / 32 / EIGHTS * 4 + e % 4, k = e / 32 % EIGHTS * 8 + e / 4 % 8;
    }
};

struct Ahead {
    Word x[LOADS];
    int index, label;
    T weight;
    double eta = 0;
#if !defined(LABELLED)
    static constexpr int TARGETS = quotient_up(N_OUT * C, WIDTH);
    T y[TARGETS];
#endif

    // load the tile of `columns` examples at `index`
    __device__ void load(const Member& my, int columns, const int* index) {
        UNROLL
        for (int q = 0; q < LOADS; ++q) {
            const Spot to(q);
            x[q] = Word{};
            if (to.j < columns && to.k < WORDS) x[q] = ((const Word*)(my.xs + (Index)index[to.j] * LD_X))[to.k];
        }
#if !defined(LABELLED)
        UNROLL
        for (int q = 0; q < TARGETS; ++q) {
            const int e = thread() + q * WIDTH, j = e / N_OUT;
            y[q] = j < columns ? my.targets[(Index)index[j] * N_OUT + e % N_OUT] : T(0);
        }
#endif
        label = 0, weight = 0;
        const int j = thread();
        if (j >= columns) return;
        const int mine = index[j];
        weight = WEIGHTED ? my.weights[mine] : T(1);
#if defined(LABELLED)
        label = my.labels[mine];
#endif
    }

    // the same, into shared memory
    __device__ void put(T* into, int side) const {
        Extras& extra = extras();
        UNROLL
        for (int q = 0; q < LOADS; ++q) {
            const Spot to(q);
            if (to.j >= C || to.k >= WORDS) continue;
#if PER_WORD == 4
            UNROLL
            for (int r = 0; r < PER_WORD; ++r) {
                const int p = (to.k / 2 + r) % PER_WORD;
                into[(to.k * PER_WORD + p) * ROW + to.j] = T(x[q] >> 8 * p & 255) * T(INPUT_SCALE);
            }
#else
            into[to.k * ROW + to.j] = T(x[q]) * T(INPUT_SCALE);
#endif
        }
#if !defined(LABELLED)
        UNROLL
        for (int q = 0; q < TARGETS; ++q) {
            const int e = thread() + q * WIDTH;
            if (e < N_OUT * C) extra.y[side][e / N_OUT][e % N_OUT] = y[q];
        }
#endif
        if (thread() < C) extra.label[side][thread()] = label, extra.weight[side][thread()] = weight;
    }

    // load the index of column thread() of the tile at `from`
    __device__ void load_index(const Member& my, const Tiles& tiles, Index start, int from) {
        const int j = thread();
        index = 0;
        if (from >= tiles.count || j >= tiles.columns(from)) return;
        const int mine = tiles.first(from) + j;
        index = my.order ? my.order[start + mine] : mine;
    }
    __device__ void put_index(int side) const {
        if (thread() < C) extras().index[side][thread()] = index;
    }
};

