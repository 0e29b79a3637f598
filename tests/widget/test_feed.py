"""The pace of messages to views, by a clock that the test moves."""

import logging
import threading
from bisect import bisect_left
from contextvars import ContextVar, copy_context

from kling_nb.notebook.widgets.feed import Channel, Feed, Pace

PATIENCE = 20


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Listener:
    """What a channel calls: counts its turns, and can be waited for."""

    def __init__(self, again=(), fault=None):
        self.turns = 0
        self.again = list(again)
        self.fault = fault
        self.turned = threading.Condition()

    def __call__(self):
        with self.turned:
            self.turns += 1
            self.turned.notify_all()
        if self.fault:
            raise self.fault
        return self.again.pop() if self.again else False

    def wait_for(self, turns):
        with self.turned:
            assert self.turned.wait_for(lambda: self.turns >= turns, PATIENCE), self.turns


def channels(number):
    feed = Feed()
    return [Channel(feed, lambda: False) for _ in range(number)]


def all_turns(pace, waiting, *, until, again):
    """Give turns from 0 s to `until`. With `again`, each channel asks for its next turn at once."""
    now, taken = 0.0, []
    for channel in waiting:
        pace.enqueue(channel, now)
    while (delay := pace.delay(now)) is not None and now < until:
        now += delay
        channel = pace.take(now)
        if channel is None:
            continue
        taken.append((now, channel))
        if again:
            pace.enqueue(channel, now)
    return taken


def most_in_a_second(times):
    return max(bisect_left(times, start + 1 - 1e-6) - index for index, start in enumerate(times))


def test_first_event_after_quiet_goes_out_at_once():
    pace, (one,) = Pace(), channels(1)
    for now in (0.0, 50.0, 100.0):
        pace.enqueue(one, now)
        assert pace.delay(now) == 0
        assert pace.take(now) is one
        assert pace.delay(now) is None


def test_changes_while_waiting_share_one_turn():
    pace, (one,) = Pace(), channels(1)
    for _ in range(1000):
        pace.enqueue(one, 0.0)
    assert pace.take(0.0) is one
    assert pace.delay(0.0) is None


def test_a_later_turn_gives_way_to_an_earlier_one():
    pace, (one,) = Pace(), channels(1)
    assert pace.enqueue(one, 0.0, after=8.0)
    assert pace.delay(0.0) == 8
    assert pace.enqueue(one, 1.0)
    assert not pace.enqueue(one, 1.0, after=1.0)
    assert pace.take(1.0) is one
    assert pace.delay(1.0) is None


def test_a_view_gets_twenty_messages_a_second():
    taken = all_turns(Pace(), channels(1), until=3, again=True)
    times = [now for now, _ in taken]
    assert most_in_a_second(times) <= 20
    assert 60 <= len(times) <= 62


def test_all_views_together_get_three_hundred_a_second():
    everybody = channels(1000)
    taken = all_turns(Pace(), everybody, until=10, again=True)
    times = [now for now, _ in taken]
    assert most_in_a_second(times) <= 300
    assert len(times) <= 30 + 270 * 10 + 1
    shares = [sum(1 for _, channel in taken if channel is one) for one in everybody]
    assert max(shares) - min(shares) <= 1


def test_a_few_views_do_not_wait_for_each_other():
    taken = all_turns(Pace(), channels(30), until=1, again=False)
    assert {now for now, _ in taken} == {0.0}


def test_every_view_gets_its_turn_in_the_end():
    everybody = channels(1000)
    taken = all_turns(Pace(), everybody, until=100, again=False)
    assert [channel for _, channel in taken] == everybody


def feed_threads():
    return sum(thread.name == "kling-feed" for thread in threading.enumerate())


def test_thread_starts_at_first_use_and_only_once():
    feed, listener = Feed(), Listener()
    channels = [feed.channel(listener) for _ in range(3)]
    before = feed_threads()
    for turns, channel in enumerate(channels, 1):
        channel.notify()
        listener.wait_for(turns)
    assert feed_threads() == before + 1


def test_feed_keeps_to_the_clock_it_is_given():
    clock, listener = Clock(), Listener()
    channel = Feed(clock=clock).channel(listener)
    channel.notify()
    listener.wait_for(1)
    for _ in range(10):
        channel.notify()
    assert listener.turns == 1
    clock.now += 0.06
    listener.wait_for(2)


def test_a_channel_may_ask_for_another_turn():
    listener = Listener(again=[True, True])
    Feed().channel(listener).notify()
    listener.wait_for(3)


def test_a_fault_in_one_view_leaves_the_others_alone_and_warns_once(caplog):
    caplog.set_level(logging.DEBUG)
    feed, broken, well = Feed(), Listener(fault=RuntimeError("the page is gone")), Listener()
    failing = feed.channel(broken)
    for turn in (1, 2):
        failing.notify()
        broken.wait_for(turn)
    feed.channel(well).notify()
    well.wait_for(1)
    levels = [record.levelname for record in caplog.records if record.exc_info]
    assert levels[0] == "WARNING"
    assert set(levels[1:]) == {"DEBUG"}


def test_a_message_that_could_not_be_sent_gets_another_turn():
    listener = Listener(fault=RuntimeError("the page is gone"))
    Feed().channel(listener).notify()
    listener.wait_for(1)
    listener.fault = None
    listener.wait_for(2)


def test_a_channel_sends_in_the_context_of_its_cell():
    """ipykernel 7.0.0 and 7.0.1 look there for the cell, and raise LookupError in a thread without one."""
    cell, seen, feed = ContextVar("shell_parent"), [], Feed()
    turn = Listener()

    def send():
        seen.append(cell.get())
        return turn()

    made = []
    for number in (1, 2):
        in_cell = copy_context()
        in_cell.run(cell.set, number)
        made.append(in_cell.run(feed.channel, send))
    made[1].notify()
    turn.wait_for(1)
    made[0].notify()
    turn.wait_for(2)
    assert seen == [2, 1]


def test_a_closed_channel_is_silent():
    feed, closed, other = Feed(), Listener(), Listener()
    channel = feed.channel(closed)
    channel.close()
    channel.notify()
    feed.channel(other).notify()
    other.wait_for(1)
    assert closed.turns == 0
