// The CUDA backend's kernels: one small kernel for each equation, and a few for fused neighbours.
//
// Compiled with a preamble that defines T (float or double), TINY (its smallest normal number), the constants that
// are shared with Python and, for the elementwise modules, the C spellings of one activation and perhaps one cost
// (F(z), F_PRIME(a, z), LOSS(a, y, z), OUTPUT_ERROR(a, y, z)) or of one optimizer's rule (RULE, PACE_0, PACE_1).
//
// Everything is computed in T. The operands of products (x, delta, the masks and the hidden layers' a) are stored as
// Operand, which is T or Bf16. A layer's a and z, and gathered examples, are stored as A, which is Operand or, in the
// last layer, T. Matrices are column-major: m columns, one an example, of n rows. Columns of operands are padded and
// start ld elements apart. Kernels may read the padding but never write to it, because a row of ones may lie beneath
// a. All other matrices are contiguous. A kernel has one thread for each element or for each PACK of elements, one
// warp for each column, or one block for a few rows.
//
// No atomics: the order of a sum depends on its length alone, so two runs are bitwise identical.

typedef long long Index;

// bfloat16: a float's sign, exponent and first 7 bits of the fraction; rounds to nearest, ties to even
struct Bf16 {
    unsigned short bits;

    __device__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
    __device__ Bf16& operator=(float x) {
        const unsigned all = __float_as_uint(x);
        bits = x != x ? 0x7fff : (all + 0x7fff + (all >> 16 & 1)) >> 16;
        return *this;
    }
};

#if !defined(Operand)
#define Operand T
#endif
#if !defined(A)
#define A T
#endif

// An array of each network of a stack: the first one's, and the bytes from a network's to the next one's, 0 if they
// share it. Networks are side by side in the grid's y; OWN moves to the network's own array. See stacks.py.
#define EACH(X, name) X *name, Index name##_apart
#define OWN(name) name = of_network(name, name##_apart);
template <class X> static __device__ X* of_network(X* first, Index apart) {
    return (X*)((const char*)first + blockIdx.y * apart);
}

#define FOR_EACH(i, count)                                                \
    const Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x;         \
    if (i >= count) return;

// element (i, j) of n rows and m columns
#define FOR_ELEMENT(i, j, n, m)                                           \
    const Index thread = (Index)blockIdx.x * blockDim.x + threadIdx.x;    \
    const Index j = quotient(thread, n), i = thread - j * n;              \
    if (j >= m) return;

// rows i ... i + PACK - 1 of column j, as far as there are n
#define FOR_PACK(i, j, n, m)                                                              \
    const Index thread = (Index)blockIdx.x * blockDim.x + threadIdx.x;                    \
    const Index packs = (n + PACK - 1) / PACK;                                            \
    const Index j = quotient(thread, packs), i = (thread - j * packs) * PACK;             \
    if (j >= m) return;

#define FOR_COLUMN(j, lane, m)                                                      \
    const Index j = ((Index)blockIdx.x * blockDim.x + threadIdx.x) / LANES;         \
    const int lane = threadIdx.x % LANES;                                           \
    if (j >= m) return;

// i / n and i % n; 32-bit division, if the operands fit, is several times faster
static __device__ Index quotient(Index i, Index n) {
    return (i | n) >> 32 ? i / n : (Index)((unsigned)i / (unsigned)n);
}

static __device__ Index rest(Index i, Index n) {
    return i - quotient(i, n) * n;
}

// consecutive elements, read or written at once: four, or PACK_BYTES of Operands
template <class X> struct alignas(4 * sizeof(X)) Four {
    X of[4];
};
extern __shared__ Four<double> chip[];
constexpr int PACK = PACK_BYTES / sizeof(Operand);
template <class X> struct alignas(PACK_BYTES) Pack {
    X of[PACK];
};

template <class Several, class X> static __device__ Several& at_once(X* from) {
    return *(Several*)__builtin_assume_aligned(from, alignof(Several));
}

template <class Several, class X> static __device__ const Several& at_once(const X* from) {
    return *(const Several*)__builtin_assume_aligned(from, alignof(Several));
}

// Rows i ... i + PACK - 1 of column j, of which only `count` may be left. They are read at once if the columns are
// aligned, and written at once if all are left.
struct Rows {
    Index i, j;
    int count;

    __device__ Rows(Index i, Index j, Index n) : i(i), j(j), count(n - i < PACK ? int(n - i) : PACK) {}

    template <class X> __device__ Pack<X> read(const X* from, Index ld) const {
        from += i + j * ld;
        if (ld % PACK == 0) return at_once<Pack<X>>(from);
        Pack<X> found;
        for (int k = 0; k < PACK; ++k) found.of[k] = from[k < count ? k : 0];
        return found;
    }

    template <class X> __device__ void write(X* to, Index ld, const Pack<X>& pack) const {
        to += i + j * ld;
        if (count == PACK && ld % PACK == 0) {
            at_once<Pack<X>>(to) = pack;
            return;
        }
        for (int k = 0; k < PACK; ++k)
            if (k < count) to[k] = pack.of[k];
    }
};

// The thread's share of a matrix of n rows: row i, columns first, first + strips, ... Threads beyond row n have
// nothing to do but must not return early, because block_sum needs every thread.
struct Share {
    static const int AT_ONCE = 4;  // columns that are read before any is written, so that their loads overlap
    Index i, n, m, first, strips;

    __device__ Share(Index rows, Index columns) : n(rows), m(columns) {
        i = (Index)blockIdx.x * ROWS + threadIdx.x % ROWS;
        first = threadIdx.x / ROWS, strips = blockDim.x / ROWS;
    }

