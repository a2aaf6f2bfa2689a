// What happens in a pass over the examples: an operation for each equation of gpunn/core, by all members of a team.
//
// A member owns features: columns of w[l], rows of a[l-1] and rows of its error. It computes its rows of an error and
// its columns of a gradient by itself, and moves them; only whole errors and sums z go from member to member. Each
// number is computed in the same way by whichever member, so the bits do not depend on the number of members.
//
// The fields of an operation are as wide as a pointer: Python writes them into a table, in this order.

#pragma once
#include "functions.hpp"
#include "products.hpp"
#include "team.hpp"

namespace gpunn {

constexpr Index SOFTMAX = -1, PAIRED = -1, IDENTITY = 0;  // places: see source.py
constexpr Index FORWARD_BYTES = 1 << 18;  // of sums that stay in the cache until they are used
constexpr Index AHEAD = 4;                // examples that are fetched ahead

struct Position {  // of the pass
    const std::int64_t* order;
    Index example, step;
    const double* etas;
};

struct Span {
    Index begin, end;
    Index size() const { return end - begin; }
};

static Span share(Index n, Index unit, const Member& member) {
    return {member.begin(n, unit, member.t), member.begin(n, unit, member.t + 1)};
}

static Span features(Index n, const Member& member) { return share(n, 16, member); }

// The columns of a matrix whose first n are those of features: what follows them belongs to the last member.
static Span owned(Index n, Index columns, const Member& member) {
    const Span own = features(n, member);
    return {own.begin, member.t == member.threads - 1 ? columns : own.end};
}

static bool is_last(const Member& member) { return member.t == member.threads - 1; }

// ---------------------------------------------------------------------------------------------------- the examples

// x[:n, j] = X[:, order[j]]
template <class S>
struct Gather {
    const S* X;
    Index apart, n, m;  // apart: elements from example to example
    T* x;
    Index ld;

    void operator()(const Member& member, const Position& at) const {
        const Span own = features(n, member);
        for (Index j = 0; j < m; j++) {
            const S* from = X + at.order[at.example + j] * apart;
            T* into = x + j * ld;
            if (j + AHEAD < m) {
                const S* later = X + at.order[at.example + j + AHEAD] * apart;
                for (Index i = own.begin; i < own.end; i += 64 / sizeof(S)) __builtin_prefetch(later + i);
            }
#pragma omp simd
            for (Index i = own.begin; i < own.end; i++) into[i] = T(from[i]);
        }
    }
};

// labels = those of the examples, y = on at the label and off elsewhere; a single output is on for class 1.
struct Labels {
    const Index* from;
    Index n, m;
    Index* labels;
    T* y;
    const T* on_and_off;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index label = labels[j] = from[at.order[at.example + j]];
            for (Index i = 0; i < n; i++) y[i + j * n] = on_and_off[n == 1 ? label != 1 : i != label];
        }
    }
};

// ----------------------------------------------------------------------------------------------------- feedforward

