"""Why a call of the client failed.

HubError
├── NotReached       no connection to the hub; nothing was sent
├── ConnectionLost   it broke while the answer was awaited; what was asked may have been done
├── TimedOut         no sign of life for as long as the client was told to wait; likewise
├── Closed           the client, or the stream, was closed meanwhile; what was asked may have been done
├── BadReply         the answer is not what it should be
└── Refused          the hub or a service has said no: `status`, `field`, `value`, `remedy`
    ├── BadRequest       400, 409, 413, 415, 422: another request would do
    ├── KeyRefused       401, 403: the key is missing or not the right one
    ├── NotFound         404: no such service, model, chain or collection
    ├── TooMany          429: more often than allowed; `retry_after`
    ├── NotAwake         503 of the hub: the service did not wake in time; `retry_after`; nothing was sent to it
    └── ServiceFailed    every other: the service has failed
"""

from __future__ import annotations


class HubError(Exception):
    """The message is written for people."""


class NotReached(HubError):
    pass


class ConnectionLost(HubError):
    pass


class TimedOut(HubError):
    pass


class Closed(HubError):
    pass


class BadReply(HubError):
    pass


class Refused(HubError):
    def __init__(
        self,
        message: str,
        status: int,
        *,
        field: str | None = None,
        value: str | None = None,
        remedy: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({remedy})" if remedy else message)
        self.status = status
        self.field = field
        """Of the request, as `items.3.text`."""
        self.value = value
        self.remedy = remedy
        self.retry_after = retry_after
        """Seconds after which to ask again."""


class BadRequest(Refused):
    pass


class KeyRefused(Refused):
    pass


class NotFound(Refused):
    pass


class TooMany(Refused):
    pass


class NotAwake(Refused):
    pass


class ServiceFailed(Refused):
    pass


_KINDS: dict[int, type[Refused]] = {
    **dict.fromkeys((400, 409, 413, 415, 422), BadRequest),
    **dict.fromkeys((401, 403), KeyRefused),
    404: NotFound,
    429: TooMany,
}


def kind_of(status: int, *, from_hub: bool) -> type[Refused]:
    """`from_hub`: it was the hub that said so, before the request had reached a service."""
    return NotAwake if status == 503 and from_hub else _KINDS.get(status, ServiceFailed)