    // write(j, read(j)) for each column of the share
    template <class Read, class Write> __device__ void each(Read read, Write write) const {
        for (Index j = first; i < n && j < m; j += AT_ONCE * strips) {
            decltype(read(j)) held[AT_ONCE];
            for (int k = 0; k < AT_ONCE; ++k) held[k] = read(j + k * strips < m ? j + k * strips : j);
            for (int k = 0; k < AT_ONCE; ++k)
                if (j + k * strips < m) write(j + k * strips, held[k]);
        }
    }

    // sum of read(j)
    template <class Read> __device__ T sum(Read read) const {
        T total = 0;
        each(read, [&](Index, T x) { total += x; });
        return total;
    }
};

// sum over `lanes` neighbouring lanes of a warp, a power of 2, returned to each of them
template <int lanes = LANES> static __device__ T lanes_sum(T x) {
    for (int apart = lanes / 2; apart; apart /= 2) x += __shfl_xor_sync(0xffffffff, x, apart);
    return x;
}

template <int lanes = LANES> static __device__ T lanes_max(T x) {
    for (int apart = lanes / 2; apart; apart /= 2) {
        const T other = __shfl_xor_sync(0xffffffff, x, apart);
        x = other > x ? other : x;
    }
    return x;
}

// sum over the block's threads t, t + width, t + 2 width, ..., returned to each of them; blockDim / width must be
// a power of 2
static __device__ T block_sum(T x, unsigned width) {
    __shared__ T sums[MOST_THREADS];
    const unsigned t = threadIdx.x;
    sums[t] = x;
    for (unsigned half = blockDim.x / 2; half >= width; half /= 2) {
        __syncthreads();
        if (t < half) sums[t] += sums[t + half];
    }
    __syncthreads();
    const T sum = sums[t % width];
    __syncthreads();  // before the next sum overwrites this one
    return sum;
}

// hits[j]: the largest output of the column (the first, if several are equal) is its label; with a single output,
// being above the threshold means label 1
static __device__ void mark_hit(Index j, int lane, Index n, const T* out, const Index* labels, T threshold,
                                unsigned char* hits) {
    Index best = lane < n ? lane : 0;
    for (Index i = lane; i < n; i += LANES) best = out[i] > out[best] ? i : best;
    for (int apart = LANES / 2; apart; apart /= 2) {
        const Index other = __shfl_xor_sync(0xffffffff, best, apart);
        best = out[other] > out[best] || (out[other] == out[best] && other < best) ? other : best;
    }
    if (n == 1) best = out[0] > threshold;
    if (lane == 0) hits[j] = best == labels[j];
}

#if defined(LOSS)  // ---------------------------------------------------------------- one cost, one activation

// a, clamped so that log(a) is finite
static __device__ T above_zero(T a) {
    return a < TINY ? TINY : a;
}

// a, clamped so that log(a) and log1p(-a) are finite
static __device__ T inside(T a) {
    const T most = 1 - EPSNEG;
    return a < TINY ? TINY : a > most ? most : a;
}

// BP1: delta = dC/da f'(z)
extern "C" __global__ void output_error(Index n, Index m, Index ld, EACH(const T, as), EACH(const T, ys),
                                        EACH(const T, zs), EACH(Operand, delta)) {
    OWN(as) OWN(ys) OWN(zs) OWN(delta)
    FOR_ELEMENT(i, j, n, m)
    const T a = as[i + j * n], y = ys[i + j * n], z = zs[i + j * n];
    (void)z;
    delta[i + j * ld] = OUTPUT_ERROR(a, y, z);
}

#if defined(F)
// z += bias, a = f(z), delta = dC/da f'(z); z holds the product w a
extern "C" __global__ void forward_output_error(Index n, Index m, Index ld, EACH(const T, bias), EACH(const T, ys),
                                                EACH(T, zs), EACH(T, as), EACH(Operand, delta)) {
    OWN(bias) OWN(ys) OWN(zs) OWN(as) OWN(delta)
    FOR_ELEMENT(i, j, n, m)
    const T y = ys[i + j * n], z = zs[i + j * n] + bias[i], a = F(z);
    zs[i + j * n] = z;
    as[i + j * n] = a;
    delta[i + j * ld] = OUTPUT_ERROR(a, y, z);
}
#endif

// losses[position + j] = C of column j, and hits[position + j] if there are labels
extern "C" __global__ void measure(Index m, Index n, EACH(const T, as), EACH(const T, ys), EACH(const T, zs),
                                   EACH(const Index, position), EACH(T, losses), Index labelled,
                                   EACH(const Index, labels), T threshold, EACH(unsigned char, hits)) {
    OWN(as) OWN(ys) OWN(zs) OWN(position) OWN(losses) OWN(labels) OWN(hits)
    FOR_COLUMN(j, lane, m)
    T sum = 0;
    for (Index i = j * n + lane; i < (j + 1) * n; i += LANES) {
        const T a = as[i], y = ys[i], z = zs[i];
        (void)a, (void)z;
        sum += LOSS(a, y, z);
    }
    sum = lanes_sum(sum);
    if (lane == 0) losses[*position + j] = sum;
    if (labelled) mark_hit(j, lane, n, as + j * n, labels, threshold, hits + *position);
}

#elif defined(F)  // ---------------------------------------------------------------- one activation

// z += b, a = f(z); z holds the product w a, and a may share its memory
extern "C" __global__ void forward(Index n, Index m, Index ld, EACH(const T, b), EACH(A, zs), EACH(A, as)) {
    OWN(b) OWN(zs) OWN(as)
    FOR_PACK(i, j, n, m)
    const Rows rows(i, j, n);
    Pack<A> both = rows.read(zs, ld), out;
    for (int k = 0; k < PACK; ++k) {
        const T z = both.of[k] + b[k < rows.count ? i + k : i];
        both.of[k] = z;
        out.of[k] = F(z);
    }
    if (zs != as) rows.write(zs, ld, both);
    rows.write(as, ld, out);
}

