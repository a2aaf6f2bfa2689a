// The resident kernel: many steps of a small network in one launch, and a block for each of many networks.
//
// Compiled after kernels.cu with a preamble that makes everything about the network a constant: DEPTH (L), SIZES
// (n_0, ..., n_L), activation(l, z) and derivative(l, a, z) of the hidden layers, F and the cost of the last, the
// mini-batch's BATCH examples, and MOVE: the statements that move one parameter, generated from the update's equations.
// What differs from network to network (theta, the order of the examples, eta, ...) comes from the table of Members.
//
// Who holds theta. In layer l each of n_l * GROUPS threads *owns* parameters: thread t those of unit t % n_l, for every
// GROUPS-th input from t / n_l on; the bias counts as one more input, which is always 1. Only the owner sums the
// gradient of its parameters and moves them, so gradient and optimizer's states stay in its registers (or, if these are
// short, in its own column of shared memory, or in device memory: STATES_IN). The weights themselves lie in shared
// memory, where all threads read them as products need it: w[l] as (n_l, n_{l-1} + 1), column-major, with an odd
// leading dimension, which avoids bank conflicts in rows and in columns.
//
// FIRST_IN_REGISTERS: a wide first layer with few examples a step is too large for that, and has too few sums for all
// threads. Its owners then keep the weights in registers, too, and sum z[1] over their own inputs; the parts of the
// groups are added up in shared memory. No other layer needs w[1], as there is no BP2 for it.
//
// CLUSTER: a network of its own may have several blocks, which share out the inputs of the first layer. They exchange
// their sums of z[1] through each other's shared memory, once a tile; all the rest is so little that each does all of it,
// in the same order, so that their results are bitwise identical.
//
// A mini-batch is worked off in tiles of COLUMNS examples; gradients are summed tile after tile, in this order. A row of
// x, a or delta holds one unit in all examples of the tile, and rows are ROW apart. While a tile is worked on, the
// next one's examples are on their way into registers (Ahead), and the one after that's indices.

#if defined(__CUDACC__)
#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define UNROLL_4 _Pragma("unroll 4")
#define ROLLED _Pragma("unroll 1")
#else
#define DEVICE static __device__
#define UNROLL
#define UNROLL_4
#define ROLLED
#endif

constexpr int SIZE[] = {SIZES}, START[] = {STARTS};  // START[l]: of layer l in theta
constexpr int C = COLUMNS, L = DEPTH, N_IN = SIZE[0] / CLUSTER, N_OUT = SIZE[L], SIZE_0 = SIZE[0];  // N_IN: a block's share of the inputs
constexpr bool ONE_TILE = C >= BATCH;
enum Place { IN_REGISTERS, IN_SHARED, IN_MEMORY };

__device__ constexpr int quotient_up(int a, int b) { return (a + b - 1) / b; }
__device__ constexpr int least(int a, int b) { return a < b ? a : b; }

// What a block needs to know of its network; the same order as in resident.py.
struct Member {
    T *theta, *first, *second;   // first and second: the optimizer's states, like theta
    const Index* order;          // of the examples; null if they lie in the order of the pass
    Index* position;             // how many examples the pass has come
    const Input* xs;             // (n_0, all examples)
    const Index* labels;         // of all examples, or
    const T* targets;            // (n_L, all examples)
    const T* weights;            // of all examples, if WEIGHTED
    const double* etas;          // the learning rate of each step; null if it is constant
    Index* step;                 // how many steps the pass has come, if it is scheduled
    double* counter;             // of the rule's steps
    T* losses;
    unsigned char* hits;
    const double* numbers;       // eta; n0, n1, n2; on, off, threshold; then p and q of each scalar, for BATCH examples
                                 // and for those of the last step
    Index count;                 // of the examples
};

// The layout of the block's shared memory, in elements.
template <int l> struct Layer {
    static constexpr int n_in = l > 1 ? SIZE[l - 1] : N_IN, n = SIZE[l], ld = n | 1, start = START[l];
    static constexpr bool shared_w = l > 1 || !FIRST_IN_REGISTERS;
    static constexpr int GROUPS = least(WIDTH / n, n_in + 1), OWN = quotient_up(n_in + 1, GROUPS);
    static constexpr int w = Layer<l - 1>::end, a = w + shared_w * quotient_up(ld * (n_in + 1), 4) * 4;
    static constexpr int delta = a + (l < L) * (n + 1) * ROW, states = delta + n * ROW;
    static constexpr int end = states + (STATES_IN == IN_SHARED) * STATES * OWN * WIDTH;
};

