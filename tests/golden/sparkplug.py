"""Makes sparkplug.json: payloads as pysparkplug 0.6.1 (Apache-2.0), a library that is none of ours, writes them.

python3 -m venv v && v/bin/pip install pysparkplug==0.6.1 && v/bin/python tests/golden/sparkplug.py > tests/golden/sparkplug.json
"""

import json
import sys

from pysparkplug import DataType, DBirth, DData, Metric, NBirth, NCmd, NDeath

AT = 1_760_000_000_123
METRICS = [
    (AT, "bdSeq", DataType.INT64, 255, None, False),
    (AT, "Node Control/Rebirth", DataType.BOOLEAN, False, None, False),
    (AT - 60_000, "environment.temperature_c", DataType.DOUBLE, -12.25, None, True),
    (AT, "auxiliaries.safeDoor", DataType.STRING, "geöffnet", 7, False),
    (AT, "ratio", DataType.FLOAT, 0.5, None, False),
    (AT, "balance", DataType.INT64, -45_000, None, False),
    (AT, "small", DataType.INT8, -3, None, False),
    (AT, "largest", DataType.UINT64, 2**64 - 1, None, False),
    (AT, "unknown", DataType.DOUBLE, None, None, False),
]


def metric(at, name, kind, value, alias, historical):
    return Metric(at, name, kind, value=value, alias=alias, is_historical=historical, is_null=value is None)


def told(each):
    at, name, kind, value, alias, historical = each
    return {"at": at, "name": name, "type": int(kind), "value": value, "alias": alias, "historical": historical}


def main():
    metrics = tuple(metric(*each) for each in METRICS)
    rows = [
        ("NBIRTH", NBirth(AT, 0, metrics).encode(), AT, 0, METRICS, True),
        ("DBIRTH", DBirth(AT, 255, metrics[2:4]).encode(), AT, 255, METRICS[2:4], True),
        ("DDATA", DData(AT, 200, metrics[2:6]).encode(), AT, 200, METRICS[2:6], False),
        ("NDEATH", NDeath(AT, metric(None, *METRICS[0][1:])).encode(), AT, None, [(None, *METRICS[0][1:])], True),
        ("NCMD", NCmd(AT, (metric(AT, "Node Control/Rebirth", DataType.BOOLEAN, True, None, False),)).encode(include_dtypes=True),
         AT, None, [(AT, "Node Control/Rebirth", DataType.BOOLEAN, True, None, False)], True),
    ]  # fmt: skip
    keys = ("kind", "hex", "at", "seq", "metrics", "typed")
    found = [dict(zip(keys, (kind, data.hex(), at, seq, [told(each) for each in of], typed), strict=True))
             for kind, data, at, seq, of, typed in rows]  # fmt: skip
    json.dump(found, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
