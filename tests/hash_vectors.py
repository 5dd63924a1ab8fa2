#!/usr/bin/env python3
"""Where the vectors of tests/test_hash.c come from: SipHash-2-4 from its paper (Aumasson, Bernstein 2012), in Python and
without any code of ours, over byte strings put together as docs/wire.md says. Run it to print them again."""

import hashlib
import struct

MASK = (1 << 64) - 1


def siphash24(key, data):
    k0, k1 = struct.unpack("<QQ", key)
    v = [0x736F6D6570736575 ^ k0, 0x646F72616E646F6D ^ k1, 0x6C7967656E657261 ^ k0, 0x7465646279746573 ^ k1]

    def rotl(x, n):
        return ((x << n) | (x >> (64 - n))) & MASK

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    tail = len(data) % 8
    for i in range(0, len(data) - tail, 8):
        m = struct.unpack("<Q", data[i:i + 8])[0]
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    m = struct.unpack("<Q", data[len(data) - tail:] + bytes(7 - tail) + bytes([len(data) & 255]))[0]
    v[3] ^= m
    rounds(2)
    v[0] ^= m
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


KEY = bytes(range(16))


def blob(value):  # length (4, -1 for null), bytes
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def chain_start(service, source, topic, partition):
    return siphash24(KEY, service + b"\0" + struct.pack(">i", source) + topic + b"\0" + struct.pack(">i", partition))


def chain(previous, number, fingerprint, key, body):
    return siphash24(KEY, struct.pack(">QQQ", previous, number, fingerprint) + blob(key) + body)


def record(offset, timestamp, key, value, headers):
    data = struct.pack(">qq", offset, timestamp) + blob(key) + blob(value) + struct.pack(">i", len(headers))
    for name, content in headers:
        data += name + b"\0" + blob(content)
    return siphash24(KEY, data)


def running_output(previous, topic, partition, number, chained):
    data = struct.pack(">Q", previous) + topic + b"\0" + struct.pack(">i", partition) + struct.pack(">QQ", number, chained)
    return siphash24(KEY, data)


def derive(secret, purpose):
    whole = hashlib.blake2b(secret, digest_size=32).digest()
    return hashlib.blake2b(purpose + KEY, key=whole, digest_size=16).digest()


def content(key, value, headers):
    data = blob(key) + blob(value) + struct.pack(">i", len(headers))
    for name, bytes_ in headers:
        data += name + b"\0" + blob(bytes_)
    return data


def proof_event(start, number, chained, key, value, headers=()):
    return siphash24(KEY, b"\x01" + struct.pack(">QQQ", start, number, chained) + content(key, value, headers))


def proof_control(topic, partition, key, value, headers=()):
    return siphash24(KEY, b"\x02" + topic + b"\0" + struct.pack(">i", partition) + content(key, value, headers))


def proof_mark(service, partition, text):
    return siphash24(KEY, b"\x03" + service + b"\0" + struct.pack(">i", partition) + text)


def main():
    # The paper's own vector (its appendix A): key 00..0f, input 00..0e.
    assert siphash24(KEY, bytes(range(15))) == 0xA129CA6149BE45E5
    start = chain_start(b"order", 3, b"inventory", 7)
    first = chain(start, 1, 0x0123456789ABCDEF, b"A-1", b"\x06A-1")
    second = chain(first, 2, 0, None, b"")
    long = chain(second, 3, 0xFFFFFFFFFFFFFFFF, b"", bytes(i & 255 for i in range(5000)))
    whole = record(41, 1700000000000, b"k", None, [(b"tandem", b"\x01"), (b"empty", b""), (b"null", None)])
    for name, value in (("start", start), ("first", first), ("second", second), ("long", long), ("record", whole),
                        ("running input", siphash24(KEY, struct.pack(">QQ", 0, whole))),
                        ("running output", running_output(0, b"orders.dlq", 2, 9, first)),
                        ("proof, event", proof_event(start, 1, first, b"A-1", b"value")),
                        ("proof, headers", proof_event(start, 1, first, b"A-1", b"value", [(b"empty", b""), (b"null", None)])),
                        ("proof, null", proof_event(start, 2, second, None, None)),
                        ("proof, control", proof_control(b"orders", 3, None, b"value")),
                        ("proof, mark", proof_mark(b"order", 3, b"tandem1 1"))):
        print(f"{name:15} 0x{value:016x}")
    # The installation id is KEY.
    for purpose in (b"tandem1 chain", b"tandem1 proof"):
        print(purpose.decode(), ", ".join(f"0x{b:02x}" for b in derive(b"0123456789abcdef0123456789abcdef", purpose)))


main()