template <> struct Layer<0> {
    static constexpr int size_x = (N_IN + 1) * ROW, parts = BUFFERS * size_x;
    static constexpr int sums = parts + FIRST_IN_REGISTERS * C * WIDTH;
    static constexpr int end = sums + (CLUSTER > 1) * 2 * CLUSTER * SIZE[1] * C;
};

extern __shared__ Four<double> chip[];

// threadIdx.x; what follows from it is computed anew in each phase, since it would take registers if it were kept
DEVICE int thread() {
    int t = threadIdx.x;
    asm volatile("" : "+r"(t));
    return t;
}

DEVICE T* at(int element) { return (T*)chip + element; }

// The numbers of a step that all parameters share: the scalars of the update's equations and the rule's pace.
struct Pace {
    T c[SCALARS], r0, r1;
};

// The rest of shared memory; what the next tile or step needs stands beside what this one does.
struct Extras {
    Member member;     // here, since its pointers would take registers
    double powers[2];  // n0 and n1 to the power of the steps counted
    T constants[CONSTANTS + 3];  // n0, n1, n2, on, off, threshold
    Pace pace[2];
    int index[2][C], label[2][C];
    T weight[2][C];
#if !defined(LABELLED)
    T y[2][C][N_OUT];
#endif
};

DEVICE Extras& extras() { return *(Extras*)(chip + quotient_up(Layer<L>::end * sizeof(T), sizeof *chip)); }

// What a thread owns of layers 1 to l. Arrays that lie elsewhere take no registers, since nobody uses them.
template <int l> struct Own : Own<l - 1> {
    T w[Layer<l>::OWN], gradient[Layer<l>::OWN], states[STATES > 0 ? STATES : 1][Layer<l>::OWN];
};
template <> struct Own<0> {};

// Tiles, by their first example: a step ends where the mini-batch or the pass does.
struct Tiles {
    int count;  // examples

    __device__ int stop(int from) const {
        const int end = (from / BATCH + 1) * BATCH;
        return end < count ? end : count;
    }
    __device__ int columns(int from) const { return least(C, stop(from) - from); }
    __device__ bool last(int from) const { return from + C >= stop(from); }
    __device__ int next(int from) const { return last(from) ? stop(from) : from + C; }
};

// ---------------------------------------------------------------- examples, read ahead

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
        if (from < tiles.count && j < tiles.columns(from)) index = my.order ? my.order[start + from + j] : from + j;
    }
    __device__ void put_index(int side) const {
        if (thread() < C) extras().index[side][thread()] = index;
    }
};

// ---------------------------------------------------------------- products

// finish(i, j, sums, Q): sums[q] = start(i) + sum_k w[i BY_ROW + k BY_INNER] b[k][j + q], for all i < ROWS and the tile's
// columns. A thread has R rows and Q columns at once.
template <int ROWS_, int INNER, int BY_ROW, int BY_INNER, int R, int Q, class Start, class Finish>
DEVICE void product_in(const T* w, const T* b, Start start, Finish finish) {
    constexpr int APART = quotient_up(ROWS_, R);
    ROLLED
    for (int e = thread(); e < APART * (C / Q); e += WIDTH) {
        const int i = e % APART, j = e / APART * Q;
        T sums[R][Q];
        UNROLL
        for (int r = 0; r < R; ++r)
            UNROLL
            for (int q = 0; q < Q; ++q) sums[r][q] = start(least(i + r * APART, ROWS_ - 1));
        UNROLL_4
        for (int k = 0; k < INNER; ++k) {
            T column[Q];
            UNROLL
            for (int q = 0; q < Q; q += 4) *(Four<T>*)(column + q) = *(const Four<T>*)(b + k * ROW + j + q);
            UNROLL
            for (int r = 0; r < R; ++r) {
                const T by = w[least(i + r * APART, ROWS_ - 1) * BY_ROW + k * BY_INNER];
                UNROLL
                for (int q = 0; q < Q; ++q) sums[r][q] += by * column[q];
            }
        }
        UNROLL
        for (int r = 0; r < R; ++r)
            if (R == 1 || i + r * APART < ROWS_) finish(i + r * APART, j, sums[r], Q);
    }
}

