import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip import SimpleTokenizer

from glofnd.encoders.clip_tokens import ClipTokens

THEIRS, OURS = SimpleTokenizer(context_length=12), ClipTokens(12)
CAPTIONS = [
    "a photo of a dog.",
    "  Two\tdogs\nplaying &amp; running; it's <start_of_text> 42 °C ",
    "",
    "!!! ??? don't we'll I'd",
    "\xc3\xa9t\xc3\xa9 \u2013 na\xefve caf\xe9 \ufb01 \uff26\uff55\uff4c\uff4c \u201cquotes\u201d",
    "犬 и собака 🐶",
    "word " * 40,
    "\x1b[31m red",
]


def test_tokens_are_those_of_open_clip():
    for _ in range(2):
        assert torch.equal(OURS(CAPTIONS), THEIRS(CAPTIONS))
    assert OURS([]).shape == (0, 12)


@given(st.lists(st.one_of(st.text(max_size=30), st.text(st.characters(codec="ascii"), max_size=30)), max_size=4))
def test_tokens_of_any_text_are_those_of_open_clip(captions):
    assert torch.equal(OURS(captions), THEIRS(captions).view(-1, 12))
