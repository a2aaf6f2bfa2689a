// The head: everything that a step does with a last layer of N <= 32 outputs, in one launch.
//
//     z = w a + b, out = f(z), delta = dC/da f'(z)                         feedforward, BP1
//     delta_before = (w^T delta) f'(z_before)                              BP2
//     [w b] moves along delta [a; 1]^T                                     BP3, BP4, and plain SGD's step
//
// Compiled after kernels.cu with a preamble that also defines N; COLUMN, the distance of the columns of small matrices
// in shared memory (N, rounded up to whole Fours); WIDTH, N rounded up to a power of 2; HIDDEN_PRIME(a, z), f' of the
// layer before, unless that is the input; SOFTMAX and PAIRED, if f is softmax, and if delta is a - y; MOVE, the
// statements that move one parameter x along its gradient `sum`; and which arrays MOVE changes: theta, if MOVES_THETA,
// and into, as s0, if STATE, which starts at 0 unless KEEPS. FEWEST is the least number of threads in a group that leaves
// sums in shared memory.
//
// A block has `share` rows of a (inputs of the layer), all their weights, and the last block has the bias, too. It sums
// its part of z; the blocks exchange these parts, and each finishes z, out and delta for its `columns` examples; they
// exchange delta, and all that is left concerns a block's own rows alone. CLUSTER says how blocks exchange numbers: 0,
// through global memory and with a barrier of the grid; more than 1, through their cluster's shared memory; 1, a single
// block, not at all.

#define BLOCKS (CLUSTER ? CLUSTER : (int)gridDim.x)
constexpr int AHEAD = N > 16 ? 1 : 4;  // iterations whose reads overlap, as far as registers go

// How a block's threads share `count` things: in each of several groups, `width` threads take one thing each, and are
// at least as many as `least`, a power of 2.
struct Crew {
    int bits, width, groups, lane, group;

    __device__ explicit Crew(int count, int least = 1) {
        if (count < least) count = least;
        bits = count > 1 ? 32 - __clz(count - 1) : 0;
        while (1 << bits > HEAD_THREADS) --bits;
        width = 1 << bits, groups = HEAD_THREADS >> bits;
        lane = threadIdx.x & (width - 1), group = threadIdx.x >> bits;
    }
};

// sum of read(k) for k = first, first + step, ... < end; eight are read before any is added, so that reads overlap
template <class X, class Read> static __device__ X sum_of(int first, int end, int step, Read read) {
    const int AT_ONCE = 8;
    X total = {};
    for (int k = first; k < end; k += AT_ONCE * step) {
        X held[AT_ONCE];
        for (int r = 0; r < AT_ONCE; ++r) held[r] = k + r * step < end ? read(k + r * step) : X{};
        for (int r = 0; r < AT_ONCE; ++r) total += held[r];
    }
    return total;
}

static __device__ Four<T>& operator+=(Four<T>& sum, const Four<T>& x) {
    for (int r = 0; r < 4; ++r) sum.of[r] += x.of[r];
    return sum;
}

// `count` numbers, of which a thread reads the first at once and the rest when it needs them
struct Copy {
    const T* from;
    int count;
    T early;

    __device__ Copy(const T* from, int count) : from(from), count(count), early(0) {
        if ((int)threadIdx.x < count) early = from[threadIdx.x];
    }

    template <class Put> __device__ void each(Put put) const {
        if ((int)threadIdx.x < count) put(threadIdx.x, early);
        for (int e = threadIdx.x + HEAD_THREADS; e < count; e += HEAD_THREADS) put(e, from[e]);
    }
};

// Move one parameter x along the sum of its gradient over the mini-batch.
static __device__ void move(bool weight, T sum, const T* c, T x, T* theta, T* into) {
    T s0 = STATE && KEEPS ? *into : T(0);
    (void)weight, (void)s0;
    MOVE
    if (MOVES_THETA) *theta = x;
    if (STATE) *into = s0;
}

// Wait until every block has come here and its writes are visible; tag: larger each time.
static __device__ void meet(Index* flags, Index tag) {
    (void)flags, (void)tag;
#if CLUSTER > 1
    meet_in_cluster();
#elif CLUSTER == 1
    __syncthreads();
#else
    meet_in_grid(flags, blockIdx.x, gridDim.x, tag);
#endif
}

