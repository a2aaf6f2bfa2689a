// The resident kernel's way back, how parameters move, and the kernel. resident_layout.cu explains it all.

// BP2: delta[l-1] = (w[l]^T delta[l]) f'(z[l-1]), for layer l and those before; each ends with a barrier
template <int l> DEVICE void go_back() {
    if constexpr (l > 1) {
        using My = Layer<l>;
        T* const before = at(Layer<l - 1>::delta);
        const auto none = [](int) { return T(0); };
        const auto finish = [&](int k, int j, T sum) { before[k * ROW + j] *= sum; };
        product<My::n_in, My::n, My::ld, 1>(at(My::w), at(My::delta), none, finish);
        __syncthreads();
        go_back<l - 1>();
    }
}

// x, clamped to [-limit, limit]
DEVICE T clamped(T x, T limit) { return x > limit ? limit : x < -limit ? -limit : x; }

// Move one parameter; sum: its gradient, summed over the mini-batch.
DEVICE void move(const T* constants, const Pace& now, bool weight, T sum, T& x, T& s0, T& s1) {
    const T *const c = now.c, n0 = constants[0], n1 = constants[1], n2 = constants[2], r0 = now.r0, r1 = now.r1;
    (void)x, (void)sum, (void)c, (void)weight, (void)n0, (void)n1, (void)n2, (void)r0, (void)r1, (void)s0, (void)s1;
#if defined(RULE)
    T g = 0;
#endif
    MOVE
}

// where the weight of input k of unit i of layer l lies in theta; the last input is the bias
template <int l> DEVICE int place(int k, int i) {
    using My = Layer<l>;
    const int input = l > 1 || !SHARES_INPUTS ? k : k < N_IN ? rank() * N_IN + k : SIZE_0;
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

// f(slot, k, place of the parameter) for each parameter of layer l that this thread moves
template <int l, class F_> DEVICE void each_moved(F_ f) {
    using My = Layer<l>;
    const int i = thread() % My::n, group = thread() / My::n;
    if (group >= My::GROUPS) return;
    UNROLL
    for (int slot = My::number / MOVERS; slot < quotient_up(My::numbers, MOVERS); ++slot) {
        const int q = slot * MOVERS + (MOVERS > 1 ? rank() : 0) - My::number, k = group + q * My::GROUPS;
        if (q >= 0 && q < My::OWN && k <= My::n_in) f(slot, k, place<l>(k, i));
    }
}

// state s of the parameter in a slot
DEVICE T& state(const Member& my, Own& own, int s, int slot, int index) {
    if constexpr (STATES_IN == IN_REGISTERS) return own.states[s][slot];
    else if constexpr (STATES_IN == IN_SHARED) return at(STATES_AT)[(s * SLOTS + slot) * WIDTH + thread()];
    else return (s ? my.state_1 : my.state_0)[index];
}

// Move w of layer l, which belongs to input k, along its gradient.
template <int l>
DEVICE void step(const Member& my, Own& own, const Pace& now, int slot, int k, int index, T sum, T& w) {
    T unused = 0;
    T& s0 = STATES > 0 ? state(my, own, 0, slot, index) : unused;
    T& s1 = STATES > 1 ? state(my, own, 1, slot, index) : unused;
    move(extras().constants, now, k < Layer<l>::n_in, sum, w, s0, s1);
}

// BP3 and BP4 of layers l to L, and the move, if this is a mini-batch's last tile
template <int l> DEVICE void learn(const Member& my, Own& own, const T* before, bool last, const Pace& now) {
    using My = Layer<l>;
    constexpr int D = C <= 16 ? C : C % 8 ? 4 : 8;  // columns of delta in registers
    constexpr int AT_ONCE = D < C ? 4 : STATES_IN == IN_MEMORY ? 1 : 2;  // gradients that are summed side by side
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
            // never true, which the compiler cannot know: it reads no further ahead, so that registers suffice
            if ((STATES > 0 || !ONE_TILE) && q0 % 8 == 0 && my.count < 0) return;
            T sums[AT_ONCE] = {};
            ROLLED
            for (int j0 = 0; j0 < C; j0 += D) {
                if (D < C) load_delta(j0);
                UNROLL
                for (int r = 0; r < AT_ONCE; ++r) {
                    if (q0 + r >= My::OWN) continue;
                    const int mine = group + (q0 + r) * My::GROUPS;
                    const int k = q0 + r < My::OWN - 1 ? mine : least(mine, My::n_in);
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
                const int number = My::number + q;
                if (!ONE_TILE) sums[r] = own.gradient[number] += sums[r];
                if (!ONE_TILE && !last) continue;
                if constexpr (SHARES_EXAMPLES)
                    inbox_of(number % BLOCKS)[(number / BLOCKS * BLOCKS + rank()) * WIDTH + thread()] = sums[r];
                else {
                    T& w = My::shared_w ? at(My::w)[k * My::ld + i] : own.w[q];
                    step<l>(my, own, now, number, k, place<l>(k, i), sums[r], w);
                }
                if (!ONE_TILE) own.gradient[number] = 0;
            }
        }
    }
    if constexpr (l < L) learn<l + 1>(my, own, at(My::a), last, now);
}

