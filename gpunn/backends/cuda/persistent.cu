// The persistent kernel: all steps of a plan in one launch, for a network whose theta fits into shared memory.
//
// Compiled after kernels.cu with a preamble that also defines activation(l, z) and derivative(l, a, z) of the hidden
// layers, TILE, and MOVE: the statements that move one parameter, generated from the update's equations. MOVE
// contains RULE if the optimizer has a rule.
//
// Every block holds all of theta except for the first layer, of which it holds only the columns for its own share of
// the inputs. Its part of z[1] goes to the other blocks through global memory, once a step. There is little to do
// after the first layer, so each block does all of it, in the same order, and their results are bitwise identical.
//
// In shared memory a layer's [w b] is column-major with the leading dimension `ld`, which is odd to avoid bank
// conflicts in rows and columns. A row of x, y, a or delta holds one unit in all examples; rows are `row` apart.
// Below a there is a row of ones, so that the bias is one more column of the product.

typedef unsigned long long Word;

extern __shared__ Four<double> chip[];

// An array in shared memory, by its offset in elements.
struct Place {
    int at;

    __device__ operator T*() const { return (T*)chip + at; }
};

// The layout of a block's shared memory, computed in persistent.py.
struct Layout {
    int columns, row, share;  // examples rounded up to whole tiles, distance of rows, inputs of a block
    Place x, y, sums, constants, pace, powers, layers;  // x and y: of this step and of the next
};

struct Layer {
    int n_in, n, ld;
    Place wb, first, second;  // [w b], and the optimizer's states in the same layout
    Place a, delta;           // delta: first f'(z), then the error
};

static_assert(sizeof(Layout) == LAYOUT_INTS * sizeof(int) && sizeof(Layer) == LAYER_INTS * sizeof(int), "");

// The numbers of a step that all parameters share: the scalars of the update's equations and the rule's pace.
struct StepNumbers {
    T c[SCALARS], r0, r1;
};

// the smallest b with n <= 2^b
static __device__ int bits_for(int n) {
    return 32 - __clz(n - 1);
}

// How a block's threads share the rows of a matrix: in each of several groups, `width` threads take one row each.
struct Crew {
    int bits, width, groups, lane, group;

    __device__ explicit Crew(int rows) {
        const int most = bits_for(blockDim.x), wanted = bits_for(rows);
        bits = wanted < most ? wanted : most;
        width = 1 << bits, groups = blockDim.x >> bits;
        lane = threadIdx.x & (width - 1), group = threadIdx.x >> bits;
    }
};

// finish(i, j, sum_k w[i by_row + k by_column] b[k, j]) for all i < rows and j < columns, a multiple of TILE. The
// groups of threads take different k, and their sums are added at the end. Ends with a barrier of the block.
template <class Finish>
static __device__ void product(int rows, int inner, int columns, const T* w, int by_row, int by_column, const T* b,
                               int row, T* sums, Finish finish) {
    const Crew crew(rows);
    for (int i0 = 0; i0 < rows; i0 += crew.width)
        for (int j0 = 0; j0 < columns; j0 += TILE) {
            const int i = i0 + crew.lane < rows ? i0 + crew.lane : rows - 1;
            T acc[TILE] = {};
            for (int k = crew.group; k < inner; k += crew.groups) {
                const T by = w[i * by_row + k * by_column];
                for (int q = 0; q < TILE; q += 4) {
                    const Four<T> four = *(const Four<T>*)(b + k * row + j0 + q);
                    for (int r = 0; r < 4; ++r) acc[q + r] += by * four.of[r];
                }
            }
            for (int q = 0; q < TILE; ++q) sums[q * blockDim.x + threadIdx.x] = acc[q];
            __syncthreads();
            for (int e = threadIdx.x; e < crew.width * TILE; e += blockDim.x) {
                const int q = e >> crew.bits, lane = e & (crew.width - 1);
                if (i0 + lane >= rows) continue;
                const T* sum = sums + q * blockDim.x + lane;
                T all = 0;
                for (int g = 0; g < crew.groups; ++g) all += sum[g << crew.bits];
                finish(i0 + lane, j0 + q, all);
            }
            __syncthreads();
        }
}

// x, clamped to [-limit, limit]
static __device__ T clamped(T x, T limit) {
    return x > limit ? limit : x < -limit ? -limit : x;
}