// One block's task. The columns of small matrices are COLUMN apart.
struct Task {
    int m, n_in, start, own;           // examples, inputs, and the block's: start, ..., start + own - 1
    int columns, first, mine;          // examples of a block, and this block's: first, ..., first + mine - 1
    int tile, ld_x;                    // examples that are gone through together, distance of columns of x
    bool whole, last;                  // whole: x holds all examples; last: the block also has the bias
    Index ld;                          // distance of the columns of a
    T scale;                           // a factor of a
    T *w, *x, *near, *sums, *targets;  // shared: [w b] (N, own + 1), a (own, ...), delta of a tile, scratch, y
    T *parts, *errors;                 // of the first block: z's parts (N, m) and delta (N, columns), for the others
    Index parts_apart, errors_apart;   // from block to block, if they are in global memory

    __device__ Task(Index m, Index n_in, Index share, Index columns, Index tile, Index whole, Index ld, T scale,
                     T* parts, T* errors)
        : m(m), n_in(n_in), columns(columns), tile(tile), ld_x(share + 1), whole(whole), ld(ld), scale(scale),
          parts(parts), errors(errors) {
        const int me = blockIdx.x, blocks = BLOCKS;
        start = me * (int)share < (int)n_in ? me * (int)share : (int)n_in;  // the last blocks may have nothing
        own = (int)n_in - start < (int)share ? (int)n_in - start : (int)share;
        last = me == blocks - 1;
        first = me * (int)columns, mine = (int)m - first < (int)columns ? (int)m - first : (int)columns;
        T* free = (T*)chip;
        const auto take = [&](int count) {
            T* const at = free;
            free += (count + 3) / 4 * 4;  // whole Fours
            return at;
        };
        w = take(((int)share + 1) * COLUMN), near = take(tile * COLUMN), targets = take(columns * N);
        parts_apart = (Index)blocks * columns * COLUMN, errors_apart = columns * COLUMN;
#if CLUSTER > 0
        this->parts = take(blocks * columns * COLUMN), this->errors = take(columns * COLUMN);
        parts_apart = errors_apart = 0;
#endif
        x = take((whole ? m : tile) * ld_x), sums = free;
    }

    // another block's parts or errors
    __device__ const T* of_block(int block, const T* array, Index apart) const {
#if CLUSTER > 1
        (void)apart;
        return (const T*)__cluster_map_shared_rank(array, block);
#else
        return array + block * apart;
#endif
    }

    __device__ T* a(int j0) const { return x + (whole ? j0 * ld_x : 0); }

    // x = the own rows of a, for `count` examples from j0 on; rows are read in Fours, the last of which may end in the
    // columns' padding
    __device__ void load(const Operand* all, int j0, int count) const {
        const int AT_ONCE = 4;
        T* const to = a(j0);
        const Crew crew((own + 3) / 4);
        for (int k = 4 * crew.lane; k < own; k += 4 * crew.width)
            for (int j = crew.group; j < count; j += AT_ONCE * crew.groups) {
                Four<Operand> held[AT_ONCE];
                for (int r = 0; r < AT_ONCE; ++r) {
                    const int column = j + r * crew.groups < count ? j + r * crew.groups : j;
                    held[r] = at_once<Four<Operand>>(all + (j0 + column) * ld + start + k);
                }
                for (int r = 0; r < AT_ONCE && j + r * crew.groups < count; ++r)
                    for (int i = 0; i < 4; ++i) to[(j + r * crew.groups) * ld_x + k + i] = held[r].of[i];
            }
    }

    // the block's part of z = w a + b, for `count` <= tile examples from j0 on
    __device__ void forward(int j0, int count) const {
        const T* const from = a(j0);
        T* const part = parts + blockIdx.x * parts_apart + j0 * COLUMN;
        const Crew crew(count, FEWEST);
        const int j = crew.lane < count ? crew.lane : count - 1, apart = crew.width | 1;
        T z[COLUMN] = {};
        #pragma unroll AHEAD
        for (int k = crew.group; k < own; k += crew.groups) add(z, w + k * COLUMN, scale * from[j * ld_x + k]);
        if (last && crew.group == 0) add(z, w + own * COLUMN, 1);
        for (int q = 0; q < N; ++q) sums[(crew.group * N + q) * apart + crew.lane] = z[q];
        __syncthreads();
        for (int e = threadIdx.x; e < count * N; e += HEAD_THREADS) {
            const T* const column = sums + e % N * apart + e / N;
            T total = 0;
            for (int g = 0; g < crew.groups; ++g) total += column[g * N * apart];
            part[e / N * COLUMN + e % N] = total;
        }
    }

