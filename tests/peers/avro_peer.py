"""fastavro's half of tests/peers/avro.sh: avro_peer.py DIR SEED SCHEMAS...

Reads what we wrote (values one by one, and container files), and writes what we are to read: values of every event in every
version it ever had, with what fastavro resolves them to in the current version. Fingerprints and canonical forms are
fastavro's own, so that a difference there shows too.
"""
import glob
import io
import json
import os
import random
import sys

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

VALUES = 600
EXTREMES = [0, -1, 1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
PIECES = ["", "a", "\u00e9", "\u20ac", "\U0001f6d2", "0123456789", '"\\\n\x7f', "\ufffd"]


def plain(schema):
    """Without logical types: fastavro would make dates of them, which do not go as far as a long."""
    if isinstance(schema, dict):
        return {k: plain(v) for k, v in schema.items() if k != "logicalType"}
    return [plain(s) for s in schema] if isinstance(schema, list) else schema


class Event:
    def __init__(self, path):
        self.name = os.path.basename(path)[: -len(".avsc")]
        history = glob.glob(os.path.join(os.path.dirname(path), "history", self.name, "*.avsc"))
        history.sort(key=lambda p: int(os.path.basename(p).split(".")[0]))
        self.versions = [parse_schema(plain(json.load(open(p)))) for p in [path] + history]
        self.current = self.versions[0]


def named_types(schema, found):
    """Parsed schemas name their types in full; references are looked up here."""
    if isinstance(schema, list):
        for branch in schema:
            named_types(branch, found)
    elif isinstance(schema, dict):
        if "name" in schema:
            found[schema["name"]] = schema
        for field in schema.get("fields", []):
            named_types(field["type"], found)
        if "items" in schema:
            named_types(schema["items"], found)
    return found


def resolve(schema, names):
    if isinstance(schema, str) and schema in names:
        return names[schema]
    if isinstance(schema, dict) and schema["type"] not in ("record", "enum", "fixed", "array"):
        return resolve(schema["type"], names)
    return schema


def branch_name(schema):
    return schema if isinstance(schema, str) else schema.get("name", schema["type"])


def field_of(value, field):
    """fastavro hands out a default as it stands in the schema: without the defaults of its own fields, bytes as text."""
    return value[field["name"]] if field["name"] in value else field["default"]


def avro_json(value, schema, names):
    """Avro's JSON encoding."""
    schema = resolve(schema, names)
    if isinstance(schema, list):
        if value is None:
            return None
        branch = resolve(next(s for s in schema if s != "null"), names)
        return {branch_name(branch): avro_json(value, branch, names)}
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind in ("bytes", "fixed"):
        return value if isinstance(value, str) else value.decode("latin-1")
    if kind == "array":
        return [avro_json(item, schema["items"], names) for item in value]
    if kind == "record":
        return {f["name"]: avro_json(field_of(value, f), f["type"], names) for f in schema["fields"]}
    return value


def has_nul(value, schema, names):
    """We refuse NUL in a string, which is no C string then; bytes read as a string may have one."""
    schema = resolve(schema, names)
    if isinstance(schema, list):
        return value is not None and has_nul(value, next(s for s in schema if s != "null"), names)
    if schema == "string":
        return "\0" in value
    if isinstance(schema, str):
        return False
    if schema["type"] == "array":
        return any(has_nul(item, schema["items"], names) for item in value)
    return schema["type"] == "record" and any(has_nul(field_of(value, f), f["type"], names) for f in schema["fields"])


def generate(rng, schema, names):
    schema = resolve(schema, names)
    if isinstance(schema, list):
        if rng.random() < 0.5:
            return None
        return generate(rng, next(s for s in schema if s != "null"), names)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "boolean":
        return rng.random() < 0.5
    if kind in ("int", "long"):
        bits = 31 if kind == "int" else 63
        extremes = [n for n in EXTREMES if -(2**bits) <= n < 2**bits]
        return rng.choice(extremes) if rng.random() < 0.5 else rng.randrange(-(2**bits), 2**bits) >> rng.randrange(bits)
    if kind == "string":
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))
    if kind == "bytes":
        if rng.random() < 0.7:
            return generate(rng, "string", names).encode()
        return bytes(rng.randrange(256) for _ in range(rng.randrange(4)))
    if kind == "fixed":
        return bytes(rng.randrange(256) for _ in range(schema["size"]))
    if kind == "enum":
        return rng.choice(schema["symbols"])
    if kind == "array":
        return [generate(rng, schema["items"], names) for _ in range(rng.choice([0, 0, 1, 2, 3, 7]))]
    return {f["name"]: generate(rng, f["type"], names) for f in schema["fields"]}


