#!/usr/bin/python3
"""Train client that speaks the wire format of the Python sleap-rtc peers, quirks included;
used by the end-to-end tests.

An independent re-implementation on aiortc, so that a second WebRTC stack is on the wire. Needs
Debian's python3-aiortc (1.4.0) and python3-websockets (10.4), else only the standard library.

Differences on purpose, none of them on the wire: every event is one JSON line on stdout, the log goes
to stderr; there is no GUI; `--exit-on`, `--exit-on-file` and `--idle-exit` let it end by itself, which
the original never does; an end by an error has status 1; instead of a prompt the first worker is taken.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path

import websockets
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

sys.dont_write_bytecode = True
from common import BUFFERED_LIMIT, KEEP_ALIVE, delete_peer, emit, log, post, usable_root

CHUNK_BYTES = 65536
KEEP_ALIVE_SECONDS = 15
SIGNALING_SECONDS = 5
BACKEND_SECONDS = 5
PATH_SECONDS = 10
RESTARTS, RESTART_SECONDS, RESTART_PAUSE = 5, 30, 5
ANSWERS = ("PATH_VALIDATED", "PATH_ERROR", "BACKEND_NOT_AVAILABLE")


class Ended(Exception):
    """The client is over: exit status and reason."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class TrainClient:
    def __init__(self, args):
        self.args = args
        self.package = Path(args.pkg).resolve()
        self.output = Path(args.output)
        self.backends = dict(item.split("=", 1) for item in args.storage)
        environment = os.environ.get("SHARED_STORAGE_ROOT")
        self.shared_root = usable_root(args.shared_root or environment)
        if not self.backends and usable_root(environment):
            self.backends = {"default": environment}
        self.worker_backends = None  # unknown, except after a choice from the discovered list
        self.answers = asyncio.Queue()  # answers nobody waited for stay in it
        self.received = {}  # announced name -> bytearray; binary data goes to the first
        self.chunks = self.largest = 0
        self.last_message = time.monotonic()
        self.ended = None  # future of exit status and reason, once it runs
        self.tasks = []
        self.peer = self.peer_id = None

    # -- signaling ---------------------------------------------------------------------------------

    def sign_in(self):
        status, answer = post(self.args.signaling_http, "/anonymous-signin")
        if status != 200 or not answer.get("id_token"):
            raise Ended(1, f"sign-in failed: {status} {answer}")
        self.peer_id, self.id_token = answer["username"], answer["id_token"]

    async def send_signal(self, message):
        await self.socket.send(json.dumps(message))

    async def wait_for(self, kind):
        """The first message of this type within 5 s, else None. All others, errors too, are ignored."""
        deadline = time.monotonic() + SIGNALING_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = json.loads(await asyncio.wait_for(self.socket.recv(), left))
            except asyncio.TimeoutError:
                break
            emit("signal", message=message)
            if message.get("type") == kind:
                return message
        log(f"no {kind} within {SIGNALING_SECONDS} s")
        return None

    async def register(self, room_id, token):
        await self.send_signal({
            "type": "register", "peer_id": self.peer_id, "room_id": room_id, "token": token,
            "id_token": self.id_token, "role": "client",
            "metadata": {"tags": ["sleap-rtc", "training-client"],
                         "properties": {"sleap_version": "unknown", "platform": platform.system(),
                                        "user_id": os.environ.get("USER", "unknown")}}})
        answer = await self.wait_for("registered_auth")
        if answer:
            emit("registered", room_id=answer.get("room_id"), peer_id=self.peer_id)
        return (answer or {}).get("ice_servers") or []  # without an answer it goes on regardless

    async def discover(self, room_id):
        await self.send_signal({
            "type": "discover_peers", "from_peer_id": self.peer_id,
            "filters": {"role": "worker", "room_id": room_id, "tags": ["sleap-rtc"],
                        "properties": {"status": "available"}}})
        peers = (await self.wait_for("peer_list") or {}).get("peers") or []
        if not peers:
            raise Ended(1, "no workers found")
        if self.args.worker_id:
            return self.args.worker_id

        def properties(peer):
            return peer.get("metadata", {}).get("properties", {})

        chosen = max(peers, key=lambda p: properties(p).get("gpu_memory_mb", 0)) if self.args.auto_select else peers[0]
        self.worker_backends = properties(chosen).get("storage_backends", [])
        return chosen["peer_id"]

    async def read_signals(self):
        """Everything after the offer. A `candidate` is handed on as it came, which raises."""
        try:
            async for text in self.socket:
                message = json.loads(text)
                emit("signal", message=message)
                kind = message.get("type")
                if kind == "answer":
                    await self.peer.setRemoteDescription(RTCSessionDescription(sdp=message["sdp"], type="answer"))
                elif kind == "candidate":
                    await self.peer.addIceCandidate(message)
                elif kind == "quit":
                    return self.end(0, "quit")
            self.end(1, "signaling socket closed")
        except Exception as error:  # any failure in the handler ends the loop and with it the client
            self.end(1, f"signaling handler failed: {error!r}")

    # -- WebRTC ------------------------------------------------------------------------------------

    async def offer(self):
        await self.peer.setLocalDescription(await self.peer.createOffer())  # gathers all candidates
        await self.send_signal({"type": "offer", "sender": self.peer_id, "target": self.target,
                                "sdp": self.peer.localDescription.sdp})

    async def connect(self, ice_servers):
        # A key the constructor does not know raises here.
        servers = [RTCIceServer(**server) for server in ice_servers]
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self.channel = self.peer.createDataChannel("my-data-channel")
        self.channel.on("open", self.opened)
        self.channel.on("message", self.message)
        self.channel.on("close", lambda: emit("channel_closed"))
        self.peer.on("iceconnectionstatechange", self.ice_changed)
        await self.offer()

    def ice_changed(self):
        state = self.peer.iceConnectionState
        emit("ice", state=state)
        if state in ("failed", "closed") and not self.ended.done() and not hasattr(self, "restarting"):
            self.restarting = self.start(self.restart())

    async def restart(self):
        """Five fresh offers on the same connection; no real ICE restart."""
        for _ in range(RESTARTS):
            await self.offer()
            for _ in range(RESTART_SECONDS):
                await asyncio.sleep(1)
                if self.peer.iceConnectionState in ("connected", "completed"):
                    del self.restarting
                    return
            await asyncio.sleep(RESTART_PAUSE)
        self.end(1, "connection lost")

    def opened(self):
        emit("open")
        self.start(self.keep_alive())
        self.start(self.transfer())

    async def keep_alive(self):
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            if self.channel.readyState == "open":
                self.channel.send(KEEP_ALIVE)

    def send(self, text):
        self.channel.send(text)
        emit("sent", text=text)

    def message(self, data):
        self.last_message = time.monotonic()
        try:
            (self.binary if isinstance(data, bytes) else self.text)(data)
        except Exception as error:  # the channel stays open
            log("message handler:", repr(error))

    def binary(self, data):
        self.chunks, self.largest = self.chunks + 1, max(self.largest, len(data))
        if data != KEEP_ALIVE:
            next(iter(self.received.values())).extend(data)

    def text(self, text):
        """Most messages are looked for anywhere in the text, also inside log lines."""
        emit("text", text=text)
        if any(f"{kind}::" in text for kind in ANSWERS):
            self.answers.put_nowait(text)
        elif "END_OF_FILE" in text:
            self.save()
        elif "FILE_META::" in text:
            name, size, folder = text.split("FILE_META::", 1)[1].split(":")  # exactly two colons
            log(f"receiving {name}, {int(size)} bytes, hint {folder}")
            self.received[name], self.chunks, self.largest = bytearray(), 0, 0
        if any(text.startswith(prefix) for prefix in self.args.exit_on):
            self.end(0, "text")

    def save(self):
        name, data = next(iter(self.received.items()))
        self.received.clear()
        self.output.mkdir(parents=True, exist_ok=True)
        path = self.output / name
        path.write_bytes(data)
        emit("file", name=name, path=str(path), size=len(data), chunks=self.chunks, largest=self.largest)
        if self.args.exit_on_file:
            self.end(0, "file")

    # -- transfer ----------------------------------------------------------------------------------

    async def transfer(self):
        if await self.storage_backend():
            emit("method", method="v2")
        elif await self.legacy():
            emit("method", method="legacy")
        else:
            emit("method", method="rtc")
            await self.chunked()

    async def accepted(self, seconds):
        """Whether the next answer, whichever it belongs to, says validated."""
        try:
            return "PATH_VALIDATED" in await asyncio.wait_for(self.answers.get(), seconds)
        except asyncio.TimeoutError:
            return False

    def announce(self):
        self.send(f"FILE_META::{self.package.name}:{self.package.stat().st_size}:False")

    async def storage_backend(self):
        for name in sorted(self.backends):
            base = Path(self.backends[name]).expanduser().resolve()
            if self.package.is_relative_to(base):
                break
        else:
            return False
        if self.worker_backends is not None and name not in self.worker_backends:
            log(f"the worker has no backend {name}")
            return False
        below = self.package.relative_to(base)
        user, path = below.parts[0], Path(*below.parts[1:])  # "." directly below the base
        self.send(f"STORAGE_BACKEND::{name}")
        if not await self.accepted(BACKEND_SECONDS):
            return False
        self.send(f"USER_SUBDIR::{user}")
        self.send(f"JOB_ID::job_{uuid.uuid4().hex[:8]}")
        self.announce()
        self.send(f"SHARED_INPUT_PATH::{path}")
        if not await self.accepted(PATH_SECONDS):
            return False
        self.send(f"SHARED_OUTPUT_PATH::{path.parent / '.'}")
        if not await self.accepted(PATH_SECONDS):
            return False
        self.send("SHARED_STORAGE_JOB::start")
        return True

    async def legacy(self):
        if not self.shared_root:
            return False
        folder = Path("jobs") / f"job_{uuid.uuid4().hex[:8]}"
        size = self.package.stat().st_size
        try:
            if shutil.disk_usage(self.shared_root).free < 1.2 * size:
                raise OSError("Insufficient disk space on shared storage")
            (self.shared_root / folder).mkdir(parents=True)
            limit = max(60, size / (100 * 1024 * 1024) + 30)
            copy = asyncio.to_thread(shutil.copy2, self.package, self.shared_root / folder / self.package.name)
            await asyncio.wait_for(copy, limit)
        except (OSError, asyncio.TimeoutError) as error:
            log("legacy shared storage:", repr(error))
            return False
        self.announce()
        self.send(f"JOB_ID::{folder.name}")
        self.send(f"SHARED_INPUT_PATH::{folder / self.package.name}")
        self.send(f"SHARED_OUTPUT_PATH::{folder}")
        self.send("SHARED_STORAGE_JOB::start")
        return await self.accepted(PATH_SECONDS)  # one answer decides, later ones stay unread

    async def chunked(self):
        self.send("PACKAGE_TYPE::train")
        self.send("OUTPUT_DIR::models")
        self.announce()
        with self.package.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                while self.channel.bufferedAmount > BUFFERED_LIMIT:
                    await asyncio.sleep(0.1)
                self.channel.send(chunk)
        self.send("END_OF_FILE")

    # -- life --------------------------------------------------------------------------------------

    def start(self, work):
        async def guarded():
            try:
                await work
            except Exception as error:  # logged, the channel stays open
                log("task:", repr(error))

        self.tasks.append(asyncio.ensure_future(guarded()))
        return self.tasks[-1]

    def end(self, status, reason):
        if not self.ended.done():
            self.ended.set_result((status, reason))

    async def watch_idle(self):
        while time.monotonic() - self.last_message < self.args.idle_exit:
            await asyncio.sleep(0.1)
        self.end(0, "idle")

    async def work(self):
        if self.shared_root:
            (self.shared_root / "jobs").mkdir(exist_ok=True)
        room_id, token = self.args.room_id, self.args.token
        if self.args.session_string:
            session = parse_session(self.args.session_string)
            room_id, token, self.target = session["r"], session["t"], session["p"]
        self.sign_in()
        async with websockets.connect(self.args.signaling_ws) as self.socket:
            try:
                ice_servers = await self.register(room_id, token)
                if not self.args.session_string:
                    self.target = await self.discover(room_id)
                await self.connect(ice_servers)
                await self.read_signals()
            finally:
                if self.peer:
                    await self.peer.close()
                delete_peer(self.args.signaling_http, self.peer_id)

    async def run(self):
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.end, 0, name.name)
        if self.args.idle_exit:
            self.start(self.watch_idle())
        work = asyncio.ensure_future(self.work())
        await asyncio.wait({work, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        outcome = (await asyncio.gather(work, return_exceptions=True))[0]
        if not self.ended.done():
            self.end(getattr(outcome, "status", 1), str(outcome) if isinstance(outcome, Ended) else repr(outcome))
        for task in self.tasks:
            task.cancel()
        if self.peer_id:
            delete_peer(self.args.signaling_http, self.peer_id)  # a second time, like the original
        status, reason = self.ended.result()
        emit("ended", status=status, reason=reason)
        return status


def parse_session(text):
    if not text.startswith("sleap-session:"):
        raise Ended(1, "not a session string")
    return json.loads(base64.urlsafe_b64decode(text.split(":", 1)[1]))  # rejects missing padding


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signaling-http", required=True)
    parser.add_argument("--signaling-ws", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--session-string")
    where.add_argument("--room-id")
    parser.add_argument("--token")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--worker-id")
    who.add_argument("--auto-select", action="store_true")
    parser.add_argument("--pkg", required=True)
    parser.add_argument("--output", required=True, help="folder for the result file")
    parser.add_argument("--storage", action="append", default=[], metavar="NAME=BASE")
    parser.add_argument("--shared-root", help="legacy shared storage; also SHARED_STORAGE_ROOT")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="exit 0 this long after the last message")
    parser.add_argument("--exit-on", action="append", default=[], metavar="TEXT_PREFIX")
    parser.add_argument("--exit-on-file", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(TrainClient(parse_args()).run()))
