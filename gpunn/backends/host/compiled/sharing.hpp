// What happens in a pass over the examples: an operation for each equation of gpunn/core, by all members of a team.
//
// A member owns features: columns of w[l], rows of a[l-1] and rows of its error. It computes its rows of an error and
// its columns of a gradient by itself, and moves them; only whole errors and sums z go from member to member. Each
// number is computed in the same way by whichever member, so the bits do not depend on the number of members.
//
// The fields of an operation are as wide as a pointer: Python writes them into a table, in this order.

#pragma once
#include <cstring>

#include "team.hpp"

namespace gpunn {

struct Position {  // of the pass
    const std::int64_t* order;
    Index example, step;
    const double* etas;
    std::uint32_t key;
};

struct Row {  // of the table
    Index code, meets, followers;  // meets: the members wait for each other after it and its followers
    Index fields[16];

    template <class Operation>
    Operation as() const {
        static_assert(sizeof(Operation) <= sizeof fields);
        Operation operation;
        std::memcpy(&operation, fields, sizeof operation);
        return operation;
    }
};

struct Span {
    Index begin, end;
    Index size() const { return end - begin; }
};

static Span share(Index n, Index unit, const Member& member) {
    return {member.begin(n, unit, member.t), member.begin(n, unit, member.t + 1)};
}

static Span features(Index n, const Member& member) { return share(n, 16, member); }

static bool is_last(const Member& member) { return member.t == member.threads - 1; }

// The columns of a matrix whose first n are those of features: what follows them belongs to the last member.
static Span owned(Index n, Index columns, const Member& member) {
    const Span own = features(n, member);
    return {own.begin, is_last(member) ? columns : own.end};
}

constexpr Index STRIP = 64;  // rows whose sums stay in registers

}  // namespace gpunn