def encode(value, schema):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def decode(body, writer, reader=None):
    stream = io.BytesIO(body)
    value = fastavro.schemaless_reader(stream, writer, reader)
    assert not stream.read(), "bytes are left"
    return value


def check(condition, *what):
    if not condition:
        sys.exit("avro_peer.py: " + " ".join(str(w) for w in what))


def read_ours(folder, event):
    names = named_types(event.current, {})
    expected = []
    for line in open(os.path.join(folder, event.name + ".ours")):
        line = json.loads(line)
        body = bytes.fromhex(line["hex"])
        value = decode(body, event.current)
        check(avro_json(value, event.current, names) == line["json"], event.name, "is read otherwise:", line)
        check(encode(value, event.current) == body, event.name, "is written otherwise:", line)
        expected.append(line["json"])
    for codec in ("null", "deflate"):
        with open(os.path.join(folder, f"{event.name}.{codec}.avro"), "rb") as stream:
            reader = fastavro.reader(stream)
            inside, current = (to_parsing_canonical_form(s) for s in (json.loads(reader.metadata["avro.schema"]), event.current))
            check(inside == current, event.name, "has another schema")
            check(reader.codec == codec, event.name, "has another codec")
            values = list(reader)
        check([avro_json(v, event.current, names) for v in values] == expected, event.name, codec, "file is read otherwise")
    return len(expected)


def write_theirs(folder, event, rng, lines):
    count, names = 0, named_types(event.current, {})
    for writer in event.versions:
        writer_names = named_types(writer, {})
        wire = bytes.fromhex(fingerprint(to_parsing_canonical_form(writer), "CRC-64-AVRO"))  # as it stands on the wire
        for _ in range(VALUES):
            body = encode(generate(rng, writer, writer_names), writer)
            try:
                value = decode(body, writer, event.current)
                found = None if has_nul(value, event.current, names) else avro_json(value, event.current, names)
            except (UnicodeDecodeError, fastavro.read.SchemaResolutionError):
                found = None
            line = {"type": event.name, "writer": wire[::-1].hex(), "hex": body.hex(), "json": found}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    values = [generate(rng, event.current, names) for _ in range(300)]
    with open(os.path.join(folder, event.name + ".theirs.json"), "w") as out:
        json.dump([avro_json(v, event.current, names) for v in values], out, ensure_ascii=False)
    for codec in ("null", "deflate"):
        with open(os.path.join(folder, f"{event.name}.{codec}.theirs.avro"), "wb") as out:
            fastavro.writer(out, event.current, values, codec=codec, sync_interval=2000)
    return count


def main():
    folder, seed, *schemas = sys.argv[1:]
    events = [Event(path) for s in schemas for path in sorted(glob.glob(os.path.join(s, "*.avsc")))]
    read = sum(read_ours(folder, event) for event in events)
    print(f"fastavro {fastavro.__version__} read {read} values of {len(events)} events as we do, and wrote the same bytes")
    with open(os.path.join(folder, "theirs.jsonl"), "w") as lines:
        wrote = sum(write_theirs(folder, event, random.Random(f"{seed} {event.name}"), lines) for event in events)
    print(f"fastavro wrote {wrote} values of {sum(len(e.versions) for e in events)} versions")


main()
