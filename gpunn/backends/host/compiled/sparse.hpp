// Sparse examples: gathered into dense columns, or multiplied as they are. A product takes the columns of w that belong
// to an example's entries, and its gradient moves them.

#pragma once
#include "products.hpp"
#include "sharing.hpp"

namespace gpunn {

// Examples one after another: the entries of example i are begins[i] to begins[i + 1].
struct SparseExamples {
    Index kind;  // of values: see sparse.py
    const void* values;
    const std::int32_t *features, *begins;
    double scale;

    // Call work(feature, value) for each entry.
    template <class Work>
    void each(Index example, const Work& work) const {
        if (kind == 0)
            each_of(static_cast<const unsigned char*>(values), example, work);
        else if (kind == 1)
            each_of(static_cast<const float*>(values), example, work);
        else if (kind == 2)
            each_of(static_cast<const double*>(values), example, work);
        else if (kind == 3)
            each_of(static_cast<const std::int32_t*>(values), example, work);
        else
            each_of(static_cast<const std::int64_t*>(values), example, work);
    }

  private:
    template <class S, class Work>
    void each_of(const S* value, Index example, const Work& work) const {
        const T by = scale;
        for (Index e = begins[example]; e < begins[example + 1]; e++) work(Index(features[e]), T(value[e]) * by);
    }
};

// x[:n, j] = X[:, order[j]]
struct GatherSparse {
    SparseExamples X;
    Index n, m;
    T* x;
    Index ld;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            T* column = x + j * ld;
            for (Index i = 0; i < n; i++) column[i] = 0;
            X.each(at.order[at.example + j], [=](Index i, T value) { column[i] += value; });
        }
    }
};

// z = w x + b, where b is the last column of w. start: columns of the mini-batch before these in the chunk.
struct SparseAffine {
    SparseExamples X;
    Index n, n_in, m, start;
    const T* w;
    T* z;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index example = at.order[at.example + start + j];
            Index i = 0;
            for (; i + PANEL * LANES <= n; i += PANEL * LANES) rows<PANEL>(example, i, z + j * n + i);
            for (; i + LANES <= n; i += LANES) rows<1>(example, i, z + j * n + i);
            if (i < n) rest(example, i, z + j * n + i);
        }
    }

  private:
    template <int R>
    void rows(Index example, Index first, T* into) const {
        Vector sum[R];
        const T* b = w + n_in * n + first;
        UNROLLED for (int r = 0; r < R; r++) sum[r] = *(const Vector*)(b + r * LANES);
        X.each(example, [&](Index feature, T value) {
            const T* column = w + feature * n + first;
            UNROLLED for (int r = 0; r < R; r++) sum[r] += *(const Vector*)(column + r * LANES) * value;
        });
        UNROLLED for (int r = 0; r < R; r++) *(Vector*)(into + r * LANES) = sum[r];
    }

    void rest(Index example, Index first, T* into) const {
        T sum[LANES];
        const Index count = n - first;
        for (Index i = 0; i < count; i++) sum[i] = w[n_in * n + first + i];
        X.each(example, [&](Index feature, T value) {
            for (Index i = 0; i < count; i++) sum[i] += w[feature * n + first + i] * value;
        });
        for (Index i = 0; i < count; i++) into[i] = sum[i];
    }
};

// BP3, BP4: [w b] = alpha delta [x; 1]' + beta [w b]
struct SparseGradient {
    SparseExamples X;
    Index n, n_in, m, start;
    const T *delta, *alpha, *beta;
    T* into;

    void operator()(const Member& member, const Position& at) const {
        const Span own = features(n_in, member);
        if (*beta != 1) scale(owned(n_in, n_in + 1, member));
        const T by = *alpha;
        for (Index j = 0; j < m; j++) {
            const T* error = delta + j * n;
            const auto add = [=](Index feature, T value) {
                if (feature >= own.begin && feature < own.end) add_to(feature, by * value, error);
            };
            X.each(at.order[at.example + start + j], add);
            if (is_last(member)) add_to(n_in, by, error);
        }
    }

  private:
    void scale(Span columns) const {
        const T by = *beta;
        for (Index i = columns.begin * n; i < columns.end * n; i++) into[i] = by == 0 ? T(0) : by * into[i];
    }

    void add_to(Index column, T by, const T* error) const {
        T* sum = into + column * n;
#pragma omp simd
        for (Index i = 0; i < n; i++) sum[i] += by * error[i];
    }
};

}  // namespace gpunn