// Sum the gradients that all blocks have sent for layers l to L, move the block's parameters, and send these to all.
template <int l> DEVICE void settle(const Member& my, Own& own, const Pace& now) {
    using My = Layer<l>;
    each_moved<l>([&](int slot, int k, int index) {
        const int to = My::w + k * My::ld + thread() % My::n;
        T sum = 0, w = *at(to);
        UNROLL
        for (int r = 0; r < BLOCKS; ++r) sum += inbox()[(slot * BLOCKS + r) * WIDTH + thread()];
        step<l>(my, own, now, slot, k, index, sum, w);
        if (GRID) my.theta[index] = w;
        UNROLL
        for (int r = 0; r < CLUSTER && !GRID; ++r) *at(to, r) = w;
    });
    if constexpr (l < L) settle<l + 1>(my, own, now);
}

// between theta in device memory and where the launch keeps it
template <int l> DEVICE void load_weights(const Member& my, Own& own) {
    using My = Layer<l>;
    each_own<l>([&](int q, int k, int index) {
        (My::shared_w ? at(My::w)[k * My::ld + thread() % My::n] : own.w[q]) = my.theta[index];
    });
    if constexpr (l < L) load_weights<l + 1>(my, own);
}

// all else that a launch begins with: the states, and ones for the biases
template <int l> DEVICE void load_states(const Member& my, Own& own) {
    using My = Layer<l>;
    if (STATES_IN != IN_MEMORY)
        each_moved<l>([&](int slot, int, int index) {
            if (STATES > 0) state(my, own, 0, slot, index) = my.state_0[index];
            if (STATES > 1) state(my, own, 1, slot, index) = my.state_1[index];
        });
    if constexpr (l < L) {
        for (int j = thread(); j < ROW; j += WIDTH) at(My::a)[My::n * ROW + j] = 1;
        load_states<l + 1>(my, own);
    }
}

// whether the parameter of input k is in device memory, or another block stores it, since all have the same
template <int l> DEVICE bool stored_elsewhere(int k) {
    return (SHARES_EXAMPLES && GRID) || (rank() > 0 && (l > 1 || !SHARES_INPUTS || k == N_IN));
}

template <int l> DEVICE void store_theta(const Member& my, Own& own) {
    using My = Layer<l>;
    each_own<l>([&](int q, int k, int index) {
        if (stored_elsewhere<l>(k)) return;
        my.theta[index] = My::shared_w ? at(My::w)[k * My::ld + thread() % My::n] : own.w[q];
    });
    if (STATES_IN != IN_MEMORY)
        each_moved<l>([&](int slot, int k, int index) {
            if (!SHARES_EXAMPLES && stored_elsewhere<l>(k)) return;
            if (STATES > 0) my.state_0[index] = state(my, own, 0, slot, index);
            if (STATES > 1) my.state_1[index] = state(my, own, 1, slot, index);
        });
    if constexpr (l < L) store_theta<l + 1>(my, own);
}

