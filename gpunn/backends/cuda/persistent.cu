// The persistent kernel: all steps of a plan in one launch, for a network whose theta fits into shared memory.
//
// Compiled behind kernels.cu with a preamble that further defines activation(l, z) and derivative(l, a, z) of the
// hidden layers, TILE, and the rules by which theta may move.
//
// Every block holds all of theta, but of the first layer only the columns that go with its own share of the inputs.
// Its part of z[1] goes to the other blocks through global memory, once a step; what comes after the first layer
// is little, and each block does it for itself, in the same order, so all are alike to the bit.
//
// In shared memory a layer's [w b] is column-major, `ld` apart, which is odd, so that neither its rows nor its
// columns lie in one bank. Of x, y, a and delta, a row is a unit's numbers in all examples, `row` apart; and
// below a there is a row of ones, by which the bias rides in the product as one more column.

typedef unsigned long long Word;

#define MOST_BLOCKS 8

extern __shared__ Four<double> chip[];

// A place in shared memory.
struct Place {
    int at;

    __device__ operator T*() const { return (T*)chip + at; }
};

struct Layer {
    int n_in, n, ld;
    Place wb, first, second;  // and the optimizer's state, laid out like it
    Place a, delta;           // delta: first f'(z), then the error
};

// What a step is bound by: eta, and Adam's two numbers.
struct Pace {
    T eta, rate, small;
};

// the least b for which n <= 2^b
static __device__ int bits_for(int n) {
    return 32 - __clz(n - 1);
}

// How a block's threads share a matrix of so many rows: `width` of them a row each, and so again for each of
// several groups.
struct Crew {
    int bits, width, groups, lane, group;

    __device__ explicit Crew(int rows) {
        const int most = bits_for(blockDim.x), wanted = bits_for(rows);
        bits = wanted < most ? wanted : most;
        width = 1 << bits, groups = blockDim.x >> bits;
        lane = threadIdx.x & (width - 1), group = threadIdx.x >> bits;
    }
};

// finish(i, j, sum_k w[i by_row + k by_column] b[k, j]) for all i < rows and j < columns, which is a multiple of
// TILE; the groups of threads share out the k and then add up. The block meets at its end.
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

// theta along its gradient g: `n` are l2, l1, and the rule's own numbers
static __device__ void move(Index rule, const T* n, const Pace& pace, bool weight, T g, T* theta, T* first, T* second) {
    T x = *theta;
    if (weight && rule == ADAMW) x -= pace.eta * n[0] * x;
    else if (weight) g += n[0] * x;
    if (rule == SGD) {
        x -= pace.eta * g;
    } else if (rule == MOMENTUM || rule == NESTEROV) {
        const T v = *first = n[2] * *first + g;
        x -= pace.eta * (rule == NESTEROV ? g + n[2] * v : v);
    } else if (rule == RMSPROP) {
        const T v = *first = n[2] * *first + (1 - n[2]) * g * g;
        x -= pace.eta * g / (sqrt(v) + n[3]);
    } else {
        const T m = *first = n[2] * *first + (1 - n[2]) * g, v = *second = n[3] * *second + (1 - n[3]) * g * g;
        x -= pace.rate * m / (sqrt(v) + pace.small);
    }
    if (weight && n[1] > 0) {
        const T limit = pace.eta * n[1];
        x -= x > limit ? limit : x < -limit ? -limit : x;
    }
    *theta = x;
}

// BP3, BP4 and the step: every element of [w b] along delta [a; 1]^T / m
static __device__ void learn(const Layer layer, const T* a, int columns, int row, int m, Index rule, const T* numbers,
                             const Pace& pace) {
    const int AT_ONCE = 2;  // of the matrix's columns; more would take more registers than there are
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
                move(rule, numbers, pace, weight, g[k] / m, layer.wb + at, layer.first + at, layer.second + at);
            }
        }
    }
}

// A number on its way to the other blocks: in words of half its bits and a tag, so that whoever finds the tag of
// this step has the number whole, and no barrier is needed.
#define WORDS (int(sizeof(T)) / 4)

static __device__ void publish(Word* words, T x, unsigned tag) {
    unsigned parts[WORDS];
    memcpy(parts, &x, sizeof x);
    for (int w = 0; w < WORDS; ++w) __stwt(words + w, (Word)tag << 32 | parts[w]);
}

