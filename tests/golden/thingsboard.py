"""Makes thingsboard.json: what ThingsBoard's own client library (tb-mqtt-client 1.13.14, Apache-2.0) publishes to a broker.

python3 -m venv v && v/bin/pip install tb-mqtt-client==1.13.14
mosquitto -p 18830 & mosquitto_sub -p 18830 -t 'v1/#' -F '%t %p' > heard & v/bin/python tests/golden/thingsboard.py 18830
v/bin/python tests/golden/thingsboard.py heard > tests/golden/thingsboard.json
"""

import json
import sys
from pathlib import Path

VALUES = {"environment.temperature_c": 21.5, "auxiliaries.safeDoor": "open", "cash.value": 4500000}
OLDER = {"environment.temperature_c": -3.25}


def publish(port):
    from tb_gateway_mqtt import TBGatewayMqttClient

    limits = dict.fromkeys(("messages_rate_limit", "telemetry_rate_limit", "telemetry_dp_rate_limit"), "0:0,")
    limits |= {f"device_{name}": value for name, value in limits.items()}
    gateway = TBGatewayMqttClient("127.0.0.1", port, username="token", **limits)
    gateway.connect()
    while not gateway.is_connected():
        pass
    for sent in (
        gateway.gw_connect_device("ATM-7", "atm"),
        gateway.gw_send_telemetry("ATM-7", [{"ts": 1760000000000, "values": OLDER}, {"ts": 1760000000123, "values": VALUES}]),
        gateway.gw_send_attributes("ATM-7", {"alarm.black_box": 4}),
        gateway.gw_send_rpc_reply("ATM-7", 7, {"error": "no"}),
        gateway.send_telemetry([{"ts": 1760000000123, "values": {"gateway.backlog": 3.0}}]),
        gateway.send_attributes({"alarm.disk": 2}),
    ):
        sent.get()
    gateway.disconnect()


def heard(file):
    rows = [line.split(" ", 1) for line in Path(file).read_text().splitlines()]
    own = [(topic, json.loads(payload)) for topic, payload in rows if "request" not in topic]
    json.dump([{"topic": topic, "payload": payload} for topic, payload in own], sys.stdout, indent=1)
    print()


publish(int(sys.argv[1])) if sys.argv[1].isdigit() else heard(sys.argv[1])
