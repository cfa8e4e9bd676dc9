"""The dead letters over one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

from walnats_anyio._events import BaseEvent, Limits
from walnats_anyio._letters import DeadLetter, Reason
from walnats_anyio._link import (
    Link,
    Prefixes,
    Server,
    check_connect,
    open_link,
    prefixes_for,
)
from walnats_anyio._link._again import refuse_again
from walnats_anyio.dead_letters._bulk import Discarding, Edit, Requeueing, check_options
from walnats_anyio.dead_letters._errors import (
    LetterNotFoundError,
    RequeueError,
    UnreadableLetterError,
)
from walnats_anyio.dead_letters._groups import LetterGroup, group_letters
from walnats_anyio.dead_letters._iteration import (
    Letters,
    NumberedLetters,
    StoredLetters,
    UnreadableLetters,
)
from walnats_anyio.dead_letters._reading import (
    check_there,
    count_subjects,
    delete_letter,
    delete_unreadable,
    get_letter,
    gone,
    last_number,
)
from walnats_anyio.dead_letters._requeue import put_back
from walnats_anyio.dead_letters._results import BulkResult, Progress
from walnats_anyio.dead_letters._retention import check_limits, register_stream, stream_limits
from walnats_anyio.dead_letters._selection import NamedActor, Selection, declared_event, select
from walnats_anyio.dead_letters._unreadable import UnreadableLetter


class DeadLetters:
    """The events that actors gave up, connected to NATS. Made by `DeadLetters.connect`.

        async with DeadLetters.connect() as dead:
            async for letter in dead:
                print(letter.number, letter.event, letter.actor, letter.error)

    Iterating gives all letters, the oldest first, as `letters` does. Can be used from any number of
    tasks. While there is no stream for dead letters, there are none.
    """

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def __repr__(self) -> str:
        return f"<DeadLetters {self._link.state}>"

    @staticmethod
    def connect(
        server: Server | None = None,
        close: bool = True,
        *,
        domain: str | None = None,
        js_prefix: str | None = None,
        namespace: str | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[DeadLetters]:
        """Connect to NATS, to look at the dead letters.

        Entering blocks until connected.

        Args:
            server: a URL, a list of URLs, a `ConnectedActors` or `ConnectedEvents` whose connection
                is shared, or (on asyncio) a connected `nats.NATS`. None: the value of the
                environment variable `NATS_SERVER`, else `nats://localhost:4222`.
            close: close a `nats.NATS` of yours on leaving. A connection made here is always closed,
                one that is shared never.
            domain: the JetStream domain of the streams, such as that of a leafnode. None: that of
                the server.
            js_prefix: what the subjects of JetStream's API begin with, where an account imports
                them under another name, such as `$JS.hub.API`. None: `$JS.API`, or what `domain`
                means.
            namespace: goes before every subject, stream and durable, so that several installations
                share an account; who emits and who listens must have the same one. None: nothing.
            options: passed to the NATS client unchanged: `tls`, `user`, `password`, `token`,
                `nkeys_seed`, `user_credentials`, `name`, ... Unless they say otherwise it
                reconnects for ever, with back-off and jitter.

        Raises:
            ConnectError: on entering: no server could be reached within seconds.
            TypeError: `server` or an option is of no use.
            ValueError: a URL that is none, credentials that are not there, both `domain` and
                `js_prefix`, or one of the last three that NATS does not take.
            ConnectionLostError: on entering: the connection to be shared is closed for good.
        """
        check_connect(server, options)
        prefixes = prefixes_for(server, domain, js_prefix, namespace)
        return _connect(server, close, prefixes, options)

    def __aiter__(self) -> AsyncIterator[DeadLetter]:
        return self.letters()

    def letters(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
    ) -> AsyncIterator[DeadLetter]:
        """Iterate over letters, the oldest first.

        They are asked for one by one, so memory stays bounded and letters that are deleted
        meanwhile are left out. It ends at the letter that was the newest when the iteration began:
        what is requeued in the loop and fails again is for the next one. A message in the stream
        that cannot be read as a dead letter is left out, and logged as a warning; `unreadable`
        gives those, and `stored` both.

        A letter is written by an actor, unless somebody else may publish to `walnats.dead.>`: treat
        what it says as input from outside.

        Args:
            event: letters of this event only; an event or its name.
            actor: letters of this actor only; an actor or its name. A name means the actors of
                that name of all events.
            reason: letters given up for this reason only; a `Reason` or its value.
            since: letters given up at this moment or later.
            until: letters given up before this moment.
            error_type: letters whose exception was of this class only, as `DeadLetter.error_type`
                names it.
            fingerprint: letters of this error only; see `DeadLetter.fingerprint` and `groups`.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: a name that is none, an unknown reason, a moment without a time zone, or a
                fingerprint that is none.
            ServerError: while iterating: the server does not answer within 5 seconds.
            ConnectionLostError: while iterating: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        return Letters(self._link, selection)

    def unreadable(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
    ) -> AsyncIterator[UnreadableLetter]:
        """Iterate over what is stored among the dead letters and cannot be read as one.

        The oldest first, up to what was the newest when the iteration began. To find them, all
        letters of the event and actor are read.

        Args:
            event: what is stored under the subjects of this event only; an event or its name.
            actor: what is stored under the subjects of this actor only; an actor or its name.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: a name that is none.
            ServerError: while iterating: the server does not answer within 5 seconds.
            ConnectionLostError: while iterating: the connection is closed for good.
        """
        return UnreadableLetters(
            self._link, select(self._link.prefixes, event, actor, None, None, None)
        )

    def stored(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
    ) -> AsyncIterator[DeadLetter | UnreadableLetter]:
        """Iterate over letters as `letters` does, and over what cannot be read among them.

        The arguments are those of `letters`. What cannot be read has neither a reason, an error nor
        a moment of death: with `reason`, `error_type` or `fingerprint` it is left out, and `since`
        and `until` are compared with its `stored_at`. Its event and actor are those of its subject.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: a name that is none, an unknown reason, or a moment without a time zone.
            ServerError: while iterating: the server does not answer within 5 seconds.
            ConnectionLostError: while iterating: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        return StoredLetters(self._link, selection)

    async def count(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
    ) -> int:
        """Count letters, those that cannot be read included, as `stored` gives them.

        The arguments are those of `letters`. By event and actor the server counts them, in one
        request. For the other arguments all letters of the event and actor are read.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: a name that is none, an unknown reason, or a moment without a time zone.
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        if selection.by_subject_only:
            return await count_subjects(self._link, selection.subjects)
        found = 0
        async for _ in StoredLetters(self._link, selection):
            found += 1
        return found

    async def groups(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
    ) -> list[LetterGroup]:
        """Group letters by event, actor, reason and error; the largest groups first.

        The arguments are those of `letters`. Letters are of the same error when their `fingerprint`
        is the same. All letters of the event and actor are read, several at a time, and none is
        kept, so memory grows with the number of groups only. What cannot be read is left out with a
        warning in the log.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is of no use, as for `letters`.
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        return await group_letters(self._link, selection)

    async def get(self, number: int) -> DeadLetter:
        """The letter of a number, which is its `number`.

        Raises:
            TypeError: the number is none.
            ValueError: the number is below 1.
            LetterNotFoundError: there is no such letter.
            UnreadableLetterError: there is a message of that number, and it cannot be read; it is
                in the error's `letter`. A kind of LetterNotFoundError.
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        _check_number(number)
        return await get_letter(self._link, number)

    async def requeue(self, letter: DeadLetter | UnreadableLetter) -> None:
        """Put the event back for the one actor that gave it up, and delete the letter.

        It is emitted again with its payload and its headers, and one more that names the actor:
        the other actors of the event pass over it. For the actor it is a new event, whose attempts
        count from 1. (Programs that read the event's stream without this library get it as well.)

        The letter is deleted when the stream has acknowledged the event. A crash in between leaves
        both; requeueing it again within the event's `dedup_window` does no harm.

        The payload and headers are those of `letter`, so one that is put right by hand, with
        `dataclasses.replace(letter, payload=...)`, goes back as it is. Headers that the first emit
        sent to the server (`Nats-...`) and `Walnats-Reply` do not go back.

        What the letter says is checked first: nothing is ever published but to the subject of an
        event, into the stream of that event.

        Raises:
            TypeError: it is no letter, or a field of it is of a wrong type.
            ValueError: its `emitted_at` has no time zone.
            LetterNotFoundError: the letter is gone.
            RequeueError: the actor or its event is not registered on the server, the stream does
                not take the event or does not acknowledge it within 5 seconds, this user may not
                emit it, or the letter cannot be read or is not an actor's. The letter is kept.
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        if isinstance(letter, UnreadableLetter):
            raise RequeueError(
                f"dead letter {letter.number} cannot be requeued and is kept: it cannot be read: "
                f"{letter.problem}"
            )
        _check_letter(letter)
        await check_there(self._link, letter)
        await put_back(self._link, letter)
        await delete_letter(self._link, letter)

    async def requeue_all(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        numbers: Iterable[int] | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        edit: Edit | None = None,
        progress: Progress | None = None,
    ) -> BulkResult:
        """Requeue many letters, the oldest first, each as `requeue` does.

        Those are meant that are there when it begins: what is put back and fails again meanwhile is
        not put back a second time. Requests for different letters overlap; the events of one event
        and actor go back in the order of their letters, each when the stream has acknowledged the
        one before. One that cannot go back is kept, and the others go on.

        It may be ended at any moment, and called again to go on. Cancelled, it first finishes the
        letters whose events are being sent, in at most 10 seconds. A process that dies in the
        middle leaves letters whose events have gone back: requeueing them again within the
        event's `dedup_window` does no harm, and later it puts them back twice.

        Args:
            event: letters of this event only, as for `letters`; so are the next six.
            actor: letters of this actor only.
            reason: letters given up for this reason only.
            since: letters given up at this moment or later.
            until: letters given up before this moment.
            error_type: letters whose exception was of this class only.
            fingerprint: letters of this error only.
            numbers: letters of these numbers only, in this order. One that is not there counts as
                `gone`. None: all that there are.
            rate: letters a second, above 0. None: as fast as it goes.
            dry_run: check which letters would go back, and change nothing; `rate` is ignored.
            edit: called with each letter; gives it as it is to go back, with another payload or
                other headers, or None to leave it. May be a coroutine function. What it raises ends
                the call. Where `event` or `actor` is a declaration and no name, a payload that was
                changed must fit the event.
            progress: called with a `LetterResult` for each letter. What it raises ends the call.

        Raises:
            TypeError: an argument is of a wrong type, or `edit` gives what is no letter.
            ValueError: an argument is of no use.
            ServerError: the server does not answer within 5 seconds, or this user may not read or
                delete letters.
            ConnectionLostError: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        check_options(rate, dry_run, edit, progress)
        letters = await self._meant(selection, numbers)
        declared = declared_event(event, actor)
        requeueing = Requeueing(
            self._link, edit=edit, event=declared, rate=rate, dry_run=dry_run, progress=progress
        )
        return await requeueing.run(letters)

    async def discard_all(
        self,
        *,
        event: BaseEvent[Any] | str | None = None,
        actor: NamedActor | str | None = None,
        reason: Reason | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        numbers: Iterable[int] | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> BulkResult:
        """Delete many letters for good, the oldest first, those that cannot be read included.

        Those are meant that `stored` gives with the same arguments, up to the newest when it
        begins. It may be ended at any moment, and called again to go on.

        Args:
            event: letters of this event only, as for `letters`; so are the next six.
            actor: letters of this actor only.
            reason: letters given up for this reason only.
            since: letters given up at this moment or later.
            until: letters given up before this moment.
            error_type: letters whose exception was of this class only.
            fingerprint: letters of this error only.
            numbers: letters of these numbers only, in this order. One that is not there counts as
                `gone`. None: all that there are.
            rate: letters a second, above 0. None: as fast as it goes.
            dry_run: see which letters would be deleted, and change nothing; `rate` is ignored.
            progress: called with a `LetterResult` for each letter. What it raises ends the call.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an argument is of no use.
            ServerError: the server does not answer within 5 seconds, or this user may not read or
                delete letters.
            ConnectionLostError: the connection is closed for good.
        """
        selection = select(
            self._link.prefixes, event, actor, reason, since, until, error_type, fingerprint
        )
        check_options(rate, dry_run, None, progress)
        letters = await self._meant(selection, numbers)
        discarding = Discarding(self._link, rate=rate, dry_run=dry_run, progress=progress)
        return await discarding.run(letters)

    async def _meant(
        self, selection: Selection, numbers: Iterable[int] | None
    ) -> AsyncIterator[DeadLetter | UnreadableLetter | LetterNotFoundError]:
        if numbers is None:
            return StoredLetters(self._link, selection, last=await last_number(self._link))
        wanted = list(dict.fromkeys(numbers))
        for number in wanted:
            _check_number(number)
        return NumberedLetters(self._link, selection, wanted)

    async def discard(self, letter: DeadLetter | UnreadableLetter | int) -> None:
        """Delete a letter for good.

        Args:
            letter: the letter, or the number of it. A number takes what can be read and what
                cannot.

        Raises:
            TypeError: it is no letter and no number, or a field of it is of a wrong type.
            ValueError: the number is below 1, or `emitted_at` of the letter has no time zone.
            LetterNotFoundError: the letter is gone already.
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        if isinstance(letter, int):
            letter = await self._stored(letter)
        if isinstance(letter, UnreadableLetter):
            deleted = await delete_unreadable(self._link, letter)
        else:
            _check_letter(letter)
            await check_there(self._link, letter)
            deleted = await delete_letter(self._link, letter)
        if not deleted:
            raise LetterNotFoundError(gone(letter.number))

    async def _stored(self, number: int) -> DeadLetter | UnreadableLetter:
        try:
            return await self.get(number)
        except UnreadableLetterError as error:
            return error.letter

    async def limits(self) -> Limits:
        """How long and how many letters are kept: `age`, `messages` and `bytes`; None is no limit.

        Raises:
            ServerError: the server does not answer within 5 seconds.
            ConnectionLostError: the connection is closed for good.
        """
        return await stream_limits(self._link)

    async def register(self, *, limits: Limits | None = None, replicas: int | None = None) -> None:
        """Create the stream of the dead letters, or set how long and how many it keeps.

        Registering or running actors creates it as well, without limits, and leaves those of one
        that is there as they are. At a limit the oldest letters go, and a process that writes one
        says so once in its log. A limit that is lower than before makes letters go at once.

        Args:
            limits: `age`, `messages` and `bytes`; `Limits()` takes all limits away. None: leave
                them as they are, which is none for a new stream.
            replicas: how many servers of a cluster keep a copy. None: leave it as it is, which is 1
                for a new stream.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: `limits.message_size` or `limits.consumers` is set, which make no sense
                here, or `replicas` is not 1 to 5.
            StreamConfigError: the server refuses it, for instance as it has fewer servers.
            ServerError: the server does not answer within 5 seconds, or has no JetStream.
            ConnectionLostError: the connection is closed for good.
        """
        check_limits(limits, replicas)
        await register_stream(self._link, limits, replicas)


@asynccontextmanager
async def _connect(
    server: Server | None, close: bool, prefixes: Prefixes, options: dict[str, Any]
) -> AsyncIterator[DeadLetters]:
    refuse_again("DeadLetters.connect()")
    async with open_link(server, close=close, options=options, prefixes=prefixes) as link:
        yield DeadLetters(link)


def _check_letter(letter: object) -> None:
    if not isinstance(letter, DeadLetter):
        raise TypeError(f"this takes a DeadLetter, such as `get` gives, not {letter!r}")
    _check_payload(letter.payload)
    if letter.emitted_at.utcoffset() is None:
        raise ValueError(f"emitted_at of a letter must have a time zone, not {letter.emitted_at!r}")


def _check_payload(payload: object) -> None:
    if not isinstance(payload, bytes):
        raise TypeError(
            "the payload of a letter is encoded, such as by Event.encode, so it must be bytes, "
            f"not {type(payload).__name__}"
        )


def _check_number(number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"the number of a dead letter must be an int, not {number!r}")
    if number < 1:
        raise ValueError(f"the number of a dead letter must be at least 1, not {number}")
