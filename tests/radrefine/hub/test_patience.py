import logging
import sys
from pathlib import Path

import pytest

from radrefine.errors import HubError, MissingExtraError
from radrefine.hub import PushOptions, push_split
from radrefine.hub.patience import scrub, wait_before
from tests.loopback import LoopbackHub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "ada/images"


def push(split_folder: Path) -> None:
    push_split(split_folder, PushOptions(REPO))


def test_a_missing_token_is_one_sentence(hub: LoopbackHub, split_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="no Hugging Face token was found") as caught:
        push(split_folder)
    assert "\n" not in str(caught.value)


def test_a_wrong_token_is_one_sentence_and_not_shown(
    hub: LoopbackHub, split_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SecretSecret")
    with caplog.at_level(logging.DEBUG), pytest.raises(HubError, match="did not accept the token") as caught:
        push(split_folder)
    assert "\n" not in str(caught.value)
    assert "SecretSecret" not in str(caught.value) + caplog.text + repr(caught.value.__cause__)


def test_a_token_that_cannot_be_sent_is_not_shown(
    hub: LoopbackHub, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_Secret\x01Secret")
    with pytest.raises(HubError, match="could not sign in") as caught:
        push(split_folder)
    assert "Secret" not in str(caught.value)


def test_a_token_that_can_only_read_is_told_so(
    hub: LoopbackHub, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_read")
    with pytest.raises(HubError, match="use a token that can write"):
        push(split_folder)


def test_another_users_account_is_told_so(hub: LoopbackHub, split_folder: Path) -> None:
    with pytest.raises(HubError, match='namespace "bob"'):
        push_split(split_folder, PushOptions("bob/images"))


def test_a_server_that_cannot_be_reached_is_told_so(
    hub: LoopbackHub, split_folder: Path, no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="cannot be reached"):
        push(split_folder)
    assert no_waiting[:3] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("package", ["huggingface_hub", "datasets"])
def test_a_missing_package_is_answered_with_the_line_that_installs_it(
    split_folder: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'radrefine\[hub\]'"):
        push(split_folder)


def test_what_is_waited_for_is_said(hub: LoopbackHub, split_folder: Path, no_waiting: list[float]) -> None:
    hub.fail(r"POST /api/repos/create", status=429, retry_after=5)
    said: list[str] = []
    push_split(split_folder, PushOptions(REPO), on_wait=said.append)
    assert said == ["create ada/images: the Hub answered 429; trying again in 5 s (2 of 6)"]
    assert no_waiting == [5.0]


def test_a_wait_beyond_patience_ends_the_run(hub: LoopbackHub, split_folder: Path, no_waiting: list[float]) -> None:
    hub.fail(r"POST /api/repos/create", status=429, retry_after=90_000, times=99)
    with pytest.raises(HubError, match="keeps answering 429"):
        push(split_folder)
    assert no_waiting == []


def test_signatures_and_tokens_are_removed_from_log_lines(
    hub: LoopbackHub, split_folder: Path, no_waiting: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    hub.fail(r"PUT /lfs", status=500, times=2)
    logger = logging.getLogger("huggingface_hub")
    logger.addHandler(caplog.handler)  # the client's loggers do not pass their records on
    try:
        push(split_folder)
    finally:
        logger.removeHandler(caplog.handler)
    assert "HTTP Error 500" in caplog.text and "Signature" not in caplog.text and "hf_write" not in caplog.text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"ratelimit": '"api";r=0;t=55'}, 56),
        ({"ratelimit": '"api";r=9;t=55'}, 4),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 4),
        ({}, 4),
    ],
)
def test_the_wait_is_the_one_the_hub_asks_for(headers: dict[str, str], seconds: float) -> None:
    class Answer:
        status_code = 429

    error = Exception()
    error.response = Answer()  # type: ignore[attr-defined]
    error.response.headers = headers  # type: ignore[attr-defined]
    assert wait_before(error, 3) == seconds


def test_text_is_scrubbed() -> None:
    text = "PUT https://x.org/a?sig=1 with Bearer abc, token my-own and hf_AbC123"
    assert scrub(text, "my-own") == "PUT https://x.org/a with Bearer ***, token *** and hf_***"
