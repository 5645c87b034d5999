"""Access tokens: what is accepted and, above all, what is not."""

import base64
import json
from typing import Any

import jwt
import pytest

from gateway.tokens import ALGORITHM, AUDIENCE, ISSUER, AccessTokens, CurrentUser
from service_kit.errors import NotAuthenticated

SECRET, OLD_SECRET, FOREIGN_SECRET = "n" * 32, "o" * 32, "f" * 32
USER = CurrentUser("user-1", "engineer", "engineer", "sid-1")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> AccessTokens:
    return AccessTokens([SECRET, OLD_SECRET], 900, clock=clock, cache_size=3)


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def code_of(tokens: AccessTokens, token: str) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        tokens.verify(token)
    return refused.value.code


def test_a_token_says_who_it_is_for(tokens: AccessTokens) -> None:
    token = tokens.issue(USER)
    claims = claims_of(token)
    assert tokens.verify(token) == USER
    assert tokens.verify(token) == USER  # remembered
    assert (claims["iss"], claims["aud"], claims["typ"]) == (ISSUER, AUDIENCE, "access")
    assert claims["exp"] - claims["iat"] == 900
    assert (claims["sub"], claims["username"], claims["role"], claims["sid"]) == (
        "user-1",
        "engineer",
        "engineer",
        "sid-1",
    )
    assert claims["jti"] != claims_of(tokens.issue(USER))["jti"]


def test_a_token_expires_also_when_it_is_remembered(tokens: AccessTokens, clock: Clock) -> None:
    token = tokens.issue(USER)
    tokens.verify(token)
    clock.now += 900
    assert code_of(tokens, token) == "TOKEN_EXPIRED"
    assert code_of(tokens, token) == "TOKEN_EXPIRED"  # forgotten by now


def test_previous_secrets_verify_but_do_not_sign(tokens: AccessTokens, clock: Clock) -> None:
    signed_before = AccessTokens([OLD_SECRET], 900, clock=clock).issue(USER)
    assert tokens.verify(signed_before) == USER
    jwt.decode(
        tokens.issue(USER), SECRET, [ALGORITHM], audience=AUDIENCE, options={"verify_exp": False, "verify_iat": False}
    )


def test_a_foreign_signature_is_refused(tokens: AccessTokens, clock: Clock) -> None:
    assert code_of(tokens, AccessTokens([FOREIGN_SECRET], 900, clock=clock).issue(USER)) == "INVALID_TOKEN"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_the_algorithm_is_pinned(tokens: AccessTokens, algorithm: str) -> None:
    assert code_of(tokens, jwt.encode(claims_of(tokens.issue(USER)), SECRET, algorithm)) == "INVALID_TOKEN"


def test_an_unsigned_token_is_refused(tokens: AccessTokens) -> None:
    assert code_of(tokens, jwt.encode(claims_of(tokens.issue(USER)), "", "none")) == "INVALID_TOKEN"


@pytest.mark.parametrize("missing", ["iss", "aud", "typ", "jti", "sid", "sub", "iat", "exp", "username", "role"])
def test_every_claim_is_needed(tokens: AccessTokens, missing: str) -> None:
    claims = claims_of(tokens.issue(USER))
    del claims[missing]
    assert code_of(tokens, jwt.encode(claims, SECRET, ALGORITHM)) == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"aud": "another-api"},
        {"typ": "refresh"},
        {"role": "root"},
        {"exp": "soon"},
        {"role": ["admin"]},
    ],
)
def test_wrong_claims_are_refused(tokens: AccessTokens, change: dict[str, Any]) -> None:
    claims = claims_of(tokens.issue(USER)) | change
    assert code_of(tokens, jwt.encode(claims, SECRET, ALGORITHM)) == "INVALID_TOKEN"


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "a.b.c",
        "....",
        "é.é.é",
        "\x00",
        _unpadded(json.dumps({"alg": "HS256"}).encode()) + "." + _unpadded(b"[1]") + ".",
        _unpadded(b"[" * 100_000) + ".e30.",
    ],
)
def test_garbage_is_refused(tokens: AccessTokens, garbage: str) -> None:
    assert code_of(tokens, garbage) == "INVALID_TOKEN"


def test_only_so_many_are_remembered(tokens: AccessTokens) -> None:
    issued = [tokens.issue(USER) for _ in range(10)]
    assert all(tokens.verify(token) == USER for token in issued)
    assert len(tokens._verified) == 3