// as many rows and columns a thread as leaves something to do for each thread
template <int ROWS_, int INNER, int BY_ROW, int BY_INNER, class Start, class Finish>
DEVICE void product(const T* w, const T* b, Start start, Finish finish) {
    constexpr int EACH = C % 8 ? 0 : ROWS_ * C / WIDTH;
    constexpr int R = EACH >= 16 ? 2 : 1, Q = EACH >= 8 ? 8 : 4;
    product_in<ROWS_, INNER, BY_ROW, BY_INNER, R, Q>(w, b, start, finish);
}

// z[1]: sums over a thread's own inputs, into shared memory
DEVICE void sum_own(const Own<L>& own, const T* x) {
    using My = Layer<1>;
    constexpr int AT = C % 8 ? C : least(C, 16);
    const int group = thread() / My::n;
    if (group >= My::GROUPS) return;
    ROLLED
    for (int j0 = 0; j0 < C; j0 += AT) {
        T sums[AT] = {};
        UNROLL
        for (int q = 0; q < My::OWN; ++q) {
            const int k = group + q * My::GROUPS;
            if (q == My::OWN - 1 && k > My::n_in) continue;
            const T by = static_cast<const Own<1>&>(own).w[q];
            UNROLL
            for (int j = 0; j < AT; j += 4) {
                const Four<T> four = *(const Four<T>*)(x + k * ROW + j0 + j);
                UNROLL
                for (int r = 0; r < 4; ++r) sums[j + r] += by * four.of[r];
            }
        }
        UNROLL
        for (int j = 0; j < AT; ++j) at(Layer<0>::parts)[(j0 + j) * WIDTH + thread()] = sums[j];
    }
}

// z[1] of unit i and column j
DEVICE T sum_of_parts(int i, int j) {
    T sum = 0;
    UNROLL
    for (int g = 0; g < Layer<1>::GROUPS; ++g) sum += at(Layer<0>::parts)[j * WIDTH + g * Layer<1>::n + i];
    return sum;
}

#if CLUSTER > 1
DEVICE int rank() { return __clusterRelativeBlockRank(); }

DEVICE void meet() {
    __cluster_barrier_arrive();
    __cluster_barrier_wait();
}

// send the block's sums of z[1] to all blocks of its cluster, and wait for theirs
DEVICE void exchange(int side) {
    constexpr int ALL = Layer<1>::n * C;
    for (int e = thread(); e < ALL; e += WIDTH) {
        const T sum = sum_of_parts(e % Layer<1>::n, e / Layer<1>::n);
        for (int r = 0; r < CLUSTER; ++r)
            ((T*)__cluster_map_shared_rank(at(Layer<0>::sums), r))[(side * CLUSTER + rank()) * ALL + e] = sum;
    }
    meet();
}

// z[1] of unit i and column j; two sides, since a block may be a tile ahead of another
DEVICE T first_sum(int i, int j, int side) {
    constexpr int ALL = Layer<1>::n * C;
    T sum = 0;
    UNROLL
    for (int r = 0; r < CLUSTER; ++r) sum += at(Layer<0>::sums)[(side * CLUSTER + r) * ALL + j * Layer<1>::n + i];
    return sum;
}
#else
DEVICE int rank() { return 0; }
DEVICE T first_sum(int i, int j, int) { return sum_of_parts(i, j); }
#endif

// a[l] = f(z[l]) and, in delta[l], f'(z[l]), for the hidden layers from l on, each with a barrier behind it; a[L-1]
template <int l> DEVICE const T* feed_forward(const T* before, int side) {
    if constexpr (l == L) return before;
    else {
        using My = Layer<l>;
        T *const a = at(My::a), *const delta = at(My::delta), *const w = at(My::w);
        const auto feed = [&](int i, int j, T z) {
            a[i * ROW + j] = activation(l, z);
            delta[i * ROW + j] = derivative(l, a[i * ROW + j], z);
        };
        if constexpr (My::shared_w)
            product<My::n, My::n_in, 1, My::ld>(w, before, [&](int i) { return w[My::n_in * My::ld + i]; },
                                                [&](int i, int j, const T* z, int count) {
                                                    for (int q = 0; q < count; ++q) feed(i, j + q, z[q]);
                                                });
        else
            for (int e = thread(); e < My::n * C; e += WIDTH)
                feed(e % My::n, e / My::n, first_sum(e % My::n, e / My::n, side));
        __syncthreads();
        return feed_forward<l + 1>(a, side);
    }
}

