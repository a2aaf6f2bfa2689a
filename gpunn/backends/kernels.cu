// The CUDA backend's kernels: one small kernel a verb, one thread an element or a column.
//
// Compiled with a preamble that defines T (float or double), TINY (its smallest normal number) and, for
// the elementwise modules, the C spellings of one activation or cost: F(z), F_PRIME(a, z), LOSS(a, y, z),
// COST_GRADIENT(a, y). Matrices are column-major, an example a column; m columns of n rows, no padding.
// Every kernel takes its number of threads' worth of work first and ignores the threads beyond it.
// No atomics: what a kernel computes does not depend on the order of its threads.

typedef long long Index;

#define FOR_EACH(i, count)                                                \
    const Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x;         \
    if (i >= count) return;

#if defined(F)  // ---------------------------------------------------------------- one activation

// a = f(z)
extern "C" __global__ void activate(Index count, const T* zs, T* as) {
    FOR_EACH(i, count)
    const T z = zs[i];
    as[i] = F(z);
}

// delta = delta f'(z)
extern "C" __global__ void times_derivative(Index count, T* delta, const T* as, const T* zs) {
    FOR_EACH(i, count)
    const T a = as[i], z = zs[i];
    (void)a, (void)z;
    delta[i] *= F_PRIME(a, z);
}

#elif defined(LOSS)  // ---------------------------------------------------------------- one cost

// a, kept where log(a) is finite
static __device__ T above_zero(T a) {
    return a < TINY ? TINY : a;
}

// a, kept where both log(a) and log1p(-a) are finite
static __device__ T inside(T a) {
    const T most = 1 - EPSNEG;
    return a < TINY ? TINY : a > most ? most : a;
}

// delta = dC/da
extern "C" __global__ void cost_gradient(Index count, const T* as, const T* ys, T* delta) {
    FOR_EACH(i, count)
    const T a = as[i], y = ys[i];
    (void)inside, (void)above_zero;
    delta[i] = COST_GRADIENT(a, y);
}

// losses[position + j] = C of column j
extern "C" __global__ void column_losses(Index m, Index n, const T* as, const T* ys, const T* zs, T* losses,
                                         const Index* position) {
    FOR_EACH(j, m)
    T sum = 0;
    for (Index i = j * n; i < (j + 1) * n; ++i) {
        const T a = as[i], y = ys[i], z = zs[i];
        (void)a, (void)z, (void)inside, (void)above_zero;
        sum += LOSS(a, y, z);
    }
    losses[*position + j] = sum;
}

#else  // ---------------------------------------------------------------- everything else

// x[:, j] = scale * X[:, order[position + j]]; the bytes are pixels
static __device__ Index source(const Index* order, const Index* position, Index i, Index n) {
    return order[*position + i / n] * n + i % n;
}

extern "C" __global__ void gather_bytes(Index count, Index n, const unsigned char* X, const Index* order,
                                        const Index* position, T scale, T* x) {
    FOR_EACH(i, count)
    x[i] = X[source(order, position, i, n)] * scale;
}

extern "C" __global__ void gather_values(Index count, Index n, const T* X, const Index* order,
                                         const Index* position, T* x) {
    FOR_EACH(i, count)
    x[i] = X[source(order, position, i, n)];
}

extern "C" __global__ void gather_labels(Index m, const Index* all, const Index* order, const Index* position,
                                         Index* labels) {
    FOR_EACH(j, m)
    labels[j] = all[order[*position + j]];
}

// y[i, j] = on where i is the label of column j, else off; a single output is on where the label is 1
extern "C" __global__ void targets_of(Index count, Index n, const Index* labels, T on, T off, T* y) {
    FOR_EACH(i, count)
    y[i] = labels[i / n] == (n == 1 ? 1 : i % n) ? on : off;
}

// z[:, j] += b
extern "C" __global__ void add_bias(Index count, Index n, const T* b, T* z) {
    FOR_EACH(i, count)
    z[i] += b[i % n];
}

// zhat = (z - mean) / sqrt(variance + epsilon), gain = gamma / that root, z = gamma zhat + beta, by row:
// with mean and variance of the row, towards which the running ones move, or with the running ones
extern "C" __global__ void normalize(Index n, Index m, Index by_batch, T epsilon, T momentum, const T* gamma,
                                     const T* beta, T* mean, T* variance, T* z, T* zhat, T* gain) {
    FOR_EACH(i, n)
    T mu = mean[i], var = variance[i];
    if (by_batch) {
        mu = 0, var = 0;
        for (Index j = 0; j < m; ++j) mu += z[i + j * n];
        mu /= m;
        for (Index j = 0; j < m; ++j) var += (z[i + j * n] - mu) * (z[i + j * n] - mu);
        var /= m;
        mean[i] = (1 - momentum) * mean[i] + momentum * mu;
        variance[i] = (1 - momentum) * variance[i] + momentum * var * m / (m > 1 ? m - 1 : 1);
    }
    const T root = sqrt(var + epsilon);
    gain[i] = gamma[i] / root;
    for (Index j = 0; j < m; ++j) {
        const T hat = (z[i + j * n] - mu) / root;
        zhat[i + j * n] = hat;
        z[i + j * n] = gamma[i] * hat + beta[i];
    }
}

