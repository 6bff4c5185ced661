"""Letters that pass for others: names that no page can tell apart, and names of this world that it can."""

import unicodedata

import pytest

from datasource.oauth2.alphabets import _LOOK_LATIN, _PASS_FOR_LATIN, looks_like_others


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada@example.com",
        "Jürgen Müller",
        "Nguyễn Ánh",
        "Yıldız",
        "Łódź",
        "Þór",
        "Kaʻahumanu",
        "Straße 5",
        "Иван Петров",
        "Егор-2",
        "Δημήτρης",
        "Դավիթ",
        "אברהם",
        "محمد ۱۲",
        "दीपक",
        "山田taro@example.com",
        "佐々木 ヤマダー やまだ",
        "김철수 金@example.com",
        "ㄅㄆ王@example.com",
        "5 €",
    ],
)
def test_names_of_this_world_are_told_apart(text: str) -> None:
    assert not looks_like_others(text)


@pytest.mark.parametrize(
    ("text", "passes_for"),
    [
        ("\u0430da", "ada"),
        ("ad\u0430@example.com", "ada@example.com"),
        ("\u0430\u0441\u0430@example.com", "aca@example.com"),
        ("\u0430\u0441\u0430", "aca"),
        ("\u0421\u0410\u041d\u0410-1", "CAHA-1"),
        ("\u039f\u039d\u0395", "ONE"),
        ("\u03bfmega", "omega"),
        ("\u13aa\u13ac", "AE"),
        ("\ua4ee\ua4e1", "AL"),
        ("g\u0966od", "good"),
        ("\u0966\u0966", "oo"),
        ("b\u09e6b", "bob"),
        ("\u0251da", "ada"),
        ("\u0261race", "grace"),
        ("\u01c0eo", "leo"),
        ("\u0406\u0430n", "Ian"),
        ("\u30cbtaro\uae40", "of Japan and of Korea at once"),
        ("\u05d3david", "a letter of Hebrew before Latin ones"),
    ],
)
def test_letters_that_pass_for_others_are_known(text: str, passes_for: str) -> None:
    assert looks_like_others(text), passes_for


def test_what_looks_latin_is_neither_latin_nor_folded_away_before_it_is_looked_at() -> None:
    for letter in _LOOK_LATIN | _PASS_FOR_LATIN:
        assert not letter.isascii()
        assert unicodedata.is_normalized("NFKC", letter)
        assert unicodedata.name(letter).startswith("LATIN ") == (letter in _PASS_FOR_LATIN)