// the sum of what the blocks have published there, `apart` from each other, as soon as it has come
static __device__ T gathered(const Word* words, int blocks, int apart, unsigned tag) {
    Word found[MOST_BLOCKS][WORDS];
    for (int b = 0; b < MOST_BLOCKS; ++b)  // all at once, so that they are waited for together
        for (int w = 0; w < WORDS; ++w) found[b][w] = b < blocks ? __ldcv(words + b * apart + w) : 0;
    T sum = 0;
    for (int b = 0; b < MOST_BLOCKS; ++b) {
        if (b >= blocks) continue;
        unsigned parts[WORDS];
        for (int w = 0; w < WORDS; ++w) {
            for (int tries = 0; found[b][w] >> 32 != tag; ++tries) {
                if (tries == 1 << 24) __trap();  // seconds: a block that should be there is not
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

// f(layer's numbers here, where they are in theta) for the columns of [w b] from `start` of n_in, and b
template <class F> static __device__ void each_parameter(const Layer& layer, Index start, Index n_in, F f) {
    for (int e = threadIdx.x; e < (layer.n_in + 1) * layer.n; e += blockDim.x) {
        const int k = e / layer.n, i = e - k * layer.n;
        f(k * layer.ld + i, (k < layer.n_in ? start + k : n_in) * layer.n + i);
    }
}

// shape = {n_0, ..., n_L, where in theta layer 1 begins, ..., layer L}; states: how many arrays like theta the
// rule has; numbers = {l2, l1, the rule's own}; etas, from the pass's step on, if scheduled, else *eta;
// x (n_0, count), y, z and a (n_L, count), of which batch columns a step; weights (1, count), if weighted; adam:
// count of its steps, if any; words: how many steps there have been, and then room for two steps' numbers
extern "C" __global__ __launch_bounds__(512, 1) void train(
    Index count, Index batch, Index depth, const Index* shape, Index rule, Index states, const double* numbers,
    T* theta, T* first, T* second, const T* eta, Index scheduled, const double* etas, Index* step, double* adam,
    const Operand* xs, const T* ys, Index weighted, const T* weights, T* zs, T* as, Word* words) {
    const int L = depth, m = batch, blocks = gridDim.x, me = blockIdx.x;
    const int columns = (m + TILE - 1) / TILE * TILE, row = columns % 8 ? columns : columns + 4;
    const int n_0 = shape[0], n_out = shape[L], share = (n_0 + blocks - 1) / blocks, start = me * share;
    const int own = start + share < n_0 ? share : n_0 - start;
    const Index before = *step;
    const unsigned tag = (unsigned)words[0] + 1;

    // what lies where
    int taken = 0;
    const auto take = [&](int size) {
        const Place place = {taken};
        taken += (size + 3) / 4 * 4;  // whole Fours
        return place;
    };
    const int size_x = (share + 1) * row, size_y = (n_out + 1) * row;
    T *const both_x = take(2 * size_x), *const both_y = take(2 * size_y);  // of this step and the next
    T* const sums = take(blockDim.x * TILE);
    T* const own_numbers = take(8);
    Pace* const pace = (Pace*)(T*)take(8);
    double* const left = (double*)(T*)take(4);  // of Adam's two means, what is still the zero that they began with
    Layer* const layers = (Layer*)(T*)take((L + 1) * sizeof(Layer) / sizeof(T));
    for (int l = 1; l <= L; ++l) {
        Layer layer;
        layer.n = shape[l], layer.n_in = l == 1 ? own : shape[l - 1], layer.ld = layer.n | 1;
        const int size = ((l == 1 ? share : layer.n_in) + 1) * layer.ld;
        layer.wb = take(size);
        layer.first = states > 0 ? take(size) : layer.wb;
        layer.second = states > 1 ? take(size) : layer.wb;
        layer.a = take((layer.n + 1) * row), layer.delta = take(layer.n * row);
        if (threadIdx.x == 0) layers[l] = layer;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < 2 * (size_x + size_y); e += blockDim.x) both_x[e] = 0;
    for (int l = 1; l <= L; ++l) {
        const Layer layer = layers[l];
        const Index at = shape[L + l];
        each_parameter(layer, l == 1 ? start : 0, shape[l - 1], [&](int here, Index there) {
            layer.wb[here] = theta[at + there];
            if (states > 0) layer.first[here] = first[at + there];
            if (states > 1) layer.second[here] = second[at + there];
        });
        for (int e = threadIdx.x; e < layer.n * row; e += blockDim.x) layer.a[e] = layer.delta[e] = 0;
        for (int e = threadIdx.x; e < row; e += blockDim.x) layer.a[layer.n * row + e] = 1;
    }
    for (int e = threadIdx.x; e < 8; e += blockDim.x) own_numbers[e] = numbers[e];
    const bool adaptive = rule == ADAM || rule == ADAMW;
    if (threadIdx.x < 2 && adaptive) left[threadIdx.x] = pow(numbers[2 + threadIdx.x], adam[0]);
    __syncthreads();

    // step s's own share of x and a row of ones, its targets and a row of weights, and its pace; zeros beyond its
    // last example
    const auto fetch = [&](int s) {
        const int from = s * m, here = count - from < m ? count - from : m;
        T *x = both_x + s % 2 * size_x, *y = both_y + s % 2 * size_y;
        const Crew crew(own);
        for (int j = crew.group; j < m; j += crew.groups)
            for (int k = crew.lane; k < own; k += crew.width)
                x[k * row + j] = j < here ? T(xs[(Index)(from + j) * n_0 + start + k]) : T(0);
        for (int j = threadIdx.x; j < row; j += blockDim.x) {
            x[own * row + j] = 1;
            y[n_out * row + j] = j >= here ? T(0) : weighted ? weights[from + j] : T(1);
        }
        for (int e = threadIdx.x; e < n_out * here; e += blockDim.x)
            y[e % n_out * row + e / n_out] = ys[(Index)from * n_out + e];
        if (threadIdx.x > 0) return;
        Pace& next = pace[s % 2];
        next.eta = scheduled ? T(etas[before + s]) : *eta;
        if (!adaptive) return;
        left[0] *= numbers[2], left[1] *= numbers[3];
        const double unbias = sqrt(1 - left[1]);
        next.rate = next.eta * unbias / (1 - left[0]), next.small = numbers[4] * unbias;
    };

    fetch(0);
    __syncthreads();
    int steps = 0;
    for (int s = 0; s * m < count; steps = ++s) {
        const int from = s * m, here = count - from < m ? count - from : m;
        const T* x = both_x + s % 2 * size_x;
        const T *targets = both_y + s % 2 * size_y, *weight = targets + n_out * row;
        Word* const mailbox = words + 1 + (tag + s) % 2 * (Index)blocks * shape[1] * m * WORDS;

        // a = f(z) and f'(z); of the last layer a and delta, BP1
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
            if (l == 1 && (s + 1) * m < count) fetch(s + 1);  // while the parts are on their way
            if (!shared) continue;
            for (int e = threadIdx.x; e < layer.n * m; e += blockDim.x)
                feed(1, e % layer.n, e / layer.n,
                     gathered(mailbox + (Index)e * WORDS, blocks, layer.n * m * WORDS, tag + s));
            __syncthreads();
        }

#if !defined(F)
        // a[L] = softmax(z[L]), and delta[L] = a - y, BP1; a thread a column
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
            learn(layer, l == 1 ? x : layers[l - 1].a, columns, row, here, rule, own_numbers, pace[s % 2]);
        }
        __syncthreads();
    }

    for (int l = 1; l <= L; ++l) {
        const Layer layer = layers[l];
        const Index at = shape[L + l], inputs = shape[l - 1];
        each_parameter(layer, l == 1 ? start : 0, inputs, [&](int here, Index there) {
            if (me > 0 && (l > 1 || there >= inputs * layer.n)) return;  // all have it, and one is enough
            theta[at + there] = layer.wb[here];
            if (states > 0) first[at + there] = layer.first[here];
            if (states > 1) second[at + there] = layer.second[here];
        });
    }
    if (me > 0 || threadIdx.x > 0) return;
    *step = before + steps;
    words[0] += steps;
    if (adaptive) adam[0] += steps;
}
