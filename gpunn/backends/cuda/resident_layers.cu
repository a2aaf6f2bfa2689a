// The resident kernel's way forwards: products, the hidden layers, and the last one with BP1.

// finish(i, j, start(i) + sum_k w[i BY_ROW + k BY_INNER] b[k][j]) for all i < N and columns j. A thread has R rows and
// Q columns at once, as many as leave something to do for every thread.
template <int N, int INNER, int BY_ROW, int BY_INNER, class Start, class Finish>
DEVICE void product(const T* w, const T* b, Start start, Finish finish) {
    constexpr int EACH = C % 8 ? 0 : N * C / WIDTH, R = EACH >= 16 ? 2 : 1, Q = EACH >= 8 ? 8 : 4;
    constexpr int APART = quotient_up(N, R);  // of a thread's rows
    ROLLED
    for (int e = thread(); e < APART * (C / Q); e += WIDTH) {
        const int j = e / APART * Q;
        int rows[R];
        T sums[R][Q];
        UNROLL
        for (int r = 0; r < R; ++r) {
            rows[r] = least(e % APART + r * APART, N - 1);
            UNROLL
            for (int q = 0; q < Q; ++q) sums[r][q] = start(rows[r]);
        }
        UNROLL_4
        for (int k = 0; k < INNER; ++k) {
            T column[Q];
            UNROLL
            for (int q = 0; q < Q; q += 4) *(Four<T>*)(column + q) = *(const Four<T>*)(b + k * ROW + j + q);
            UNROLL
            for (int r = 0; r < R; ++r) {
                const T by = w[rows[r] * BY_ROW + k * BY_INNER];
                UNROLL
                for (int q = 0; q < Q; ++q) sums[r][q] += by * column[q];
            }
        }
        UNROLL
        for (int r = 0; r < R; ++r)
            UNROLL
            for (int q = 0; q < Q; ++q)
                if (e % APART + r * APART < N) finish(rows[r], j + q, sums[r][q]);
    }
}

// z[1]: sums over a thread's own inputs, into shared memory
DEVICE void sum_own(const Own& own, const T* x) {
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
            const T by = own.w[q];
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

// send the block's sums of z[1] to all blocks, and wait for theirs
DEVICE void exchange(int side, Index& tag) {
    constexpr int ALL = Layer<1>::n * C, COPIES = CLUSTER > 1 ? CLUSTER : 1;
    for (int e = thread(); e < ALL; e += WIDTH) {
        const T sum = sum_of_parts(e % Layer<1>::n, e / Layer<1>::n);
        for (int r = 0; r < COPIES; ++r) inbox_of(r)[(side * BLOCKS + rank()) * ALL + e] = sum;
    }
    meet(tag);
}

// z[1] of unit i and column j; two sides, since a block may be a tile ahead of another
DEVICE T first_sum(int i, int j, int side) {
    if (!SHARES_INPUTS) return sum_of_parts(i, j);
    constexpr int ALL = Layer<1>::n * C;
    T sum = 0;
    UNROLL
    for (int r = 0; r < BLOCKS; ++r) sum += inbox()[(side * BLOCKS + r) * ALL + j * Layer<1>::n + i];
    return sum;
}

// a[l] = f(z[l]) and, in delta[l], f'(z[l]), for the hidden layers from l on, each with a barrier behind it
template <int l> DEVICE void feed_forward(const T* before, int side) {
    if constexpr (l < L) {
        using My = Layer<l>;
        T *const a = at(My::a), *const delta = at(My::delta), *const w = at(My::w);
        const auto feed = [&](int i, int j, T z) {
            a[i * ROW + j] = activation(l, z);
            delta[i * ROW + j] = derivative(l, a[i * ROW + j], z);
        };
        if constexpr (My::shared_w)
            product<My::n, My::n_in, 1, My::ld>(w, before, [&](int i) { return w[My::n_in * My::ld + i]; }, feed);
        else
            for (int e = thread(); e < My::n * C; e += WIDTH)
                feed(e % My::n, e / My::n, first_sum(e % My::n, e / My::n, side));
        __syncthreads();
        feed_forward<l + 1>(a, side);
    }
}

// ---------------------------------------------------------------- the last layer: a, the loss, the hit and BP1

// LANES_OUT neighbours share a column, and each has UNITS of its units.
__device__ constexpr int power_of_2(int n) { return n > 1 ? 2 * power_of_2((n + 1) / 2) : 1; }
constexpr int LANES_OUT = least(LANES, power_of_2(N_OUT)), UNITS = quotient_up(N_OUT, LANES_OUT);

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
        const bool better = best >= N_OUT || other > most || (other == most && whose < best);
        if (whose < N_OUT && better) most = other, best = whose;
    }
    return best;
}

// column j of the tile: z to a, its loss and hit, and delta = dC/da f'(z)
DEVICE void finish_column(const Member& my, const T (&z)[UNITS], int lane, int j, int side, bool there, Index example) {
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
    most = lanes_max<LANES_OUT>(most);
    UNROLL
    for (int u = 0; u < UNITS; ++u) sum += a[u] = lane + u * LANES_OUT < N_OUT ? exp(z[u] - most) : T(0);
    sum = lanes_sum<LANES_OUT>(sum);
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
    loss = lanes_sum<LANES_OUT>(loss);
#if defined(LABELLED)
    const int best = N_OUT > 1 ? winner(a, lane) : a[0] > extra.constants[CONSTANTS + 2];
    if (there && lane == 0 && first_of_its_examples()) my.hits[example] = best == label;
#endif
    if (there && lane == 0 && first_of_its_examples()) my.losses[example] = WEIGHTED ? weight * loss : loss;
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
        if constexpr (My::shared_w) {
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
        }
        UNROLL
        for (int q = 0; q < AT; ++q) finish_column(my, z[q], lane, j0 + q, side, j0 + q < columns, example + j0 + q);
    }
    __syncthreads();
}

