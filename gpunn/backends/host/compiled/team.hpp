// A team of threads that take the same steps together and wait for each other in between.
//
// After a run the helpers look out for the next one for a moment, since it mostly follows soon, and then sleep. Whoever
// has waited for long gives its processor away, because the others may be waiting for just that processor.

#pragma once
#include "numbers.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#ifndef _WIN32
#include <csignal>
#include <pthread.h>
#endif

namespace gpunn {

constexpr int PATIENCE = 4000;  // looks before the processor is given away
constexpr auto AWAKE = std::chrono::microseconds(200);
constexpr unsigned MOST = 255;  // threads

static inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Condition>
static inline void wait_until(Condition met) {
    for (int looks = 0; !met(); looks++) looks < PATIENCE ? pause() : std::this_thread::yield();
}

// One of the threads of a run.
class Member {
  public:
    Member(int t, int threads, class Team* team) : t(t), threads(threads), team(team) {}

    inline void meet() const;  // wait until all threads of the run are here

    // Divide [0, n) among the threads, in multiples of the unit, and return where the share of the first k begins.
    Index begin(Index n, Index unit, int k) const {
        const Index at = (n * k / threads + unit - 1) / unit * unit;
        return k == threads || at > n ? n : at;
    }

    const int t, threads;

  private:
    Team* team;
};

class Team {
  public:
    // Call work(member) for each of the threads at once, one of which is the caller's. If another run has the helpers,
    // or they cannot be had, the caller's is the only one.
    template <class Work>
    void run(int threads, const Work& work) {
        std::unique_lock<std::mutex> own(busy, std::defer_lock);
        if (threads <= 1 || !own.try_lock() || !employ(threads - 1)) return work(Member(0, 1, this));
        call = [](const void* work, const Member& member) { (*static_cast<const Work*>(work))(member); };
        job = &work;
        size = threads;
        left.store(threads - 1, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(sleep);
            jobs.store(((jobs.load(std::memory_order_relaxed) >> 8) + 1) << 8 | unsigned(threads), std::memory_order_release);
        }
        wake.notify_all();
        work(Member(0, threads, this));
        wait_until([this] { return left.load(std::memory_order_acquire) == 0; });
    }

    void meet() {
        const unsigned round = rounds.load(std::memory_order_acquire);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
            arrived.store(0, std::memory_order_relaxed);
            rounds.store(round + 1, std::memory_order_release);
        } else {
            wait_until([=] { return rounds.load(std::memory_order_acquire) != round; });
        }
    }

  private:
    // Have at least so many helpers. They take no signals, which are for the threads of the program.
    bool employ(int wanted) {
#ifndef _WIN32
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
        try {
            for (; helpers < wanted; helpers++) std::thread(&Team::help, this, helpers + 1).detach();
        } catch (const std::system_error&) {
        }
#ifndef _WIN32
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
        return helpers >= wanted;
    }

    void help(int t) {
        for (unsigned seen = 0;;) {
            seen = next_after(seen);
            const int threads = seen & MOST;
            if (t >= threads) continue;
            call(job, Member(t, threads, this));
            left.fetch_sub(1, std::memory_order_release);
        }
    }

    unsigned next_after(unsigned seen) {
        const auto until = std::chrono::steady_clock::now() + AWAKE;
        for (int looks = 1; looks % 64 || std::chrono::steady_clock::now() < until; looks++) {
            if (const unsigned now = jobs.load(std::memory_order_acquire); now != seen) return now;
            pause();
        }
        std::unique_lock<std::mutex> lock(sleep);
        wake.wait(lock, [&] { return jobs.load(std::memory_order_acquire) != seen; });
        return jobs.load(std::memory_order_acquire);
    }

    std::mutex busy, sleep;
    std::condition_variable wake;
    int helpers = 0, size = 1;
    void (*call)(const void*, const Member&) = nullptr;
    const void* job = nullptr;
    alignas(64) std::atomic<unsigned> jobs{0};  // how many there have been, and the number of threads of the last
    alignas(64) std::atomic<int> left{0};       // helpers that have not finished it
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<unsigned> rounds{0};
};

inline void Member::meet() const {
    if (threads > 1) team->meet();
}

// The team of this process. It is never freed, since helpers may outlive everything else; a process that is forked has
// a new one, since only the thread that forked it lives on.
static Team* team = new Team;

#ifndef _WIN32
static const int renewed = pthread_atfork(nullptr, nullptr, [] { team = new Team; });
#endif

}  // namespace gpunn
