"""Pure: the problems of a token Secret's template: its size, its keys, its labels, and the variables that it uses."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from datasource.api.names import GROUP, LAST_APPLIED
from datasource.api.secret_metadata import LARGEST_METADATA, SecretMetadata
from datasource.api.spec import Spec, SpecProblem, TokenSecretTemplate
from datasource.api.template import (
    LONGEST_SHOWN,
    filter_problems,
    rendered_size,
    shown,
    unknown_variables,
    uses,
    variable_problem,
)

LARGEST_SECRET = 512 * 1024
"""Bytes of a token Secret's data: its keys, and its values in base64. Kubernetes takes 1 MiB before base64."""

LARGEST_TEMPLATE = 64 * 1024
"""Bytes of a template's keys and values, labels and annotations included, beyond which the CRD lets no new one in.

What v0.1.0 let in is served as long as the Secret can be made.
"""

LARGEST_ANNOTATIONS = 255 * 1024
"""Bytes of a template's annotations, keys and values: Kubernetes takes 256 KiB in all, and some are ours."""

MOST_TOLD = 3
"""Problems of a template that are told at once."""

_TEMPLATE = "spec.tokenSecret.template"
_SEE = "See `kubectl explain dsrc.spec.tokenSecret.template.data` for the known ones."
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_METADATA_KEY = re.compile(rf"(?P<prefix>[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_NAME}")
_LABEL_VALUE = re.compile(rf"({_NAME})?")
_LONGEST_PREFIX = 253


def template_problem(spec: Spec) -> SpecProblem | None:
    """Why no token Secret can be made of a spec's template, whatever the token; None where one can.

    Apart from what `parse_spec` refuses: the credential is none the worse for it, and goes on being refreshed. Worked out once
    for each spec: a template may be long, and is looked at in every run.
    """
    known: dict[str, SpecProblem | None] = spec.__dict__
    if "template_problem" not in known:
        captured = () if spec.oauth2 is None else spec.oauth2.captured_names
        problems = _template_problems(spec.token_secret.template, captured)
        known["template_problem"] = _together(tuple(islice(problems, MOST_TOLD + 1)))
    return known["template_problem"]


def _together(problems: tuple[SpecProblem, ...]) -> SpecProblem | None:
    """Several problems as one, so that nobody mends a template mistake by mistake."""
    if not problems:
        return None
    first, *others = problems[:MOST_TOLD]
    said = [first.problem, *(f"{each.field} {each.problem}" for each in others)]
    more = " There are more." if len(problems) > MOST_TOLD else ""
    remedies = dict.fromkeys(each.remedy for each in (first, *others))
    return SpecProblem(first.field, ". ".join(said), " ".join(remedies) + more)


def template_size(template: TokenSecretTemplate) -> int:
    """Bytes of all keys and values that a template consists of."""
    return sum(map(_bytes_of, (template.labels, template.annotations, template.data)))


def size_problem(data: Mapping[str, str], sizes: Mapping[str, int]) -> SpecProblem | None:
    """Whether the Secret would be too large, counted before anything is rendered.

    Args:
        data: the templates by key.
        sizes: of the placeholders, in bytes; empty: of what no value can make smaller.
    """
    by_key = {key: len(key) + _base64_size(rendered_size(text, sizes)) for key, text in data.items()}
    total = sum(by_key.values())
    if total <= LARGEST_SECRET:
        return None
    largest = max(by_key, key=lambda key: by_key[key])
    return SpecProblem(
        f"{_TEMPLATE}.data",
        f"makes a Secret of {total:,} bytes; at most {LARGEST_SECRET:,} are allowed, keys and base64 included. "
        f"Its largest key is {largest} with {by_key[largest]:,} bytes{_most_of(data[largest], sizes)}",
        "Use variables fewer times, take text out, or have the service issue shorter tokens.",
    )