// Move one parameter; sum: its gradient, summed over the mini-batch.
static __device__ void move(const T* constants, const StepNumbers& now, bool weight, T sum, T* theta, T* first,
                            T* second) {
    const T *const c = now.c, n0 = constants[0], n1 = constants[1], n2 = constants[2], r0 = now.r0, r1 = now.r1;
    T x = *theta, s0 = STATES > 0 ? *first : T(0), s1 = STATES > 1 ? *second : T(0);
    (void)weight, (void)n0, (void)n1, (void)n2, (void)r0, (void)r1;
#if defined(RULE)
    T g = 0;
#endif
    MOVE
    *theta = x;
    if (STATES > 0) *first = s0;
    if (STATES > 1) *second = s1;
}

// BP3, BP4 and the update: move every element of [w b] along its element of delta [a; 1]^T
static __device__ void learn(const Layer layer, const T* a, int columns, int row, const T* constants,
                             const StepNumbers& now) {
    const int AT_ONCE = 2;  // columns of the matrix; more would not fit into the registers
    const Crew crew(layer.n);
    for (int i = crew.lane; i < layer.n; i += crew.width) {
        T delta[TILE];
        int loaded = -1;
        for (int k0 = crew.group * AT_ONCE; k0 <= layer.n_in; k0 += crew.groups * AT_ONCE) {
            T g[AT_ONCE] = {};
            for (int j0 = 0; j0 < columns; j0 += TILE) {
                if (j0 != loaded) {
                    for (int q = 0; q < TILE; q += 4) {
                        const Four<T> four = *(const Four<T>*)(layer.delta + i * row + j0 + q);
                        for (int r = 0; r < 4; ++r) delta[q + r] = four.of[r];
                    }
                    loaded = j0;
                }
                for (int k = 0; k < AT_ONCE; ++k) {
                    const int of_a = k0 + k <= layer.n_in ? k0 + k : layer.n_in;
                    for (int q = 0; q < TILE; q += 4) {
                        const Four<T> four = *(const Four<T>*)(a + of_a * row + j0 + q);
                        for (int r = 0; r < 4; ++r) g[k] += delta[q + r] * four.of[r];
                    }
                }
            }
            for (int k = 0; k < AT_ONCE && k0 + k <= layer.n_in; ++k) {
                const int at = (k0 + k) * layer.ld + i;
                const bool weight = k0 + k < layer.n_in;
                move(constants, now, weight, g[k], layer.wb + at, layer.first + at, layer.second + at);
            }
        }
    }
}

// Exchange of numbers between blocks without a barrier: each word holds 32 bits of a number and the tag of the step,
// so a reader that finds the tag has those bits.
#define WORDS (int(sizeof(T)) / 4)

static __device__ void publish(Word* words, T x, unsigned tag) {
    unsigned parts[WORDS];
    memcpy(parts, &x, sizeof x);
    for (int w = 0; w < WORDS; ++w) __stwt(words + w, (Word)tag << 32 | parts[w]);
}

// sum of the blocks' numbers, published `apart` words from each other; waits until all have arrived
static __device__ T gathered(const Word* words, int blocks, int apart, unsigned tag) {
    Word found[MOST_BLOCKS][WORDS];
    for (int b = 0; b < MOST_BLOCKS; ++b)  // all loads first, so that they overlap
        for (int w = 0; w < WORDS; ++w) found[b][w] = b < blocks ? __ldcv(words + b * apart + w) : 0;
    T sum = 0;
    for (int b = 0; b < MOST_BLOCKS; ++b) {
        if (b >= blocks) continue;
        unsigned parts[WORDS];
        for (int w = 0; w < WORDS; ++w) {
            for (int tries = 0; found[b][w] >> 32 != tag; ++tries) {
                if (tries == 1 << 24) __trap();  // after seconds: a block is missing
                __nanosleep(20);
                found[b][w] = __ldcv(words + b * apart + w);
            }
            parts[w] = (unsigned)found[b][w];
        }
        T x;
        memcpy(&x, parts, sizeof x);
        sum += x;
    }
    return sum;
}

// f(index here, index in theta) for the columns of [w b] from `start` on (of n_in), and for b
template <class F> static __device__ void each_parameter(const Layer& layer, Index start, Index n_in, F f) {
    for (int e = threadIdx.x; e < (layer.n_in + 1) * layer.n; e += blockDim.x) {
        const int k = e / layer.n, i = e - k * layer.n;
        f(k * layer.ld + i, (k < layer.n_in ? start + k : n_in) * layer.n + i);
    }
}

