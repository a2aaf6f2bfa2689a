// Bounds on the length of vectors: of the whole gradient, and of the rows of w. Sums are those of fixed pieces, added
// up in order by whichever member needs them.

#pragma once
#include "sharing.hpp"

namespace gpunn {

constexpr Index PIECE = 4096;  // elements
constexpr Index LANE_SUMS = 16;
constexpr Index COLUMN_PIECE = 16;  // columns of w: a member's features are a multiple

// sums = the sum of squares of each PIECE of x
struct SumSquares {
    Index size;
    const T* x;
    double* sums;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(size, PIECE, member);
        for (Index i = own.begin; i < own.end; i += PIECE) sums[i / PIECE] = of_piece(x + i, std::min(PIECE, size - i));
    }

  private:
    static double of_piece(const T* x, Index n) {
        double lanes[LANE_SUMS] = {}, sum = 0;
        Index i = 0;
        for (; i + LANE_SUMS <= n; i += LANE_SUMS)
            for (Index k = 0; k < LANE_SUMS; k++) lanes[k] += double(x[i + k]) * double(x[i + k]);
        for (; i < n; i++) sum += double(x[i]) * double(x[i]);
        for (const double lane : lanes) sum += lane;
        return sum;
    }
};

// x = x min(1, limit / |x|), by the sums of squares of its pieces
struct ClipNorm {
    Index size;
    T* x;
    const double* sums;
    double limit;

    void operator()(const Member& member, const Position&) const {
        double squares = 0;
        for (Index k = 0; k * PIECE < size; k++) squares += sums[k];
        if (!(sqrt(squares) > limit)) return;
        const T by = limit / sqrt(squares);
        const Span own = share(size, PIECE, member);
        for (Index i = own.begin; i < own.end; i++) x[i] *= by;
    }
};

// sums (n, pieces) = each row's sum of squares in each piece of columns of w (n, n_in)
struct SumRowSquares {
    Index n, n_in;
    const T* w;
    T* sums;

    void operator()(const Member& member, const Position&) const {
        const Span own = features(n_in, member);
        for (Index first = own.begin; first < own.end; first += COLUMN_PIECE) {
            T* sum = sums + first / COLUMN_PIECE * n;
            for (Index i = 0; i < n; i++) sum[i] = 0;
            for (Index j = first; j < std::min(first + COLUMN_PIECE, own.end); j++) {
                const T* column = w + j * n;
#pragma omp simd
                for (Index i = 0; i < n; i++) sum[i] += column[i] * column[i];
            }
        }
    }
};

// Each row of w (n, n_in) is scaled down to a length of at most limit, by the sums of squares of its pieces.
struct BoundRows {
    Index n, n_in;
    T* w;
    const T* sums;
    double limit;

    void operator()(const Member& member, const Position&) const {
        const Span own = features(n_in, member);
        for (Index first = 0; first < n; first += STRIP) strip(first, std::min(STRIP, n - first), own);
    }

  private:
    void strip(Index first, Index rows, Span columns) const {
        T by[STRIP] = {};
        for (Index k = 0; k * COLUMN_PIECE < n_in; k++)
            for (Index i = 0; i < rows; i++) by[i] += sums[first + i + k * n];
        bool all_short = true;
        for (Index i = 0; i < rows; i++) {
            const T length = sqrt(by[i]);
            by[i] = T(limit) / (length <= T(limit) ? T(limit) : length);  // NaN stays NaN
            all_short &= by[i] == 1;
        }
        if (all_short) return;
        for (Index j = columns.begin; j < columns.end; j++) {
            T* column = w + first + j * n;
#pragma omp simd
            for (Index i = 0; i < rows; i++) column[i] *= by[i];
        }
    }
};

}  // namespace gpunn