def _most_of(text: str, sizes: Mapping[str, int]) -> str:
    """What a value mostly consists of, in words to go on with; nothing where it is the template's own text."""
    used = uses(text)
    name = max(used, key=lambda name: used[name] * sizes.get(name, 0), default="")
    if 2 * used[name] * sizes.get(name, 0) < rendered_size(text, sizes):
        return ""
    times = "once" if used[name] == 1 else f"{used[name]:,} times"
    return f": {{{{ {shown(name)} }}}} has {sizes[name]:,} bytes and is used {times}"


def _base64_size(size: int) -> int:
    return 4 * ((size + 2) // 3)


def _bytes_of(texts: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())


def _template_problems(template: TokenSecretTemplate, captured: tuple[str, ...]) -> Iterator[SpecProblem]:
    yield from _data_problems(template.data, captured)
    yield from _label_problems(_TEMPLATE, template.labels)
    yield from _metadata_key_problems(f"{_TEMPLATE}.annotations", template.annotations)
    if (size := _bytes_of(template.annotations)) > LARGEST_ANNOTATIONS:
        yield SpecProblem(
            f"{_TEMPLATE}.annotations",
            f"has {size:,} bytes; at most {LARGEST_ANNOTATIONS:,} are allowed",
            "Take some out, or shorten them.",
        )


def _label_problems(template: str, labels: Mapping[str, str]) -> Iterator[SpecProblem]:
    yield from _metadata_key_problems(f"{template}.labels", labels)
    for key, value in labels.items():
        if not _LABEL_VALUE.fullmatch(value):
            yield SpecProblem(
                f"{template}.labels[{key}]",
                "has a value that no label can have",
                "Use up to 63 letters, digits, - _ and ., with a letter or digit at both ends.",
            )


def credential_template_problems(template: SecretMetadata) -> Iterator[SpecProblem]:
    """What keeps the labels and annotations of `spec.credentialSecret.template` from being written."""
    field = "spec.credentialSecret.template"
    yield from _label_problems(field, template.labels)
    yield from _metadata_key_problems(f"{field}.annotations", template.annotations)
    if LAST_APPLIED in template.annotations:
        yield SpecProblem(f"{field}.annotations[{LAST_APPLIED}]", "is kubectl's own", "Choose another key.")
    if (size := _bytes_of(template.labels) + _bytes_of(template.annotations)) > LARGEST_METADATA:
        yield SpecProblem(
            field, f"has {size:,} bytes; at most {LARGEST_METADATA:,} are allowed", "Take some out, or shorten them."
        )


def _data_problems(data: Mapping[str, str], captured: tuple[str, ...]) -> Iterator[SpecProblem]:
    for key, text in data.items():
        if not _SECRET_KEY.fullmatch(key) or key == "." or key.startswith(".."):
            yield SpecProblem(
                f"{_TEMPLATE}.data[{shown(key[:LONGEST_SHOWN])}]",
                "is not a key that a Secret can have",
                "Use up to 253 letters, digits, - _ and ., not . alone and no two dots in front.",
            )
        for variable in unknown_variables(text, captured):
            yield SpecProblem(f"{_TEMPLATE}.data[{key}]", variable_problem(variable, captured), _SEE)
        for problem in filter_problems(text):
            yield SpecProblem(f"{_TEMPLATE}.data[{key}]", problem, _SEE)
    if (too_large := size_problem(data, {})) is not None:
        yield too_large


def _metadata_key_problems(field: str, texts: Mapping[str, str]) -> Iterator[SpecProblem]:
    for key in texts:
        found = _METADATA_KEY.fullmatch(key)
        if found is None or len(found["prefix"] or "/") - 1 > _LONGEST_PREFIX:
            yield SpecProblem(
                f"{field}[{shown(key[:LONGEST_SHOWN])}]",
                "is not a key that Kubernetes accepts",
                "Use up to 63 letters, digits, - _ and ., and perhaps a DNS name and / in front.",
            )
        elif key.startswith(f"{GROUP}/"):
            yield SpecProblem(f"{field}[{key}]", "is the operator's own", "Choose another key.")