// delta = gain (delta - mean delta - zhat mean(delta zhat)), or gain delta; by row
// gamma = by sum(delta zhat) + keep gamma, beta = by sum(delta) + keep beta
extern "C" __global__ void norm_error(Index n, Index m, Index by_batch, const T* by, const T* keep, const T* zhat,
                                      const T* gain, T* delta, T* gamma, T* beta) {
    FOR_EACH(i, n)
    T sum = 0, slope = 0;
    for (Index j = 0; j < m; ++j) {
        sum += delta[i + j * n];
        slope += delta[i + j * n] * zhat[i + j * n];
    }
    gamma[i] = *by * slope + *keep * gamma[i];
    beta[i] = *by * sum + *keep * beta[i];
    for (Index j = 0; j < m; ++j) {
        const T means = by_batch ? (sum + zhat[i + j * n] * slope) / m : T(0);
        delta[i + j * n] = gain[i] * (delta[i + j * n] - means);
    }
}

// a[:, j] = softmax(z[:, j])
extern "C" __global__ void softmax(Index m, Index n, const T* z, T* a) {
    FOR_EACH(j, m)
    const T* in = z + j * n;
    T* out = a + j * n;
    T most = in[0], sum = 0;
    for (Index i = 1; i < n; ++i) most = in[i] > most ? in[i] : most;
    for (Index i = 0; i < n; ++i) sum += out[i] = exp(in[i] - most);
    for (Index i = 0; i < n; ++i) out[i] /= sum;
}

// delta[:, j] = a (delta - sum delta a): the product with the softmax's Jacobian
extern "C" __global__ void times_softmax_jacobian(Index m, Index n, T* delta, const T* a) {
    FOR_EACH(j, m)
    T sum = 0;
    for (Index i = j * n; i < (j + 1) * n; ++i) sum += delta[i] * a[i];
    for (Index i = j * n; i < (j + 1) * n; ++i) delta[i] = a[i] * (delta[i] - sum);
}

// delta = a - y
extern "C" __global__ void difference(Index count, const T* a, const T* y, T* delta) {
    FOR_EACH(i, count)
    delta[i] = a[i] - y[i];
}

