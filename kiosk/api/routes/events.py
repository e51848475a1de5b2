"""Live news: from the thread that publishes into the event loop, and out as server-sent events or moving pictures.

Each listener has a short queue of its own. Who reads too slowly loses the oldest news and is told so; whoever
publishes waits for nobody.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from kiosk.api.gate import COOKIE
from kiosk.api.operation import Call, Operation, Parameter, Refusal, busy, field_errors
from kiosk.api.routes.people import SHORT
from kiosk.api.schema import ANSWER_400, TEXT
from kiosk.entrance.news import Broadcast, News, Topic
from kiosk.errors import StoreError
from kiosk.store.accounts import Role

QUEUE = 64
HEARTBEAT_S = 15.0
LOOK_S = 0.25  # how soon a stream notices that the API stops
AGAIN_S = 5.0  # after which whoever listens is asked for again
FRAME_S = 0.1  # at most ten pictures a second
STALE_S = 2.0  # an older picture is not shown as if it were live
BOUNDARY = "kioskframe"
SCREEN_TOPICS = (Topic.SCREEN, Topic.ENROLMENT)
ANYBODYS = frozenset({"id", "state", "guidance", "session_number", "portrait_score"})  # of an enrolment's news
LASTING = frozenset({Topic.SCREEN, Topic.HEALTH})  # the last of these still says something to who comes later


class Listener:
    """One reader's queue. Used by the event loop, filled by the thread that publishes."""

    def __init__(self, news: Broadcast, topics: Collection[Topic]) -> None:
        """Begin to listen; the newest of each lasting topic is in the queue at once."""
        self._loop = asyncio.get_running_loop()
        self._topics = topics
        self._queue: deque[News] = deque(maxlen=QUEUE)
        self._came = asyncio.Event()
        self.lost = 0
        self._end = news.listen(self._tell)
        known = [news.latest(topic) for topic in topics if topic in LASTING]
        self._queue.extend(sorted((one for one in known if one is not None), key=lambda one: one.number))
        self._looked_up = {one.topic: one.number for one in self._queue}
        if self._queue:
            self._came.set()

    def _tell(self, news: News) -> None:
        if news.topic in self._topics and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._put, news)
            except RuntimeError:  # closed between the two: nobody listens any more
                return

    def _put(self, news: News) -> None:
        if news.number <= self._looked_up.get(news.topic, -1):
            return  # it came while the newest were looked up, and is one of them or older
        self.lost += len(self._queue) == QUEUE
        self._queue.append(news)
        self._came.set()

    async def next(self, timeout_s: float) -> News | None:
        """Return the oldest news; None when none came in time."""
        if not self._queue:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), timeout_s)
            except asyncio.TimeoutError:
                return None
        return self._queue.popleft()

    def close(self) -> None:
        """Listen no more."""
        self._end()


class _Leave:
    """By what a stream goes on: whoever opened it would still be let in, and may as much as then."""

    def __init__(self, call: Call) -> None:
        """Take the call that opened it."""
        self._call, self._token = call, call.request.cookies.get(COOKIE, "")
        self._asked_at = call.context.access.monotonic()

    async def holds(self) -> bool:
        """Say whether it may go on; asks every few seconds, and never about the kiosk's own screen."""
        call, access = self._call, self._call.context.access
        caller, now = call.caller, access.monotonic()
        is_of_screen = call.is_screen and call.operation.is_for_screen
        if caller is None or is_of_screen or now - self._asked_at < AGAIN_S:
            return True
        self._asked_at = now
        try:
            return await call.run(lambda: access.is_still(caller, self._token))
        except (StoreError, Refusal):  # nobody can say who it is, or the kiosk stops
            return False


def _event(news: News, *, for_anybody: bool) -> str:
    """Return news as they are sent; the screen never names the person somebody resembles."""
    told = dict(news.data)
    if for_anybody and news.topic is Topic.ENROLMENT:
        shown = ANYBODYS if told.get("state") == "added" else ANYBODYS - {"session_number"}
        told = {name: value for name, value in told.items() if name in shown}
    data = json.dumps(told, allow_nan=False, separators=(",", ":"))
    return f"event: {news.topic.value}\nid: {news.number}\ndata: {data}\n\n"


