"""The linter of words finds long sentences and rejected words in what people read, and in nothing else."""

from pathlib import Path

import pytest

from callback_server.language import ENGLISH, LANGUAGES
from deploy.local.cache import REPOSITORY
from generators.words.__main__ import RULES, complaints, findings, parse_rules
from generators.words.sentences import paragraphs, sentences, words_in
from generators.words.strings import of_changes, of_commands, of_manifest, of_notes, of_presets, of_python, of_template

RULES_HERE = parse_rules(RULES.read_text())


def texts(found: object) -> list[str]:
    assert hasattr(found, "__iter__")
    return [text for _, text in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Open the link. It works once.", ["Open the link.", "It works once."]),
        ("It takes 9.5 minutes. Then stop!", ["It takes 9.5 minutes.", "Then stop!"]),
        ("See docs.example.com for more.", ["See docs.example.com for more."]),
        ('Select "Get it". Then wait.', ['Select "Get it".', "Then wait."]),
        ("Nothing was stored. `kubectl get` shows it.", ["Nothing was stored.", "`kubectl get` shows it."]),
        (
            "JWT: a token. none: no secret. id_token is a word.",
            ["JWT: a token.", "none: no secret.", "id_token is a word."],
        ),
        ("Two\nlines of one\nsentence.", ["Two lines of one sentence."]),
        ("It is stored. spec.suspend is true.", ["It is stored.", "spec.suspend is true."]),
        ("Look at it. kubectl get dsrc shows it.", ["Look at it.", "kubectl get dsrc shows it."]),
        ("Nehmen Sie ein Fenster. Öffnen Sie es.", ["Nehmen Sie ein Fenster.", "Öffnen Sie es."]),
        ("", []),
    ],
)
def test_text_is_cut_into_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("sentence", "count"),
    [
        ("Set `spec.url` - then wait (5 minutes).", 6),
        ("a → b", 2),
        ("“Quoted” and **bold**", 3),
        ("à être Über", 3),
        ("", 0),
        ("… — -", 0),
    ],
)
def test_words_are_counted_as_a_reader_does(sentence: str, count: int) -> None:
    assert words_in(sentence) == count


def test_code_is_no_text_and_lists_and_tables_are_read_by_their_parts() -> None:
    prose, table = "# Title\n\nSome `a b c` text.\n\n- one\n- two\n\n", "| a | b |\n|---|---|\n| x | y |\n\n"
    page = f"{prose}{table}    whoever\n\n```\nwhoever\n```\n"
    assert texts(paragraphs(page)) == ["Title", "Some `code` text.", "one", "two", "a", "b", "x", "y"]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        # A list of nothing but links: no sentence, and its words count all the same.
        ("- **[A room](#a)**: [one thing](#b),\n  [`code`](#c)", ["A room", "one thing", "`code`"]),
        ("[Only one](#a)", ["Only one"]),
        # Words around links make one sentence of all.
        ("See [this](#a), [that](#b)", ["See this, that"]),
        ("[Concepts](a.md): what it is", ["Concepts: what it is"]),
        ("No link, only commas", ["No link, only commas"]),
    ],
)
def test_links_with_nothing_but_commas_between_them_are_read_one_by_one(page: str, expected: list[str]) -> None:
    assert texts(paragraphs(page)) == expected


def test_changelog_is_held_to_the_words_for_what_is_not_released_yet(tmp_path: Path) -> None:
    log = tmp_path / "CHANGELOG.md"
    log.write_text("# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.1.0] - 2026-01-01\n\n- as it was written\n")
    assert texts(of_changes(log)) == ["Changelog", "[Unreleased]", "new"]


def test_line_of_a_paragraph_is_told() -> None:
    assert list(paragraphs("# A\n\ntext\n\nmore\n")) == [(1, "A"), (3, "text"), (5, "more")]