// ---------------------------------------------------------------- the last layer: a, the loss, the hit and BP1

// Adds up, or finds the largest, over the LANES_OUT neighbours that share a column.
__device__ constexpr int power_of_2(int n) { return n > 1 ? 2 * power_of_2((n + 1) / 2) : 1; }
constexpr int LANES_OUT = least(LANES, power_of_2(N_OUT)), UNITS = quotient_up(N_OUT, LANES_OUT);

template <class Join> DEVICE T joined(T x, Join join) {
    UNROLL
    for (int apart = LANES_OUT / 2; apart; apart /= 2) x = join(x, __shfl_xor_sync(0xffffffff, x, apart));
    return x;
}

DEVICE T total(T x) {
    return joined(x, [](T a, T b) { return a + b; });
}

// the unit of the largest output; the first, if several are equal
DEVICE int winner(const T (&a)[UNITS], int lane) {
    T most = a[0];
    int best = lane;
    UNROLL
    for (int u = 1; u < UNITS; ++u)
        if (lane + u * LANES_OUT < N_OUT && a[u] > most) most = a[u], best = lane + u * LANES_OUT;
    UNROLL
    for (int apart = LANES_OUT / 2; apart; apart /= 2) {
        const T other = __shfl_xor_sync(0xffffffff, most, apart);
        const int whose = __shfl_xor_sync(0xffffffff, best, apart);
        if (whose < N_OUT && (best >= N_OUT || other > most || (other == most && whose < best))) most = other, best = whose;
    }
    return best;
}

// column j of the tile: z to a, its loss and hit, and delta = dC/da f'(z)
DEVICE void finish_column(const Member& my, const T (&z)[UNITS], int lane, int j, int side,
                                                     bool there, Index example) {
    const Extras& extra = extras();
    const T weight = there ? extra.weight[side][j] : T(0);
    const int label = there ? extra.label[side][j] : 0;
    (void)label;
    T a[UNITS], loss = 0;
#if defined(F)
    UNROLL
    for (int u = 0; u < UNITS; ++u) a[u] = [](T z) -> T { return F(z); }(z[u]);
#else
    T most = z[0], sum = 0;
    UNROLL
    for (int u = 0; u < UNITS; ++u) most = lane + u * LANES_OUT < N_OUT && z[u] > most ? z[u] : most;
    most = joined(most, [](T a, T b) { return a > b ? a : b; });
    UNROLL
    for (int u = 0; u < UNITS; ++u) sum += a[u] = lane + u * LANES_OUT < N_OUT ? exp(z[u] - most) : T(0);
    sum = total(sum);
    UNROLL
    for (int u = 0; u < UNITS; ++u) a[u] /= sum;
#endif
    UNROLL
    for (int u = 0; u < UNITS; ++u) {
        const int i = lane + u * LANES_OUT;
        if (i >= N_OUT) continue;
#if defined(LABELLED)
        const T y = extra.constants[CONSTANTS + (label == (N_OUT == 1 ? 1 : i) ? 0 : 1)];
#else
        const T y = there ? extra.y[side][j][i] : T(0);
#endif
        const auto error = [](T a, T y, T z) -> T { (void)a, (void)z; return OUTPUT_ERROR(a, y, z); };
        loss += [](T a, T y, T z) -> T { (void)a, (void)z; return LOSS(a, y, z); }(a[u], y, z[u]);
        if (j < C) at(Layer<L>::delta)[i * ROW + j] = weight == 0 ? T(0) : weight * error(a[u], y, z[u]);
    }
    loss = total(loss);
#if defined(LABELLED)
    const int best = N_OUT > 1 ? winner(a, lane) : a[0] > extra.constants[CONSTANTS + 2];
    if (there && lane == 0 && rank() == 0) my.hits[example] = best == label;
#endif
    if (there && lane == 0 && rank() == 0) my.losses[example] = WEIGHTED ? weight * loss : loss;
}

