"""What a running server counts, read where Prometheus would read it."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.tokcls.inference.made import RunningServer

pytestmark = pytest.mark.alone

OURS = "ray_ner_"
Samples = dict[tuple[str, ...], float]


def exported(server: RunningServer) -> tuple[str, Samples]:
    """Read the address that the server said; gives the text, and our samples by name and labels."""
    (url,) = re.findall(r"metrics for Prometheus: (\S+)", "".join(server.output))
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name.startswith(OURS):
                labels = [
                    one.labels[key]
                    for key in ("route", "status", "type", "le")
                    if key in one.labels
                ]
                key = (one.name.removeprefix(OURS), *labels)
                found[key] = found.get(key, 0.0) + one.value
    return text, found


def post(server: RunningServer, path: str, body: object) -> int:
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_requests_batches_and_entities_are_counted_and_no_text_is_told(
    server: RunningServer,
) -> None:
    _, before = exported(server)
    texts = ["Xanthippe flew from Lisbon to Oslo .", "Anna met Xanthippe ."]
    assert [post(server, "/predict", {"inputs": texts}) for _ in range(4)] == [200] * 4
    assert [post(server, "/healthz", {}) for _ in range(3)] == [405] * 3  # no other test does that
    assert post(server, "/Xanthippe", {}) == 404

    def more(*key: str) -> float:
        return now.get(key, 0.0) - before.get(key, 0.0)

    until = time.monotonic() + 30
    while True:
        text, now = exported(server)
        if more("requests_total", "/healthz", "405") and more("requests_total", "other", "404"):
            break
        assert time.monotonic() < until, now
        time.sleep(0.2)
    assert more("requests_total", "/healthz", "405") == 3
    assert more("requests_total", "/predict", "200") >= 4
    assert more("request_seconds_count", "/predict") >= 4
    assert more("request_seconds_bucket", "/predict", "60.0") >= 4
    assert more("batch_texts_count") >= 4
    assert more("batch_fill_count") >= 4
    assert more("batch_fill_bucket", "1.0") == more("batch_fill_count")
    assert more("batch_fill_bucket", "0.1") >= 4, "two short texts are a small part of a batch"
    assert more("texts_total") >= 8
    assert more("entities_total", "LOC") >= 8
    types = {key[1] for key in now if key[0] == "entities_total"}
    assert types <= {"LOC", "ORG", "PER"}
    assert "Xanthippe" not in text
