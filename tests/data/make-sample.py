#!/usr/bin/env python3
"""Makes online-retail-sample.csv from the whole Online Retail data set (see README.md):

    xzcat online-retail.csv.xz | tests/data/make-sample.py > tests/data/online-retail-sample.csv

Whole invoices are taken, and their rows stay as they are and in their order: all invoices of the rare kinds of odd rows, some of
the common kinds, and others by a hash of their number, so that anybody gets the same file.
"""
import collections
import csv
import sys
import zlib

KEEP_OF_10000 = 410
LINES_MAX = 60  # longer invoices are left out, but for the longest of all


def share(invoice, of_10000):
    return zlib.crc32(invoice.encode()) % 10000 < of_10000


def wanted(invoice, rows):
    prices = [row[5] for row in rows]
    quantities = [int(row[3]) for row in rows]
    third_decimal = any(len(price.partition(".")[2]) > 2 for price in prices)
    several_times = len({row[4] for row in rows}) > 1
    if invoice[0] == "A" or third_decimal or invoice in scattered or invoice == "573585":  # the longest one, 1,114 lines
        return True
    if several_times:
        return share(invoice, 2500)
    if len(rows) > LINES_MAX:
        return False
    if any(row[1] == "BANK CHARGES" for row in rows):
        return share(invoice, 2500)
    return share(invoice, KEEP_OF_10000)


header, *rows = csv.reader(sys.stdin)
invoices = collections.defaultdict(list)
scattered = {}  # invoices in several places, and those that stand between
last = None
for row in rows:
    if row[0] != last and row[0] in invoices:
        scattered[row[0]] = scattered[last] = True
    invoices[row[0]].append(row)
    last = row[0]
kept = {invoice for invoice, its in invoices.items() if wanted(invoice, its)}

# The data set's own quoting: texts in quotes, numbers and empty fields bare.
out = sys.stdout
out.write(",".join(f'"{name}"' for name in header) + "\n")
for row in rows:
    if row[0] in kept:
        fields = [f'"{field.replace(chr(34), chr(34) * 2)}"' if field and i not in (3, 5, 6) else field
                  for i, field in enumerate(row)]
        out.write(",".join(fields) + "\n")
