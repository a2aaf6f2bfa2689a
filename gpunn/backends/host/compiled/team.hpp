// A team of threads that take the same steps together and wait for each other in between.
//
// A member that waits looks for what it waits for, since that mostly happens soon, and then sleeps. On a busy machine
// another member may have lost its core, and takes the core of the one that sleeps; if it has the same core, there is
// nothing to look for. After a run the helpers look out for the next one.

#pragma once
#include "numbers.hpp"

#include <algorithm>
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
#ifdef __linux__
#include <sched.h>
#endif

namespace gpunn {

typedef std::chrono::steady_clock Clock;
constexpr auto PATIENCE = std::chrono::microseconds(50);  // for the other members of a run
constexpr auto AWAKE = std::chrono::microseconds(200);    // for the next run
constexpr int MOST = 255;  // threads

static inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Return the CPU of this thread; -1 if that is unknown.
static inline int this_cpu() {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

// Where threads wait for something to happen.
class Door {
  public:
    // Wait until the condition is met; return whether that took a sleep.
    template <class Condition, class Hopeless>
    bool wait_until(Condition met, Clock::duration patience, Hopeless is_hopeless) {
        Clock::time_point end;
        for (int looks = 1; !met(); looks++) {
            pause();
            if (looks % 64) continue;
            const auto now = Clock::now();
            if (looks == 64) end = now + patience;
            if (now >= end || is_hopeless()) return sleep_until(met), true;
        }
        return false;
    }

    // Wake those who sleep, after something has happened.
    void wake() {
        if (!sleeping.load()) return;
        { std::lock_guard<std::mutex> wait_for_check(lock); }
        happened.notify_all();
    }

  private:
    template <class Condition>
    void sleep_until(Condition met) {
        std::unique_lock<std::mutex> own(lock);
        sleeping.fetch_add(1);
        happened.wait(own, met);
        sleeping.fetch_sub(1);
    }

    std::mutex lock;
    std::condition_variable happened;
    std::atomic<int> sleeping{0};
};

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
        threads = std::min(threads, MOST);
        std::unique_lock<std::mutex> own(busy, std::defer_lock);
        if (threads <= 1 || !own.try_lock() || !employ(threads - 1)) return work(Member(0, 1, this));
        call = [](const void* work, const Member& member) { (*static_cast<const Work*>(work))(member); };
        job = &work;
        size = threads;
        left.store(threads - 1, std::memory_order_relaxed);
        jobs.store(((jobs.load() >> 8) + 1) << 8 | unsigned(threads));
        for (int t = 1; t < threads; t++) doors[t].wake();
        note_cpu(0);
        work(Member(0, threads, this));
        wait_for_others(0, [this] { return left.load() == 0; });
    }

    void meet(int t) {
        const unsigned round = rounds.load();
        if (arrived.fetch_add(1) == size - 1) {
            arrived.store(0, std::memory_order_relaxed);
            rounds.store(round + 1);
            doors[0].wake();
        } else {
            wait_for_others(t, [=] { return rounds.load() != round; });
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
        for (Jobs seen = 0, now;; seen = now) {
            const auto is_due = [&] { return (now = jobs.load()) != seen && t < threads_of(now); };
            doors[t].wait_until(is_due, AWAKE, [=] { return shares_cpu(t); });
            note_cpu(t);
            call(job, Member(t, threads_of(now), this));
            if (left.fetch_sub(1) == 1) doors[0].wake();
        }
    }

    template <class Condition>
    void wait_for_others(int t, Condition met) {
        if (doors[0].wait_until(met, PATIENCE, [=] { return shares_cpu(t); })) note_cpu(t);
    }

    int note_cpu(int t) {
        const int own = this_cpu();
        cpus[t].store(own, std::memory_order_relaxed);
        return own;
    }

    // Whether another member of the last run is on the CPU of this one, and cannot go on before it sleeps.
    bool shares_cpu(int t) {
        const int own = note_cpu(t);
        for (int other = 0; other < threads_of(jobs.load()); other++)
            if (other != t && own >= 0 && cpus[other].load(std::memory_order_relaxed) == own) return true;
        return false;
    }

    typedef std::uint64_t Jobs;  // how many there have been, and the number of threads of the last
    static int threads_of(Jobs jobs) { return jobs & MOST; }

    std::mutex busy;
    Door doors[MOST + 1];  // of the helpers, where they wait for a run, and that of the members of a run
    std::atomic<int> cpus[MOST + 1]{};  // where the members are, as far as known
    int helpers = 0, size = 1;
    void (*call)(const void*, const Member&) = nullptr;
    const void* job = nullptr;
    alignas(64) std::atomic<Jobs> jobs{0};
    alignas(64) std::atomic<int> left{0};       // helpers that have not finished it
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<unsigned> rounds{0};
};

inline void Member::meet() const {
    if (threads > 1) team->meet(t);
}

// The team of this process. It is never freed, since helpers may outlive everything else; a process that is forked has
// a new one, since only the thread that forked it lives on.
static Team* team = new Team;

#ifndef _WIN32
static const int renewed = pthread_atfork(nullptr, nullptr, [] { team = new Team; });
#endif

}  // namespace gpunn