    // to += by column
    static __device__ void add(T (&to)[COLUMN], const T* column, T by) {
        for (int q = 0; q < COLUMN; q += 4) {
            const Four<T> four = *(const Four<T>*)(column + q);
            for (int r = 0; r < 4; ++r) to[q + r] += by * four.of[r];
        }
    }

    // z, out and delta of the block's own examples
    __device__ void output(Index weighted, const T* weights, T* zs, T* as, Operand* delta, Index ld_delta) const {
        const int fours = mine > 0 ? mine * COLUMN / 4 : 0;
        const Crew crew(fours);
        for (int e = crew.lane; e < fours; e += crew.width) {
            const auto part = [&](int block) {
                return *((const Four<T>*)(of_block(block, parts, parts_apart) + first * COLUMN) + e);
            };
            *((Four<T>*)sums + crew.group * fours + e) = sum_of<Four<T>>(crew.group, BLOCKS, crew.groups, part);
        }
        __syncthreads();
        const int lane = threadIdx.x % WIDTH, q = lane < N ? lane : N - 1;
        for (int c0 = 0; c0 < mine; c0 += HEAD_THREADS / WIDTH) {  // all lanes of a warp, which reduce together
            const int wanted = c0 + threadIdx.x / WIDTH, c = wanted < mine ? wanted : mine - 1;
            const T y = targets[c * N + q];
            T z = 0;
            for (int g = 0; g < crew.groups; ++g) z += sums[4 * g * fours + c * COLUMN + q];
#if SOFTMAX
            const T power = exp(z - lanes_max<WIDTH>(z)), out = power / lanes_sum<WIDTH>(lane < N ? power : T(0));
#else
            const T out = F(z);
#endif
            T error = OUTPUT_ERROR(out, y, z);
            (void)y;
#if SOFTMAX && !PAIRED
            error = out * (error - lanes_sum<WIDTH>(lane < N ? error * out : T(0)));  // the product with the Jacobian
#endif
            if (wanted >= mine || lane >= N) continue;
            if (weighted) error *= weights[first + c];
            const Index at = (Index)(first + c) * N + q;
            zs[at] = z;
            as[at] = out;
            delta[(first + c) * ld_delta + q] = error;
            errors[blockIdx.x * errors_apart + c * COLUMN + q] = error;
        }
    }

    // near = delta of `count` examples from j0 on
    __device__ void gather(int j0, int count) const {
        for (int e = threadIdx.x; e < count * COLUMN / 4; e += HEAD_THREADS) {
            const unsigned at = j0 * COLUMN + 4 * e, size = columns * COLUMN, block = at / size;
            *((Four<T>*)near + e) = *(const Four<T>*)(of_block(block, errors, errors_apart) + (at - block * size));
        }
    }
};

#define SUMS (N + 1)

// A thread's sums over examples: of delta a, for row k of [w b], and of delta[k], for the bias.
struct Sums {
    T w[COLUMN], bias;

    __device__ void store(T* to, int apart) const {
        for (int q = 0; q < N; ++q) to[q * apart] = w[q];
        to[N * apart] = bias;
    }
};

