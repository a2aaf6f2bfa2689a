// The resident kernel: many steps of a small network in one launch, and a block for each of many networks.
//
// This file says who holds what. resident_examples.cu reads the examples, resident_layers.cu goes forwards through the
// layers, and resident.cu goes back, learns, and has the kernel itself. They are compiled in this order, after
// kernels.cu, with a preamble that makes everything about the network a constant: DEPTH (L), SIZES (n_0, ..., n_L),
// activation(l, z) and derivative(l, a, z) of the hidden layers, F and the cost of the last, the mini-batch's BATCH
// examples, and MOVE: the statements that move one parameter, generated from the update's equations. What differs from
// network to network (theta, the order of the examples, eta, ...) comes from the table of Members.
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
// BLOCKS: a network of its own may have several blocks. If they are a cluster of CLUSTER blocks, they exchange numbers
// through each other's shared memory; else through device memory, and all blocks of the launch run at the same time.
// SHARES_INPUTS: they share out the inputs of a first layer in registers, and exchange their sums of z[1], once a tile.
// All the rest is so little that each does all of it, in the same order, so that their results are bitwise identical.
// SHARES_EXAMPLES: they share out the examples of a mini-batch, and each has all of theta. Each parameter has one block
// that moves it and has its states: it sums the gradients that all blocks have sent, in the blocks' order, moves the
// parameter, and sends it to all. Of the parameters that a thread owns, numbered through all layers, block r moves r,
// r + BLOCKS, r + 2 BLOCKS, ...
//
// LEARNS: otherwise the outputs are only measured, and several blocks may measure some of a network's examples each.
//
// A mini-batch is worked off in tiles of COLUMNS examples; gradients are summed tile after tile, in this order. A row
// of x, a or delta holds one unit in all examples of the tile, and rows are ROW apart. While a tile is worked on, the
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

__device__ constexpr int quotient_up(int a, int b) { return (a + b - 1) / b; }
__device__ constexpr int least(int a, int b) { return a < b ? a : b; }

enum Place { IN_REGISTERS, IN_SHARED, IN_MEMORY };
constexpr int SIZE[] = {SIZES}, START[] = {STARTS};  // START[l]: of layer l in theta
constexpr bool SHARES_INPUTS = FIRST_IN_REGISTERS && BLOCKS > 1, SHARES_EXAMPLES = !FIRST_IN_REGISTERS && BLOCKS > 1;
constexpr bool GRID = BLOCKS > CLUSTER;
constexpr int MOVERS = SHARES_EXAMPLES ? BLOCKS : 1;  // blocks that share out the parameters that they move
constexpr int C = COLUMNS, L = DEPTH, SIZE_0 = SIZE[0], N_OUT = SIZE[L];
constexpr int N_IN = SHARES_INPUTS ? SIZE_0 / BLOCKS : SIZE_0;  // inputs of a block
constexpr int SHARE = quotient_up(BATCH, MOVERS);               // examples of a block in a step
constexpr bool ONE_TILE = C >= SHARE;

// What a block needs to know of its network; the same order as in resident.py.
struct Member {
    T *theta, *state_0, *state_1;  // the optimizer's states are like theta
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
    T* exchange;                 // of the blocks of a network that are no cluster: EXCHANGED numbers for each
    Index* flags;                // one for each of these blocks
    Index first, count;          // the first of the examples, behind the position, and how many
};

// The layout of the block's shared memory, in elements.
template <int l> struct Layer {
    static constexpr int n_in = l > 1 ? SIZE[l - 1] : N_IN, n = SIZE[l], ld = n | 1, start = START[l];
    static constexpr bool shared_w = l > 1 || !FIRST_IN_REGISTERS;
    static constexpr int GROUPS = least(WIDTH / n, n_in + 1), OWN = quotient_up(n_in + 1, GROUPS);
    static constexpr int w = Layer<l - 1>::end, a = w + shared_w * quotient_up(ld * (n_in + 1), 4) * 4;
    static constexpr int delta = a + (l < L) * (n + 1) * ROW, end = delta + n * ROW;
    static constexpr int number = Layer<l - 1>::numbers, numbers = number + OWN;  // of a thread's parameters
};

template <> struct Layer<0> {
    static constexpr int a = 0, size_x = (N_IN + 1) * ROW, parts = BUFFERS * size_x;
    static constexpr int end = parts + FIRST_IN_REGISTERS * C * WIDTH, numbers = 0;
};

constexpr int NUMBERS = Layer<L>::numbers, SLOTS = quotient_up(NUMBERS, MOVERS);  // that a thread owns, and moves
constexpr int EXCHANGED = SHARES_INPUTS ? 2 * BLOCKS * SIZE[1] * C : SHARES_EXAMPLES ? SLOTS * BLOCKS * WIDTH : 0;
constexpr int STATES_AT = Layer<L>::end, INBOX = STATES_AT + (STATES_IN == IN_SHARED) * STATES * SLOTS * WIDTH;
constexpr int END = INBOX + (CLUSTER > 1) * EXCHANGED;

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
    Member member;       // here, since its pointers would take registers
    Index start, steps;  // the first example; the steps before
    double powers[2];    // n0 and n1 to the power of the steps counted
    T constants[CONSTANTS + 3];  // n0, n1, n2, on, off, threshold
    Pace pace[2];
    int index[2][C], label[2][C];
    T weight[2][C];
#if !defined(LABELLED)
    T y[2][C][N_OUT];
#endif
};

DEVICE Extras& extras() { return *(Extras*)(chip + quotient_up(END * sizeof(T), sizeof *chip)); }

// What a thread owns: weights of the first layer, gradients, and states. Arrays that lie elsewhere take no registers,
// since nobody uses them.
struct Own {
    T w[Layer<1>::OWN], gradient[NUMBERS], states[STATES > 0 ? STATES : 1][SLOTS];
};

// The blocks of a network: rank() is this one's number, meet() waits for all of them, and inbox_of(r) is what they send
// to block r, inbox() what they send to this one. In device memory one array of sums of z[1] serves all blocks.
#if CLUSTER > 1
DEVICE int rank() { return __clusterRelativeBlockRank(); }
DEVICE void meet(Index&) { meet_in_cluster(); }
DEVICE T* at(int element, int r) { return (T*)__cluster_map_shared_rank(at(element), r); }
DEVICE T* inbox_of(int r) { return at(INBOX, r); }
DEVICE T* inbox() { return at(INBOX); }
#else
DEVICE int rank() { return blockIdx.x % BLOCKS; }
DEVICE void meet(Index& tag) { meet_in_grid(extras().member.flags, rank(), BLOCKS, ++tag); }
DEVICE T* at(int element, int) { return at(element); }
DEVICE T* inbox_of(int r) { return extras().member.exchange + r * EXCHANGED; }
DEVICE T* inbox() { return inbox_of(SHARES_EXAMPLES ? rank() : 0); }
#endif

// whether no block of a lower rank has the same examples, for what is to be counted or written once
DEVICE bool first_of_its_examples() { return SHARES_EXAMPLES || rank() == 0; }

