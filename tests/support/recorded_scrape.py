"""A scrape as promtool's tests read it, so that queries run over what the processes really tell. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_GROWING = frozenset({"counter", "histogram", "summary"})
_POINTS, _INTERVAL, _LOOKED_AT = 30, "30s", "14m"


def promtool_tests(scrapes: Mapping[str, str], queries: Mapping[str, str], unseen: Mapping[str, str]) -> dict[str, Any]:
    """A file for `promtool test rules`: each query must answer with at least one sample.

    Args:
        scrapes: what each process told, by the name of its pod. Counters go on by one from there, gauges stay.
        queries: PromQL by what it is called; the test is named so.
        unseen: labels for families that have no sample yet, as they are written in PromQL.
    """
    series = [each for pod, text in scrapes.items() for each in _series(pod, text, unseen)]
    answers = [
        {"expr": f"count({query}) > bool 0", "eval_time": _LOOKED_AT, "exp_samples": [{"labels": "{}", "value": 1}]}
        for query in queries.values()
    ]
    return {
        "evaluation_interval": "1m",
        "tests": [
            {"name": name, "interval": _INTERVAL, "input_series": series, "promql_expr_test": [answer]}
            for name, answer in zip(queries, answers, strict=True)
        ],
    }


def _series(pod: str, text: str, unseen: Mapping[str, str]) -> Iterator[dict[str, str]]:
    target = {"pod": pod, "instance": f"{pod}:8081", "namespace": "datasource-system", "job": "datasource"}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not family.samples and name in unseen:
            yield {"series": f"{name}{{{unseen[name]}}}", "values": f"1+1x{_POINTS}"}
        for sample in family.samples:
            if math.isfinite(sample.value):
                labels = ", ".join(f'{key}="{_quoted(value)}"' for key, value in {**target, **sample.labels}.items())
                yield {"series": f"{sample.name}{{{labels}}}", "values": _values(family, sample)}


def _values(family: Metric, sample: Sample) -> str:
    grows = family.type in _GROWING and not sample.name.endswith("_created")
    # As Prometheus reads it: an exponent's sign would begin a step.
    return f"{sample.value:f}{'+1' if grows else ''}x{_POINTS}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