// the last layer, for the tile of `columns` examples from `example` of the pass on
DEVICE void finish(const Member& my, const T* before, int columns, int side, Index example) {
    using My = Layer<L>;
    constexpr int AT = C * LANES_OUT <= 2 * WIDTH ? 1 : 4;  // columns of a thread
    constexpr int ALL = quotient_up(C / AT * LANES_OUT, LANES) * LANES;  // lanes of a warp stay together
    const T* const w = at(My::w);
    ROLLED
    for (int e = thread(); e < ALL; e += WIDTH) {
        const int lane = e % LANES_OUT, j0 = e / LANES_OUT * AT, j1 = least(j0, C - AT);
        T z[AT][UNITS];
        UNROLL
        for (int u = 0; u < UNITS; ++u) {
            const int i = least(lane + u * LANES_OUT, N_OUT - 1);
            UNROLL
            for (int q = 0; q < AT; ++q) {
                if constexpr (My::shared_w) z[q][u] = w[My::n_in * My::ld + i];
                else z[q][u] = first_sum(i, j1 + q, side);
            }
        }
        if constexpr (My::shared_w)
        UNROLL_4
            for (int k = 0; k < My::n_in; ++k) {
                T column[AT];
                if constexpr (AT == 4) *(Four<T>*)column = *(const Four<T>*)(before + k * ROW + j1);
                else column[0] = before[k * ROW + j1];
                UNROLL
                for (int u = 0; u < UNITS; ++u) {
                    const T by = w[k * My::ld + least(lane + u * LANES_OUT, N_OUT - 1)];
                    UNROLL
                    for (int q = 0; q < AT; ++q) z[q][u] += by * column[q];
                }
            }
        UNROLL
        for (int q = 0; q < AT; ++q) finish_column(my, z[q], lane, j0 + q, side, j0 + q < columns, example + j0 + q);
    }
    __syncthreads();
}

// ---------------------------------------------------------------- learning

// BP2: delta[l-1] = (w[l]^T delta[l]) f'(z[l-1]), for layer l and those before; each ends with a barrier
template <int l> DEVICE void go_back() {
    if constexpr (l > 1) {
        using My = Layer<l>;
        T* const before = at(Layer<l - 1>::delta);
        product<My::n_in, My::n, My::ld, 1>(at(My::w), at(My::delta), [](int) { return T(0); },
                                            [&](int i, int j, const T* sums, int count) {
                                                for (int q = 0; q < count; ++q) before[i * ROW + j + q] *= sums[q];
                                            });
        __syncthreads();
        go_back<l - 1>();
    }
}

// x, clamped to [-limit, limit]
DEVICE T clamped(T x, T limit) { return x > limit ? limit : x < -limit ? -limit : x; }

// Move one parameter; sum: its gradient, summed over the mini-batch.
DEVICE void move(const T* constants, const Pace& now, bool weight, T sum, T& x, T& s0, T& s1) {
    const T *const c = now.c, n0 = constants[0], n1 = constants[1], n2 = constants[2], r0 = now.r0, r1 = now.r1;
    (void)c, (void)weight, (void)n0, (void)n1, (void)n2, (void)r0, (void)r1, (void)s0, (void)s1;
#if defined(RULE)
    T g = 0;
#endif
    MOVE
}

// where the weight of input k of unit i of layer l lies in theta; the last input is the bias
template <int l> DEVICE int place(int k, int i) {
    using My = Layer<l>;
    const int input = l > 1 || CLUSTER == 1 ? k : k < N_IN ? rank() * N_IN + k : SIZE_0;
    return My::start + input * My::n + i;
}

// f(q, k, place of the parameter) for each parameter of layer l that this thread owns: input k of its unit
template <int l, class F_> DEVICE void each_own(F_ f) {
    using My = Layer<l>;
    const int i = thread() % My::n, group = thread() / My::n;
    if (group >= My::GROUPS) return;
    UNROLL
    for (int q = 0; q < My::OWN; ++q) {
        const int k = group + q * My::GROUPS;
        if (q < My::OWN - 1 || k <= My::n_in) f(q, k, place<l>(k, i));
    }
}

// where state s of the thread's own parameter q lies
template <int l> DEVICE T& state(const Member& my, Own<l>& own, int s, int q, int index) {
    using My = Layer<l>;
    if constexpr (STATES_IN == IN_REGISTERS) return own.states[s][q];
    else if constexpr (STATES_IN == IN_SHARED) return at(My::states)[(s * My::OWN + q) * WIDTH + thread()];
    else return (s ? my.second : my.first)[index];
}

