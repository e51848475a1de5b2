"""Facts about news: numbered, in order, and heard by whoever listens."""

import threading
from typing import Any

from kiosk.entrance.news import Broadcast, Topic
from kiosk.testing.fakes import ManualClock


def test_news_are_numbered_over_all_topics_and_the_last_of_each_is_kept():
    broadcast = Broadcast(ManualClock(7.0))

    first = broadcast.publish(Topic.DOOR, {"what": "opened"})
    second = broadcast.publish(Topic.SCREEN, {"state": "idle"})

    assert (first.number, second.number, first.at) == (1, 2, 7.0)
    assert broadcast.latest(Topic.DOOR) is first
    assert broadcast.latest(Topic.DECISION) is None


def test_a_listener_hears_until_it_ends_and_ending_twice_does_no_harm():
    broadcast = Broadcast(ManualClock())
    heard: list[Any] = []
    end = broadcast.listen(heard.append)

    broadcast.publish(Topic.DOOR, {})
    end()
    end()
    broadcast.publish(Topic.DOOR, {})

    assert [news.number for news in heard] == [1]


def test_all_hear_everything_in_the_order_of_its_numbers():
    broadcast, heard = Broadcast(ManualClock()), []
    broadcast.listen(lambda news: heard.append(news.number))

    threads = [
        threading.Thread(target=lambda: [broadcast.publish(Topic.HEALTH, {}) for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard == list(range(1, 801))


def test_what_news_say_stays_out_of_a_traceback():
    news = Broadcast(ManualClock()).publish(Topic.DECISION, {"name": "Person A"})

    assert "Person A" not in repr(news)
