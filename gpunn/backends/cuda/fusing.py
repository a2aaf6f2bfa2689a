"""Launches that one kernel does together: fewer for a graph to start, and less to read again.

The verbs come one by one, as the equations do, and know nothing of each other. Before they become a graph,
their launches are looked through for those that there is a kernel for together.
"""

from __future__ import annotations

from collections.abc import Iterable

from gpunn.backends.cuda.device import Buffer
from gpunn.backends.cuda.memory import Launch, Storage
from gpunn.functions.calls import Call, Calls

MAKE_DELTA = ("output_error", "feed_output_error", "times_derivative", "times_derivative_and_mask")


def joined(be: Storage, calls: Iterable[Call]) -> Calls:
    """The same calls, and fewer of them."""
    done: Calls = []
    for call in calls:
        if isinstance(call, Launch) and call.kernel == "bias_gradient":
            land_with_delta(be, done, call)
        elif isinstance(call, Launch) and call.kernel in ("difference", "output_error"):
            err_with_feed(be, done, call)
        else:
            done.append(call)
    return done


def err_with_feed(be: Storage, done: Calls, error: Launch) -> None:
    """BP1, in the kernel that makes a[L] if that is the last of those done."""
    feed = done[-1] if done else None
    pair = (feed.kernel, error.kernel) if isinstance(feed, Launch) else ()
    if isinstance(feed, Launch) and pair == ("feed_softmax", "difference"):
        m, n, b, z, a = feed.arguments
        _, _, y, delta = error.arguments
        done[-1:] = be._columns("feed_softmax_error", int(m), int(n), b, y, z, a, delta)
    elif isinstance(feed, Launch) and pair == ("feed", "output_error"):
        _, _, b, z, a = feed.arguments
        n, m, _, y, _, *rest = error.arguments
        done[-1:] = be._rows("feed_output_error", int(n), int(m), b, y, z, a, *rest, module=error.module)
    else:
        done.append(error)


def land_with_delta(be: Storage, done: Calls, landing: Launch) -> None:
    """BP3, in the kernel that makes δ, if nothing between the two has to do with the bias.

    What is no launch is a product, which has not: there it is only the backward ones'.
    """
    n, m, delta, alpha, beta, b = landing.arguments
    for at in reversed(range(len(done))):
        maker = done[at]
        if not isinstance(maker, Launch):
            continue
        if maker.kernel in MAKE_DELTA and any(same(delta, x) for x in maker.arguments):
            made = maker.arguments[2:-4]
            into = 1, alpha, beta, b
            done[at : at + 1] = be._rows(maker.kernel, int(n), int(m), *made, *into, module=maker.module)
            return
        if any(overlap(x, y) for x in maker.arguments for y in (delta, b)):
            break
    done.append(landing)


def same(x: Buffer, y: object) -> bool:
    return isinstance(y, Buffer) and x.pointer == y.pointer


def overlap(x: object, y: Buffer) -> bool:
    """Whether both are buffers, with memory in common."""
    return isinstance(x, Buffer) and x.pointer < y.pointer + y.nbytes and y.pointer < x.pointer + x.nbytes