// count, batch: examples in all and in a step; depth: L
// shape = {n_0, ..., n_L, the start of layer 1 in theta, ..., of layer L}; layout: a Layout, then L Layers
// numbers = {eta, the rule's constants, p and q of each scalar, the same for the last, shorter mini-batch}
// scheduled: take the learning rates from etas, starting at *step, instead of eta; counter: counts the rule's steps
// xs (n_0, count), with columns ld_x apart; ys, zs and as (n_L, count), weights (1, count) if weighted
// words: the number of steps so far, then the mailboxes of two steps
extern "C" __global__ __launch_bounds__(NETWORK_THREADS, 1) void train(
    Index count, Index batch, Index depth, const Index* shape, const int* layout, const double* numbers, T* theta,
    T* first, T* second, Index scheduled, const double* etas, Index* step, double* counter, const Operand* xs,
    Index ld_x, const T* ys, Index weighted, const T* weights, T* zs, T* as, Word* words) {
    const Layout& places = *(const Layout*)layout;
    const int L = depth, m = batch, blocks = gridDim.x, me = blockIdx.x;
    const int columns = places.columns, row = places.row, share = places.share, start = me * share;
    const int n_0 = shape[0], n_out = shape[L], own = start + share < n_0 ? share : n_0 - start;
    const Index before = *step;
    const unsigned tag = (unsigned)words[0] + 1;

    const int size_x = (share + 1) * row, size_y = (n_out + 1) * row;
    T *const both_x = places.x, *const both_y = places.y, *const sums = places.sums, *const constants = places.constants;
    StepNumbers* const pace = (StepNumbers*)(T*)places.pace;  // of this step and the next
    double* const powers = (double*)(T*)places.powers;        // n0 and n1 to the power of the steps counted
    Layer* const layers = (Layer*)(T*)places.layers;
    (void)powers, (void)counter;
    for (int l = 1; l <= L; ++l) {
        Layer layer = ((const Layer*)(layout + LAYOUT_INTS))[l - 1];
        if (l == 1) layer.n_in = own;
        if (threadIdx.x == 0) layers[l] = layer;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < 2 * (size_x + size_y); e += blockDim.x) both_x[e] = 0;
    for (int l = 1; l <= L; ++l) {
        const Layer layer = layers[l];
        const Index at = shape[L + l];
        each_parameter(layer, l == 1 ? start : 0, shape[l - 1], [&](int here, Index there) {
            layer.wb[here] = theta[at + there];
            if (STATES > 0) layer.first[here] = first[at + there];
            if (STATES > 1) layer.second[here] = second[at + there];
        });
        for (int e = threadIdx.x; e < layer.n * row; e += blockDim.x) layer.a[e] = layer.delta[e] = 0;
        for (int e = threadIdx.x; e < row; e += blockDim.x) layer.a[layer.n * row + e] = 1;
    }
    for (int e = threadIdx.x; e < CONSTANTS; e += blockDim.x) constants[e] = numbers[1 + e];
#if defined(COUNTS_STEPS)
    if (threadIdx.x < 2) powers[threadIdx.x] = pow(numbers[1 + threadIdx.x], counter[0]);
#endif
    __syncthreads();

    // load step s: the block's share of x with a row of ones, the targets with a row of weights, zeros beyond the
    // last example, and the step's numbers
    const auto fetch = [&](int s) {
        const int from = s * m, here = count - from < m ? count - from : m;
        T *x = both_x + s % 2 * size_x, *y = both_y + s % 2 * size_y;
        const Crew crew(own);
        for (int j = crew.group; j < m; j += crew.groups)
            for (int k = crew.lane; k < own; k += crew.width)
                x[k * row + j] = j < here ? T(xs[(Index)(from + j) * ld_x + start + k]) : T(0);
        for (int j = threadIdx.x; j < row; j += blockDim.x) {
            x[own * row + j] = 1;
            y[n_out * row + j] = j >= here ? T(0) : weighted ? weights[from + j] : T(1);
        }
        for (int e = threadIdx.x; e < n_out * here; e += blockDim.x)
            y[e % n_out * row + e / n_out] = ys[(Index)from * n_out + e];
        if (threadIdx.x > 0) return;
        StepNumbers& next = pace[s % 2];
        const double eta = scheduled ? etas[before + s] : numbers[0];
        const double* const pq = numbers + 1 + CONSTANTS + (here < m ? 2 * SCALARS : 0);
        for (int k = 0; k < MOVE_SCALARS; ++k) next.c[k] = pq[2 * k] + pq[2 * k + 1] * eta;
#if defined(RULE)
        const double n0 = numbers[1], n1 = numbers[2], n2 = numbers[3];
#if defined(COUNTS_STEPS)
        const double p0 = powers[0] *= n0, p1 = powers[1] *= n1;
        (void)p0, (void)p1;
#endif
        (void)n0, (void)n1, (void)n2;
        next.r0 = PACE_0, next.r1 = PACE_1;
#endif
    };

    fetch(0);
    __syncthreads();
    int steps = 0;
    for (int s = 0; s * m < count; steps = ++s) {
        const int from = s * m, here = count - from < m ? count - from : m;
        const T* x = both_x + s % 2 * size_x;
        const T *targets = both_y + s % 2 * size_y, *weight = targets + n_out * row;
        Word* const mailbox = words + 1 + (tag + s) % 2 * (Index)blocks * shape[1] * m * WORDS;

        // a = f(z) and f'(z); for the last layer a and BP1
        const auto feed = [&](int l, int i, int j, T z) {
            T &a = layers[l].a[i * row + j], &delta = layers[l].delta[i * row + j];
            if (l < L) {
                a = activation(l, z);
                delta = derivative(l, a, z);
                return;
            }
#if defined(F)
            const T y = targets[i * row + j];
            a = F(z);
            delta = weight[j] == 0 ? T(0) : weight[j] * (OUTPUT_ERROR(a, y, z));
            if (me > 0 || j >= here) return;
            zs[(Index)(from + j) * n_out + i] = z;
            as[(Index)(from + j) * n_out + i] = a;
#else
            a = z;
#endif
        };

        for (int l = 1; l <= L; ++l) {
            const Layer& layer = layers[l];
            const T* a = l == 1 ? x : layers[l - 1].a;
            const bool shared = l == 1 && blocks > 1;
            const int inner = layer.n_in + (shared && me > 0 ? 0 : 1);  // the bias counts once
            product(layer.n, inner, columns, layer.wb, 1, layer.ld, a, row, sums, [&](int i, int j, T z) {
                if (!shared) feed(l, i, j, z);
                else if (j < m) publish(mailbox + ((Index)(me * m + j) * layer.n + i) * WORDS, z, tag + s);
            });
            if (l == 1 && (s + 1) * m < count) fetch(s + 1);  // while the parts are in transit
            if (!shared) continue;
            for (int e = threadIdx.x; e < layer.n * m; e += blockDim.x)
                feed(1, e % layer.n, e / layer.n,
                     gathered(mailbox + (Index)e * WORDS, blocks, layer.n * m * WORDS, tag + s));
            __syncthreads();
        }

#if !defined(F)
        // a[L] = softmax(z[L]) and BP1, delta[L] = a - y, one thread for each column
        for (int j = threadIdx.x; j < here; j += blockDim.x) {
            T *a = layers[L].a + j, *delta = layers[L].delta + j, most = a[0], sum = 0;
            const Index column = (Index)(from + j) * n_out;
            for (int i = 0; i < n_out; ++i) most = a[i * row] > most ? a[i * row] : most;
            for (int i = 0; i < n_out; ++i) {
                if (me == 0) zs[column + i] = a[i * row];
                sum += a[i * row] = exp(a[i * row] - most);
            }
            for (int i = 0; i < n_out; ++i) {
                a[i * row] /= sum;
                delta[i * row] = weight[j] * (a[i * row] - targets[i * row + j]);
                if (me == 0) as[column + i] = a[i * row];
            }
        }
        for (int e = threadIdx.x; e < n_out * (m - here); e += blockDim.x)
            layers[L].delta[e % n_out * row + here + e / n_out] = 0;
        __syncthreads();
#endif

        for (int l = L; l >= 1; --l) {
            const Layer& layer = layers[l];
            if (l > 1)  // before w[l] changes
                product(layer.n_in, layer.n, columns, layer.wb, layer.ld, 1, layer.delta, row, sums,
                        [&](int i, int j, T sum) { layers[l - 1].delta[i * row + j] *= sum; });  // BP2
            learn(layer, l == 1 ? x : layers[l - 1].a, columns, row, constants, pace[s % 2]);
        }
        __syncthreads();
    }

    for (int l = 1; l <= L; ++l) {
        const Layer layer = layers[l];
        const Index at = shape[L + l], inputs = shape[l - 1];
        each_parameter(layer, l == 1 ? start : 0, inputs, [&](int here, Index there) {
            if (me > 0 && (l > 1 || there >= inputs * layer.n)) return;  // all blocks have the same
            theta[at + there] = layer.wb[here];
            if (STATES > 0) first[at + there] = layer.first[here];
            if (STATES > 1) second[at + there] = layer.second[here];
        });
    }
    if (me > 0 || threadIdx.x > 0) return;
    *step = before + steps;
    words[0] += steps;
#if defined(COUNTS_STEPS)
    counter[0] += steps;
#endif
}