// lowbias32, and the bits of element i in one layer of one step: see randoms.py
static __device__ unsigned mix(unsigned x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

// mask = 0 where the element's 16 bits are below `least`, else 1; a *= mask
extern "C" __global__ void drop(Index count, Index least, Index layer, const Index* key, const Index* step,
                                T* mask, T* a) {
    FOR_EACH(i, count)
    const unsigned stream = mix((unsigned)*key ^ mix((unsigned)(*step * 1024 + layer)));
    const unsigned bits = mix(mix((unsigned)(i / 2)) ^ stream);
    const T kept = (i % 2 ? bits >> 16 : bits & 0xffff) >= (unsigned)least;
    mask[i] = kept;
    a[i] *= kept;
}

// number k between -1 and 1 of step q's stream in one layer: see randoms.py
static __device__ T uniform(const Index* key, Index q, Index layer, Index k) {
    const unsigned bits = mix(mix((unsigned)(k / 2)) ^ mix((unsigned)*key ^ mix((unsigned)(q * 1024 + layer))));
    return (2 * T(k % 2 ? bits >> 16 : bits & 0xffff) + 1) / 65536 - 1;
}

// to = from
extern "C" __global__ void copy(Index count, const T* from, T* to) {
    FOR_EACH(i, count)
    to[i] = from[i];
}

// two fields of noise, each image's own, smoothed along its rows by the symmetric matrix `smooth`
extern "C" __global__ void noise_along_rows(Index count, Index height, Index width, const T* smooth,
                                            const Index* key, const Index* position, T* down, T* aside) {
    FOR_EACH(i, count)
    const Index n = height * width, j = i / n, column = i % width, row = i % n - column;
    T y = 0, x = 0;
    for (Index k = 0; k < width; ++k) {
        const T by = smooth[column * width + k];
        y += by * uniform(key, *position + j, 1022, 2 * (row + k));
        x += by * uniform(key, *position + j, 1022, 2 * (row + k) + 1);
    }
    down[i] = y;
    aside[i] = x;
}

// both fields smoothed along the columns
extern "C" __global__ void along_columns(Index count, Index height, Index width, const T* smooth,
                                         const T* ys, const T* xs, T* down, T* aside) {
    FOR_EACH(i, count)
    const Index n = height * width, row = i % n / width, top = i - row * width;
    T y = 0, x = 0;
    for (Index k = 0; k < height; ++k) {
        const T by = smooth[row * height + k];
        y += by * ys[top + k * width];
        x += by * xs[top + k * width];
    }
    down[i] = y;
    aside[i] = x;
}

// the pixel at (row, column), 0 outside
static __device__ T pixel(const T* image, Index height, Index width, Index row, Index column) {
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? image[row * width + column] : T(0);
}

// x = the images, turned by at most `angle`, scaled and shifted, and bent by alpha times the fields:
// Augmentation.affine says how
extern "C" __global__ void distort(Index count, Index height, Index width, const Index* key,
                                   const Index* position, T angle, T scale, T shift, T alpha, const T* down,
                                   const T* aside, const T* images, T* x) {
    FOR_EACH(i, count)
    const Index n = height * width, j = i / n, q = *position + j;
    const T turn = angle * uniform(key, q, 1023, 0), cosine = cos(turn), sine = sin(turn);
    const T middle_row = T(height - 1) / 2, middle_column = T(width - 1) / 2;
    const T dy = i % n / width - middle_row - shift * uniform(key, q, 1023, 3);
    const T dx = i % width - middle_column - shift * uniform(key, q, 1023, 4);
    T y = middle_row + (cosine * dy + sine * dx) / (1 + scale * uniform(key, q, 1023, 1));
    T column = middle_column + (cosine * dx - sine * dy) / (1 + scale * uniform(key, q, 1023, 2));
    if (alpha > 0) y += alpha * down[i], column += alpha * aside[i];
    const T floor_y = floor(y), floor_x = floor(column), share_y = y - floor_y, share_x = column - floor_x;
    const T* image = images + j * n;
    const Index r = Index(floor_y), c = Index(floor_x);
    const T above = pixel(image, height, width, r, c) * (1 - share_x) +
                    pixel(image, height, width, r, c + 1) * share_x;
    const T below = pixel(image, height, width, r + 1, c) * (1 - share_x) +
                    pixel(image, height, width, r + 1, c + 1) * share_x;
    x[i] = above * (1 - share_y) + below * share_y;
}

// x *= by, elementwise
extern "C" __global__ void times(Index count, const T* by, T* x) {
    FOR_EACH(i, count)
    x[i] *= by[i];
}

// the output of a column's class
static __device__ T right_output(Index n, const T* a, const T* y) {
    T right = 0;
    for (Index i = 0; i < n; ++i) right += a[i] * y[i];
    return right;
}

// a - right + 1 for another class, 0 for the class itself; a single output: 1 - a, or 1 + a for class 0
static __device__ T margin(Index n, T a, T y, T right) {
    return n == 1 ? 1 - (2 * y - 1) * a : a - right + 1 - y;
}

// losses[position + j] = the sum of column j's margins above 0
extern "C" __global__ void hinge_losses(Index m, Index n, const T* a, const T* y, T* losses,
                                        const Index* position) {
    FOR_EACH(j, m)
    T sum = 0, right = right_output(n, a + j * n, y + j * n);
    for (Index i = j * n; i < (j + 1) * n; ++i) {
        const T above = margin(n, a[i], y[i], right);
        sum += above <= 0 ? T(0) : above;
    }
    losses[*position + j] = sum;
}

// delta[:, j] = 1 where column j's margin is above 0, and for the class y minus how many there are
extern "C" __global__ void hinge_gradient(Index m, Index n, const T* a, const T* y, T* delta) {
    FOR_EACH(j, m)
    T count = 0, right = right_output(n, a + j * n, y + j * n);
    for (Index i = j * n; i < (j + 1) * n; ++i) count += delta[i] = T(margin(n, a[i], y[i], right) > 0);
    if (n == 1) delta[j] = -(2 * y[j] - 1) * count;
    else for (Index i = j * n; i < (j + 1) * n; ++i) delta[i] -= y[i] * count;
}

// delta[:, j] *= weights[j]
extern "C" __global__ void weigh(Index count, Index n, const T* weights, T* delta) {
    FOR_EACH(i, count)
    delta[i] *= weights[i / n];
}

// losses[position + j] *= weights[j]
extern "C" __global__ void weigh_losses(Index m, const T* weights, T* losses, const Index* position) {
    FOR_EACH(j, m)
    losses[*position + j] *= weights[j];
}

// b = alpha sum_j delta[:, j] + beta b
extern "C" __global__ void bias_gradient(Index n, Index m, const T* delta, const T* alpha, const T* beta, T* b) {
    FOR_EACH(i, n)
    T sum = 0;
    for (Index j = 0; j < m; ++j) sum += delta[i + j * n];
    b[i] = *alpha * sum + (*beta == 0 ? T(0) : *beta * b[i]);
}

// hits[position + j] = the largest output (of a single one: whether it is above the threshold) is the label
extern "C" __global__ void column_hits(Index m, Index n, const T* a, const Index* labels, T threshold,
                                       unsigned char* hits, const Index* position) {
    FOR_EACH(j, m)
    Index best = 0;
    for (Index i = 1; i < n; ++i) best = a[j * n + i] > a[j * n + best] ? i : best;
    if (n == 1) best = a[j] > threshold;
    hits[*position + j] = best == labels[j];
}

// into[:, position + j] = a[:, j]
extern "C" __global__ void collect(Index count, Index n, const T* a, const Index* position, T* into) {
    FOR_EACH(i, count)
    into[*position * n + i] = a[i];
}

extern "C" __global__ void advance(Index one, Index m, Index* position) {
    FOR_EACH(i, one)
    *position += m;
}

// values = p + q eta, for the learning rate of this step
extern "C" __global__ void follow(Index count, const double* p, const double* q, const double* etas,
                                  const Index* step, T* values) {
    FOR_EACH(i, count)
    values[i] = T(p[i] + q[i] * etas[*step]);
}

// y += alpha x
extern "C" __global__ void add(Index count, const T* alpha, const T* x, T* y) {
    FOR_EACH(i, count)
    y[i] += *alpha * x[i];
}

// x *= alpha
extern "C" __global__ void scale(Index count, const T* alpha, T* x) {
    FOR_EACH(i, count)
    x[i] *= *alpha;
}

// x moves towards 0 by limit, and stops there
extern "C" __global__ void shrink(Index count, const T* limit, T* x) {
    FOR_EACH(i, count)
    const T by = x[i] > *limit ? *limit : x[i] < -*limit ? -*limit : x[i];
    x[i] -= by;
}

// partial[t] = the sum of the squares of every `threads`th element from t on
extern "C" __global__ void sum_squares(Index threads, Index count, const T* x, T* partial) {
    FOR_EACH(t, threads)
    T sum = 0;
    for (Index i = t; i < count; i += threads) sum += x[i] * x[i];
    partial[t] = sum;
}

// factor = min(1, limit / the root of their sum)
extern "C" __global__ void clip_factor(Index one, Index threads, T limit, const T* partial, T* factor) {
    FOR_EACH(i, one)
    T sum = 0;
    for (Index t = 0; t < threads; ++t) sum += partial[t];
    const T norm = sqrt(sum);
    *factor = norm > limit ? limit / norm : T(1);
}

// each row of w (n, k) to a length of at most limit
extern "C" __global__ void bound_rows(Index n, Index k, T limit, T* w) {
    FOR_EACH(i, n)
    T sum = 0;
    for (Index j = 0; j < k; ++j) sum += w[i + j * n] * w[i + j * n];
    const T norm = sqrt(sum), factor = norm > limit ? limit / norm : T(1);
    for (Index j = 0; j < k; ++j) w[i + j * n] *= factor;
}

// Adam's step number and its corrections: state = {t, rate, small}
extern "C" __global__ void adam_begin(Index one, const T* eta, double beta1, double beta2, double epsilon,
                                      double* state) {
    FOR_EACH(i, one)
    const double t = state[0] + 1, unbias = sqrt(1 - pow(beta2, t));
    state[0] = t;
    state[1] = *eta * unbias / (1 - pow(beta1, t));
    state[2] = epsilon * unbias;
}

// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; theta -= rate m / (sqrt(v) + small)
extern "C" __global__ void adam(Index count, T* theta, const T* g, T* m, T* v, T beta1, T beta2,
                                const double* state) {
    FOR_EACH(i, count)
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    theta[i] -= T(state[1]) * m[i] / (sqrt(v[i]) + T(state[2]));
}

// v = rho v + (1 - rho) g^2; theta -= eta g / (sqrt(v) + epsilon)
extern "C" __global__ void rms(Index count, T* theta, const T* g, T* v, const T* eta, T rho, T epsilon) {
    FOR_EACH(i, count)
    v[i] = rho * v[i] + (1 - rho) * g[i] * g[i];
    theta[i] -= *eta * g[i] / (sqrt(v[i]) + epsilon);
}

#endif
