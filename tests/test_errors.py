"""What of a text may be shown: no secret, in whatever spelling it comes back, and no control character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif import errors
from rlaif.errors import presentable, printable, remember_secrets, without_secrets, without_sent


@pytest.mark.parametrize("password", ["plain", "p@ss", "p%40ss", "p%word", "pa/ss", "pa:ss", "@@@@", "ends@"])
def test_the_password_of_a_url_is_not_shown_in_any_spelling(password):
    url = f"http://user:{password}@127.0.0.1:9/v1"
    remember_secrets(f"--critic {url},http://other:8000/v1")
    echoed = errors._secrets | {url}
    assert len(echoed) >= 2
    for text in echoed:
        shown = without_secrets(f"the server says {text!r}")
        assert password not in shown and "user" not in shown


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000/v1", "see a@b.org and http://h/@me", "a: b, c@d", "50% of 3:4", "://"])
def test_texts_without_secrets_stay(text):
    assert without_secrets(text) == text


def test_keys_of_the_environment_and_headers_are_not_shown(monkeypatch):
    monkeypatch.setenv("RLAIF_API_KEY", "sk-abcdefgh")
    assert without_secrets("invalid key sk-abcdefgh; try another") == "invalid key [secret]; try another"
    assert without_secrets("{'Authorization': 'Bearer zzz.yyy'}") == "{'Authorization': 'Bearer [secret]'}"


@given(st.text(st.characters()))
def test_what_is_printable_holds_no_control_character_and_is_left_alone_the_second_time(text):
    shown = printable(text)
    assert not any(ord(one) < 32 and one not in "\t\n" for one in shown)
    assert not any("\x7f" <= one <= "\x9f" or "\ud800" <= one <= "\udfff" or one in "\u202e\u2066\u2028" for one in shown)
    assert printable(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


def test_an_escape_is_spelled_out():
    assert presentable("\x1b]0;title\x07\u202e") == "\\x1b]0;title\\x07\\u202e"


def test_what_a_server_was_sent_is_not_in_its_texts(monkeypatch):
    monkeypatch.setenv("RLAIF_API_KEY", "sk-abcdefgh")
    monkeypatch.setenv("SOME_PASSWORD", "password")
    remember_secrets("http://user:longenough@host http://user:tea@host")
    said = "sk-abcdefgh, longenough: tea with a password at http://a:b@c"
    assert without_sent(said) == "[secret], [secret]: tea with a password at http://a:b@c"