// a = f(z)
extern "C" __global__ void activate(Index n, Index m, Index ld, EACH(const Operand, zs), EACH(Operand, as)) {
    OWN(zs) OWN(as)
    FOR_PACK(i, j, n, m)
    const Rows rows(i, j, n);
    Pack<Operand> both = rows.read(zs, ld);
    for (int k = 0; k < PACK; ++k) {
        const T z = both.of[k];
        both.of[k] = F(z);
    }
    rows.write(as, ld, both);
}

// BP2, second half: delta = delta f'(z), and times the mask if there is one
extern "C" __global__ void times_derivative(Index n, Index m, Index ld_a, Index ld, EACH(const A, as),
                                            EACH(const A, zs), Index masked, EACH(const Operand, mask),
                                            EACH(Operand, delta)) {
    OWN(as) OWN(zs) OWN(mask) OWN(delta)
    FOR_PACK(i, j, n, m)
    const Rows rows(i, j, n);
    const Pack<A> outputs = rows.read(as, ld_a), inputs = rows.read(zs, ld_a);
    Pack<Operand> error = rows.read((const Operand*)delta, ld), kept;
    if (masked) kept = rows.read(mask, ld);
    for (int k = 0; k < PACK; ++k) {
        const T a = outputs.of[k], z = inputs.of[k], d = error.of[k];
        (void)a, (void)z;
        error.of[k] = d * (F_PRIME(a, z)) * (masked ? T(kept.of[k]) : T(1));
    }
    rows.write(delta, ld, error);
}

#elif defined(RULE)  // ---------------------------------------------------------------- an optimizer's rule

#if defined(COUNTS_STEPS)
#define Pace double
// pace = {t, r0, r1} of the next step; p0 and p1 are n0 and n1 to the power t
extern "C" __global__ void begin_step(Index one, EACH(const T, rate), double n0, double n1, double n2,
                                      EACH(double, pace)) {
    OWN(rate) OWN(pace)
    FOR_EACH(i, one)
    const double t = pace[0] + 1, eta = *rate, p0 = pow(n0, t), p1 = pow(n1, t);
    (void)n2, (void)eta, (void)p0, (void)p1;
    pace[0] = t;
    pace[1] = PACE_0;
    pace[2] = PACE_1;
}
#else
#define Pace T
#endif

// theta moves along its gradient g by the rule; pace = {t, r0, r1} if steps are counted, else the learning rate
extern "C" __global__ void step(Index count, EACH(T, theta), EACH(T, gradient), EACH(T, first), EACH(T, second),
                                T n0, T n1, T n2, EACH(const Pace, pace)) {
    OWN(theta) OWN(gradient) OWN(first) OWN(second) OWN(pace)
    FOR_EACH(i, count)
#if defined(COUNTS_STEPS)
    const T r0 = T(pace[1]), r1 = T(pace[2]);
#else
    const T eta = *pace, r0 = PACE_0, r1 = PACE_1;
#endif
    (void)n0, (void)n1, (void)n2, (void)r0, (void)r1;
    (void)first, (void)second;
    T x = theta[i], g = gradient[i];
#if STATES > 0
    T s0 = first[i];
#endif
#if STATES > 1
    T s1 = second[i];
#endif
    RULE
    theta[i] = x;
#if STATES > 0
    first[i] = s0;
#endif
#if STATES > 1
    second[i] = s1;
#endif
}

#else  // ---------------------------------------------------------------- everything else

// x[:, j] = scale X[:, order[position + j]], four elements at a time if n allows
template <class From>
static __device__ void gather(Index m, Index n, Index ld, const From* X, const Index* order, const Index* position,
                              T scale, A* x) {
    FOR_COLUMN(j, lane, m)
    const From* from = X + order[*position + j] * n;
    A* to = x + j * ld;
    if (n % 4 || ld % 4) {
        for (Index i = lane; i < n; i += LANES) to[i] = from[i] * scale;
        return;
    }
    for (Index i = 4 * lane; i < n; i += 4 * LANES) {
        const Four<From> four = at_once<Four<From>>(from + i);
        Four<A> scaled;
        for (int k = 0; k < 4; ++k) scaled.of[k] = four.of[k] * scale;
        at_once<Four<A>>(to + i) = scaled;
    }
}

extern "C" __global__ void gather_bytes(Index m, Index n, Index ld, EACH(const unsigned char, X),
                                        EACH(const Index, order), EACH(const Index, position), T scale, EACH(A, x)) {
    OWN(X) OWN(order) OWN(position) OWN(x)
    gather(m, n, ld, X, order, position, scale, x);
}

extern "C" __global__ void gather_values(Index m, Index n, Index ld, EACH(const T, X), EACH(const Index, order),
                                         EACH(const Index, position), T scale, EACH(A, x)) {
    OWN(X) OWN(order) OWN(position) OWN(x)
    gather(m, n, ld, X, order, position, scale, x);
}

// labels[j] = all[order[position + j]]; y[i, j] = on if i is the label of column j, else off; a single output is
// on if the label is 1
extern "C" __global__ void gather_labels(Index m, Index n, EACH(const Index, all), EACH(const Index, order),
                                         EACH(const Index, position), T on, T off, EACH(Index, labels), EACH(T, y)) {
    OWN(all) OWN(order) OWN(position) OWN(labels) OWN(y)
    FOR_COLUMN(j, lane, m)
    const Index label = all[order[*position + j]];
    if (lane == 0) labels[j] = label;
    for (Index i = lane; i < n; i += LANES) y[i + j * n] = label == (n == 1 ? 1 : i) ? on : off;
}

