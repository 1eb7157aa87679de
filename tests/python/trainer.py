"""A trainer that reports and is told to stop over ZeroMQ as sleap-nn does; it trains nothing.

    trainer.py RUN CONTROLLER_PORT PUBLISH_PORT EPOCHS
"""

import json
import os
import sys

import zmq

run, controller_port, publish_port, epochs = sys.argv[1:]
context = zmq.Context()
publisher = context.socket(zmq.PUB)
publisher.connect(f"tcp://127.0.0.1:{publish_port}")
controller = context.socket(zmq.SUB)
controller.subscribe("")
controller.connect(f"tcp://127.0.0.1:{controller_port}")


def report(event, logs=None, **more):
    publisher.send_string(json.dumps({"what": run, "event": event, "logs": logs, **more}))


report("train_begin", wandb_url=None)
stopped = False
epoch = 0
while epoch < int(epochs) and not stopped:
    report("epoch_begin", epoch=epoch)
    report("batch_end", epoch=epoch, batch=0, logs={"train/loss": 1 / (epoch + 1)})
    if controller.poll(20):
        stopped = json.loads(controller.recv_string())["command"] == "stop"
    logs = {"train/loss": 1 / (epoch + 1), "val/loss": float("nan")}
    report("epoch_end", epoch=epoch, logs=logs)
    epoch += 1
report("train_end")
print("told to stop" if stopped else "all epochs done", flush=True)
os.makedirs(f"models/{run}")
with open(f"models/{run}/best.ckpt", "w") as file:
    file.write("weights")
for socket in (publisher, controller):
    socket.close()
context.term()