def test_strings_of_a_module_are_read_whole_and_its_docstrings_are_not(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""A docstring of whoever."""\n\nA = "short one"\n'
        'B = (\n    "The first half and "\n    f"the {A!r} half."\n)\n\ndef f():\n    """Another docstring of whoever."""\n'
        '    raise ValueError("This is said to people.")\n'
    )
    assert list(of_python(module)) == [(5, "The first half and the `code` half."), (11, "This is said to people.")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # What is put together from several strings is one sentence, whatever puts it together.
        ('x = "It waits for a person " + who + " and tries again."', ["It waits for a person `code` and tries again."]),
        ('x = f"It waits for {who} " + "and tries again."', ["It waits for `code` and tries again."]),
        ('x = "It waits for a person called %s." % who', ["It waits for a person called `code`."]),
        ('x = "It waits for {0.name!r} a while.".format(who)', ["It waits for `code` a while."]),
        # What is filled in may be a text by itself.
        (
            "x = f\"So it is: {'a person has to act' if x else 'it will try again'} now.\"",
            ["So it is: `code` now.", "a person has to act", "it will try again"],
        ),
        ('x = "a b {} d".format("a person has to act")', ["a b `code` d", "a person has to act"]),
        (
            'x = f(g("The first of two texts.") + h("The second of two texts."))',
            ["The first of two texts.", "The second of two texts."],
        ),
        ('x = """The first part of it.\n\nAnd the second part."""', ["The first part of it.", "And the second part."]),
        ("x = a + b", []),
    ],
)
def test_strings_that_are_put_together_are_read_together(tmp_path: Path, code: str, expected: list[str]) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"{code}\n")
    assert [" ".join(text.split()) for text in texts(of_python(module))] == expected


def test_help_texts_are_docstrings_of_commands_alone(tmp_path: Path) -> None:
    module = tmp_path / "cli.py"
    module.write_text(
        '@cli.command()\ndef f():\n    """First part.\n\n    Second part.\n    """\n\n\n'
        '@other\ndef g():\n    """Not a help text."""\n'
    )
    assert texts(of_commands(module)) == ["First part.", "Second part."]


def test_template_is_read_without_tags_and_style(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<p class="x">You sign in at <b>{{ host }}</b>.</p>\n'
        "{% if a %}One two three four.{% else %}Five six seven eight.{% endif %}\n"
    )
    assert [" ".join(text.split()) for _, text in of_template(page)] == [
        "You sign in at `code` .",
        "One two three four.",
        "Five six seven eight.",
    ]


def test_descriptions_and_messages_of_a_crd_are_read(tmp_path: Path) -> None:
    crd = tmp_path / "crd.yaml"
    crd.write_text(
        "a:\n  description: What it is.\n  other: whoever\n  rules:\n  - rule: whoever\n    message: What is wrong.\n"
    )
    assert texts(of_manifest(crd)) == ["What it is.", "What is wrong."]


def test_messages_that_a_policy_puts_together_are_read_with_what_is_filled_in(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "---\nvalidations:\n- messageExpression: >-\n    'Secret ' + object.metadata.name + ' is of a type, and '\n"
        "    + user + ' may not get it'\n"
        "---\nmessage: Another document.\n"
    )
    assert texts(of_manifest(policy)) == ["is of a type, and `code` may not get it", "Another document."]


def test_alert_is_read_as_it_is_shown(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "summary: '{{ if eq $value 1.0 }}1 token{{ else }}{{ $value }} tokens{{ end }} of {{ $labels.x }} expired'\n"
    )
    assert texts(of_manifest(rules)) == ["1 token of `code` expired"]


def test_notes_of_the_chart_are_read_without_commands_and_conditions(tmp_path: Path) -> None:
    notes = tmp_path / "NOTES.txt"
    notes.write_text('{{- if hasPrefix "a" .b }}\n\nIt serves {{ .c }} here.\n{{- end }}\n\n    kubectl get whoever\n')
    assert [" ".join(text.split()) for text in texts(of_notes(notes)) if text.strip()] == ["It serves `code` here."]


def test_notes_steps_and_scopes_of_presets_are_read(tmp_path: Path) -> None:
    presets = tmp_path / "presets.toml"
    presets.write_text(
        '[a]\ntitle = "whoever"\nnotes = ["One note."]\nsteps = ["Enter {redirect URI} there."]\n'
        'scopeTexts."x" = "read it"\nconsentEnds = "Never."\n'
    )
    assert texts(of_presets(presets)) == ["One note.", "Enter {redirect URI} there.", "read it", "Never."]


@pytest.mark.parametrize("word", sorted(RULES_HERE.rejected.instead))
def test_each_rejected_word_is_found_in_any_case_with_what_to_write(word: str) -> None:
    found = list(complaints(f"Here {word.upper()} is wrong", RULES_HERE))
    assert any(RULES_HERE.rejected.instead[word] in each for each in found)


@pytest.mark.parametrize(
    "text", ["This is amended.", "It understands you.", "An outstanding case.", "stood-alone", "Retold."]
)
def test_part_of_another_word_is_not_rejected(text: str) -> None:
    assert list(complaints(text, RULES_HERE)) == []


def test_sentence_of_the_longest_length_is_taken_and_one_more_word_is_not() -> None:
    longest = " ".join(["word"] * RULES_HERE.longest)
    assert list(complaints(longest, RULES_HERE)) == []
    assert len(list(complaints(f"{longest} more", RULES_HERE))) == 1


def test_file_is_named_with_its_line_and_what_is_exempt_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "glossary.md", "user.md"):
        (tmp_path / ("." if name == "README.md" else "docs") / name).write_text("# Title\n\nAsk whoever knows.\n")
    found = list(findings(tmp_path, RULES_HERE))
    assert [each.split(": ")[0] for each in found] == ["README.md:3", "docs/user.md:3"]


WORDS_OF_A_LANGUAGE = [
    (language, word) for language, rejected in RULES_HERE.rejected_in.items() for word in sorted(rejected.instead)
]


@pytest.mark.parametrize(("language", "word"), WORDS_OF_A_LANGUAGE)
def test_word_that_a_language_rejects_is_found_there_and_is_no_matter_elsewhere(language: str, word: str) -> None:
    instead = f"but: {RULES_HERE.rejected_in[language].instead[word]}"
    assert any(instead in each for each in complaints(f"Ja, {word.upper()}!", RULES_HERE, language))
    assert not any(instead in each for each in complaints(f"Ja, {word.upper()}!", RULES_HERE))


def test_each_language_of_the_pages_but_english_has_words_of_its_own_that_stay_out() -> None:
    assert set(RULES_HERE.rejected_in) == set(LANGUAGES) - {ENGLISH}


def test_texts_of_a_language_are_held_to_its_words_by_the_name_of_their_file(tmp_path: Path) -> None:
    folder = tmp_path / "callback_server" / "languages"
    folder.mkdir(parents=True)
    for language in LANGUAGES:
        (folder / f"{language}.toml").write_text('[common]\na = "Ihr Account, votre token."\n')
    found = [each.split(": ")[0:2] for each in findings(tmp_path, RULES_HERE)]
    assert found == [
        ["callback_server/languages/de.toml:2", 'not "Account" but'],
        ["callback_server/languages/fr.toml:2", 'not "token" but'],
    ]


def rows_of_the_glossary(heading: str) -> list[list[str]]:
    """The cells of a section's table, without its head; each cell holds words."""
    section = (REPOSITORY / "docs" / "glossary.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[1:]]


def test_rejected_words_are_those_of_the_glossary() -> None:
    """Of the glossary's table every word is rejected: a page that promises more than the linter holds would mislead."""
    listed = [word for row in rows_of_the_glossary("Words that stay out") for word in row[0].split(", ")]
    assert [word for word in listed if not list(complaints(f"Here {word} is", RULES_HERE))] == []
    assert len(listed) > 10


def test_words_of_german_and_french_are_those_of_the_glossary() -> None:
    passed, seen = list[str](), 0
    for _, german, not_german, french, not_french in rows_of_the_glossary("German and French"):
        for language, words, rejected in (("de", german, not_german), ("fr", french, not_french)):
            assert [each for word in words.split(", ") for each in complaints(word, RULES_HERE, language)] == []
            for word in filter(None, rejected.split(", ")):
                seen += 1
                passed += [word] if not list(complaints(f"Ja, {word}!", RULES_HERE, language)) else []
    assert passed == []
    assert seen > 10


def test_every_exempt_file_is_there_and_every_pattern_matches() -> None:
    assert [name for name in RULES_HERE.exempt if not (REPOSITORY / name).is_file()] == []
    empty = [each for patterns in RULES_HERE.read.values() for each in patterns if not any(REPOSITORY.glob(each))]
    assert empty == []
