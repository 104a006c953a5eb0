"""Requests to the Hub; the twin of `radrefine.hub.patience`, kept apart on purpose."""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pgnm.errors import HubError, MissingExtraError

_T = TypeVar("_T")

# Tries of one request on top of the client's own five; waits between them double from 1 s unless the Hub says more.
ATTEMPTS = 6
# Longest wait asked for by the Hub that is waited out, in seconds; beyond it the user is told when to come back.
PATIENCE = 2 * 3600.0

AGAIN = "run the same command again: what is done is not done again"
TOKENS_PAGE = "https://huggingface.co/settings/tokens"

_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# Longest wait between two tries where the Hub does not say how long, in seconds.
_LONGEST_WAIT = 60.0


def require_hub() -> Any:
    """Import `huggingface_hub`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    return huggingface_hub


def patiently(doing: str, call: Callable[[], _T], *, repo: str, on_wait: Callable[[str], None]) -> _T:
    """Call `call`, again after a wait where the failure may pass.

    Args:
        doing: What it does, such as "upload data/train-00000-of-00002.parquet"; for messages.
        call: A request or several, safe to repeat.
        repo: The repository, for messages.
        on_wait: Receives a sentence before each wait.

    Raises:
        HubError: It failed for good, or too often.
    """
    hub = require_hub()
    token: str | None = hub.get_token()
    attempt = 0
    while True:
        attempt += 1
        try:
            with _quiet_client(hub, token):
                return call()
        except HubError:
            raise
        except Exception as error:
            if not _is_of_the_hub(error):
                raise
            wait = wait_before(error, attempt)
            if attempt == ATTEMPTS or not is_passing(error) or wait > PATIENCE:
                # `from None`: the client's own error may show the headers that were sent.
                raise explain(error, doing=doing, repo=repo, token=token) from None
            status = status_of(error)
            said = f"the Hub answered {status}" if status else "the connection was lost"
        on_wait(f"{doing}: {said}; trying again in {wait:,.0f} s ({attempt + 1} of {ATTEMPTS})")
        time.sleep(wait)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what caused it, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status behind `error`, None where there is none."""
    for link in chain(error):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def is_network_error(error: BaseException) -> bool:
    """Tell whether the connection failed, rather than a request."""
    for link in chain(error):
        names = {base.__name__ for base in type(link).__mro__}
        if {"LocalProtocolError", "UnsupportedProtocol"} & names:
            return False
        # The client library was httpx and is httpx2 now: its names say what happened, wherever they live.
        if "TransportError" in names or isinstance(link, ConnectionError | TimeoutError):
            return True
    return False


def is_passing(error: BaseException) -> bool:
    """Tell whether another try may succeed: too many requests, a server in trouble, a lost connection."""
    status = status_of(error)
    return status in _PASSING_STATUSES if status is not None else is_network_error(error)


def wait_before(error: BaseException, attempt: int) -> float:
    """Return the seconds to wait after the given failed attempt (1, 2, ...), as the Hub asks or doubling."""
    for link in chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        if headers is not None and (asked := _asked_wait(headers)) is not None:
            return asked
    return min(_LONGEST_WAIT, float(2 ** (attempt - 1)))


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    after = headers.get("retry-after", "").strip()
    if after.isdigit():
        return float(after)
    # The Hub's own header: `RateLimit: "api";r=0;t=55`, r requests left, new ones in t seconds.
    limit = headers.get("ratelimit", "")
    left, reset = re.search(r"\br=(\d+)", limit), re.search(r"\bt=(\d+)", limit)
    if left and reset and left[1] == "0":
        return float(reset[1]) + 1
    return None


def scrub(text: str, token: str | None = None) -> str:
    """Remove tokens and the query of addresses (upload addresses carry a signature) from `text`."""
    if token:
        text = text.replace(token, "***").replace(token.strip(), "***")
    text = re.sub(r"hf_[A-Za-z0-9]{3,}", "hf_***", text)
    text = re.sub(r"(?i)bearer\s+[^\s'\",]+", "Bearer ***", text)
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)


def explain(error: BaseException, *, doing: str, repo: str | None, token: str | None) -> HubError:
    """Turn a failure of the Hub client into one sentence that says what to do.

    Args:
        error: What the client raised.
        doing: What was being done, such as "upload data/train-00000-of-00002.parquet".
        repo: The repository, where the failure is about one.
        token: The token in use, so that it can be kept out of the sentence.
    """
    return HubError(scrub(_sentence(error, doing, repo or "the repository"), token))


def _sentence(error: BaseException, doing: str, repo: str) -> str:
    names = {type(link).__name__ for link in chain(error)}
    status = status_of(error)
    if "LocalTokenNotFoundError" in names:
        return f"no Hugging Face token was found; make one that can write at {TOKENS_PAGE}, then run: hf auth login"
    if "LocalProtocolError" in names or "UnsupportedProtocol" in names:
        return f"could not {doing}: the token or HF_ENDPOINT holds characters that cannot be sent; set it again"
    if status == 401 and "RepositoryNotFoundError" not in names:
        return (
            f"could not {doing}: the Hub did not accept the token, it is wrong or has expired; make a new one at "
            f"{TOKENS_PAGE}, run: hf auth login, then {AGAIN}"
        )
    if status == 403:
        return (
            f"could not {doing}: the token may not do this to {repo}{_said(error)}; use a token that can write, "
            f"made by a member of that account at {TOKENS_PAGE}"
        )
    if "RevisionNotFoundError" in names:
        return f"could not {doing}: {repo} has no such revision; give the name of a branch, a tag or a commit"
    if "RepositoryNotFoundError" in names:
        return f"could not {doing}: {repo} does not exist or the token cannot see it; check the name and the token"
    if status is not None and status in _PASSING_STATUSES:
        return f"could not {doing}: the Hub keeps answering {status}{_said(error)}; wait a while, then {AGAIN}"
    if status is not None:
        return f"could not {doing}: the Hub answered {status}{_said(error)}; {AGAIN}"
    if is_network_error(error):
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"could not {doing}: the Hub cannot be reached ({reason}); check the connection, then {AGAIN}"
    return f"could not {doing}: {' '.join(str(error).split()) or type(error).__name__}"


def _said(error: BaseException) -> str:
    """What the server said, in brackets, or nothing."""
    for link in chain(error):
        message = getattr(link, "server_message", None)
        if message:
            return f" ({' '.join(str(message).split())[:300]})"
    return ""


def _is_of_the_hub(error: Exception) -> bool:
    """Tell failures of the Hub and its client from those of this machine, such as a full disk."""
    if status_of(error) is not None or is_network_error(error):
        return True
    modules = {type(link).__module__.split(".")[0] for link in chain(error)}
    return bool(modules & {"huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "hf_xet"})


class _Scrub(logging.Filter):
    def __init__(self, token: str | None) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage(), self._token), ()
        return True


@contextlib.contextmanager
def _quiet_client(hub: Any, token: str | None) -> Iterator[None]:
    """Keep the client's bars off the terminal and secrets out of its log while it works for us."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    scrubber = _Scrub(token)
    had_bars = not hub.utils.are_progress_bars_disabled()
    logger.addFilter(scrubber)
    if had_bars:
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.removeFilter(scrubber)
        if had_bars:
            hub.utils.enable_progress_bars()
