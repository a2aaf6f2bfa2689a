"""The choice of the number of threads: what is computed anyway is timed, at times with fewer or more.

The threads of a product wait for each other. That is quick on a quiet machine; beside busy processes one of
them may wait for its core, and all the others for it. No number is right for good, so trials go on. What they
cost beyond the number in use is paid from a credit, which is a small part of the time spent computing.
"""

from __future__ import annotations

import logging
from math import inf

from gpunn.backends.host.threads import VARIABLE, Threads
from gpunn.functions.calls import Calls

WINDOW = 6e-3  # seconds that are measured at a time
COST = 0.005  # trials cost at most this part of the time
LEAST = 1e-3  # seconds of credit that a trial takes at least, since equally quick numbers would cost nothing
SAVED = 50.0  # seconds of which the credit is saved for later
LONGEST = 1.0  # seconds after which more threads are tried although that was slow the last time
RARE = 10  # times as long as a call, and as what a trial loses, before the next one
SELDOM = 10  # times longer before fewer threads are tried
WORSE = 1.25  # numbers of which one was so many times slower are compared at once
SURE = 1e-1  # seconds of a window that no short disturbance explains
CALM = 1.0  # seconds after a change, in which the next one counts without being checked
SHORT = 1e-3  # seconds of calls for which more threads have to prove that they are quicker
LONG = 0.1  # seconds of calls for which more threads certainly are, unless the machine is busy
CLEARLY = 2.0  # times slower: not for want of work, but beside busy processes
RECENT = 10.0  # seconds for which a new plan trusts the choice of another one

# Logged, not warned: a busy machine must not end a program that turns warnings into errors.
log = logging.getLogger("gpunn")


def numbers(most: int) -> list[int]:
    """Return the numbers of threads that are compared: powers of two, and the most."""
    return [1 << k for k in range(most.bit_length()) if 1 << k < most] + [most]


class Choice:
    """The number of threads for the calls of one plan.

    Args:
        threads: what is allowed, and what tells BLAS or the kernels.
        most: the most threads that are worth it.
        guess: the seconds that the calls take with one thread, by the multiplications.

    Attributes:
        now: the number in use.
        trying: the number that is measured: mostly the same.
        known: seconds of the calls by the number of threads, as last measured.
        doubted: a number that has just lost, and is tried once more.
        changed: when another number was chosen last.
        last: how long the last window of the number in use took, in seconds.
    """

    def __init__(self, threads: Threads, most: int, guess: float) -> None:
        self.threads, self.pool, self.guess = threads, threads.pool, guess
        self.numbers = numbers(min(most, threads.cap))
        self.now = self.trying = self._first()
        self.known: dict[int, float] = {}
        self.doubted: int | None = None
        self.changed, self.last = -inf, 0.0
        self.seconds, self.times, self.warm = 0.0, 0, False

    def _first(self) -> int:
        """Return the number to begin with: another plan's recent choice, or else one for short calls."""
        latest, when = self.pool.latest
        if self.guess < LONG and self.threads.clock() - when < RECENT:
            return max(n for n in self.numbers if n <= latest)
        return 1 if self.guess < SHORT and self.threads.exact else self.numbers[-1]

    def note(self, n: int, seconds: float, times: int) -> None:
        """Count calls, so many times over, that n threads have made."""
        self.threads.count(n, seconds)
        self.seconds += seconds
        self.times += times
        if self.seconds >= WINDOW:
            if n == self.trying and (self.warm or self.seconds > SURE):
                self._compare(self.seconds, self.times)
            self.seconds, self.times, self.warm = 0.0, 0, True

    def _compare(self, seconds: float, times: int) -> None:
        """Choose by a window of the number in use or of a trial, and decide what to measure next."""
        n, each = self.trying, seconds / times
        if n == self.now:
            self.known[n] = (self.known.get(n, each) + each) / 2
            self.last = seconds
            self._pay(-COST * seconds)
            if len(self.numbers) > 1:
                self.pool.latest = n, self.threads.clock()
            self.trying = self._next()
            return
        before = self.known[self.now]
        self.known[n] = each
        self._pay(max(LEAST, seconds - times * before))
        self.trying = self.now
        if each < before:
            self._change(n)
        elif n == self.doubted:
            self._tell(n, self.now)
        self.doubted = self.trying if self.trying != self.now else None

    def _change(self, n: int) -> None:
        """Go on with n threads. Try the others once more if that is new: a short disturbance may be over."""
        before, self.now = self.now, n
        self.known = {k: self.known[k] for k in (before, n)}  # the rest is of another load
        last, self.changed = self.changed, self.threads.clock()
        is_sure = self.last > SURE or self.changed - last < CALM
        self.trying = n if is_sure else before
        if self.trying == n:
            self._tell(before, n)

    def _next(self) -> int:
        """Return one thread or a neighbour of the number in use, if worth a trial, or else that number."""
        at = self.numbers.index(self.now)
        others = {1, *self.numbers[max(0, at - 1) : at + 2]} - {self.now}
        allowed = [n for n in others if n <= self.threads.most]
        if not allowed or not self.pool.alone():
            return self.now
        cost, n = min((self._cost(n), n) for n in allowed)
        return n if cost <= max(0.0, self.pool.credit) else self.now

    def _cost(self, n: int) -> float:
        """Return the seconds that a trial of n threads is expected to lose; 0 if it is due at once."""
        now, fewer = self.known[self.now], n < self.now
        each = self.known.get(n)
        if each is None:
            each = min(now * self.now / n, self.guess / n) if fewer else now
        if each * WORSE < now and (fewer or n in self.known):
            return 0.0
        if fewer and not self.threads.exact:  # a quiet machine always has the same bits
            return inf
        cost = max(LEAST, (each - now) * max(1.0, WINDOW / now))
        return min(cost, COST * (SELDOM if fewer else 1) * max(LONGEST, RARE * now, RARE * cost))

    def _pay(self, seconds: float) -> None:
        """Take seconds from the credit, which all plans of this process share."""
        credit = max(self.pool.credit - seconds, -COST * LONGEST)
        most = max(self.pool.credit, COST * SAVED, *self.known.values())
        self.pool.credit = min(credit, most)

    def _tell(self, slow: int, n: int) -> None:
        """Say, once in a process, that fewer threads are clearly quicker."""
        slower = self.known[slow] / self.known[n]
        if slow > n and slower > CLEARLY and not self.pool.told:
            self.pool.told = True
            log.warning(
                "gpunn: %d threads are %.1f times slower than %d beside other busy processes; fewer go on%s "
                "(--threads, fit(threads=N) or %s sets the number)",
                slow,
                slower,
                n,
                "" if self.threads.exact else ", which may change the last bits",
                VARIABLE,
            )


class Shared:
    """Calls that threads share, as one call.

    times: how often they do what those of the choice's plan do.
    """

    def __init__(self, choice: Choice, calls: Calls, times: int = 1) -> None:
        self.choice, self.calls, self.times = choice, calls, times
        self.use, self.clock = choice.threads.use, choice.threads.clock

    def __call__(self) -> None:
        n, begun = self.use(self.choice.trying), self.clock()
        for call in self.calls:
            call()
        self.choice.note(n, self.clock() - begun, self.times)