// zhat = (z - mean) / sqrt(variance + epsilon), gain = gamma / sqrt(variance + epsilon), z = gamma zhat + beta, for
// each row; by_batch: with the row's own mean and variance, towards which the running ones move, else with those
extern "C" __global__ void normalise(Index n, Index m, Index ld, Index by_batch, T epsilon, T momentum,
                                     EACH(const T, gamma), EACH(const T, beta), EACH(T, mean), EACH(T, variance),
                                     EACH(Operand, z), EACH(T, zhat), EACH(T, gain)) {
    OWN(gamma) OWN(beta) OWN(mean) OWN(variance) OWN(z) OWN(zhat) OWN(gain)
    const Share my(n, m);
    const Index i = my.i;
    const auto read = [&](Index j) -> T { return z[i + j * ld]; };
    T mu = 0, var = 0;
    if (by_batch) {
        mu = block_sum(my.sum(read), ROWS) / m;
        var = block_sum(my.sum([&](Index j) { return (read(j) - mu) * (read(j) - mu); }), ROWS) / m;
    } else if (i < n) {
        mu = mean[i], var = variance[i];
    }
    if (i >= n) return;
    const T root = sqrt(var + epsilon);
    if (my.first == 0) {
        gain[i] = gamma[i] / root;
        if (by_batch) {
            mean[i] = (1 - momentum) * mean[i] + momentum * mu;
            variance[i] = (1 - momentum) * variance[i] + momentum * var * m / (m > 1 ? m - 1 : 1);
        }
    }
    my.each([&](Index j) { return (read(j) - mu) / root; },
            [&](Index j, T hat) {
                zhat[i + j * n] = hat;
                z[i + j * ld] = gamma[i] * hat + beta[i];
            });
}

// out = by sum(z), or by sum((z - centre)^2) if squared, for each row: a rank's part of a mean or a variance
extern "C" __global__ void row_moment(Index n, Index m, Index ld, T by, Index squared, EACH(const Operand, z),
                                      EACH(const T, centre), EACH(T, out)) {
    OWN(z) OWN(centre) OWN(out)
    const Share my(n, m);
    const Index i = my.i;
    const auto read = [&](Index j) -> T {
        const T x = z[i + j * ld];
        return squared ? (x - centre[i]) * (x - centre[i]) : x;
    };
    const T sum = block_sum(my.sum(read), ROWS);
    if (i < n && my.first == 0) out[i] = by * sum;
}

// means = part sum(delta) and part sum(delta zhat), for each row: a rank's part of the means in norm_error
// gamma = by sum(delta zhat) + keep gamma, beta = by sum(delta) + keep beta
extern "C" __global__ void norm_sums(Index n, Index m, Index ld, T part, EACH(const T, by), EACH(const T, keep),
                                     EACH(const T, zhat), EACH(const Operand, delta), EACH(T, gamma), EACH(T, beta),
                                     EACH(T, means)) {
    OWN(by) OWN(keep) OWN(zhat) OWN(delta) OWN(gamma) OWN(beta) OWN(means)
    const Share my(n, m);
    const Index i = my.i;
    const T sum = block_sum(my.sum([&](Index j) -> T { return delta[i + j * ld]; }), ROWS);
    const T slope = block_sum(my.sum([&](Index j) -> T { return delta[i + j * ld] * zhat[i + j * n]; }), ROWS);
    if (i >= n || my.first > 0) return;
    gamma[i] = *by * slope + *keep * gamma[i];
    beta[i] = *by * sum + *keep * beta[i];
    means[i] = part * sum, means[n + i] = part * slope;
}

// delta = gain (delta - mean delta - zhat mean(delta zhat))
extern "C" __global__ void norm_back(Index n, Index m, Index ld, EACH(const T, means), EACH(const T, zhat),
                                     EACH(const T, gain), EACH(Operand, delta)) {
    OWN(means) OWN(zhat) OWN(gain) OWN(delta)
    FOR_ELEMENT(i, j, n, m)
    delta[i + j * ld] = gain[i] * (delta[i + j * ld] - means[i] - zhat[i + j * n] * means[n + i]);
}

// delta = gain (delta - mean delta - zhat mean(delta zhat)) if by_batch, else gain delta, for each row
// gamma = by sum(delta zhat) + keep gamma, beta = by sum(delta) + keep beta
extern "C" __global__ void norm_error(Index n, Index m, Index ld, Index by_batch, EACH(const T, by),
                                      EACH(const T, keep), EACH(const T, zhat), EACH(const T, gain),
                                      EACH(Operand, delta), EACH(T, gamma), EACH(T, beta)) {
    OWN(by) OWN(keep) OWN(zhat) OWN(gain) OWN(delta) OWN(gamma) OWN(beta)
    const Share my(n, m);
    const Index i = my.i;
    struct Read {
        T d, hat;
    };
    const auto read = [&](Index j) { return Read{delta[i + j * ld], zhat[i + j * n]}; };
    T sum = 0, slope = 0;
    my.each(read, [&](Index, Read x) { sum += x.d, slope += x.d * x.hat; });
    sum = block_sum(sum, ROWS), slope = block_sum(slope, ROWS);
    if (i >= n) return;
    if (my.first == 0) {
        gamma[i] = *by * slope + *keep * gamma[i];
        beta[i] = *by * sum + *keep * beta[i];
    }
    my.each(read, [&](Index j, Read x) {
        const T means = by_batch ? (sum + x.hat * slope) / m : T(0);
        delta[i + j * ld] = gain[i] * (x.d - means);
    });
}

// in += b, out = softmax(in), for a column of n
template <class X> static __device__ void softmax(int lane, Index n, const T* b, X* in, X* out) {
    T most = in[0] + b[0], sum = 0;
    __syncwarp();  // before in[0] changes
    for (Index i = lane; i < n; i += LANES) {
        in[i] = in[i] + b[i];
        most = in[i] > most ? in[i] : most;
    }
    most = lanes_max(most);
    for (Index i = lane; i < n; i += LANES) sum += out[i] = exp(in[i] - most);
    sum = lanes_sum(sum);
    for (Index i = lane; i < n; i += LANES) out[i] = out[i] / sum;
}

