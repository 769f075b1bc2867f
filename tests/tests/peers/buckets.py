"""Writes objects into a bucket of a test: buckets.py ENDPOINT ROUND.

Round 1 makes the bucket and what is in it; round 2 replaces an object, adds one, and leaves the rest.
"""

import gzip
import json
import sys

import boto3
from botocore.config import Config

endpoint, round_number = sys.argv[1], int(sys.argv[2])
config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 20, "mode": "standard"})
keys = {"aws_access_key_id": "AKIDWEFT", "aws_secret_access_key": "s3cr3t", "region_name": "eu-central-1"}
s3 = boto3.client("s3", endpoint_url=endpoint, config=config, **keys)


def lines(first, count):
    claims = lambda number: [{"type": "user_id", "value": f"u{number}"}]
    event = lambda number: {"type": "track", "name": "Exported", "message_id": f"m{number}", "claims": claims(number)}
    return "".join(json.dumps(event(number)) + "\n" for number in range(first, first + count)).encode()


def put(key, body):
    s3.put_object(Bucket="acme", Key=key, Body=body)


if round_number == 1:
    s3.create_bucket(Bucket="acme")
    put("exports/day 1/a+b.ndjson.gz", gzip.compress(lines(0, 1_000)))
    # Larger than what is fetched at once.
    put("exports/big.ndjson", lines(10_000, 20_000))
    put("exports/readme.txt", b"nothing of interest")
    put("others/c.ndjson", lines(90_000, 10))
else:
    put("exports/day 1/a+b.ndjson.gz", gzip.compress(lines(500, 1_000)))
    put("exports/day 2.ndjson", lines(2_000, 100))
