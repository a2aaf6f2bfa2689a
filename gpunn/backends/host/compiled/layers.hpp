// The products of a layer: feedforward, and back-propagation through it.

#pragma once
#include "functions.hpp"
#include "products.hpp"
#include "sharing.hpp"
#include "vectors.hpp"

namespace gpunn {

constexpr Index FORWARD_BYTES = 1 << 18;  // of sums that stay in the cache until they are used
constexpr Index LARGE = 1 << 20;          // elements of w, which no cache keeps from step to step
constexpr Index MOVED_BYTES = 1 << 17, MOVED_COLUMNS = 96;  // of gradients that stay there; at least so many columns

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
        const Index most = std::max<Index>(COLUMNS, FORWARD_BYTES / (n * sizeof(T)));
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
        const bool by_rows = n >= LANES * member.threads && (m < 8 * member.threads || n * k >= LARGE);
        const Span rows = by_rows ? share(n, LANES, member) : Span{0, n};
        const Span own = by_rows ? Span{0, m} : share(m, 1, member);
        const bool finishes = !by_rows || f != SOFTMAX;
        const Index most = part_of(own.size(), COLUMNS);
        for (Index q = own.begin; q < own.end; q += most) {
            const Span columns{q, std::min(q + most, own.end)};
            product(rows, {0, k}, columns, z);
            if (finishes) finish(rows, columns);
        }
        if (finishes) return;
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

    // Add up the sums, scale them, and apply f, a few columns at a time.
    void finish(Span rows, Span columns) const {
        if (!rows.size()) return;
        for (Index q = columns.begin; q < columns.end; q += TOGETHER) {
            const Index end = std::min(q + TOGETHER, columns.end);
            if (half || scale != 1)
                for (Index j = q; j < end; j++) add_up(rows.size(), rows.begin + j * n);
            if (f == SOFTMAX)
                softmax(n, end - q, z + q * n, a + q * n);
            else if (f != IDENTITY || a != z)
                for (Index j = q; j < end; j++)
                    Spelled::ACTIVATE[f](rows.size(), z + rows.begin + j * n, a + rows.begin + j * n);
            if (ones)
                for (Index j = q; j < end; j++)
                    std::memcpy(ones + rows.begin + j * (n + 1), a + rows.begin + j * n, rows.size() * sizeof(T));
        }
    }

    void add_up(Index n_own, Index at) const {
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

// BP3, BP4: [w b] = alpha delta [x; 1]' + beta [w b], k columns. What follows moves some columns at a time, while their
// gradients are in the cache.
struct Gradient {
    Index n, k, m;
    const T *delta, *x;
    Index ld;
    const T *alpha, *beta;
    T* into;

    void operator()(const Member& member, const Row* followers, Index count) const {
        const Span own = owned(k - 1, k, member);
        const Index width = count ? std::max<Index>(MOVED_COLUMNS, MOVED_BYTES / (n * sizeof(T))) : own.size();
        for (Index q = own.begin; q < own.end; q += width) {
            const Index end = std::min(q + width, own.end);
            multiply(n, end - q, m, {delta, 1, n}, {x + q, ld, 1}, into + q * n, n, {Into::UPDATE, *alpha, *beta});
            for (Index i = 0; i < count; i++) move(followers[i], q, end, k);
        }
    }
};

}  // namespace gpunn