// Compute a column's softmax; z and a may be the same.
static void softmax(Index n, const T* z, T* a) {
    T most = z[0], sum = 0;
    for (Index i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
#pragma omp simd
    for (Index i = 0; i < n; i++) a[i] = exp(z[i] - most);
    for (Index i = 0; i < n; i++) sum += a[i];
    for (Index i = 0; i < n; i++) a[i] /= sum;
}

// Forward: a = f(z), z = scale w x, where the last of the k columns of w is b and the last row of x counts 1.
struct Forward {
    Index n, k, m;
    const T *w, *x;
    Index ld;
    double scale;
    T *z, *a, *ones;  // ones: a again, above a row of ones; may be null
    Index f;          // SOFTMAX, IDENTITY or the index of an elementwise function
    T* half;          // a second sum for the second half of the features; null if there is one sum

    void operator()(const Member& member, const Position&) const {
        if (!half) return whole(member);
        const Index most = std::max<Index>(64, FORWARD_BYTES / (n * sizeof(T)));
        for (Index q = 0; q < m; q += most) {
            const Span columns{q, std::min(q + most, m)};
            halves(member, columns);
            member.meet();
            finish_share(member, columns);
            if (columns.end < m) member.meet();
        }
    }

  private:
    void whole(const Member& member) const {
        if (m >= 8 * member.threads || n < LANES * member.threads) {
            const Span own = share(m, 1, member);
            product({0, n}, {0, k}, own, z);
            finish({0, n}, own);
            return;
        }
        const Span own = share(n, LANES, member);
        product(own, {0, k}, {0, m}, z);
        if (f != SOFTMAX) return finish(own, {0, m});
        member.meet();
        finish({0, n}, share(m, 1, member));
    }

    // Half of the members, if there are several, compute each of the two sums.
    void halves(const Member& member, Span columns) const {
        const Index middle = Member(0, 2, nullptr).begin(k - 1, 16, 1);
        const Span first{0, middle}, second{middle, k};
        if (member.threads == 1) {
            product({0, n}, first, columns, z);
            product({0, n}, second, columns, half);
            return;
        }
        const int lower = (member.threads + 1) / 2;
        const bool is_lower = member.t < lower;
        const Member group(is_lower ? member.t : member.t - lower, is_lower ? lower : member.threads - lower, nullptr);
        Span own = share(columns.size(), 1, group), rows{0, n};
        if (columns.size() < 8 * group.threads && n >= LANES * group.threads) {
            own = {0, columns.size()};
            rows = share(n, LANES, group);
        }
        product(rows, is_lower ? first : second, {columns.begin + own.begin, columns.begin + own.end}, is_lower ? z : half);
    }

    void product(Span rows, Span inner, Span columns, T* into) const {
        if (!rows.size() || !columns.size()) return;
        multiply(rows.size(), columns.size(), inner.size(), {w + rows.begin + inner.begin * n, 1, n},
                 {x + inner.begin + columns.begin * ld, 1, ld}, into + rows.begin + columns.begin * n, n, {Into::SET});
    }

    void finish_share(const Member& member, Span columns) const {
        if (f != SOFTMAX && columns.size() < 8 * member.threads) return finish(share(n, LANES, member), columns);
        const Span own = share(columns.size(), 1, member);
        finish({0, n}, {columns.begin + own.begin, columns.begin + own.end});
    }

    // Add up the sums, scale them, and apply f.
    void finish(Span rows, Span columns) const {
        const Index n_own = rows.size();
        if (!n_own) return;
        for (Index j = columns.begin; j < columns.end; j++) {
            const Index at = rows.begin + j * n;
            if (half || scale != 1) {
                const T by = scale;
                T* sum = z + at;
                const T* other = half ? half + at : nullptr;
                if (half)
#pragma omp simd
                    for (Index i = 0; i < n_own; i++) sum[i] = (sum[i] + other[i]) * by;
                else
#pragma omp simd
                    for (Index i = 0; i < n_own; i++) sum[i] *= by;
            }
            if (f == SOFTMAX)
                softmax(n, z + at, a + at);
            else if (f != IDENTITY || a != z)
                Spelled::ACTIVATE[f](n_own, z + at, a + at);
            if (ones) std::memcpy(ones + rows.begin + j * (n + 1), a + at, n_own * sizeof(T));
        }
    }
};

// ------------------------------------------------------------------------------------------------ back-propagation

// BP1: delta = dC/da f'(z); a - y if the cost is PAIRED with f.
struct OutputError {
    Index n, m;
    const T *a, *y, *z;
    T* delta;
    Index cost, f;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(n * m, 16, member);
        if (cost != PAIRED) {
            Spelled::COST_GRADIENT[cost](own.size(), a + own.begin, y + own.begin, delta + own.begin);
            Spelled::DERIVE[f](own.size(), a + own.begin, z + own.begin, delta + own.begin);
            return;
        }
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) delta[i] = a[i] - y[i];
    }
};

// delta[:, j] *= weights[j]
struct ApplyWeights {
    Index n, m;
    const T* weights;
    T* delta;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++)
            for (Index i = 0; i < n; i++) delta[i + j * n] *= weights[j];
    }
};

// BP2: out = scale w' delta f'(z), and times the mask; w (n, n_in), delta (n, m), the others (n_in, m). A member that
// takes columns instead of features reads all of w.
struct HiddenError {
    Index n, n_in, m, by_columns;
    const T *w, *delta;
    double scale;
    const T *a, *z, *mask;
    T* out;
    Index f;