// BP3 and BP4 of layers l to L, and the move, if this is a mini-batch's last tile
template <int l> DEVICE void learn(const Member& my, Own<L>& all, const T* before, bool last, const Pace& now) {
    using My = Layer<l>;
    Own<l>& own = all;
    constexpr int D = C <= 16 ? C : C % 8 ? 4 : 8;  // columns of delta in registers
    constexpr int AT_ONCE = D == C ? 2 : 4;         // parameters whose gradients are summed side by side
    const int i = thread() % My::n, group = thread() / My::n;
    T delta[D];
    const auto load_delta = [&](int j0) {
        UNROLL
        for (int j = 0; j < D; j += 4) *(Four<T>*)(delta + j) = *(const Four<T>*)(at(My::delta) + i * ROW + j0 + j);
    };
    if (group < My::GROUPS) {
        if (D == C) load_delta(0);
        UNROLL
        for (int q0 = 0; q0 < My::OWN; q0 += AT_ONCE) {
            T sums[AT_ONCE] = {};
            ROLLED
            for (int j0 = 0; j0 < C; j0 += D) {
                if (D < C) load_delta(j0);
                UNROLL
                for (int r = 0; r < AT_ONCE; ++r) {
                    if (q0 + r >= My::OWN) continue;
                    const int own_k = group + (q0 + r) * My::GROUPS, k = q0 + r < My::OWN - 1 ? own_k : least(own_k, My::n_in);
                    UNROLL
                    for (int j = 0; j < D; j += 4) {
                        const Four<T> four = *(const Four<T>*)(before + k * ROW + j0 + j);
                        UNROLL
                        for (int p = 0; p < 4; ++p) sums[r] += delta[j + p] * four.of[p];
                    }
                }
            }
            UNROLL
            for (int r = 0; r < AT_ONCE; ++r) {
                const int q = q0 + r, k = group + q * My::GROUPS;
                if (q >= My::OWN || (q == My::OWN - 1 && k > My::n_in)) continue;
                if (!ONE_TILE) sums[r] = own.gradient[q] += sums[r];
                if (!ONE_TILE && !last) continue;
                const int index = place<l>(k, i);
                T unused = 0, &w = My::shared_w ? at(My::w)[k * My::ld + i] : own.w[q];
                T& s0 = STATES > 0 ? state<l>(my, own, 0, q, index) : unused;
                T& s1 = STATES > 1 ? state<l>(my, own, 1, q, index) : unused;
                move(extras().constants, now, k < My::n_in, sums[r], w, s0, s1);
                if (!ONE_TILE) own.gradient[q] = 0;
            }
        }
    }
    if constexpr (l < L) learn<l + 1>(my, all, at(My::a), last, now);
}

// between theta in device memory and where the launch keeps it
template <int l> DEVICE void load_theta(const Member& my, Own<L>& all) {
    using My = Layer<l>;
    Own<l>& own = all;
    each_own<l>([&](int q, int k, int index) {
        (My::shared_w ? at(My::w)[k * My::ld + thread() % My::n] : own.w[q]) = my.theta[index];
        own.gradient[q] = 0;
        if (STATES_IN == IN_MEMORY) return;
        if (STATES > 0) state<l>(my, own, 0, q, index) = my.first[index];
        if (STATES > 1) state<l>(my, own, 1, q, index) = my.second[index];
    });
    if constexpr (l < L) {
        for (int j = thread(); j < ROW; j += WIDTH) at(My::a)[My::n * ROW + j] = 1;
        load_theta<l + 1>(my, all);
    }
}

template <int l> DEVICE void store_theta(const Member& my, Own<L>& all) {
    using My = Layer<l>;
    Own<l>& own = all;
    each_own<l>([&](int q, int k, int index) {
        if (rank() > 0 && (l > 1 || k == N_IN)) return;  // all blocks have the same
        my.theta[index] = My::shared_w ? at(My::w)[k * My::ld + thread() % My::n] : own.w[q];
        if (STATES_IN == IN_MEMORY) return;
        if (STATES > 0) my.first[index] = state<l>(my, own, 0, q, index);
        if (STATES > 1) my.second[index] = state<l>(my, own, 1, q, index);
    });
    if constexpr (l < L) store_theta<l + 1>(my, all);
}