// z[:, j] += b, a[:, j] = softmax(z[:, j]); z holds the product w a
extern "C" __global__ void forward_softmax(Index m, Index n, Index ld, EACH(const T, b), EACH(A, z), EACH(A, a)) {
    OWN(b) OWN(z) OWN(a)
    FOR_COLUMN(j, lane, m)
    softmax(lane, n, b, z + j * ld, a + j * ld);
}

// the same, and delta = a - y
extern "C" __global__ void forward_softmax_error(Index m, Index n, Index ld, EACH(const T, b), EACH(const T, y),
                                                 EACH(T, z), EACH(T, a), EACH(Operand, delta)) {
    OWN(b) OWN(y) OWN(z) OWN(a) OWN(delta)
    FOR_COLUMN(j, lane, m)
    softmax(lane, n, b, z + j * n, a + j * n);
    for (Index i = lane; i < n; i += LANES) delta[i + j * ld] = a[i + j * n] - y[i + j * n];
}

// delta[:, j] = a (delta - sum delta a): the product with the softmax's Jacobian
extern "C" __global__ void times_softmax_jacobian(Index m, Index n, Index ld_a, Index ld, EACH(const A, as),
                                                  EACH(Operand, deltas)) {
    OWN(as) OWN(deltas)
    FOR_COLUMN(j, lane, m)
    const A* a = as + j * ld_a;
    Operand* delta = deltas + j * ld;
    T sum = 0;
    for (Index i = lane; i < n; i += LANES) sum += delta[i] * a[i];
    sum = lanes_sum(sum);
    for (Index i = lane; i < n; i += LANES) delta[i] = a[i] * (delta[i] - sum);
}

// delta = a - y
extern "C" __global__ void difference(Index n, Index m, Index ld, EACH(const T, a), EACH(const T, y),
                                      EACH(Operand, delta)) {
    OWN(a) OWN(y) OWN(delta)
    FOR_ELEMENT(i, j, n, m)
    delta[i + j * ld] = a[i + j * n] - y[i + j * n];
}