    void operator()(const Member& member, const Position&) const {
        const Span own = by_columns ? Span{0, n_in} : features(n_in, member);
        const Span columns = by_columns ? share(m, 1, member) : Span{0, m};
        if (!own.size() || !columns.size()) return;
        multiply(own.size(), columns.size(), n, {w + own.begin * n, n, 1}, {delta + columns.begin * n, 1, n},
                 out + own.begin + columns.begin * n_in, n_in, {Into::SET});
        const T by = scale;
        for (Index j = columns.begin; j < columns.end; j++) {
            const Index at = own.begin + j * n_in;
            T* error = out + at;
            if (by != 1)
                for (Index i = 0; i < own.size(); i++) error[i] *= by;
            if (f != IDENTITY) Spelled::DERIVE[f](own.size(), a + at, z + at, error);
            if (mask)
                for (Index i = 0; i < own.size(); i++) error[i] *= mask[at + i];
        }
    }
};

// BP3, BP4: [w b] = alpha delta [x; 1]' + beta [w b], k columns
struct Gradient {
    Index n, k, m;
    const T *delta, *x;
    Index ld;
    const T *alpha, *beta;
    T* into;

    void operator()(const Member& member, const Position&) const {
        const Span own = owned(k - 1, k, member);
        if (!own.size()) return;
        multiply(n, own.size(), m, {delta, 1, n}, {x + own.begin, ld, 1}, into + own.begin * n, n,
                 {Into::UPDATE, *alpha, *beta});
    }
};

// --------------------------------------------------------------------------------------- vectors in theta's layout

// Some of a layer's parameters: columns of n elements, of which the first n_in are those of features.
struct Block {
    Index n, n_in, size;

    Span owned(const Member& member) const {
        const Span own = features(n_in, member);
        return {std::min(own.begin * n, size), is_last(member) ? size : std::min(own.end * n, size)};
    }
};

// x = alpha x
struct Scale {
    Block block;
    const T* alpha;
    T* x;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        const T by = *alpha;
        for (Index i = own.begin; i < own.end; i++) x[i] *= by;
    }
};

// y = y + alpha x
struct Add {
    Block block;
    const T *alpha, *x;
    T* y;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        const T by = *alpha;
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) y[i] += by * x[i];
    }
};

// A step of an optimizer's rule counts.
struct Count {
    double* steps;

    void operator()(const Member& member, const Position&) const {
        if (is_last(member)) ++*steps;
    }
};

// x moves along its gradient g by a rule with up to two states.
struct Step {
    Block block;
    Index rule;
    const double *constants, *steps;
    const T* eta;
    T *x, *g, *first, *second;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        Spelled::MOVE[rule](own.size(), constants, steps ? *steps : 0, *eta, x + own.begin, g + own.begin,
                   first ? first + own.begin : first, second ? second + own.begin : second);
    }
};

// Every scalar = p + q eta, with the eta of a step, `ahead` of the pass's
struct SetRates {
    Index count, ahead;
    const double *p, *q;
    T* values;

    void operator()(const Member& member, const Position& at) const {
        if (!is_last(member)) return;
        const double eta = at.etas[at.step + ahead];
        for (Index i = 0; i < count; i++) values[i] = p[i] + q[i] * eta;
    }
};

// ----------------------------------------------------------------------------------------------------- the outputs

// Write each example's loss and, if there are labels, whether it is a hit.
struct Measure {
    Index n, m;
    const T *a, *y, *z;
    const Index* labels;
    Index cost, of_label;  // of_label: only the label's output has a loss
    double threshold;
    T* losses;
    unsigned char* hits;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index first = j * n, from = of_label ? first + labels[j] : first, to = of_label ? from + 1 : first + n;
            T sum = 0;
            for (Index i = from; i < to; i++) sum += Spelled::LOSS[cost](a[i], y[i], z[i]);
            losses[at.example + j] = sum;
            if (labels) hits[at.example + j] = predicted(a + first) == labels[j];
        }
    }

  private:
    Index predicted(const T* outputs) const {
        if (n == 1) return outputs[0] > threshold;
        Index best = 0;
        for (Index i = 1; i < n && outputs[best] == outputs[best]; i++)  // NaN is the largest, as for NumPy
            if (!(outputs[i] <= outputs[best])) best = i;
        return best;
    }
};

}  // namespace gpunn
