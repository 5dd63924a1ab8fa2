"""An outside reader's half of tests/system/outside.sh: outside.py BROKERS TOPIC KCAT_OUTPUT SCHEMAS

KCAT_OUTPUT is what kcat -J printed of the topic. Reads the topic by confluent-kafka, decodes each value by fastavro, and holds
both readings against each other. Knows CloudEvents' Kafka binding and Avro's single-object encoding, and nothing of ours but
the .avsc files.
"""
import collections
import glob
import io
import json
import re
import sys

import fastavro
from confluent_kafka import Consumer, KafkaError
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

CE = {
    "ce_specversion": r"1\.0",
    "ce_id": r"orders-\d+-\d+-\d+",
    "ce_source": r"/tandem/[0-9a-f]{32}/order/\d+",
    "ce_type": r"tandem\.(OrderConfirmed|OrderRejected|OrderCancelled)",
    "ce_sequence": r"\d+",
    "content-type": r"application/avro",
}


def need(condition, what):
    if not condition:
        sys.exit("outside.py: " + what)


def schemas_by_fingerprint(folder):
    """The single-object header is C3 01 and the CRC-64-AVRO of the canonical form, little-endian."""
    found = {}
    for path in glob.glob(folder + "/*.avsc"):
        raw = json.load(open(path))
        crc = fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")
        found[b"\xc3\x01" + bytes.fromhex(crc)] = parse_schema(raw)
    return found


def read_all(brokers, topic):
    """As a member of a group of its own, from the beginning to the end of every partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": topic + ".outside",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([topic])
    partitions = len(consumer.list_topics(topic, 60).topics[topic].partitions)
    ended, messages = set(), []
    while len(ended) < partitions:
        message = consumer.poll(120)
        need(message is not None, "nothing came for 120 s")
        if message.error():
            need(message.error().code() == KafkaError._PARTITION_EOF, str(message.error()))
            ended.add(message.partition())
        else:
            messages.append(message)
    consumer.close()
    return messages


def check_headers(headers, where):
    names = [name for name, _ in headers]
    need(len(names) == len(set(names)), f"{where}: a header is doubled: {names}")
    values = dict(headers)
    for name, pattern in CE.items():
        need(name in values, f"{where}: no header {name}")
        text = values[name].decode("utf-8") if isinstance(values[name], bytes) else values[name]
        need(re.fullmatch(pattern, text), f"{where}: {name} is {text!r}")
        values[name] = text
    return values


def check_kcat(path, seen):
    """What kcat printed says the same, header by header."""
    count = 0
    for line in open(path, errors="surrogateescape"):
        record = json.loads(line)
        where = (record["partition"], record["offset"])
        if where not in seen:
            continue
        flat = record["headers"]
        values = check_headers(list(zip(flat[::2], flat[1::2])), f"kcat {where}")
        for name in CE:
            need(values[name] == seen[where][name], f"kcat {where}: {name} differs")
        count += 1
    need(count == len(seen), f"kcat printed {count} events of {len(seen)}")


def main():
    brokers, topic, kcat, folder = sys.argv[1:]
    schemas = schemas_by_fingerprint(folder)
    seen, types, last = {}, collections.Counter(), {}
    for message in read_all(brokers, topic):
        if message.headers() and message.headers()[0][0] == "tandem-control":
            continue  # genesis: outside readers skip it
        where = f"{topic}/{message.partition()} offset {message.offset()}"
        values = check_headers(message.headers(), where)
        body, schema = message.value()[10:], schemas.get(message.value()[:10])
        need(schema, f"{where}: no schema of ours has this fingerprint")
        need("tandem." + schema["name"].split(".")[-1] == values["ce_type"], f"{where}: type and schema differ")
        stream = io.BytesIO(body)
        event = fastavro.schemaless_reader(stream, schema)
        need(stream.tell() == len(body), f"{where}: bytes are left over")
        need(event["order_id"].encode() == message.key(), f"{where}: the key is not the order's id")
        number = int(values["ce_sequence"])
        need(number == last.get(message.partition(), 0) + 1, f"{where}: sequence {number}")
        last[message.partition()] = number
        types[values["ce_type"]] += 1
        seen[(message.partition(), message.offset())] = values
    decided = types["tandem.OrderConfirmed"] + types["tandem.OrderRejected"]
    need(types["tandem.OrderConfirmed"] and types["tandem.OrderRejected"] and types["tandem.OrderCancelled"], str(types))
    need(decided <= 200 <= sum(types.values()), str(types))
    check_kcat(kcat, seen)
    print("decoded by fastavro, headers as kcat prints them:", dict(types))


main()