// the hash lowbias32: see randoms.py
static __device__ unsigned mix(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

// mask = 0 if the element's 16 random bits are below `least`, else 1; a *= mask; `before` elements of the mini-batch
// come before these
extern "C" __global__ void drop(Index n, Index m, Index ld, Index before, Index least, Index layer,
                                EACH(const Index, key), EACH(const Index, step), EACH(Operand, mask),
                                EACH(Operand, a)) {
    OWN(key) OWN(step) OWN(mask) OWN(a)
    FOR_ELEMENT(i, j, n, m)
    const unsigned stream = mix((unsigned)*key ^ mix((unsigned)(*step * RANDOM_LAYERS + layer)));
    const Index element = before + thread;
    const unsigned bits = mix(mix((unsigned)(element / 2)) ^ stream);
    const T kept = (element % 2 ? bits >> 16 : bits & 0xffff) >= (unsigned)least;
    mask[i + j * ld] = kept;
    a[i + j * ld] = a[i + j * ld] * kept;
}

// random number k of step q's stream in one layer, between -1 and 1: see randoms.py
static __device__ T uniform(const Index* key, Index q, Index layer, Index k) {
    const unsigned bits = mix(mix((unsigned)(k / 2)) ^ mix((unsigned)*key ^ mix((unsigned)(q * RANDOM_LAYERS + layer))));
    return (2 * T(k % 2 ? bits >> 16 : bits & 0xffff) + 1) / RANDOM_LANE - 1;
}

// the place of image j in the pass: of a pass that ranks share, places[position + j]
static __device__ Index place(Index divided, const Index* position, const Index* places, Index j) {
    return divided ? places[*position + j] : *position + j;
}

// the pixel at (row, column), 0 outside
static __device__ T pixel(const T* image, int height, int width, int row, int column) {
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? image[row * width + column] : T(0);
}

struct Two {
    T y, x;
};

// to[line, i] = sum over k of bell[|i - k|] from[k, line], for `lines` of `length`: smooths in one direction, and
// transposes. A thread has SMOOTHED neighbours of a line, so each number and each weight is read once for all of them.
static __device__ void smooth(int lines, int length, const T* bell, const Two* from, Two* to) {
    for (int t = threadIdx.x; t < (length + SMOOTHED - 1) / SMOOTHED * lines; t += blockDim.x) {
        const int first = t / lines * SMOOTHED, line = t % lines;
        T weights[SMOOTHED];
        Two sums[SMOOTHED] = {};
        for (int s = 0; s < SMOOTHED; ++s) weights[s] = bell[first + s];
#pragma unroll 4
        for (int k = 0; k < length; ++k) {
            const Two here = from[k * lines + line];
            for (int s = 0; s < SMOOTHED; ++s) {
                sums[s].y += weights[s] * here.y;
                sums[s].x += weights[s] * here.x;
            }
            for (int s = SMOOTHED - 1; s > 0; --s) weights[s] = weights[s - 1];
            weights[0] = bell[first > k ? first - k - 1 : k + 1 - first];
        }
        for (int s = 0; s < SMOOTHED; ++s)
            if (first + s < length) to[line * length + first + s] = sums[s];
    }
}

// Where the pixels of an image come from, drawn from stream q: see Augmentation.affine
struct Distortion {
    int height, width;
    T middle_row, middle_column, down, aside, y_by_row, y_by_column, x_by_row, x_by_column;

    __device__ Distortion(int height, int width, const Index* key, Index q, T angle, T scale, T shift)
        : height(height), width(width), middle_row(T(height - 1) / 2), middle_column(T(width - 1) / 2) {
        const auto drawn = [&](int k) { return uniform(key, q, AFFINE_LAYER, k); };
        const T turn = angle * drawn(0), cosine = cos(turn), sine = sin(turn);
        const T by_height = 1 + scale * drawn(1), by_width = 1 + scale * drawn(2);
        y_by_row = cosine / by_height, y_by_column = sine / by_height;
        x_by_row = -sine / by_width, x_by_column = cosine / by_width;
        down = middle_row + shift * drawn(3), aside = middle_column + shift * drawn(4);
    }

    // what is shown at pixel i, whose source is displaced by `bend`, interpolated between four pixels of the image
    __device__ T shown(const T* image, int i, Two bend) const {
        const T dy = i / width - down, dx = i % width - aside;
        const T y = middle_row + y_by_row * dy + y_by_column * dx + bend.y;
        const T x = middle_column + x_by_row * dy + x_by_column * dx + bend.x;
        const T floor_y = floor(y), floor_x = floor(x), share_y = y - floor_y, share_x = x - floor_x;
        const int r = int(floor_y), c = int(floor_x);
        const auto between = [&](int row) {
            return pixel(image, height, width, row, c) * (1 - share_x) +
                   pixel(image, height, width, row, c + 1) * share_x;
        };
        return between(r) * (1 - share_y) + between(r + 1) * share_y;
    }
};

// x = the images as the pass shows them: rotated by up to `angle`, scaled, shifted, and bent by alpha times smoothed
// noise. A block draws, smooths and samples an image in memory of its own, 5 numbers a pixel: on the chip or in `room`.
// bell: the smoothing's weights by distance.
extern "C" __global__ void distort(Index m, Index height, Index width, Index ld, EACH(const Index, key),
                                   EACH(const Index, position), Index divided, EACH(const Index, places), T angle,
                                   T scale, T shift, T alpha, EACH(const T, bell), Index on_chip, EACH(T, room),
                                   EACH(Operand, x)) {
    OWN(key) OWN(position) OWN(places) OWN(bell) OWN(room) OWN(x)
    const int n = int(height * width), threads = blockDim.x;
    Two* const field = (Two*)(on_chip ? (T*)chip : room + (Index)blockIdx.x * 5 * n);
    Two* const turned = field + n;
    T* const image = (T*)(turned + n);
    for (Index j = blockIdx.x; j < m; j += gridDim.x) {
        const Index q = place(divided, position, places, j);
        for (int i = threadIdx.x; i < n; i += threads) {
            const auto drawn = [&](int k) { return alpha > 0 ? alpha * uniform(key, q, NOISE_LAYER, k) : T(0); };
            image[i] = x[i + j * ld];
            field[i].y = drawn(2 * i), field[i].x = drawn(2 * i + 1);
        }
        const Distortion distortion(height, width, key, q, angle, scale, shift);
        __syncthreads();
        if (alpha > 0) {
            smooth(width, height, bell, field, turned);
            __syncthreads();
            smooth(height, width, bell, turned, field);
            __syncthreads();
        }
        for (int i = threadIdx.x; i < n; i += threads) x[i + j * ld] = distortion.shown(image, i, field[i]);
        __syncthreads();  // before the next image is drawn
    }
}

// x *= by, elementwise
extern "C" __global__ void times(Index count, EACH(const Operand, by), EACH(Operand, x)) {
    OWN(by) OWN(x)
    FOR_EACH(i, count)
    x[i] = x[i] * by[i];
}

// the output of a column's own class, returned to each of the warp's threads
static __device__ T right_output(Index n, int lane, const T* a, const T* y) {
    T right = 0;
    for (Index i = lane; i < n; i += LANES) right += a[i] * y[i];
    return lanes_sum(right);
}

// a - right + 1 for the other classes, 0 for the class itself; a single output: 1 - a for class 1, 1 + a for 0
static __device__ T margin(Index n, T a, T y, T right) {
    return n == 1 ? 1 - (2 * y - 1) * a : a - right + 1 - y;
}

// losses[position + j] = sum of column j's positive margins, and hits[position + j]
extern "C" __global__ void measure_hinge(Index m, Index n, EACH(const T, a), EACH(const T, y),
                                         EACH(const Index, position), EACH(T, losses), Index labelled,
                                         EACH(const Index, labels), T threshold, EACH(unsigned char, hits)) {
    OWN(a) OWN(y) OWN(position) OWN(losses) OWN(labels) OWN(hits)
    FOR_COLUMN(j, lane, m)
    T sum = 0, right = right_output(n, lane, a + j * n, y + j * n);
    for (Index i = j * n + lane; i < (j + 1) * n; i += LANES) {
        const T above = margin(n, a[i], y[i], right);
        sum += above <= 0 ? T(0) : above;
    }
    sum = lanes_sum(sum);
    if (lane == 0) losses[*position + j] = sum;
    if (labelled) mark_hit(j, lane, n, a + j * n, labels, threshold, hits + *position);
}

// delta[:, j] = 1 for each positive margin of column j, and minus their number for the class itself
extern "C" __global__ void hinge_gradient(Index m, Index n, Index ld, EACH(const T, as), EACH(const T, ys),
                                          EACH(Operand, deltas)) {
    OWN(as) OWN(ys) OWN(deltas)
    FOR_COLUMN(j, lane, m)
    const T *a = as + j * n, *y = ys + j * n;
    Operand* delta = deltas + j * ld;
    T count = 0, right = right_output(n, lane, a, y);
    for (Index i = lane; i < n; i += LANES) count += delta[i] = T(margin(n, a[i], y[i], right) > 0);
    count = lanes_sum(count);
    for (Index i = lane; i < n; i += LANES)
        delta[i] = n == 1 ? -(2 * y[i] - 1) * count : delta[i] - y[i] * count;
}

// 1/2 - tau of output i of n, whose taus are evenly spaced around 1/2
static __device__ T lean(Index n, Index i, T spread) {
    return n == 1 ? T(0) : spread * (T(0.5) - T(i) / T(n - 1));
}

// losses[position + j] = C of column j, whose outputs have quantiles of their own
extern "C" __global__ void measure_quantiles(Index m, Index n, EACH(const T, a), EACH(const T, y),
                                             EACH(const Index, position), EACH(T, losses), Index labelled,
                                             EACH(const Index, labels), T threshold, EACH(unsigned char, hits),
                                             T spread) {
    OWN(a) OWN(y) OWN(position) OWN(losses) OWN(labels) OWN(hits)
    FOR_COLUMN(j, lane, m)
    T sum = 0;
    for (Index i = lane; i < n; i += LANES) {
        const T error = a[i + j * n] - y[i + j * n];
        sum += fabs(error) / 2 + lean(n, i, spread) * error;
    }
    sum = lanes_sum(sum);
    if (lane == 0) losses[*position + j] = sum;
    if (labelled) mark_hit(j, lane, n, a + j * n, labels, threshold, hits + *position);
}

// delta[:, j] = sign(a - y) / 2 + 1/2 - tau
extern "C" __global__ void quantiles_gradient(Index m, Index n, Index ld, EACH(const T, a), EACH(const T, y),
                                              EACH(Operand, delta), T spread) {
    OWN(a) OWN(y) OWN(delta)
    FOR_COLUMN(j, lane, m)
    for (Index i = lane; i < n; i += LANES) {
        const T output = a[i + j * n], target = y[i + j * n];
        delta[i + j * ld] = (T(output > target) - T(output < target)) / 2 + lean(n, i, spread);
    }
}

// delta[:, j] *= weights[j]
extern "C" __global__ void apply_weights(Index n, Index m, Index ld, EACH(const T, weights), EACH(Operand, delta)) {
    OWN(weights) OWN(delta)
    FOR_ELEMENT(i, j, n, m)
    delta[i + j * ld] = delta[i + j * ld] * weights[j];
}

// losses[position + j] *= weights[j]
extern "C" __global__ void weigh_losses(Index m, EACH(const T, weights), EACH(T, losses),
                                        EACH(const Index, position)) {
    OWN(weights) OWN(losses) OWN(position)
    FOR_EACH(j, m)
    losses[*position + j] *= weights[j];
}

// b = alpha sum_j delta[:, j] + beta b; a block sums BIAS_PACKS packs of rows, a thread some columns of a pack
extern "C" __global__ void bias_gradient(Index n, Index m, Index ld, EACH(const Operand, delta),
                                         EACH(const T, alpha), EACH(const T, beta), EACH(T, b)) {
    OWN(delta) OWN(alpha) OWN(beta) OWN(b)
    __shared__ T sums[THREADS / LANES][BIAS_PACKS * PACK];
    const int pack = threadIdx.x % BIAS_PACKS, warp = threadIdx.x / LANES, strips = blockDim.x / BIAS_PACKS;
    const Index top = (Index)blockIdx.x * BIAS_PACKS * PACK, i = top + pack * PACK;
    T total[PACK] = {};
    for (Index j = threadIdx.x / BIAS_PACKS; j < m && i < n; j += strips) {
        const Pack<Operand> found = Rows(i, j, n).read(delta, ld);
        for (int k = 0; k < PACK; ++k) total[k] += found.of[k];
    }
    for (int k = 0; k < PACK; ++k) {
        for (int apart = LANES / 2; apart >= BIAS_PACKS; apart /= 2)
            total[k] += __shfl_xor_sync(0xffffffff, total[k], apart);
        if (threadIdx.x % LANES < BIAS_PACKS) sums[warp][pack * PACK + k] = total[k];
    }
    __syncthreads();
    const Index row = top + threadIdx.x;
    if (threadIdx.x >= BIAS_PACKS * PACK || row >= n) return;
    T sum = 0;
    for (int w = 0; w < (int)blockDim.x / LANES; ++w) sum += sums[w][threadIdx.x];
    b[row] = *alpha * sum + (*beta == 0 ? T(0) : *beta * b[row]);
}

// to[j, i] = from[i, j] for two matrices of m columns, n and k rows, side by side in `to`; a block for each tile
extern "C" __global__ void transpose_both(Index n, Index k, Index m, Index ld_n, EACH(const Operand, of_n),
                                          Index ld_k, EACH(const Operand, of_k), Index ld, EACH(Operand, to)) {
    OWN(of_n) OWN(of_k) OWN(to)
    __shared__ T tile[LANES][LANES + 1];
    const Index across = (m + LANES - 1) / LANES, down = (n + LANES - 1) / LANES;
    const Index first = blockIdx.x / across, j0 = (blockIdx.x - first * across) * LANES;
    const bool second = first >= down;
    const Index i0 = (second ? first - down : first) * LANES, rows = second ? k : n, ld_from = second ? ld_k : ld_n;
    const Operand* const from = second ? of_k : of_n;
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
    for (int c = warp; c < LANES; c += warps)
        if (i0 + lane < rows && j0 + c < m) tile[c][lane] = from[i0 + lane + (j0 + c) * ld_from];
    __syncthreads();
    if (second) to += n * ld;
    for (int r = warp; r < LANES; r += warps)
        if (i0 + r < rows && j0 + lane < m) to[j0 + lane + (i0 + r) * ld] = tile[lane][r];
}

// wb = beta wb + product, four rows at a time if n allows
extern "C" __global__ void land(Index n, Index columns, Index ld, EACH(const T, beta), EACH(const T, product),
                                EACH(T, wb)) {
    OWN(beta) OWN(product) OWN(wb)
    const Index fours = (n + 3) / 4, thread = (Index)blockIdx.x * blockDim.x + threadIdx.x;
    const Index j = quotient(thread, fours), i = 4 * (thread - j * fours);
    if (j >= columns) return;
    T* const to = wb + i + j * n;
    Four<T> sum = at_once<Four<T>>(product + i + j * ld);
    const T keep = *beta;
    if (n % 4 == 0) {
        if (keep != 0) {
            const Four<T> old = at_once<Four<T>>(to);
            for (int k = 0; k < 4; ++k) sum.of[k] += keep * old.of[k];
        }
        at_once<Four<T>>(to) = sum;
        return;
    }
    for (int k = 0; k < 4 && i + k < n; ++k) to[k] = sum.of[k] + (keep == 0 ? T(0) : keep * to[k]);
}

// the row beneath a's last one = value
extern "C" __global__ void fill_border(Index m, Index n, Index ld, T value, EACH(Operand, a)) {
    OWN(a)
    FOR_EACH(j, m)
    a[n + j * ld] = value;
}

// into[:, position + j] = a[:, j]
extern "C" __global__ void collect(Index count, Index n, EACH(const T, a), EACH(const Index, position),
                                   EACH(T, into)) {
    OWN(a) OWN(position) OWN(into)
    FOR_EACH(i, count)
    into[*position * n + i] = a[i];
}

extern "C" __global__ void advance(Index one, Index m, EACH(Index, position)) {
    OWN(position)
    FOR_EACH(i, one)
    *position += m;
}

// a network that has ended goes on over its first examples
extern "C" __global__ void begin_again(Index one, EACH(const Index, ended), EACH(Index, position), EACH(Index, step)) {
    OWN(ended) OWN(position) OWN(step)
    FOR_EACH(i, one)
    if (*ended) *position = *step = 0;
}

// values = p + q eta, for the learning rate of this step
extern "C" __global__ void set_rates(Index count, EACH(const double, p), EACH(const double, q),
                                     EACH(const double, etas), EACH(const Index, step), EACH(T, values)) {
    OWN(p) OWN(q) OWN(etas) OWN(step) OWN(values)
    FOR_EACH(i, count)
    values[i] = T(p[i] + q[i] * etas[*step]);
}

// theta, rounded to what products read, with padding of zeros, and of a 1 beneath b
// table: for each layer the start in theta, the start here, n, ld, the inputs, and at which column b is here
extern "C" __global__ void narrow(Index count, Index layers, EACH(const Index, table), EACH(const T, theta),
                                  EACH(Operand, narrowed)) {
    OWN(table) OWN(theta) OWN(narrowed)
    FOR_EACH(pack, count)
    const Index at = pack * PACK;
    while (--layers && at < table[6 * layers + 1]) {}
    const Index* const own = table + 6 * layers;
    const Index n = own[2], ld = own[3], inputs = own[4], j = quotient(at - own[1], ld), i = at - own[1] - j * ld;
    const bool is_b = j == own[5];
    if ((j >= inputs && !is_b) || i >= n) return;
    const T* from = theta + own[0] + (is_b ? inputs : j) * n + i;
    Pack<T> wide;
    if (i + PACK <= n && n % (PACK_BYTES / sizeof(T)) == 0) wide = at_once<Pack<T>>(from);
    else for (int k = 0; k < PACK; ++k) wide.of[k] = i + k < n ? from[k] : T(is_b && i + k == n);
    Pack<Operand> out;
    for (int k = 0; k < PACK; ++k) out.of[k] = wide.of[k];
    at_once<Pack<Operand>>(narrowed + at) = out;
}

// y += alpha x
extern "C" __global__ void add(Index count, EACH(const T, alpha), EACH(const T, x), EACH(T, y)) {
    OWN(alpha) OWN(x) OWN(y)
    FOR_EACH(i, count)
    y[i] += *alpha * x[i];
}

// x *= alpha
extern "C" __global__ void scale(Index count, EACH(const T, alpha), EACH(T, x)) {
    OWN(alpha) OWN(x)
    FOR_EACH(i, count)
    x[i] *= *alpha;
}

// x moves towards 0 by limit and stops there
extern "C" __global__ void shrink(Index count, EACH(const T, limit), EACH(T, x)) {
    OWN(limit) OWN(x)
    FOR_EACH(i, count)
    const T by = x[i] > *limit ? *limit : x[i] < -*limit ? -*limit : x[i];
    x[i] -= by;
}

// sums[block] = sum of the squares of the block's share of x
extern "C" __global__ void sum_squares(Index count, EACH(const T, x), EACH(T, sums)) {
    OWN(x) OWN(sums)
    T sum = 0;
    const Index all = (Index)gridDim.x * blockDim.x;
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += all) sum += x[i] * x[i];
    sum = block_sum(sum, 1);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// x *= min(1, limit / ||x||), with the partial sums of squares, one for each thread of a block
extern "C" __global__ void clip(Index count, T limit, EACH(const T, sums), EACH(T, x)) {
    OWN(sums) OWN(x)
    const T norm = sqrt(block_sum(sums[threadIdx.x], 1));
    FOR_EACH(i, count)
    if (norm > limit) x[i] *= limit / norm;
}

// scale each row of w (n, k) down to a length of at most limit
extern "C" __global__ void bound_rows(Index n, Index k, T limit, EACH(T, w)) {
    OWN(w)
    const Share my(n, k);
    const auto read = [&](Index j) { return w[my.i + j * n]; };
    const T norm = sqrt(block_sum(my.sum([&](Index j) { return read(j) * read(j); }), ROWS));
    const T factor = norm > limit ? limit / norm : T(1);
    my.each(read, [&](Index j, T x) { w[my.i + j * n] = factor * x; });
}

#endif