def _streamed(call: Call, content: AsyncGenerator[str | bytes, None], kind: str) -> Response:
    """Answer with a stream that holds a place among all streams; HEAD asks for the headers alone and holds none."""
    streams, caller = call.context.streams, call.actor
    if streams.is_full(caller):
        raise busy("Too many event streams are open already; close one.")
    headers = {"X-Accel-Buffering": "no"}
    if call.request.method == "HEAD":
        return Response(media_type=kind, headers=headers)

    async def placed() -> AsyncIterator[str | bytes]:
        with streams.place(caller) as is_free:
            if is_free:
                async with aclosing(content):  # so that a listener ends with its stream
                    async for part in content:
                        yield part

    return StreamingResponse(placed(), media_type=kind, headers=headers)


def stream(call: Call, topics: Collection[Topic], *, for_anybody: bool = False) -> Response:
    """Return a stream of events."""
    kiosk = call.context.running()

    async def events() -> AsyncGenerator[str | bytes, None]:
        listener, leave = Listener(kiosk.news, topics), _Leave(call)
        quiet_s = told = 0.0
        try:
            yield "retry: 2000\n\n"
            while not call.context.closing.is_set():
                news = await listener.next(LOOK_S)
                if not await leave.holds():  # before what came is told
                    return
                if listener.lost > told:
                    told = listener.lost
                    yield f": {listener.lost} lost\n\n"
                if news is not None:
                    quiet_s = 0.0
                    yield _event(news, for_anybody=for_anybody)
                    continue
                quiet_s += LOOK_S
                if quiet_s >= HEARTBEAT_S:
                    quiet_s = 0.0
                    yield ": still here\n\n"
        finally:
            listener.close()

    return _streamed(call, events(), "text/event-stream")


async def follow_events(call: Call) -> Response:
    """Stream news for operators."""
    asked = call.word("topics")
    names = [name.strip() for name in (asked or "").split(",") if name.strip()]
    may_know = call.caller is not None and call.caller.role >= Role.ADMIN
    known = {topic.value: topic for topic in Topic if may_know or topic is not Topic.DURESS}
    if wrong := sorted(set(names) - set(known)):
        raise field_errors(
            {"topics": [f"There is no topic {', '.join(wrong)[:100]}; the topics are {', '.join(known)}."]}
        )
    return stream(call, [known[name] for name in names] or list(known.values()))


async def follow_screen(call: Call) -> Response:
    """Stream what the kiosk's screen shows: no names, no numbers."""
    return stream(call, SCREEN_TOPICS, for_anybody=True)


async def follow_preview(call: Call) -> Response:
    """Stream the camera's picture, for the kiosk's own screen."""
    kiosk = call.context.running()

    async def frames() -> AsyncGenerator[str | bytes, None]:
        leave = _Leave(call)
        while not call.context.closing.is_set() and await leave.holds():
            still = await call.run(kiosk.still)
            if still is not None and still.age_s < STALE_S:
                yield _part(still.jpeg)
            await asyncio.sleep(FRAME_S)

    kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    return _streamed(call, frames(), kind)


def _part(jpeg: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"


def _topics(topics: Iterable[Topic]) -> str:
    return ", ".join(topic.value for topic in topics)


OPERATIONS = (
    Operation(
        "GET",
        "/device/events",
        follow_events,
        f"Server-sent events for operators: {_topics(Topic)}; duress for administrators alone.",
        {200: None, 400: ANSWER_400, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,
        query=(Parameter("topics", "Only these, with commas between.", SHORT),),
        media_type="text/event-stream",
    ),
    Operation(
        "GET",
        "/device/screen/events",
        follow_screen,
        f"Server-sent events for the kiosk's screen: {_topics(SCREEN_TOPICS)}; it needs no key.",
        {200: None, 409: TEXT, 503: TEXT},
        role=Role.DEVICE,
        is_for_screen=True,
        media_type="text/event-stream",
    ),
    Operation(
        "GET",
        "/device/screen/preview.mjpg",
        follow_preview,
        "The camera's picture, at most ten a second, for the kiosk's screen; it needs no key.",
        {200: None, 409: TEXT, 503: TEXT},
        role=Role.OPERATOR,  # as the still: a program that asks for decisions watches nobody at the door
        is_for_screen=True,
        media_type="multipart/x-mixed-replace",
    ),
)