// the numbers of the next step, of BATCH examples or fewer
DEVICE void set_pace(const Member& my, Pace& next, double eta, bool whole) {
    const double* const pq = my.numbers + 4 + CONSTANTS + (whole ? 0 : 2 * SCALARS);
    for (int k = 0; k < MOVE_SCALARS; ++k) next.c[k] = pq[2 * k] + pq[2 * k + 1] * eta;
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

// what a launch begins with, before its first barrier
DEVICE void begin(const Member& member) {
    Extras& extra = extras();
    if (thread() == 0) {
        extra.member = member, extra.member.xs += SHARES_INPUTS * rank() * N_IN;
        extra.start = member.first + *member.position, extra.steps = member.etas ? *member.step : 0;
#if defined(COUNTS_STEPS)
        for (int k = 0; k < 2; ++k) extra.powers[k] = pow(member.numbers[1 + k], member.counter[0]);
#endif
        const double eta = member.etas ? member.etas[extra.steps] : member.numbers[0];
        set_pace(member, extra.pace[0], eta, member.count >= BATCH);
    }
    for (int j = thread(); j < BUFFERS * ROW; j += WIDTH)
        at(j / ROW * Layer<0>::size_x)[N_IN * ROW + j % ROW] = first_of_its_examples();  // for the bias
    if (thread() < CONSTANTS + 3) extra.constants[thread()] = member.numbers[1 + thread()];
}

// BP2 to BP4 of a tile, and the move, if it is a mini-batch's last
DEVICE void go_back_and_learn(const Member& my, Own& own, const T* x, bool last, const Pace& now, Index& tag) {
    go_back<L>();
    learn<1>(my, own, x, last, now);
    if constexpr (SHARES_EXAMPLES)
        if (last) {
            meet(tag);
            settle<1>(my, own, now);
            meet(tag);
            if (GRID) load_weights<1>(my, own);
        }
}

// one or more blocks for each member
extern "C" __global__
#if CLUSTER > 1
__cluster_dims__(CLUSTER, 1, 1)
#endif
__launch_bounds__(WIDTH, RESIDENT) void train(const Member* members) {
    Extras& extra = extras();
    const Member& my = extra.member;
    begin(members[blockIdx.x / BLOCKS]);
    __syncthreads();
    const Tiles tiles{(int)my.count};
    Own own{};
    Ahead ahead;
    load_weights<1>(my, own);
    load_states<1>(my, own);
    ahead.load_index(my, tiles, extra.start, 0);
    ahead.put_index(0);
    __syncthreads();
    Index tag = GRID ? my.flags[rank()] : 0;  // of this block's meetings
    if (CLUSTER > 1) meet(tag);  // all blocks have begun
    int steps = 0, side = 1;
    for (int from = -1, next = 0; from < tiles.count; from = next, side ^= 1) {
        const int other = side ^ 1;
        const bool begun = from >= 0, last = begun && tiles.last(from);  // the first round only reads the first tile
        if (begun) next = tiles.next(from);
        const bool new_pace = thread() == WIDTH - 1 && last && next < tiles.count;
        T *const x = at(BUFFERS > 1 ? side * Layer<0>::size_x : 0);
        T *const next_x = at(BUFFERS > 1 ? other * Layer<0>::size_x : 0);
        ahead.load(my, tiles.columns(next), extra.index[other]);  // zeros, if this is the last tile
        ahead.load_index(my, tiles, extra.start, tiles.next(next));
        if (new_pace) ahead.eta = my.etas ? my.etas[extra.steps + steps + 1] : my.numbers[0];
        if (begun) {
            if (FIRST_IN_REGISTERS) {
                sum_own(own, x);
                __syncthreads();
                if constexpr (SHARES_INPUTS) exchange(side, tag);
            }
            feed_forward<1>(x, side);
        }
        if (BUFFERS > 1) ahead.put(next_x, other);  // everyone is done with the tile before
        ahead.put_index(side);
        if (new_pace) set_pace(my, extra.pace[(steps + 1) % 2], ahead.eta, tiles.stop(next) - next == BATCH);
        if (begun) {
            finish(my, L > 1 ? at(Layer<L - 1>::a) : x, tiles.columns(from), side, extra.start + tiles.first(from));
            if (LEARNS) go_back_and_learn(my, own, x, last, extra.pace[steps % 2], tag);
        }
        if (!FIRST_IN_REGISTERS || BUFFERS == 1 || !begun) __syncthreads();
        if (BUFFERS == 1) {
            ahead.put(x, other);
            __syncthreads();
        }
        steps += last;
    }
    if (!LEARNS) return;
    store_theta<1>(my, own);
    if (thread() > 0 || rank() > 0) return;
    *my.position += tiles.count;
    if (my.etas) *my.step = extra.steps + steps;
#if defined(COUNTS_STEPS)
    my.counter[0] += steps;
#endif
}

static_assert(sizeof(Extras) + quotient_up(END * sizeof(T), sizeof *chip) * sizeof *chip == SHARED, "");