// BP2 of the block's rows by back(w^T delta, a, where it is), and the sums for BP3 and BP4
template <class Back>
static __device__ Sums backward(const Task& my, const Crew& crew, const Operand* before, Back back) {
    const int k = crew.lane;
    Sums sums = {};
    T w[COLUMN] = {};
    if (k < my.own) my.add(w, my.w + k * COLUMN, 1);
    for (int j0 = 0; j0 < my.m; j0 += my.tile) {
        const int count = my.m - j0 < my.tile ? my.m - j0 : my.tile;
        const T* const a = my.a(j0);
        if (j0 > 0) __syncthreads();
        my.gather(j0, count);
        if (!my.whole) my.load(before, j0, count);
        __syncthreads();
        #pragma unroll AHEAD
        for (int j = crew.group; j < count; j += crew.groups) {
            const T* const delta = my.near + j * COLUMN;
            if (k < N) sums.bias += delta[k];
            if (k >= my.own) continue;
            T d[COLUMN] = {}, product = 0;
            my.add(d, delta, 1);
            for (int q = 0; q < N; ++q) {
                sums.w[q] += d[q] * a[j * my.ld_x + k];
                product += d[q] * w[q];
            }
            back(product, a[j * my.ld_x + k], (j0 + j) * my.ld + my.start + k);
        }
    }
    return sums;
}

extern "C" __global__
#if CLUSTER > 1
    __cluster_dims__(CLUSTER, 1, 1)
#endif
    __launch_bounds__(HEAD_THREADS, 1) void head(
        Index m, Index n_in, Index share, Index columns, Index tile, Index whole, Index ld, T scale,
        const Operand* before, const Operand* zs_before, Index masked, const Operand* mask, Operand* delta_before,
        T* theta, T* into, const T* c0, const T* c1, const T* c2, const T* c3, const T* c4, const T* ys, Index weighted,
        const T* weights, T* zs, T* as, Index ld_delta, Operand* delta, Index* words, T* parts, T* errors) {
    const Task my(m, n_in, share, columns, tile, whole, ld, scale, parts, errors);
    const int own = my.own, rows = own + my.last;
    const Index tag = CLUSTER ? 0 : words[0];
    const T c[] = {*c0, *c1, *c2, *c3, *c4};
    const Copy w(theta + (Index)my.start * N, rows * N), y(ys + (Index)my.first * N, my.mine * N);
    my.load(before, 0, my.whole || my.m < my.tile ? my.m : my.tile);
    w.each([&](int e, T x) { my.w[e / N * COLUMN + e % N] = x; });
    y.each([&](int e, T x) { my.targets[e] = x; });
    __syncthreads();

    for (int j0 = 0; j0 < my.m; j0 += my.tile) {
        const int count = my.m - j0 < my.tile ? my.m - j0 : my.tile;
        if (j0 > 0) {
            if (!my.whole) my.load(before, j0, count);
            __syncthreads();
        }
        my.forward(j0, count);
    }
    meet(words + 1, tag + 1);
    my.output(weighted, weights, zs, as, delta, ld_delta);
    meet(words + 1, tag + 2);

    const Crew crew(own, WIDTH > FEWEST ? WIDTH : FEWEST);  // threads for all rows, and for all of the bias
    const int apart = crew.width | 1;
    const auto back = [&](T product, T a, Index at) {
#if defined(HIDDEN_PRIME)
        const T z = zs_before[at], error = scale * product * (HIDDEN_PRIME(a, z));
        (void)a, (void)z;
        delta_before[at] = masked ? error * mask[at] : error;
#else
        (void)product, (void)a, (void)at, (void)zs_before, (void)masked, (void)mask, (void)delta_before;
#endif
    };
    backward(my, crew, before, back).store(my.sums + crew.group * SUMS * apart + crew.lane, apart);
#if CLUSTER > 1
    __cluster_barrier_arrive();  // this block reads nothing of the others any more
#endif
    __syncthreads();
    const auto sum = [&](int q, int k) {  // over the groups
        const T* const own_sums = my.sums + q * apart + k;
        return sum_of<T>(0, crew.groups, 1, [&](int g) { return own_sums[g * SUMS * apart]; });
    };
    for (int e = threadIdx.x; e < rows * N; e += HEAD_THREADS) {
        const int k = e / N, q = e % N;
        const bool weight = k < own;
        move(weight, weight ? scale * sum(q, k) : sum(N, q), c, my.w[k * COLUMN + q],
             theta + (Index)my.start * N + e, into + (Index)my.start * N + e);
    }
    if (CLUSTER == 0 && blockIdx.x == 0 && threadIdx.x == 0) words[0] = tag + 2;
#if CLUSTER > 1
    __cluster_barrier_wait();
#endif
}
