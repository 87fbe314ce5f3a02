"""Every error qdts raises on purpose, as one tree. Knows nothing of gRPC, torch or files.

QdtsError
├─ InvalidRequest        the caller's mistake: names the field, the value's fault and the bound
├─ ModelNotFound         no model of that name
├─ Unauthenticated       the caller has not shown who it is
├─ Overloaded            try again later, here
│  ├─ QueueFull          the bounded queue is full
│  ├─ QuotaExceeded      this caller's share is used up
│  └─ TooManyCalls       this peer has as many calls running as one may
├─ Unavailable           try again, elsewhere
│  ├─ Loading            not warmed up yet
│  └─ Draining           about to exit
├─ Refused               another service was asked and said no: asking again changes nothing
├─ Conflict              what is under way stands in the way
├─ DeadlineExceeded      the caller's time ran out before an answer could be made
├─ Cancelled             the caller went away
├─ Unsupported           this build or machine cannot do it
│  └─ ProviderMissing    the execution provider asked for is not there
├─ ConfigError           a setting is unknown or out of bounds (start-up)
└─ WeightsError          a model directory is refused (start-up)
   ├─ WeightsMissing     a file the manifest lists is not there
   └─ WeightsCorrupt     a file differs from its SHA-256 in the manifest

`service/errors.py` maps each to one gRPC status; a test fails if one is missing there.
"""


class QdtsError(Exception):
    """The root: catch this to catch everything qdts raises on purpose."""


class InvalidRequest(QdtsError):
    """A request field is out of bounds.

    `field` is the path in the request ("document.text"), `problem` a sentence that states the bound.
    It never carries the value itself: user text must not reach logs.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ModelNotFound(QdtsError):
    """No model of that name is known."""


class Unauthenticated(QdtsError):
    """The caller has not shown who it is, or not in a way that is good here."""


class Overloaded(QdtsError):
    """The server sheds this request; `retry_after_s` says when to come back."""

    def __init__(self, message: str, *, retry_after_s: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """The bounded queue is full."""


class QuotaExceeded(Overloaded):
    """The caller has used up its share."""


class TooManyCalls(Overloaded):
    """The peer has as many calls running as one may."""


class Unavailable(QdtsError):
    """This server cannot answer now; another may."""


class Refused(QdtsError):
    """Another service answered this request with a status that asking again will not change."""


class Conflict(QdtsError):
    """What is asked for does not go with what the server is doing."""


class Loading(Unavailable):
    """The model is not warmed up yet."""


class Draining(Unavailable):
    """The server is about to exit."""


class DeadlineExceeded(QdtsError):
    """The caller's deadline passed before an answer could be made."""


class Cancelled(QdtsError):
    """The caller went away."""


class Unsupported(QdtsError):
    """This build or machine cannot do what was asked."""


class ProviderMissing(Unsupported):
    """The ONNX Runtime execution provider asked for is not available: never silently another."""


class ConfigError(QdtsError):
    """A setting is unknown or out of bounds."""


class WeightsError(QdtsError):
    """A model directory is refused."""


class WeightsMissing(WeightsError):
    """A file that the manifest lists is not there."""


class WeightsCorrupt(WeightsError):
    """A file differs from the SHA-256 in its manifest."""