// the numbers of the next step, of BATCH examples or fewer
DEVICE void set_pace(const Member& my, Pace& next, double eta, bool whole) {
    const double* const pq = my.numbers + 4 + CONSTANTS + (whole ? 0 : 2 * SCALARS);
    for (int k = 0; k < SCALARS; ++k) next.c[k] = pq[2 * k] + pq[2 * k + 1] * eta;
#if defined(RULE)
    const double n0 = my.numbers[1], n1 = my.numbers[2], n2 = my.numbers[3];
#if defined(COUNTS_STEPS)
    const double p0 = extras().powers[0] *= n0, p1 = extras().powers[1] *= n1;
    (void)p0, (void)p1;
#endif
    (void)n0, (void)n1, (void)n2;
    next.r0 = PACE_0, next.r1 = PACE_1;
#endif
}

// a block for each member
extern "C" __global__
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
__launch_bounds__(WIDTH, RESIDENT) void train(const Member* members) {
    Extras& extra = extras();
    const Member& my = extra.member;
    if (thread() == 0) extra.member = members[blockIdx.x / CLUSTER], extra.member.xs += rank() * N_IN;
    __syncthreads();
    const Tiles tiles{(int)my.count};
    const Index start = *my.position, before = my.etas ? *my.step : 0;
    const bool keeper = thread() == WIDTH - 1;  // of the pace
    Own<L> own{};
    Ahead ahead;
    load_theta<1>(my, own);
    for (int j = thread(); j < BUFFERS * ROW; j += WIDTH)
        at(j / ROW * Layer<0>::size_x)[N_IN * ROW + j % ROW] = rank() == 0;  // the bias counts once
    if (thread() < CONSTANTS + 3) extra.constants[thread()] = my.numbers[1 + thread()];
    ahead.load_index(my, tiles, start, 0);
    ahead.put_index(0);
    if (keeper) {
#if defined(COUNTS_STEPS)
        for (int k = 0; k < 2; ++k) extra.powers[k] = pow(my.numbers[1 + k], my.counter[0]);
#endif
        set_pace(my, extra.pace[0], my.etas ? my.etas[before] : my.numbers[0], tiles.stop(0) == BATCH);
    }
    __syncthreads();
    ahead.load(my, tiles.columns(0), extra.index[0]);
    ahead.put(at(0), 0);
    ahead.load_index(my, tiles, start, tiles.next(0));
    ahead.put_index(1);
    __syncthreads();
#if CLUSTER > 1
    meet();  // all blocks have begun
#endif
    int steps = 0, side = 0;
    for (int from = 0; from < tiles.count; side ^= 1) {
        const int next = tiles.next(from), other = side ^ 1;
        const bool last = tiles.last(from), more = next < tiles.count;
        T *const x = at(BUFFERS > 1 ? side * Layer<0>::size_x : 0);
        T *const next_x = at(BUFFERS > 1 ? other * Layer<0>::size_x : 0);
        if (more) {
            ahead.load(my, tiles.columns(next), extra.index[other]);
            ahead.load_index(my, tiles, start, tiles.next(next));
            if (keeper && last) ahead.eta = my.etas ? my.etas[before + steps + 1] : my.numbers[0];
        }
        if (FIRST_IN_REGISTERS) {
            sum_own(own, x);
            __syncthreads();
#if CLUSTER > 1
            exchange(side);
#endif
        }
        const T* const inputs = feed_forward<1>(x, side);  // of the last layer
        if (more) {  // everyone is done with the tile before
            if (BUFFERS > 1) ahead.put(next_x, other);
            ahead.put_index(side);
            if (keeper && last) set_pace(my, extra.pace[(steps + 1) % 2], ahead.eta, tiles.stop(next) - next == BATCH);
        }
        finish(my, inputs, tiles.columns(from), side, start + from);
        go_back<L>();
        learn<1>(my, own, x, last, extra.pace[steps % 2]);
        if (!FIRST_IN_REGISTERS || BUFFERS == 1) __syncthreads();
        if (BUFFERS == 1 && more) {
            ahead.put(x, other);
            __syncthreads();
        }
        steps += last;
        from = next;
    }
    store_theta<1>(my, own);
    if (thread() > 0 || rank() > 0) return;
    *my.position = start + tiles.count;
    if (my.etas) *my.step = before + steps;
#if defined(COUNTS_STEPS)
    my.counter[0] += steps;
#endif
}

static_assert(sizeof(Extras) + quotient_up(Layer<L>::end * sizeof(T), sizeof *chip) * sizeof *chip == SHARED, "");
