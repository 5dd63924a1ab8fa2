"""A collector of traces for tests/peers/traces.sh, on OpenTelemetry's own messages.

otlp_peer.py serve PORT-FILE SPANS-FILE    takes OTLP/HTTP in JSON on a port of its own until it is ended; what does not parse into
                                           the official messages, field by field, is answered with 400 and noted as "bad"
otlp_peer.py rejected SPANS-FILE           an order that was published twice with different lines, both times in the trace of its seed
otlp_peer.py check SPANS-FILE TRACES       each of so many traces hangs together and has every hop of an order
"""
import base64
import binascii
import collections
import http.server
import json
import os
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")
PRODUCER, CONSUMER, ERROR = 4, 5, 2
NAMESPACE = os.environ["TANDEM_NAMESPACE"] + "." if os.environ.get("TANDEM_NAMESPACE") else ""
SYSTEM = "kafka" if os.environ.get("TANDEM_LOG", "").startswith("kafka:") else "tandem_local"
SLACK_NS = 20_000_000  # between the clocks of two processes: each reads the wall clock in milliseconds


def hex_to_base64(json_value):
    """OTLP's JSON has ids in hexadecimal, where protobuf's own JSON has base64."""
    if isinstance(json_value, dict):
        return {
            k: base64.b64encode(binascii.unhexlify(v)).decode() if k in IDS else hex_to_base64(v)
            for k, v in json_value.items()
        }
    return [hex_to_base64(v) for v in json_value] if isinstance(json_value, list) else json_value


def plain(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def spans_of(body):
    request = json_format.ParseDict(hex_to_base64(json.loads(body)), ExportTraceServiceRequest())
    for of_resource in request.resource_spans:
        resource = plain(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                if len(span.trace_id) != 16 or len(span.span_id) != 8 or len(span.parent_span_id) not in (0, 8):
                    raise ValueError("an id of another length")
                yield {
                    "service": resource["service.name"],
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "attributes": plain(span.attributes),
                }


def serve(port_file, spans_file):
    class Collector(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = 200, b"{}"
            with open(spans_file, "a") as out:
                try:
                    assert self.path == "/v1/traces", self.path
                    assert self.headers["Content-Type"] == "application/json", self.headers["Content-Type"]
                    assert self.headers["x-tenant"] == "a b", self.headers["x-tenant"]
                    out.writelines(json.dumps(span) + "\n" for span in list(spans_of(body)))
                except Exception as error:
                    status, answer = 400, str(error).encode()
                    out.write(json.dumps({"bad": str(error)}) + "\n")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    open(spans_file, "w").close()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    with open(port_file + ".new", "w") as out:
        out.write(str(server.server_address[1]))
    os.rename(port_file + ".new", port_file)
    server.serve_forever()


def check_trace(spans):
    """The spans of one trace, by id; each once, whatever was folded twice."""
    root = [s for s in spans.values() if not s["parent"]]
    assert len(root) == 1, f"{len(root)} spans begin the trace"
    assert (root[0]["service"], root[0]["name"], root[0]["kind"]) == ("tandem-publish", "send orders", PRODUCER)
    for span in spans.values():
        assert span["start"] <= span["end"]
        attributes = span["attributes"]
        assert attributes["tandem.key"] == attributes["messaging.kafka.message.key"]
        assert attributes["messaging.system"] == SYSTEM
        assert attributes["messaging.operation.type"] in span["name"]
        assert span["name"].endswith(" " + attributes["messaging.destination.name"])
        assert (span["status"] == ERROR) == ("error.type" in attributes)
        if not span["parent"]:
            continue
        parent = spans[span["parent"]]  # there, or the trace has a hole
        assert parent["kind"] != span["kind"], "what is sent is processed, what is processed sends"
        assert parent["start"] <= span["start"] + SLACK_NS
        # the same record, or the same worker
        same = "messaging.destination.name" if span["kind"] == CONSUMER else None
        if same:
            for name in (same, "messaging.destination.partition.id", "tandem.key"):
                assert parent["attributes"][name] == attributes[name], name
            assert attributes["messaging.kafka.offset"] > 0
            assert attributes["messaging.consumer.group.name"] == span["service"]
        else:
            assert parent["service"] == span["service"]


def chain(spans, *hops):
    """The span reached from the root by these hops, each (service, name)."""
    at = next(s for s in spans.values() if not s["parent"])
    for service, name in hops:
        below = [s for s in spans.values() if s["parent"] == at["id"] and (s["service"], s["name"]) == (service, name)]
        assert below, f"no '{name}' of {service} below '{at['name']}' of {at['service']}"
        at = below[0]
    return at


def read_spans(spans_file):
    """Names without the namespace, which each must have."""
    for line in open(spans_file):
        span = json.loads(line)
        assert "bad" not in span, span
        what, _, topic = span["name"].partition(" ")
        named = {"name": f"{what} {topic.removeprefix(NAMESPACE)}"}
        attributes = span["attributes"]
        for name in ("messaging.destination.name", "messaging.consumer.group.name"):
            if name in attributes:
                assert attributes[name].startswith(NAMESPACE), attributes[name]
                attributes[name] = attributes[name].removeprefix(NAMESPACE)
        yield span | named


def check(spans_file, traces):
    by_trace = collections.defaultdict(dict)
    copies = 0
    for span in read_spans(spans_file):
        copies += span["id"] in by_trace[span["trace"]]
        by_trace[span["trace"]].setdefault(span["id"], span)
    assert len(by_trace) == traces, f"{len(by_trace)} traces, expected {traces}"
    ends = collections.Counter()
    for spans in by_trace.values():
        check_trace(spans)
        answered = chain(
            spans,
            ("tandem-order", "process orders"),
            ("tandem-order", "send inventory"),
            ("tandem-inventory", "process inventory"),
            ("tandem-inventory", "send orders"),
            ("tandem-order", "process orders"),
        )
        assert answered["attributes"]["tandem.event"] in ("StockReserved", "StockRejected")
        ends.update(s["attributes"]["tandem.event"] for s in spans.values() if s["name"] == "process order-events")
    assert sum(ends.values()) == traces and set(ends) == {"OrderConfirmed", "OrderRejected"}, ends
    print(f"{traces} traces, {sum(map(len, by_trace.values()))} spans, {copies} of them sent twice; {dict(ends)}")


def check_rejected(spans_file):
    spans = [s for s in map(json.loads, open(spans_file)) if s["attributes"]["tandem.key"] == "A-1"]
    assert len({s["trace"] for s in spans}) == 1
    assert len([s for s in spans if not s["parent"]]) == 2, "published twice"
    ends = [(s["status"], s["attributes"].get("error.type")) for s in spans if s["attributes"].get("tandem.verdict") == "rejected"]
    assert ends == [(ERROR, "conflict")], ends


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
elif sys.argv[1] == "rejected":
    check_rejected(sys.argv[2])
else:
    check(sys.argv[2], int(sys.argv[3]))
